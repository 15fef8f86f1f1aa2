import * as z from 'zod/mini'
import { type PaymentPayload, type PaymentRequirements, paymentPayload, paymentRequirements } from './payment.ts'
import { type Outcome, type SupportedResponse, settleResponse, supportedResponse, type Verdict, verifyResponse } from './settlement.ts'

/** One payment and what was asked for it; `requirements.amount` may be below the signed ceiling where the scheme allows it. */
export type Submission = { readonly payment: PaymentPayload; readonly requirements: PaymentRequirements }

/** Cancels a call that has not moved money; a settlement under way goes on. */
export type CallOptions = { readonly signal?: AbortSignal | undefined }

/** Settling also names the seller's claim, so that asking twice settles once (M2). */
export type SettleOptions = CallOptions & { readonly claimId?: string | undefined }

/**
 * Verifies and settles payments, in process or behind HTTP; who holds one cannot tell which.
 *
 * `verify` is read-only. A bad payment is a value; what throws is an `X402Error` of `facilitator/…`. After `settle` threw,
 * the outcome is unknown.
 */
export interface Facilitator {
  supported(options?: CallOptions): Promise<SupportedResponse>
  verify(submission: Submission, options?: CallOptions): Promise<Verdict>
  settle(submission: Submission, options?: SettleOptions): Promise<Outcome>
  /**
   * What became of a claim, by the id it was settled with (M5). One that is not known here is buried in the same step: a `settle` of
   * it that arrives later is refused, so that "never seen" is the truth for good. Absent where a facilitator cannot tell.
   */
  status?(claimId: string, options?: CallOptions): Promise<Outcome | undefined>
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

/** The facilitator's HTTP interface as a table: endpoints, remote client and OpenAPI are made from it (x402 v2 §7). */
export const facilitatorRoutes = {
  supported: { method: 'GET', path: '/supported', response: supportedResponse },
  verify: { method: 'POST', path: '/verify', request: facilitatorRequest, response: verifyResponse },
  settle: { method: 'POST', path: '/settle', request: facilitatorRequest, response: settleResponse },
} as const
