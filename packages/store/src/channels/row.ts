import type { Channel } from '@flow402x/core'
import * as z from 'zod/mini'
import { amount, type Column, json, number, readColumns } from '../claims/record.ts'

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
    z.object({
      ...stretch,
      id: z.string(),
      until: z.number(),
      used: z.exactOptional(amount),
      before: z.exactOptional(amount),
      again: z.exactOptional(z.number()),
      request: z.exactOptional(z.string()),
    }),
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
  claiming: z.exactOptional(amount),
})

const channelRow = z.object({
  side: z.enum(['payer', 'receiver']),
  id: z.string(),
  epoch: number,
  owed_since: z.nullish(number),
  ledger: z.pipe(json, ledger),
})

/** The columns of a channel, in the order in which they are written. */
export const channelColumns: readonly string[] = Object.keys(channelRow.shape)

/** A channel as its columns. */
export function writeChannel({
  side,
  id,
  epoch,
  owedSince = null,
  ...rest
}: Omit<Channel, 'owedSince'> & { readonly owedSince?: number | null | undefined }): readonly Column[] {
  const text = JSON.stringify(rest, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
  return [side, id, epoch, owedSince, text]
}

/** Columns as a channel. Errors: `store/unreadable`. */
export function readChannel(row: Readonly<Record<string, unknown>>): Channel {
  const { owed_since, ledger, ...rest } = readColumns(row, { schema: channelRow, what: `Channel ${String(row.id)}` })
  return { ...rest, ...ledger, ...(owed_since == null ? {} : { owedSince: owed_since }) }
}
