import { type LedgerEntry, type LedgerStore, settleResponse } from '@flow402x/core'
import { defaultRetention, type RetentionOptions, sweepSeldom } from '@flow402x/core/memory'
import * as z from 'zod/mini'
import { json, readColumns } from '../claims/record.ts'
import { callStates, signedPayment } from '../claims/signed.ts'
import { type Row, run, type SqlDatabase, type Statement, underWay, type Work } from './database.ts'

const ledgerRow = z.object({
  id: z.string(),
  binding: z.string(),
  reservation: z.string(),
  dead_after: z.number(),
  state: z.enum(callStates),
  epoch: z.number(),
  signed: z.nullish(z.pipe(json, signedPayment)),
  receipt: z.nullish(z.pipe(json, settleResponse)),
})
const columns = Object.keys(ledgerRow.shape).join(', ')

const begin = `INSERT INTO flow402x_ledger (${columns}) VALUES (?1, ?2, ?3, ?4, 'signing', 1, NULL, NULL)
  ON CONFLICT (id) DO UPDATE SET reservation = excluded.reservation, dead_after = excluded.dead_after, state = 'signing',
    epoch = flow402x_ledger.epoch + 1, signed = NULL, receipt = NULL
    WHERE flow402x_ledger.state = 'released' AND flow402x_ledger.binding = excluded.binding
  RETURNING ${columns}`
const select = `SELECT ${columns} FROM flow402x_ledger WHERE id = ?1`
const update = `UPDATE flow402x_ledger SET dead_after = ?3, state = ?4, epoch = epoch + 1, signed = COALESCE(?5, signed),
    receipt = COALESCE(?6, receipt)
  WHERE id = ?1 AND epoch = ?2 RETURNING ${columns}`
const overdue = `SELECT ${columns} FROM flow402x_ledger WHERE ${underWay} AND dead_after < ?1 AND id > ?2 ORDER BY id LIMIT 16`
const received = `SELECT ${columns} FROM flow402x_ledger WHERE state = 'paid' AND receipt IS NOT NULL AND id > ?1 ORDER BY id LIMIT 16`
const ended = "state IN ('paid', 'released') AND dead_after < ?1"
const forget = `DELETE FROM flow402x_ledger WHERE ${ended}
  AND id IN (SELECT id FROM flow402x_ledger WHERE ${ended} ORDER BY dead_after LIMIT ?2) RETURNING id`

/** A client's ledger in SQL: each change is one statement that names the epoch it starts from. */
export function sqlLedger(database: SqlDatabase, { retention = defaultRetention }: RetentionOptions): LedgerStore {
  const sweep = async (now: number, limit: number): Promise<number> =>
    (await database.query(run(forget, [(now - retention) / 1000, limit]))).length
  const seldom = sweepSeldom(sweep)

  async function* pages(page: (after: string) => Statement): AsyncGenerator<LedgerEntry> {
    for (let after: string | undefined = ''; after !== undefined; ) {
      const entries: readonly LedgerEntry[] = (await database.query(page(after))).map(entryOf)
      yield* entries
      after = entries.at(-1)?.id
    }
  }

  return {
    async begin(call, now) {
      await seldom(now)
      return await database.transaction(() => beginOrFind(call))
    },
    async find(id) {
      const [row] = await database.query(run(select, [id]))
      return row === undefined ? undefined : entryOf(row)
    },
    async update(entry, { state = entry.state, deadAfter = entry.deadAfter, signed: made, receipt }) {
      const texts = [made, receipt].map((value) => (value === undefined ? null : JSON.stringify(value)))
      const values = [entry.id, entry.epoch, deadAfter, state, ...texts]
      const [row] = await database.query(run(update, values))
      return row === undefined ? undefined : entryOf(row)
    },
    overdue: (now) => pages((after) => run(overdue, [now / 1000, after])),
    receipts: () => pages((after) => run(received, [after])),
    async purge(now) {
      let forgotten = 0
      for (let count = -1; count !== 0; forgotten += count) count = await sweep(now, 1024)
      return forgotten
    },
  }
}

type Begun = Awaited<ReturnType<LedgerStore['begin']>>

function* beginOrFind({ id, binding, reservation, deadAfter }: Parameters<LedgerStore['begin']>[0]): Work<Begun> {
  const [row] = yield run(begin, [id, binding, reservation, deadAfter])
  if (row !== undefined) return { begun: true, entry: entryOf(row) }
  const [standing] = yield run(select, [id])
  return { begun: false, entry: entryOf(standing ?? {}) }
}

function entryOf(row: Row): LedgerEntry {
  const { dead_after: deadAfter, signed: made, receipt, ...rest } = readColumns(row, { schema: ledgerRow, what: `Call ${String(row.id)}` })
  return { ...rest, deadAfter, ...(made == null ? {} : { signed: made }), ...(receipt == null ? {} : { receipt }) }
}
