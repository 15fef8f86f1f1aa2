import {
  type ClientScheme,
  defineErrors,
  echoExtensions,
  type PaymentRequirements,
  type Prepared,
  type SettleResponse,
} from '@flow402x/core'
import { schemeFor } from '../engine/choose.ts'
import { type Delivered, deliver } from '../engine/deliver.ts'
import type { RetryOptions } from '../engine/options.ts'
import { assertSecure } from '../engine/pay.ts'
import { bindingOf, clockSkew, hex, withPayment } from '../engine/sign.ts'
import { type Fetch, readMessage } from '../http/message.ts'
import { readOffer } from '../http/offer.ts'
import { follow } from '../http/redirect.ts'
import { correctionIn } from './correction.ts'

/** How a refund is asked for. */
export type RefundOptions = {
  /** The ways of paying that keep deposits, such as `batchSettlementClient(…)`. */
  readonly schemes: readonly ClientScheme[]
  /** The method that the seller charges for; GET unless given. */
  readonly method?: string
  readonly signal?: AbortSignal
  readonly retry?: RetryOptions
  /** Asks over plain HTTP beyond this machine as well. */
  readonly allowInsecure?: boolean
  readonly fetch?: Fetch
  /** Unix milliseconds. */
  readonly now?: () => number
  /** That many random bytes. */
  readonly random?: (length: number) => Uint8Array
}

const maxTimeoutSeconds = 600

/**
 * Asks who sells at this URL to give back what is unused of an earlier deposit, and gives the receipt: the server's word, which the scheme
 * holds against the chain where it can. The money moves to its payer and to nobody else, so no budget is asked; what is not given back
 * is taken out on chain, by the payer alone.
 *
 * Errors: `client/nothing-to-refund`, `client/refund-failed`, `client/insecure-origin`, those of sending and of the scheme.
 */
export async function requestRefund(input: string | URL, options: RefundOptions): Promise<SettleResponse> {
  const { schemes, method = 'GET', signal, now = Date.now, allowInsecure = false, retry = {} } = options
  const { random = (length) => crypto.getRandomValues(new Uint8Array(length)) } = options
  const send: Fetch = (target, init) => (options.fetch ?? globalThis.fetch)(target, init)
  const { message, response } = await follow(await readMessage(input, { method, ...(signal === undefined ? {} : { signal }) }), send)
  const { url } = message
  const offer = response.status === 402 ? await readOffer(response, { url, schemes }) : undefined
  await response.body?.cancel()
  const { required } = offer ?? {}
  if (required === undefined) throw refundErrors('client/nothing-to-refund', { url })
  assertSecure({ allowInsecure }, url)
  const seconds = Math.floor(now() / 1000) + clockSkew(response, { url, now: now() })
  const given = { now: seconds, maxTimeoutSeconds, binding: await bindingOf(message), signal }
  const found = await first(schemes, required.accepts, given)
  if (found === undefined) throw refundErrors('client/nothing-to-refund', { url })
  const { scheme, requirements } = found
  const extensions = echoExtensions(required, { id: `pay_${hex(random(16))}` })
  const deliverOnce = async ({ payload, key }: Prepared): Promise<Delivered & { readonly sends: number }> => {
    const common = { x402Version: 2 as const, resource: required.resource, accepted: requirements, payload: { ...payload } }
    const payment = extensions === undefined ? common : { ...common, extensions }
    const signed = { key, payment, version: 2 as const, url, method, maxTimeoutSeconds }
    const sending = { message: withPayment(message, signed), redirected: response.redirected, sends: 0, receipt: undefined, terms: { url } }
    const delivered = await deliver(sending, { fetch: send, retry, now, random, signal, onPause: () => {} })
    return { ...delivered, sends: sending.sends }
  }
  let { prepared } = found
  let answer = await deliverOnce(prepared)
  const correction = await correctionIn(answer, { requirements, url })
  const other = correction && (await scheme.onCorrective?.(prepared, { ...correction, sends: answer.sends }, given))
  if (other !== undefined) {
    await answer.response.body?.cancel()
    prepared = other
    answer = await deliverOnce(prepared)
  }
  const { receipt } = answer
  await scheme.onReceipt?.(prepared, { status: receipt?.success ? 'paid' : 'unpaid', receipt })
  const why = receipt?.errorReason ?? (await correctionIn(answer, { requirements, url }))?.reason ?? 'without a receipt'
  await answer.response.body?.cancel()
  if (receipt?.success !== true) throw refundErrors('client/refund-failed', { url, status: answer.response.status, why })
  return receipt
}

type Found = { readonly scheme: ClientScheme; readonly requirements: PaymentRequirements; readonly prepared: Prepared }

async function first(
  schemes: readonly ClientScheme[],
  accepts: readonly PaymentRequirements[],
  given: Parameters<ClientScheme['prepare']>[1],
): Promise<Found | undefined> {
  for (const requirements of accepts) {
    const scheme = schemeFor(schemes, requirements)
    const prepared = await scheme?.refund?.(requirements, given)
    if (scheme !== undefined && prepared !== undefined) return { scheme, requirements, prepared }
  }
  return undefined
}

// Apart from the client's own, which every buyer loads.
const refundErrors = defineErrors({
  'client/nothing-to-refund': {
    status: 400,
    phase: 'submit',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ url }: { url: string }) =>
      `There is nothing to be had back from ${url}: no channel is kept with who sells it. Nothing was sent.`,
  },
  'client/refund-failed': {
    status: 502,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'never',
    message: ({ url, status, why }: { url: string; status: number; why: string }) =>
      `${url} did not give the unused money back: it answered ${status} (${why}). It is safe in its channel; take it out on chain by yourself, or ask again later.`,
  },
})
