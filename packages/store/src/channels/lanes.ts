import { laneInbox } from '@flow402x/core/memory'
import type { LaneCheckpoint, LaneInbox, LaneRow, LaneStore } from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { amount, type Column, json, readColumns } from '../claims/record.ts'
import { liveLane, type Row, run, type SqlDatabase, table } from '../sql/database.ts'

const terms = z.object({
  scheme: z.string(),
  network: z.string(),
  channelId: z.string(),
  payer: z.string(),
  resource: z.string(),
  // Of lanes that were opened before it was written down nobody knows it.
  route: z._default(z.string(), ''),
  unit: z.string(),
  clock: z.enum(['wall', 'media']),
  rate: z.object({ numerator: amount, denominator: amount }),
  grade: z.enum(['A', 'B']),
  refundable: z.boolean(),
  openedAt: z.number(),
})

const laneRow = z.object({
  id: z.string(),
  terms: z.pipe(json, terms),
  units: amount,
  used: amount,
  replayed: amount,
  state: z.enum(['open', 'paused', 'detached', 'ended']),
  owner: z.string(),
  epoch: z.number(),
  lease_until: z.number(),
  since: z.number(),
  wanted: z.nullish(z.string()),
  reason: z.nullish(z.string()),
})
const columns = Object.keys(laneRow.shape).join(', ')

const insert = `INSERT INTO flow402x_lanes (${columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
  ON CONFLICT DO NOTHING RETURNING id`
const select = `SELECT ${columns} FROM flow402x_lanes WHERE id = ?1`
const renew = `UPDATE flow402x_lanes SET lease_until = ?3 WHERE owner = ?1 AND lease_until > ?2 AND ${liveLane} RETURNING id, wanted`
const want = `UPDATE flow402x_lanes SET wanted = ?2 WHERE id = ?1 AND ${liveLane} RETURNING id`
const take = `UPDATE flow402x_lanes SET owner = ?2, epoch = epoch + 1, lease_until = ?4, wanted = NULL
  WHERE id = ?1 AND lease_until <= ?3 AND ${liveLane} RETURNING ${columns}`
const left = `SELECT ${columns} FROM flow402x_lanes WHERE ${liveLane} AND lease_until < ?1 AND since < ?1 AND (lease_until, id) > (?2, ?3)
  ORDER BY lease_until, id LIMIT 64`
const forget = `DELETE FROM flow402x_lanes WHERE state = 'ended' AND since < ?1 RETURNING id`

// A statement takes a bounded number of parameters.
const mostAtOnce = 2048

/** Lanes in SQL: each change is one statement, and one for all lanes of an owner. */
export function sqlLanes(database: SqlDatabase, inbox: LaneInbox = laneInbox()): LaneStore {
  const write = async (owner: string, lanes: readonly LaneCheckpoint[], released: boolean): Promise<readonly string[]> => {
    const gone: string[] = []
    for (let at = 0; at < lanes.length; at += mostAtOnce) {
      const some = lanes.slice(at, at + mostAtOnce)
      const rows = await database.query(checkpoint(owner, some, released))
      const written = new Set(rows.map(({ id }) => id))
      gone.push(...some.flatMap(({ id }) => (written.has(id) ? [] : [id])))
    }
    return gone
  }
  return {
    async open(lane) {
      return (await database.query(run(insert, valuesOf(lane)))).length > 0
    },
    async find(id) {
      const [row] = await database.query(run(select, [id]))
      return row === undefined ? undefined : laneOf(row)
    },
    checkpoint: (owner, lanes) => write(owner, lanes, false),
    async renew(owner, { now, until }) {
      const rows = await database.query(run(renew, [owner, now, until]))
      return rows.map(({ id, wanted }) => ({ id: String(id), ...(wanted == null ? {} : { wanted: String(wanted) }) }))
    },
    async want(id, by) {
      await database.query(run(want, [id, by]))
    },
    async release(owner, lane) {
      return (await write(owner, [lane], true)).length === 0
    },
    async take(id, { owner, now, until }) {
      const [row] = await database.query(run(take, [id, owner, now, until]))
      return row === undefined ? undefined : laneOf(row)
    },
    async *abandoned(before) {
      for (let after: readonly Column[] | undefined = [-1, '']; after !== undefined; ) {
        const lanes: readonly LaneRow[] = (await database.query(run(left, [before, ...after]))).map(laneOf)
        yield* lanes
        const last = lanes.at(-1)
        after = last && [last.leaseUntil, last.id]
      }
    },
    async purge(before) {
      return (await database.query(run(forget, [before]))).length
    },
    inbox,
  }
}

function checkpoint(owner: string, lanes: readonly LaneCheckpoint[], released: boolean) {
  const rows = lanes.map(({ id, epoch, units, used, replayed, state, since, reason }) => {
    return [id, epoch, `${units}`, `${used}`, `${replayed}`, state, since, reason ?? null].map((value) =>
      value === null ? value : `${value}`,
    )
  })
  const { text, values } = table(rows, 2)
  return run(
    `UPDATE flow402x_lanes SET units = now.column3, used = now.column4, replayed = now.column5, state = now.column6,
      since = CAST(now.column7 AS DOUBLE PRECISION), reason = now.column8${released ? ', lease_until = 0' : ''}
      FROM (${text}) AS now
      WHERE id = now.column1 AND owner = ?1 AND epoch = CAST(now.column2 AS INTEGER) AND ${liveLane} RETURNING id`,
    [owner, ...values],
  )
}

function valuesOf(lane: LaneRow): readonly Column[] {
  const { id, units, used, replayed, state, owner, epoch, leaseUntil, since, wanted = null, reason = null, ...fixed } = lane
  const text = JSON.stringify(fixed, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
  return [id, text, `${units}`, `${used}`, `${replayed}`, state, owner, epoch, leaseUntil, since, wanted, reason]
}

function laneOf(row: Row): LaneRow {
  const { terms: fixed, lease_until, wanted, reason, ...rest } = readColumns(row, { schema: laneRow, what: `Lane ${String(row.id)}` })
  return { ...rest, ...fixed, leaseUntil: lease_until, ...(wanted == null ? {} : { wanted }), ...(reason == null ? {} : { reason }) }
}
