import {
  echoExtensions,
  type PaymentPayload,
  type PaymentRequired,
  paymentSignatureHeader,
  requestBinding,
  type SignedPayment,
  sha256,
  X402Error,
} from '@flow402x/core'
import { paymentToV1, xPaymentHeader } from '@flow402x/core/v1'
import { type Message, withHeader } from '../http/message.ts'
import type { Candidate, Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { Approval } from './options.ts'

type SignOptions = {
  readonly message: Message
  readonly required: PaymentRequired
  /** Unix seconds by the seller's clock. */
  readonly now: number
  readonly random: (length: number) => Uint8Array
}

/** A `Date` has whole seconds and travels for a moment, so ten minutes get a little room. */
const maxSkewSeconds = 605

/**
 * Signs one payment for these terms.
 *
 * Errors: `client/sign-failed`, and what the scheme throws as `X402Error`.
 */
export async function sign({ terms, scheme }: Candidate, options: SignOptions): Promise<SignedPayment> {
  const { url, method, maxTimeoutSeconds, requirements, resource, version } = terms
  const { message, now, required, random } = options
  const offered = version === 2 ? required.extensions : undefined
  const prepareOptions = { now, maxTimeoutSeconds, binding: await bindingOf(message), extensions: offered, signal: message.signal }
  const {
    payload,
    key,
    extensions: added,
    transfer,
    headers,
  } = await scheme.prepare(requirements, prepareOptions).catch((cause: unknown) => {
    if (cause instanceof X402Error || message.signal?.aborted) throw cause
    throw clientErrors('client/sign-failed', { url, scheme: requirements.scheme, network: requirements.network, cause })
  })
  const extensions = version === 2 ? echoExtensions(required, { id: `pay_${hex(random(16))}`, added }) : undefined
  const payment: PaymentPayload = {
    x402Version: 2,
    resource,
    accepted: requirements,
    payload: { ...payload },
    ...(extensions === undefined ? {} : { extensions }),
  }
  const more = { ...(transfer === undefined ? {} : { transfer }), ...(headers === undefined ? {} : { headers }) }
  return { key, payment, version, url, method, maxTimeoutSeconds, ...more }
}

/** Asks `beforeSign`; only `true` is a yes (H36). Errors: `client/refused`. */
export async function approve(
  terms: Terms,
  options: {
    readonly beforeSign:
      | ((terms: Terms, options: { readonly signal?: AbortSignal | undefined }) => Approval | Promise<Approval>)
      | undefined
    readonly signal: AbortSignal | undefined
  },
): Promise<void> {
  if (options.beforeSign === undefined) return
  const { url, price } = terms
  const refused = (why: string, cause?: unknown) => clientErrors('client/refused', { url, price, why, cause })
  let answer: unknown
  try {
    answer = await options.beforeSign(terms, { signal: options.signal })
  } catch (cause) {
    throw refused('it threw', cause)
  }
  if (answer === true) return
  if (answer === false) throw refused('it answered false')
  const reason = typeof answer === 'object' && answer !== null && 'refuse' in answer ? answer.refuse : undefined
  throw refused(typeof reason === 'string' ? reason : 'its answer was neither true nor a refusal')
}

/**
 * How many seconds the seller's clock is ahead of ours, by the `Date` of its 402; 0 where it sends none (H34).
 *
 * Errors: `client/clock-skew` when they are more than ten minutes apart: further, a seller could ask for longer signatures
 * than the client allows.
 */
export function clockSkew(response: Response, options: { readonly url: string; readonly now: number }): number {
  const date = Date.parse(response.headers.get('Date') ?? '')
  if (Number.isNaN(date)) return 0
  const seconds = Math.floor(date / 1000) - Math.floor(options.now / 1000)
  if (Math.abs(seconds) > maxSkewSeconds) throw clientErrors('client/clock-skew', { url: options.url, seconds: Math.abs(seconds) })
  return seconds
}

/** Bytes as hexadecimal text. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The request that is paid, by its bytes; nothing where there is no digest, as in pages that came over plain HTTP. */
export async function bindingOf({ method, url, body }: Message): Promise<string | undefined> {
  const bodyHash = await sha256(body === undefined ? new Uint8Array() : new Uint8Array(body))
  return bodyHash === undefined ? undefined : requestBinding({ method, url, bodyHash })
}

/** The request with what pays it. */
export function withPayment(message: Message, { payment, version, headers }: SignedPayment): Message {
  if (headers !== undefined) return Object.entries(headers).reduce((sent, [name, value]) => withHeader(sent, name, value), message)
  if (version === 2) return withHeader(message, paymentSignatureHeader.name, paymentSignatureHeader.encode(payment))
  const old = paymentToV1(payment)
  // Terms asked in version 1 stand on a network that version has a name for.
  return withHeader(message, xPaymentHeader.name, xPaymentHeader.encode(old ?? payment))
}
