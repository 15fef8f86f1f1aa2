import * as z from 'zod/mini'
import { type PaymentPayload, type PaymentRequirements, paymentPayload, paymentRequirements } from './payment.ts'
import { type Outcome, type SupportedResponse, settleResponse, supportedResponse, type Verdict, verifyResponse } from './settlement.ts'

/** One payment and what was asked for it; `requirements.amount` may be below the signed ceiling where the scheme allows it. */
export type Submission = { readonly payment: PaymentPayload; readonly requirements: PaymentRequirements }

/** Cancels a call that has not moved money; a settlement under way goes on. */
export type CallOptions = { readonly signal?: AbortSignal | undefined }

/** Settling also names the seller's claim, so that asking twice settles once (M2). */
export type SettleOptions = CallOptions & { readonly claimId?: string | undefined }

/** Until when a claim's payment could still arrive, in Unix seconds; for a month where it is not said. */
export type StatusOptions = CallOptions & { readonly deadAfter?: number | undefined }

/**
 * Verifies and settles payments, in process or behind HTTP; who holds one cannot tell which.
 *
 * `verify` is read-only. A bad payment is a value; what throws is an `X402Error` of `facilitator/…`. After `settle` threw,
 * the outcome is unknown.
 */
export interface Facilitator {
  /** Where it is, for one behind HTTP: its word is taken on trust, up to a bound (M13). */
  readonly url?: string
  supported(options?: CallOptions): Promise<SupportedResponse>
  verify(submission: Submission, options?: CallOptions): Promise<Verdict>
  settle(submission: Submission, options?: SettleOptions): Promise<Outcome>
  /**
   * What became of a claim, by the id it was settled with (M5). One that is not known here is buried in the same step: a `settle` of
   * it that arrives later is refused, so that "never seen" is the truth for good: remembered past `deadAfter` of its payment.
   * One that can tell names `claimStatusExtension` in `supported`.
   */
  status?(claimId: string, options?: StatusOptions): Promise<Outcome | undefined>
}

/** The body of `/verify` and `/settle` (x402 v2 §7). */
export const facilitatorRequest = z.looseObject({
  x402Version: z.literal(2),
  paymentPayload,
  paymentRequirements,
})

/** The body of `/verify` and `/settle` (x402 v2 §7). */
export type FacilitatorRequest = z.infer<typeof facilitatorRequest>

/** The header that carries a claim's id to `/settle`; facilitators that do not know it ignore it. */
export const claimIdHeader = 'Idempotency-Key'

/** By this name in the `extensions` of `/supported` a facilitator says that it answers `/status` (M5). */
export const claimStatusExtension = 'flow402x-claim-status'

/** The body of `/status`, which is this project's: a claim's id, and when its payment is dead (Unix seconds). */
export const claimStatusRequest = z.looseObject({
  claimId: z.string().check(z.regex(/^[\x21-\x7e]{1,255}$/)),
  deadAfter: z.nullish(z.number().check(z.nonnegative())),
})

/** The body of `/status`, which is this project's: a claim's id, and when its payment is dead (Unix seconds). */
export type ClaimStatusRequest = z.infer<typeof claimStatusRequest>

/** The answer of `/status`: what `/settle` would say now, or nothing of a claim that was never seen and never will be. */
export const claimStatusResponse = z.looseObject({ settlement: z.nullable(settleResponse) })

/** The answer of `/status`: what `/settle` would say now, or nothing of a claim that was never seen and never will be. */
export type ClaimStatusResponse = z.infer<typeof claimStatusResponse>

/** The facilitator's HTTP interface as a table: endpoints, remote client and OpenAPI are made from it (x402 v2 §7; `/status` is this project's). */
export const facilitatorRoutes = {
  supported: { method: 'GET', path: '/supported', response: supportedResponse },
  verify: { method: 'POST', path: '/verify', request: facilitatorRequest, response: verifyResponse },
  settle: { method: 'POST', path: '/settle', request: facilitatorRequest, response: settleResponse },
  status: { method: 'POST', path: '/status', request: claimStatusRequest, response: claimStatusResponse },
} as const
