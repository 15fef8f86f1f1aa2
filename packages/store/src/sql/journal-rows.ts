import type { Settlement, Slot } from '@flow402x/core'
import * as z from 'zod/mini'
import { json, outcome, readColumns, submission } from '../claims/record.ts'
import type { Row } from './database.ts'

const text = z.string()
const digits = z.pipe(
  text.check(z.regex(/^\d+$/)),
  z.transform((number: string) => BigInt(number)),
)

const settlementRow = z.object({
  id: text,
  dead_after: z.number(),
  claim_id: z.nullable(text),
  submission,
  owner: text,
  lease_until: z.number(),
  account: z.nullable(text),
  amount: z.nullable(digits),
  heard_until: z.nullable(z.number()),
  network: z.nullable(text),
  signer: z.nullable(text),
  nonce: z.nullable(digits),
  outcome: z.nullable(z.pipe(json, outcome)),
  epoch: z.number(),
})

const slotRow = z.object({
  network: text,
  signer: text,
  nonce: digits,
  attempts: z.pipe(json, z.array(z.object({ transaction: text, bytes: text }))),
  payments: z.pipe(json, z.array(text)),
  state: z.enum(['open', 'mined', 'final', 'foreign']),
  since: z.number(),
})

/** The columns of a settlement, in the order in which one is begun: those of its slot and its end come last. */
export const settlementColumns = `id, dead_after, claim_id, submission, owner, lease_until,
  account, amount, heard_until, network, signer, nonce, outcome, epoch`

/** The columns of a slot, in the order in which one is written. */
export const slotColumns = 'network, signer, nonce, attempts, payments, state, since'

/** The settlement that a row holds. Errors: `store/unreadable`. */
export function readSettlement(columns: Row): Settlement {
  const row = readColumns(columns, { schema: settlementRow, what: `Settlement ${String(columns.id)}` })
  const { network, signer, nonce: number, account, amount } = row
  return {
    id: row.id,
    deadAfter: row.dead_after,
    ...(row.claim_id === null ? {} : { claimId: row.claim_id }),
    submission: row.submission,
    owner: row.owner,
    leaseUntil: row.lease_until,
    ...(account === null || amount === null ? {} : { draw: { account, amount } }),
    ...(row.heard_until === null ? {} : { heardUntil: row.heard_until }),
    ...(network === null || signer === null || number === null ? {} : { slot: { network, signer, nonce: number } }),
    ...(row.outcome === null ? {} : { outcome: row.outcome }),
    epoch: row.epoch,
  }
}

/** The slot that a row holds. Errors: `store/unreadable`. */
export function readSlot(columns: Row): Slot {
  const what = `Slot ${String(columns.nonce)} of ${String(columns.signer)}`
  const { attempts, ...slot } = readColumns(columns, { schema: slotRow, what })
  const { signer } = slot
  return { ...slot, attempts: attempts.map((attempt) => ({ ...attempt, signer, nonce: slot.nonce })) }
}

/** The attempts of a slot as its column holds them; signer and nonce are the slot's own. */
export function writeAttempts(attempts: Slot['attempts']): string {
  return JSON.stringify(attempts.map(({ transaction, bytes }) => ({ transaction, bytes })))
}
