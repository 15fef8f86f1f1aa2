import type { OutboxStore } from '@flow402x/core'
import type { CatalogueEntry, CatalogueStore, NewEntry } from '@flow402x/core/bazaar'
import type { Column } from '../claims/record.ts'
import { inPieces, type Row, run, type SqlDatabase, table, type Work } from '../sql/database.ts'
import { putMessages } from '../sql/outbox.ts'
import { changedColumns, changeOf, entryColumns, readCandidate, readEntry } from './entry.ts'
import { addressKey, countStatement, searchStatement, sortable } from './question.ts'
import { sqlRatings } from './ratings.ts'
import type { Dialect } from './schema.ts'

/** A store that keeps the catalogue of a bazaar too. */
export type Catalogued = { readonly catalogue: CatalogueStore }

/** A catalogue in SQL: every change is one transaction, with its index of words in it. */
export function sqlCatalogue(
  database: SqlDatabase,
  { outbox, dialect }: { readonly outbox: OutboxStore; readonly dialect: Dialect },
): CatalogueStore {
  const index = indexOf(dialect)

  /** Writes those down that are not there, and gives their rows. */
  function* write(entries: readonly NewEntry[], columns: string): Work<readonly Row[]> {
    const written = entries.map((entry) => [entry.key, ...changeOf(entry), 1])
    const rows = yield* inPieces(
      { rows: written },
      (values) => `INSERT INTO flow402x_listings (key, ${changedColumns.join(', ')}, epoch) ${values}
        ON CONFLICT DO NOTHING RETURNING seq, terms, ${columns}`,
    )
    // Of two with one key the first was written, as if they had come one by one.
    const byKey = new Map(entries.toReversed().map((entry) => [entry.key, entry]))
    yield* index.put(rows.map((row) => ({ row, listing: byKey.get(String(row.key))?.listing })))
    return rows
  }

  return {
    outbox,
    ...sqlRatings(database),
    async find(key) {
      const [row] = await database.query(run(`SELECT ${entryColumns} FROM flow402x_listings WHERE key = ?1`, [key]))
      return row === undefined ? undefined : readEntry(row)
    },
    async findAt(page) {
      return (await database.query(run(`SELECT ${entryColumns} FROM flow402x_listings WHERE page = ?1 ORDER BY key`, [page]))).map(
        readEntry,
      )
    },
    async findAll(keys) {
      if (keys.length === 0) return []
      const { text, values } = table(
        keys.map((key) => [key]),
        1,
      )
      return (await database.query(run(`SELECT ${entryColumns} FROM flow402x_listings WHERE key IN (${text})`, values))).map(readEntry)
    },
    add: (entry, { tell = [] } = {}) =>
      database.transaction(function* () {
        const [row] = yield* write([entry], entryColumns)
        if (row === undefined) {
          const [standing] = yield run(`SELECT ${entryColumns} FROM flow402x_listings WHERE key = ?1`, [entry.key])
          return { added: false, entry: readEntry(standing ?? {}) }
        }
        yield* putMessages(tell)
        return { added: true, entry: readEntry(row) }
      }),
    addAll: (entries) =>
      database.transaction(function* () {
        return (yield* write(entries, 'key, quality')).map(({ key }) => String(key))
      }),
    update: ({ key, epoch }, next, { tell = [] } = {}) =>
      database.transaction(function* (): Work<CatalogueEntry | undefined> {
        const [was] = yield run('SELECT place, terms, listing FROM flow402x_listings WHERE key = ?1 AND epoch = ?2', [key, epoch])
        const [row] = yield run(replace, [key, epoch, ...changeOf(next)])
        if (row === undefined || was === undefined) return undefined
        yield* index.move(was, row, { ...next, key })
        yield* putMessages(tell)
        return readEntry(row)
      }),
    async due({ now, until, most }) {
      return (await database.query(run(take, [now, until, most]))).map(readEntry)
    },
    async search(query) {
      const { sort = 'best', words, limit, offset = 0 } = query
      // An index of words gives all that match, and where that is a good part of everything the best are found sooner by looking from the top.
      if (dialect === 'postgres' && words !== undefined && sort === 'best' && offset === 0) {
        const look = (among: number) => database.query(searchStatement(query, { dialect, among }))
        const first = await look(nearest)
        const isDense = first.length * near >= 2 * limit * nearest
        const found = first.length < limit && isDense ? await look(near) : first
        if (found.length === limit) return found.map(readCandidate)
      }
      return (await database.query(searchStatement(query, { dialect }))).map(readCandidate)
    },
    async count(question) {
      const [row] = await database.query(countStatement(question, { dialect }))
      return Number(row?.count)
    },
    async countOf(origin, state) {
      const [row] = await database.query(
        run('SELECT COUNT(*) AS count FROM flow402x_listings WHERE origin = ?1 AND state = ?2', [origin, state]),
      )
      return Number(row?.count)
    },
  }
}

const returned = `RETURNING seq, place, terms, ${entryColumns}`
const replace = `UPDATE flow402x_listings SET ${changedColumns.map((name, index) => `${name} = ?${index + 3}`).join(', ')}, epoch = epoch + 1
  WHERE key = ?1 AND epoch = ?2 ${returned}`
const due = 'next_probe_at <= ?1'
// Who waited for another to take a row looks at its condition again, so that each is taken once.
const take = `UPDATE flow402x_listings SET next_probe_at = ?2 WHERE ${due}
  AND key IN (SELECT key FROM flow402x_listings WHERE ${due} ORDER BY next_probe_at LIMIT ?3) RETURNING ${entryColumns}`

// How far it is looked: among the nearest to see how many match, then among so many where those should have twice as many as are wanted.
const [nearest, near] = [1000, 15_000]
const steps = 1023
const width = 2 ** 32

/** A row as it was written, with its listing. */
type Written = { readonly row: Row } & Pick<NewEntry, 'listing'>

/** How listed entries stand in the index of words and among the prices. */
function indexOf(dialect: Dialect) {
  const [number, vector] = {
    sqlite: ['INTEGER', (terms: string) => terms] as const,
    postgres: ['DOUBLE PRECISION', (terms: string) => `array_to_tsvector(string_to_array(${terms}, ' '))`] as const,
  }[dialect]

  function* put(written: readonly Written[]): Work<void> {
    const listed = written.filter(({ row }) => row.terms !== '').map((one) => ({ ...one, place: placeOf(one.row) }))
    yield* inPieces(
      { rows: listed.map(({ row, place }) => [Number(row.seq), place]) },
      (values) => `UPDATE flow402x_listings SET place = CAST(t.column2 AS DOUBLE PRECISION) FROM (${values}) AS t
        WHERE seq = CAST(t.column1 AS INTEGER)`,
    )
    yield* inPieces(
      {
        rows: listed.map(({ row, place }) => [place, String(row.terms)]),
        tuple: ([place, terms = '']) => `(CAST(${place} AS ${number}), ${vector(terms)})`,
      },
      (values) => `INSERT INTO flow402x_listing_terms (rowid, terms) ${values}`,
    )
    yield* inPieces(
      { rows: listed.flatMap(({ place, listing }) => pricesOf(listing).map((price) => [place, ...price])) },
      (values) => `INSERT INTO flow402x_listing_prices (place, network, asset, symbol, currency, scheme, pay_to, unit, price) ${values}`,
    )
  }

  return {
    put,
    /** Words and prices are written again where they or the place have changed. */
    *move(was: Row, row: Row, entry: NewEntry): Work<void> {
      const stays = was.place !== null && row.terms !== '' && was.place === placeOf(row)
      if (stays && was.terms === row.terms && was.listing === row.listing) return
      if (was.place !== null) {
        for (const name of ['flow402x_listing_terms WHERE rowid', 'flow402x_listing_prices WHERE place'])
          yield run(`DELETE FROM ${name} = ?1`, [Number(was.place)])
        yield run('UPDATE flow402x_listings SET place = NULL WHERE seq = ?1', [Number(row.seq)])
      }
      yield* put([{ row, listing: entry.listing }])
    },
  }
}

/** The highest place is the best, and no two entries have one. */
function placeOf({ quality, seq }: Row): number {
  return Math.floor(Math.min(Math.max(Number(quality), 0), 1) * steps) * width + Number(seq)
}

function pricesOf(listing: NewEntry['listing']): Column[][] {
  return (listing?.prices ?? []).map(({ network, asset, symbol, currency, scheme, unit, amount }, index) => {
    const payTo = addressKey(listing?.accepts[index]?.payTo ?? '')
    const told = amount == null ? null : sortable(amount)
    return [network, addressKey(asset), symbol?.toUpperCase() ?? '', currency ?? '', scheme, payTo, unit, told]
  })
}
