import type { Claim } from '@flow402x/core'
import type { Engine } from '../engine/server.ts'

/** Paid for and not delivered: its payer can still fetch it, or the seller refunds it. Amounts in atomic units of `asset`. */
export type PaidUndelivered = {
  readonly claimId: string
  readonly payer: string
  readonly network: string
  readonly asset: string
  readonly amount: string
  readonly transaction: string
}

/** One payment that moved, as it stands in the books (H42). Nothing in it is secret. */
export type Sale = PaidUndelivered & {
  /** What makes the payment itself: its network, asset, payer and nonce. */
  readonly id: string
  /** When its money was seen to have moved (Unix ms). */
  readonly time: number
  /** Digest of what was bought: method, URL, body and credentials. */
  readonly binding: string
  readonly payTo: string
  /**
   * `undelivered`: its payer may still fetch it. `unclaimed`: moved by a transaction that was not sent for it, and granted to
   * nobody here; another shop of the same wallet may have been meant, else it is to be refunded (M2).
   */
  readonly outcome: 'delivered' | 'undelivered' | 'unclaimed'
}

/** Every payment that moved from `since` (Unix ms) on, in any order, as far as the store keeps it. */
export async function* booksOf(
  { claims }: Pick<Engine, 'claims'>,
  { since = 0 }: { readonly since?: number | undefined } = {},
): AsyncIterable<Sale> {
  for await (const claim of claims.settlements({ since })) {
    if (claim.outcome?.status !== 'settled' || claim.settledAt === undefined) continue
    const { id, binding, state, settledAt, submission } = claim
    const outcome = state === 'delivered' ? 'delivered' : state === 'settled' ? 'undelivered' : 'unclaimed'
    yield { id, time: settledAt, binding, payTo: submission.requirements.payTo, outcome, ...paidFor(claim) }
  }
}

/** What was paid, in the words of the books. */
export function paidFor({ claimId, payer, submission, outcome }: Claim): PaidUndelivered {
  const { network, asset, amount } = submission.requirements
  const settled = outcome?.status === 'settled' ? outcome : undefined
  return { claimId, payer, network, asset, amount: settled?.amount ?? amount, transaction: settled?.transaction ?? '' }
}
