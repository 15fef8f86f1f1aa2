import type { Retry, SettleResponse, X402Error } from '@flow402x/core'
import type { ReceiptStanding } from '@flow402x/core/receipt'
import type { Terms } from './choose.ts'
import type { LeftOut } from './errors.ts'

/**
 * What a client tells of a call; `id` is the same for all events of one call. No event holds a signature.
 *
 * `pending`: the same payment is sent again after `waitMs`. `unsettled`: the server answered without taking the money.
 * `corrected`: the server did not take the payment for `reason`, and another was signed in its place, for no more money.
 * `unknown`: the client gave up without knowing. Both keep the amount reserved until `deadAfter` (Unix seconds), when it
 * counts as spent. `cancelled`: it provably cannot be spent any more, and its amount is free. `refused`: nothing was sent.
 */
export type ClientEvent = { readonly id: string } & (
  | { readonly type: 'quoted'; readonly terms: Terms; readonly leftOut: readonly LeftOut[] }
  | { readonly type: 'signing'; readonly terms: Terms }
  | { readonly type: 'signed'; readonly terms: Terms; readonly deadAfter: number }
  | {
      readonly type: 'pending'
      readonly terms: Terms
      readonly attempt: number
      readonly waitMs: number
      readonly status?: number
      readonly transaction?: string
    }
  | { readonly type: 'corrected'; readonly terms: Terms; readonly reason: string }
  | {
      readonly type: 'paid'
      readonly terms: Terms
      readonly receipt: SettleResponse | undefined
      /** Whether the seller signed the receipt, where `receipts` was given. */
      readonly standing?: ReceiptStanding
    }
  | {
      readonly type: 'unsettled'
      readonly terms: Terms
      readonly status: number
      readonly reason: string
      readonly retry: Retry
      readonly deadAfter: number
    }
  | { readonly type: 'unknown'; readonly terms: Terms; readonly deadAfter: number; readonly error: unknown }
  | { readonly type: 'cancelled'; readonly url: string }
  | { readonly type: 'refused'; readonly url: string; readonly error: X402Error }
)
