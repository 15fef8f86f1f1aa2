import { isX402Error, type LedgerEntry, outcomeFromWire, type PayeeStore, type PaymentRequired, type SignedPayment } from '@flow402x/core'
import type { ReceiptStanding } from '@flow402x/core/receipt'
import { corrected, tell } from '../correction/correction.ts'
import type { Breaker } from '../guard/breaker.ts'
import { checkPayee } from '../guard/payees.ts'
import { purchaseOf } from '../guard/receipts.ts'
import type { Fetch } from '../http/message.ts'
import { readOffer } from '../http/offer.ts'
import type { Asked, OfferMemory } from '../http/offer-memory.ts'
import { type Candidate, type Choice, choose, order, sameTerms, type Terms } from './choose.ts'
import { type Delivered, deliver } from './deliver.ts'
import { clientErrors } from './errors.ts'
import type { ClientEvent } from './event.ts'
import { type Attempt, attemptOf, type Books, release, settle, sweep } from './ledger.ts'
import type { ClientOptions, RetryOptions } from './options.ts'
import { approve, bindingOf, clockSkew, hex, sign } from './sign.ts'
import { makeTransfer } from './transfer.ts'

/** What every call of one client shares. */
export type Wallet = Books & {
  readonly payees: PayeeStore
  readonly breaker: Breaker
  readonly offers: OfferMemory | undefined
  readonly approvePayee: ClientOptions['approvePayee']
  readonly dynamicPayees: readonly string[]
  readonly fetch: Fetch
  readonly prefer: ClientOptions['prefer']
  readonly funds: ClientOptions['funds']
  readonly receipts: ClientOptions['receipts']
  readonly beforeSign: ClientOptions['beforeSign']
  readonly retry: RetryOptions
  readonly maxTimeoutSeconds: number
  readonly allowInsecure: boolean
  readonly random: (length: number) => Uint8Array
  readonly emit: (event: ClientEvent) => void
  /** Payments whose end is open, by what their caller was given; `undefined` where one abort ended several. */
  readonly open: WeakMap<object, Attempt | undefined>
}

/** What of an offer could be paid. Errors: `client/insecure-origin`, `client/bad-preference`. */
export async function consider(wallet: Wallet, { message, offer }: Asked): Promise<Choice> {
  const { url, method, signal } = message
  assertSecure(wallet, url)
  const { version, required } = offer
  if (required === undefined) return { candidates: [], leftOut: [] }
  const { funds, prefer } = wallet
  if (funds === undefined) return choose(required, { ...wallet, url, method, version })
  // Who is asked which he likes best is asked about what he can pay.
  const choice = await funds(choose(required, { ...wallet, prefer: undefined, url, method, version }), { signal })
  return { ...choice, candidates: order(choice.candidates, { prefer, url }) }
}

/** Pays an offer with one signature, or with the one that `callId` has already, and sends the request until it is answered. */
export async function pay(wallet: Wallet, asked: Asked, callId: string | undefined): Promise<Response> {
  const reservation = hex(wallet.random(16))
  const id = callId ?? reservation
  const { url, signal } = asked.message
  const attempt = await prepare(wallet, asked, { id, reservation, resumable: callId !== undefined }).catch((error: unknown) => {
    if (isX402Error(error)) wallet.emit({ id, type: 'refused', url, error })
    throw error
  })
  return await complete(wallet, attempt, signal)
}

/** Sends a signed payment until it is answered; its amount stays reserved while that is open. */
export async function complete(wallet: Wallet, attempt: Attempt, signal: AbortSignal | undefined): Promise<Response> {
  const { emit, open } = wallet
  const { id, terms } = attempt
  const onPause = (pause: { readonly attempt: number; readonly waitMs: number }) => emit({ id, type: 'pending', terms, ...pause })
  const reasons = new Set<string>()
  let current = attempt
  try {
    await makeTransfer(wallet, attempt, signal)
    for (;;) {
      const delivered = await deliver(current, { ...wallet, signal, onPause })
      const next = await corrected(wallet, current, { delivered, reasons, signal })
      if (next === undefined) return await finish(wallet, current, delivered)
      current = next
    }
  } catch (error) {
    const { receipt } = current
    wallet.offers?.forget(current.message)
    if (receipt !== undefined) await settle(wallet, current.entry, receipt)
    else if (!signal?.aborted) wallet.breaker.failed(terms.url)
    await tell(wallet, current.signed, receipt === undefined ? { status: 'unknown' } : { status: 'paid', receipt })
    emit({ id, type: 'unknown', terms, deadAfter: current.signed.key.deadAfter, error })
    if (typeof error === 'object' && error !== null) open.set(error, open.has(error) && open.get(error) !== current ? undefined : current)
    throw error
  }
}

type Call = { readonly id: string; readonly reservation: string; readonly resumable: boolean }

async function prepare(wallet: Wallet, asked: Asked, { id, reservation, resumable }: Call): Promise<Attempt> {
  const { message, response, offer } = asked
  const { url } = message
  const binding = (await bindingOf(message)) ?? `${message.method} ${url}`
  const standing = resumable ? await resumed(wallet, await wallet.ledger.find(id), { asked, binding }) : undefined
  if (standing !== undefined) return standing
  const { candidates, leftOut } = await consider(wallet, asked)
  const now = Math.floor(wallet.now() / 1000) + clockSkew(response, { url, now: wallet.now() })
  const [chosen] = candidates
  if (chosen === undefined || offer.required === undefined) throw clientErrors('client/no-payable-offer', { url, leftOut })
  const { terms } = chosen
  wallet.emit({ id, type: 'quoted', terms, leftOut })
  await response.body?.cancel()
  const { begun, entry } = await wallet.ledger.begin({ id, binding, reservation, deadAfter: now + terms.maxTimeoutSeconds }, wallet.now())
  if (begun) return await signOnce(wallet, entry, { chosen, asked, required: offer.required, now })
  const other = await resumed(wallet, entry, { asked, binding })
  if (other === undefined) throw clientErrors('client/call-under-way', { url, callId: id })
  return other
}

/** The payment that a call has already; nothing where none was ever sent, so that one may be signed. */
async function resumed(
  wallet: Wallet,
  entry: LedgerEntry | undefined,
  { asked, binding }: { readonly asked: Asked; readonly binding: string },
): Promise<Attempt | undefined> {
  if (entry === undefined) return undefined
  const { id: callId, state, deadAfter } = entry
  const { url } = asked.message
  if (entry.binding !== binding) throw clientErrors('client/call-reused', { url, callId })
  if (state === 'released') return undefined
  if (entry.signed === undefined) {
    if (deadAfter * 1000 >= wallet.now()) throw clientErrors('client/call-under-way', { url, callId })
    await release(wallet, entry)
    return undefined
  }
  const { message, response } = asked
  await response.body?.cancel()
  const attempt = attemptOf(wallet, entry, { message, redirected: response.redirected })
  if (attempt === undefined) throw clientErrors('client/call-reused', { url, callId })
  return attempt
}

type Signing = { readonly chosen: Candidate; readonly asked: Asked; readonly required: PaymentRequired; readonly now: number }

/** Reserves, asks, signs, and writes down what was signed before it is sent. */
async function signOnce(wallet: Wallet, entry: LedgerEntry, { chosen, asked, required, now }: Signing): Promise<Attempt> {
  const { purse, ledger, emit, random } = wallet
  const { id, reservation } = entry
  const { message, response } = asked
  const { signal, url } = message
  const { terms } = chosen
  let signed: SignedPayment | undefined
  try {
    wallet.breaker.assertClosed(url)
    await reserve(wallet, reservation, terms)
    const payee = await checkPayee(terms, { ...wallet, signal })
    await approve(terms, { beforeSign: wallet.beforeSign, signal })
    signal?.throwIfAborted()
    await payee.pin()
    emit({ id, type: 'signing', terms })
    signed = await sign(chosen, { message, required, now, random })
    signal?.throwIfAborted()
    const { deadAfter } = signed.key
    const written = await ledger.update(entry, { state: 'open', deadAfter, signed })
    const attempt = written === undefined ? undefined : attemptOf(wallet, written, { message, redirected: response.redirected })
    if (attempt === undefined) throw clientErrors('client/call-under-way', { url, callId: id })
    emit({ id, type: 'signed', terms, deadAfter })
    return attempt
  } catch (error) {
    // Nothing was sent, so a signature that may exist is known to nobody.
    if (signed !== undefined) await tell(wallet, signed, { status: 'unpaid' })
    await purse.release(reservation)
    await ledger.update(entry, { state: 'released' })
    throw error
  }
}

/** Sets the amount of these terms aside; a full budget may hold what is dead. Errors: `client/over-budget`. */
export async function reserve(wallet: Wallet, reservation: string, terms: Terms): Promise<void> {
  await wallet.purse.reserve(reservation, terms).catch(async (error: unknown) => {
    if (!isX402Error(error, 'client/over-budget') || !(await sweep(wallet))) throw error
    await wallet.purse.reserve(reservation, terms)
  })
}

async function finish(wallet: Wallet, attempt: Attempt, { response, receipt }: Delivered): Promise<Response> {
  const { id, terms, signed, entry } = attempt
  const { key } = signed
  // Also of a paid one: its body may break off, and the same payment brings it again.
  wallet.open.set(response, attempt)
  // Who gives something for nothing may not ask any more.
  if (receipt === undefined) wallet.offers?.forget(attempt.message)
  if (receipt?.success || (receipt === undefined && response.status < 400)) {
    await settle(wallet, entry, receipt)
    await tell(wallet, signed, { status: 'paid', receipt })
    wallet.breaker.bought(terms.url)
    const standing = await standingOf(wallet, { ...entry, ...(receipt === undefined ? {} : { receipt }) })
    wallet.emit({ id, type: 'paid', terms, receipt, ...(standing === undefined ? {} : { standing }) })
    return response
  }
  wallet.offers?.forget(attempt.message)
  await assertSameOffer(wallet, response, { terms, deadAfter: key.deadAfter })
  // Another 4xx speaks of what was asked for, not of the payment.
  if (response.status === 402 || response.status >= 500) wallet.breaker.failed(terms.url)
  await tell(wallet, signed, { status: 'unpaid', receipt })
  const outcome = receipt === undefined ? undefined : outcomeFromWire(receipt)
  const { reason, retry } = outcome?.status === 'notSettled' ? outcome : { reason: 'unknown', retry: 'same' as const }
  wallet.emit({ id, type: 'unsettled', terms, status: response.status, reason, retry, deadAfter: key.deadAfter })
  return response
}

/** A check that fails is no word on the purchase, which is made. */
async function standingOf({ receipts }: Wallet, entry: LedgerEntry): Promise<ReceiptStanding | undefined> {
  const purchase = receipts === undefined ? undefined : purchaseOf(entry)
  if (purchase === undefined) return receipts === undefined ? undefined : { status: 'absent' }
  return await receipts?.(purchase).catch((): ReceiptStanding => ({ status: 'invalid', why: 'it could not be checked' }))
}

/** A second 402 that asks for something else is an attempt to be paid twice (A15). Errors: `client/offer-changed`. */
async function assertSameOffer(
  { schemes }: Wallet,
  response: Response,
  { terms, deadAfter }: { readonly terms: Terms; readonly deadAfter: number },
): Promise<void> {
  if (response.status !== 402) return
  const offer = await readOffer(response, { url: terms.url, schemes }).catch(() => undefined)
  const same = offer?.required?.accepts.some((offered) => sameTerms(offered, terms.requirements))
  if (same === false) throw clientErrors('client/offer-changed', { url: terms.url, deadAfter })
}

/** Errors: `client/insecure-origin`. */
export function assertSecure({ allowInsecure }: Pick<Wallet, 'allowInsecure'>, url: string): void {
  if (!allowInsecure && !isSecure(url)) throw clientErrors('client/insecure-origin', { url })
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
