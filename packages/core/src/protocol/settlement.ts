import * as z from 'zod/mini'
import type { PaymentKey } from '../store/claims.ts'
import type { Retry } from './errors.ts'
import { openObject } from './payment.ts'

const text = z.nullish(z.string())
const retry = z.nullish(z.enum(['same', 'resign', 'never']))

/** The answer of `/verify` (x402 v2 §7.1). `funds` is this project's: what the payer holds of the asset, in atomic units. */
export const verifyResponse = z.looseObject({
  isValid: z.boolean(),
  invalidReason: text,
  invalidMessage: text,
  payer: text,
  funds: z.nullish(z.string().check(z.regex(/^\d{1,78}$/))),
  extensions: openObject,
  extra: openObject,
})

/** The answer of `/verify` (x402 v2 §7.1). */
export type VerifyResponse = z.infer<typeof verifyResponse>

/**
 * The answer of `/settle` and the content of `PAYMENT-RESPONSE` (x402 v2 §5.3). `deadAfter` (Unix seconds) and `retry` are
 * this project's: when an unsettled payment is certainly dead, and what to do until then.
 */
export const settleResponse = z.looseObject({
  success: z.boolean(),
  errorReason: text,
  errorMessage: text,
  payer: text,
  transaction: z.string(),
  network: z.string(),
  amount: text,
  extensions: openObject,
  extra: openObject,
  deadAfter: z.nullish(z.number()),
  retry,
})

/** The answer of `/settle` and the content of `PAYMENT-RESPONSE` (x402 v2 §5.3). */
export type SettleResponse = z.infer<typeof settleResponse>

/** One scheme on one network that a facilitator serves; `extra` is what its requirements need (wire.md §2). */
export const supportedKind = z.looseObject({
  x402Version: z.number(),
  scheme: z.string(),
  network: z.string(),
  extra: openObject,
})

/** One scheme on one network that a facilitator serves; `extra` is what its requirements need (wire.md §2). */
export type SupportedKind = z.infer<typeof supportedKind>

/** The answer of `/supported` (x402 v2 §7.3); `signers` maps CAIP families such as `eip155:*` to addresses. */
export const supportedResponse = z.looseObject({
  kinds: z.array(supportedKind),
  extensions: z.nullish(z.array(z.string())),
  signers: z.nullish(z.catchall(z.object({}), z.array(z.string()))),
})

/** The answer of `/supported` (x402 v2 §7.3); `signers` maps CAIP families such as `eip155:*` to addresses. */
export type SupportedResponse = z.infer<typeof supportedResponse>

/**
 * Whether a payment could be settled now; `reason` is the spec's string and unknown reasons pass through. `funds` is what the
 * payer holds of the asset, in atomic units, where the verifier looked: all that he has promised to anybody comes out of it (M8).
 */
export type Verdict =
  | {
      readonly valid: true
      readonly payer: string
      readonly funds?: bigint
      readonly extra?: Readonly<Record<string, unknown>>
      /** Its identity, where the payment alone does not say it and the chain had to be asked. */
      readonly key?: PaymentKey
    }
  | {
      readonly valid: false
      readonly reason: string
      readonly message?: string
      readonly payer?: string
      readonly extra?: Readonly<Record<string, unknown>>
      /** The payment is its payer's own, and its nonce is used or its time over: the chain knows what became of it. */
      readonly over?: true
    }

/**
 * What came of settling: exactly three cases and no fourth. `pending` means the money may have moved; `notSettled` that
 * this attempt did not move it, while the signature itself lives until `deadAfter` (Unix seconds).
 */
export type Outcome =
  | {
      readonly status: 'settled'
      readonly transaction: string
      readonly network: string
      readonly payer?: string
      readonly amount?: string
      readonly extra?: Readonly<Record<string, unknown>>
      readonly extensions?: Readonly<Record<string, unknown>>
    }
  | { readonly status: 'pending'; readonly network: string; readonly transaction?: string; readonly payer?: string }
  | {
      readonly status: 'notSettled'
      readonly network: string
      readonly reason: string
      readonly message?: string
      readonly payer?: string
      readonly transaction?: string
      readonly retry: Retry
      readonly deadAfter?: number
    }

/**
 * Why a facilitator does not settle a payment that somebody else's transaction settled, named in `transaction`: it cannot tell
 * whom that paid for, and whoever can must decide (M1, M2).
 */
export const settledByAnother = 'settled_by_another'

/** A verdict as `/verify` answers it. */
export function verdictToWire(verdict: Verdict): VerifyResponse {
  const { payer, extra } = verdict
  const common = { ...(payer === undefined ? {} : { payer }), ...(extra === undefined ? {} : { extra: { ...extra } }) }
  if (verdict.valid) return { isValid: true, ...common, ...(verdict.funds === undefined ? {} : { funds: `${verdict.funds}` }) }
  return {
    isValid: false,
    invalidReason: verdict.reason,
    ...(verdict.message === undefined ? {} : { invalidMessage: verdict.message }),
    ...common,
  }
}

/** The verdict in an answer of `/verify`; a valid one without a payer is refused by its reader, who knows whom to expect. */
export function verdictFromWire(response: VerifyResponse): Verdict {
  const extra = response.extra == null ? {} : { extra: response.extra }
  if (response.isValid) {
    const funds = response.funds == null ? {} : { funds: BigInt(response.funds) }
    return { valid: true, payer: response.payer ?? '', ...funds, ...extra }
  }
  return {
    valid: false,
    ...splitCode(response.invalidReason ?? 'unexpected_verify_error', response.invalidMessage),
    ...(response.payer == null ? {} : { payer: response.payer }),
    ...extra,
  }
}

/** An outcome as `/settle` and `PAYMENT-RESPONSE` carry it. */
export function outcomeToWire(outcome: Outcome): SettleResponse {
  const { network, payer } = outcome
  const common = { transaction: outcome.transaction ?? '', network, ...(payer === undefined ? {} : { payer }) }
  if (outcome.status === 'pending') return { success: false, errorReason: 'settlement_pending', ...common, retry: 'same' }
  if (outcome.status === 'notSettled') {
    const { reason, message, retry: next, deadAfter } = outcome
    return {
      success: false,
      errorReason: reason,
      ...(message === undefined ? {} : { errorMessage: message }),
      ...common,
      retry: next,
      ...(deadAfter === undefined ? {} : { deadAfter }),
    }
  }
  const { amount, extra, extensions } = outcome
  const response: SettleResponse = { success: true, ...common }
  if (amount !== undefined) response.amount = amount
  if (extra !== undefined) response.extra = { ...extra }
  if (extensions !== undefined) response.extensions = { ...extensions }
  return response
}

// What a facilitator answers when it does not itself know whether it paid.
const unknownOutcomes = new Set(['settlement_pending', 'unexpected_settle_error'])

/**
 * The outcome in an answer of `/settle` or in a receipt. "I do not know" in any spelling is pending, and a failure says
 * `never` unless the answer proves more: a signature lives on until its own expiry (M3).
 */
export function outcomeFromWire(response: SettleResponse): Outcome {
  const { network, transaction } = response
  const payer = response.payer == null ? {} : { payer: response.payer }
  if (response.success) {
    return {
      status: 'settled',
      transaction,
      network,
      ...payer,
      ...(response.amount == null ? {} : { amount: response.amount }),
      ...(response.extra == null ? {} : { extra: response.extra }),
      ...(response.extensions == null ? {} : { extensions: response.extensions }),
    }
  }
  const failure = splitCode(response.errorReason ?? 'unexpected_settle_error', response.errorMessage)
  if (unknownOutcomes.has(failure.reason)) return { status: 'pending', network, ...payer, ...(transaction === '' ? {} : { transaction }) }
  return {
    status: 'notSettled',
    network,
    ...failure,
    ...payer,
    ...(transaction === '' ? {} : { transaction }),
    retry: response.retry ?? 'never',
    ...(response.deadAfter == null ? {} : { deadAfter: response.deadAfter }),
  }
}

/** A code may carry `: detail` after it, which is its message where there is no other (wire.md §4). */
function splitCode(text: string, message: string | null | undefined): { readonly reason: string; readonly message?: string } {
  const colon = text.indexOf(':')
  const detail = message ?? (colon < 0 ? '' : text.slice(colon + 1).trim())
  return { reason: colon < 0 ? text : text.slice(0, colon), ...(detail === '' ? {} : { message: detail }) }
}
