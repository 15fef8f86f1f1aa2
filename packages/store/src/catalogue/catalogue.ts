import type { OutboxStore } from '@flow402x/core'
import type { CatalogueEntry, CatalogueStore, NewEntry } from '@flow402x/core/bazaar'
import type { Column } from '../claims/record.ts'
import { type Row, run, type SqlDatabase, table, type Work } from '../sql/database.ts'
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
        const [row] = yield run(insert, [entry.key, ...changeOf(entry)])
        if (row === undefined) {
          const [standing] = yield run(`SELECT ${entryColumns} FROM flow402x_listings WHERE key = ?1`, [entry.key])
          return { added: false, entry: readEntry(standing ?? {}) }
        }
        yield* index.put(row, entry)
        yield* putMessages(tell)
        return { added: true, entry: readEntry(row) }
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
      // An index of words gives all that match: where the best few thousand have enough of them the rest need not be read.
      if (dialect === 'postgres' && words !== undefined && sort === 'best' && offset === 0) {
        const near = await database.query(searchStatement(query, { dialect, among: mostNear }))
        if (near.length === limit) return near.map(readCandidate)
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
const numbered = (first: number): string => changedColumns.map((_, index) => `?${index + first}`).join(', ')
const insert = `INSERT INTO flow402x_listings (key, ${changedColumns.join(', ')}, epoch) VALUES (?1, ${numbered(2)}, 1)
  ON CONFLICT DO NOTHING ${returned}`
const replace = `UPDATE flow402x_listings SET ${changedColumns.map((name, index) => `${name} = ?${index + 3}`).join(', ')}, epoch = epoch + 1
  WHERE key = ?1 AND epoch = ?2 ${returned}`
const due = 'next_probe_at <= ?1'
// Who waited for another to take a row looks at its condition again, so that each is taken once.
const take = `UPDATE flow402x_listings SET next_probe_at = ?2 WHERE ${due}
  AND key IN (SELECT key FROM flow402x_listings WHERE ${due} ORDER BY next_probe_at LIMIT ?3) RETURNING ${entryColumns}`

const mostNear = 5000
const steps = 1023
const width = 2 ** 32

/** How listed entries stand in the index of words and among the prices. */
function indexOf(dialect: Dialect) {
  const vector = dialect === 'sqlite' ? '?2' : "array_to_tsvector(string_to_array(?2, ' '))"

  function* put(row: Row, entry: NewEntry): Work<void> {
    if (row.terms === '') return
    const place = placeOf(row)
    yield run('UPDATE flow402x_listings SET place = ?2 WHERE seq = ?1', [Number(row.seq), place])
    yield run(
      `INSERT INTO flow402x_listing_terms (rowid, terms) VALUES (CAST(?1 AS ${dialect === 'sqlite' ? 'INTEGER' : 'DOUBLE PRECISION'}), ${vector})`,
      [place, String(row.terms)],
    )
    for (const price of pricesOf(entry)) yield run(insertPrice, [place, ...price])
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
      yield* put(row, entry)
    },
  }
}

/** The highest place is the best, and no two entries have one. */
function placeOf({ quality, seq }: Row): number {
  return Math.floor(Math.min(Math.max(Number(quality), 0), 1) * steps) * width + Number(seq)
}

const insertPrice = `INSERT INTO flow402x_listing_prices (place, network, asset, symbol, currency, scheme, pay_to, unit, price)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`

function pricesOf({ listing }: NewEntry): Column[][] {
  return (listing?.prices ?? []).map(({ network, asset, symbol, currency, scheme, unit, amount }, index) => {
    const payTo = addressKey(listing?.accepts[index]?.payTo ?? '')
    const told = amount == null ? null : sortable(amount)
    return [network, addressKey(asset), symbol?.toUpperCase() ?? '', currency ?? '', scheme, payTo, unit, told]
  })
}
