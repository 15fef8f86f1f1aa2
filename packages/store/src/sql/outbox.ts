import type { Message, NewMessage, OutboxStore } from '@flow402x/core'
import { defaultRetention, type RetentionOptions, sweepSeldom } from '@flow402x/core/memory'
import * as z from 'zod/mini'
import { readColumns } from '../claims/record.ts'
import { type Row, run, type SqlDatabase, table, type Work } from './database.ts'

/** What the parts of a store share that write messages with their changes. */
export type SqlOptions = RetentionOptions & { readonly outbox: OutboxStore }

const messageRow = z.object({
  id: z.string(),
  topic: z.string(),
  body: z.string(),
  created_at: z.number(),
  attempts: z.number(),
  next_attempt_at: z.number(),
})
const columns = Object.keys(messageRow.shape).join(', ')

const due = 'done_at IS NULL AND next_attempt_at <= ?1'
// Who waited for another to take a row looks at its condition again, so that each is taken once.
const take = `UPDATE flow402x_outbox SET attempts = attempts + 1, next_attempt_at = ?2
  WHERE ${due} AND id IN (SELECT id FROM flow402x_outbox WHERE ${due} ORDER BY next_attempt_at, id LIMIT ?3) RETURNING ${columns}`
const tick = 'UPDATE flow402x_outbox SET done_at = ?2 WHERE id = ?1 AND done_at IS NULL RETURNING id'
const postpone = 'UPDATE flow402x_outbox SET next_attempt_at = ?3 WHERE id = ?1 AND attempts = ?2 AND done_at IS NULL RETURNING id'
const waiting = 'SELECT COUNT(*) AS count, MIN(created_at) AS since FROM flow402x_outbox WHERE done_at IS NULL'
const forget = `DELETE FROM flow402x_outbox WHERE done_at < ?1
  AND id IN (SELECT id FROM flow402x_outbox WHERE done_at < ?1 ORDER BY done_at LIMIT ?2) RETURNING id`

/** Messages in SQL: each change is one statement. */
export function sqlOutbox(database: SqlDatabase, { retention = defaultRetention }: RetentionOptions): OutboxStore {
  const sweep = async (now: number, limit: number): Promise<number> => (await database.query(run(forget, [now - retention, limit]))).length
  const seldom = sweepSeldom(sweep)

  return {
    put: (messages) => database.transaction(() => putMessages(messages)),
    async take({ now, until, most }) {
      await seldom(now)
      return (await database.query(run(take, [now, until, most]))).map(messageOf)
    },
    async done({ id }, now) {
      await database.query(run(tick, [id, now]))
    },
    async later({ id, attempts }, at) {
      return (await database.query(run(postpone, [id, attempts, at]))).length > 0
    },
    async waiting() {
      const [{ count, since } = {}] = await database.query(run(waiting))
      return { count: Number(count), ...(since == null ? {} : { since: Number(since) }) }
    },
    async purge(now) {
      let forgotten = 0
      for (let count = -1; count !== 0; forgotten += count) count = await sweep(now, 1024)
      return forgotten
    },
  }
}

/** Puts messages into the outbox, within the transaction of the change they tell of. */
export function* putMessages(messages: readonly NewMessage[]): Work<void> {
  if (messages.length === 0) return
  const rows = messages.map(({ id, topic, body, createdAt }) => [id, topic, body, createdAt, 0, createdAt])
  const { text, values } = table(rows, 1)
  yield run(`INSERT INTO flow402x_outbox (${columns}) ${text} ON CONFLICT DO NOTHING RETURNING id`, values)
}

function messageOf(row: Row): Message {
  const { created_at, next_attempt_at, ...rest } = readColumns(row, { schema: messageRow, what: `Message ${String(row.id)}` })
  return { ...rest, createdAt: created_at, nextAttemptAt: next_attempt_at }
}
