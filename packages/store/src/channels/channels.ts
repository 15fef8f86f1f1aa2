import type { Channel, ChannelStore } from '@flow402x/core'
import * as z from 'zod/mini'
import { amount, json, readColumns } from '../claims/record.ts'
import { type Row, run, type SqlDatabase } from '../sql/database.ts'

const stretch = { from: amount, to: amount }
const freeStretch = { ...stretch, spent: z.exactOptional(z.literal(true)) }
const ledger = z.object({
  network: z.string(),
  config: z.record(z.string(), z.unknown()),
  funds: z.object({
    balance: amount,
    claimed: amount,
    withdrawing: amount,
    withdrawalAt: z.number(),
    refundNonce: amount,
    readAt: z.number(),
  }),
  refunding: amount,
  charged: amount,
  top: amount,
  held: z.array(
    z.object({ ...stretch, id: z.string(), until: z.number(), used: z.exactOptional(amount), before: z.exactOptional(amount) }),
  ),
  free: z.array(z.object(freeStretch)),
  lanes: z.exactOptional(
    z.array(
      z.object({
        id: z.string(),
        epoch: z.number(),
        grade: z.enum(['A', 'B']),
        used: amount,
        granted: amount,
        credit: z.array(z.object(freeStretch)),
        until: z.exactOptional(z.number()),
      }),
    ),
  ),
  filling: z.exactOptional(z.object({ amount, until: z.number(), by: z.string(), authorization: z.record(z.string(), z.unknown()) })),
  voucher: z.exactOptional(z.object({ max: amount, signature: z.string() })),
})

const channelRow = z.object({
  side: z.enum(['payer', 'receiver']),
  id: z.string(),
  epoch: z.number(),
  owed_since: z.nullish(z.number()),
  ledger: z.pipe(json, ledger),
})
const columns = Object.keys(channelRow.shape).join(', ')

const select = `SELECT ${columns} FROM flow402x_channels WHERE side = ?1 AND id = ?2`
// Writing what stands gives it back.
const open = `INSERT INTO flow402x_channels (${columns}) VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (side, id) DO UPDATE SET side = excluded.side RETURNING ${columns}`
const update = `UPDATE flow402x_channels SET epoch = epoch + 1, owed_since = ?4, ledger = ?5
  WHERE side = ?1 AND id = ?2 AND epoch = ?3 RETURNING id`
const list = `SELECT ${columns} FROM flow402x_channels WHERE side = ?1 AND id > ?2 ORDER BY id LIMIT 64`
const listOwed = `SELECT ${columns} FROM flow402x_channels WHERE owed_since IS NOT NULL AND side = ?1 AND id > ?2 ORDER BY id LIMIT 64`

/** Channels in SQL: one row each, which every change names with the epoch it starts from. */
export function sqlChannels(database: SqlDatabase): ChannelStore {
  return {
    async find({ side, id }) {
      const [row] = await database.query(run(select, [side, id]))
      return row === undefined ? undefined : channelOf(row)
    },
    async open(channel) {
      const [row = {}] = await database.query(run(open, valuesOf(channel)))
      return channelOf(row)
    },
    async update({ side, id, epoch }, next) {
      const changed = await database.query(run(update, valuesOf({ ...next, side, id, epoch })))
      return changed.length === 0 ? undefined : { ...next, side, id, epoch: epoch + 1 }
    },
    async *list({ side, owed = false }) {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const channels: readonly Channel[] = (await database.query(run(owed ? listOwed : list, [side, after]))).map(channelOf)
        yield* channels
        after = channels.at(-1)?.id
      }
    },
  }
}

function valuesOf({ side, id, epoch, owedSince = null, ...rest }: Omit<Channel, 'owedSince'> & { readonly owedSince?: number | null }) {
  const text = JSON.stringify(rest, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
  return [side, id, epoch, owedSince, text]
}

function channelOf(row: Row): Channel {
  const { owed_since, ledger, ...rest } = readColumns(row, { schema: channelRow, what: `Channel ${String(row.id)}` })
  return { ...rest, ...ledger, ...(owed_since == null ? {} : { owedSince: owed_since }) }
}
