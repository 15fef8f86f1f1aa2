import { isX402Error, outcomeFromWire } from '@flow402x/core'
import type { Fetch } from '../http/message.ts'
import { type Offer, readOffer } from '../http/offer.ts'
import type { Exchange } from '../http/redirect.ts'
import { type Choice, choose, sameTerms, type Terms } from './choose.ts'
import { type Delivered, deliver } from './deliver.ts'
import { clientErrors } from './errors.ts'
import type { ClientEvent } from './event.ts'
import type { Limits } from './limits.ts'
import type { ClientOptions, RetryOptions } from './options.ts'
import { type Attempt, approve, clockSkew, hex, sign } from './sign.ts'
import type { Purse } from './spending.ts'

/** What every call of one client shares. */
export type Wallet = {
  readonly limits: Limits
  readonly purse: Purse
  readonly fetch: Fetch
  readonly schemes: ClientOptions['schemes']
  readonly prefer: ClientOptions['prefer']
  readonly beforeSign: ClientOptions['beforeSign']
  readonly retry: RetryOptions
  readonly maxTimeoutSeconds: number
  readonly allowInsecure: boolean
  readonly now: () => number
  readonly random: (length: number) => Uint8Array
  readonly emit: (event: ClientEvent) => void
  /** Payments whose end is open, by what their caller was given; `undefined` where one abort ended several. */
  readonly open: WeakMap<object, Attempt | undefined>
}

/** A 402 with an offer. */
export type Asked = Exchange & { readonly offer: Offer }

/** What of an offer could be paid. Errors: `client/insecure-origin`, `client/bad-preference`. */
export function consider(wallet: Wallet, { message, offer }: Asked): Choice {
  const { url, method } = message
  if (!wallet.allowInsecure && !isSecure(url)) throw clientErrors('client/insecure-origin', { url })
  const { version, required } = offer
  return required === undefined ? { candidates: [], leftOut: [] } : choose(required, { ...wallet, url, method, version })
}

/** Pays an offer with one signature and sends the request until it is answered. */
export async function pay(wallet: Wallet, asked: Asked): Promise<Response> {
  const id = hex(wallet.random(16))
  const attempt = await prepare(wallet, asked, id).catch((error: unknown) => {
    if (isX402Error(error)) wallet.emit({ id, type: 'refused', url: asked.message.url, error })
    throw error
  })
  return await complete(wallet, attempt, asked.message.signal)
}

/** Sends a signed payment until it is answered, and keeps its amount reserved while that is open. */
export async function complete(wallet: Wallet, attempt: Attempt, signal: AbortSignal | undefined): Promise<Response> {
  const { id, terms, prepared } = attempt
  const { deadAfter } = prepared.key
  const { purse, emit, open } = wallet
  if (attempt.receipt === undefined) purse.keep(id, deadAfter)
  try {
    const onPause = (pause: { readonly attempt: number; readonly waitMs: number }) => emit({ id, type: 'pending', terms, ...pause })
    return await finish(wallet, attempt, await deliver(attempt, { ...wallet, signal, onPause }))
  } catch (error) {
    if (attempt.receipt !== undefined) await purse.commit(id)
    emit({ id, type: 'unknown', terms, deadAfter, error })
    if (typeof error === 'object' && error !== null) open.set(error, open.has(error) && open.get(error) !== attempt ? undefined : attempt)
    throw error
  }
}

async function prepare(wallet: Wallet, { message, response, offer }: Asked, id: string): Promise<Attempt> {
  const { purse, emit, now, random, beforeSign } = wallet
  const { url, signal } = message
  const { candidates, leftOut } = consider(wallet, { message, response, offer })
  const skew = clockSkew(response, { url, now: now() })
  const [chosen] = candidates
  if (chosen === undefined || offer.required === undefined) throw clientErrors('client/no-payable-offer', { url, leftOut })
  const { terms } = chosen
  emit({ id, type: 'quoted', terms, leftOut })
  await response.body?.cancel()
  await purse.reserve(id, terms)
  try {
    await approve(terms, { beforeSign, signal })
    signal?.throwIfAborted()
    emit({ id, type: 'signing', terms })
    const { redirected } = response
    const attempt = await sign(chosen, { id, message, redirected, required: offer.required, now: Math.floor(now() / 1000) + skew, random })
    signal?.throwIfAborted()
    emit({ id, type: 'signed', terms, deadAfter: attempt.prepared.key.deadAfter })
    return attempt
  } catch (error) {
    // Nothing was sent, so a signature that may exist is known to nobody.
    await purse.release(id)
    throw error
  }
}

async function finish(wallet: Wallet, attempt: Attempt, { response, receipt }: Delivered): Promise<Response> {
  const { id, terms, prepared, scheme } = attempt
  // Also of a paid one: its body may break off, and the same payment brings it again.
  wallet.open.set(response, attempt)
  if (receipt?.success || (receipt === undefined && response.status < 400)) {
    await wallet.purse.commit(id)
    if (receipt !== undefined) await scheme.onReceipt?.(prepared, receipt)
    wallet.emit({ id, type: 'paid', terms, receipt })
    return response
  }
  await assertSameOffer(response, terms, prepared.key.deadAfter)
  const outcome = receipt === undefined ? undefined : outcomeFromWire(receipt)
  const { reason, retry } = outcome?.status === 'notSettled' ? outcome : { reason: 'unknown', retry: 'same' as const }
  wallet.emit({ id, type: 'unsettled', terms, status: response.status, reason, retry, deadAfter: prepared.key.deadAfter })
  return response
}

/** A second 402 that asks for something else is an attempt to be paid twice (A15). Errors: `client/offer-changed`. */
async function assertSameOffer(response: Response, terms: Terms, deadAfter: number): Promise<void> {
  if (response.status !== 402) return
  const offer = await readOffer(response, terms.url).catch(() => undefined)
  const same = offer?.required?.accepts.some((offered) => sameTerms(offered, terms.requirements))
  if (same === false) throw clientErrors('client/offer-changed', { url: terms.url, deadAfter })
}

function isSecure(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return (
    protocol === 'https:' ||
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  )
}
