import { isX402Error } from '../protocol/errors.ts'
import { memberOf } from '../protocol/payment.ts'
import type { SignedTransaction, TransactionStatus } from '../protocol/scheme.ts'
import type { LedgerEntry, LedgerStore, SignedPayment } from '../store/payer.ts'
import { tokenErrors } from './errors.ts'

/** One transfer that a wallet sends by itself: `amount` in atomic units of the asset at this address. */
export type Transfer = { readonly asset: string; readonly recipient: string; readonly amount: bigint }

/** How one wallet signs and sends transfers on one network. */
export interface TransferRail {
  readonly network: string
  readonly sender: string
  /** Signs and sends nothing. Whatever it throws, no money moved. */
  sign(transfer: Transfer, options: { readonly signal?: AbortSignal | undefined }): Promise<SignedTransaction>
  /** Hands the bytes to the chain; what it has already is no error. */
  send(signed: SignedTransaction): Promise<void>
  /** What the chain says of a transaction: `expired` once it provably never can be mined. */
  status(signed: SignedTransaction): Promise<TransactionStatus>
  /** The highest block that nothing undoes. */
  final(): Promise<bigint>
  /** Whether what was refused may be signed anew at once, as where another took its nonce first. */
  retries(error: unknown): boolean
}

/** Where transfers are kept and how long each is waited for. */
export type TransfersOptions = {
  readonly rail: TransferRail
  readonly ledger: LedgerStore
  /** How long one call waits until its transaction is mined, in milliseconds. */
  readonly waitMs: number
  readonly pollMs: number
  /** Unix milliseconds. */
  readonly now: () => number
}

/** Makes transfers, each once. */
export type Transfers = {
  /**
   * Sends a transfer and gives its transaction once that is mined. Its bytes are written down before they leave, so that a call with
   * the same id sends the same bytes again and never a second payment, whatever died in between.
   *
   * Errors: `token/reused`, `token/under-way`, `token/pending`, `token/failed`, `token/expired`, and those of the rail.
   */
  pay(transfer: Transfer, options: { readonly id?: string | undefined; readonly signal?: AbortSignal | undefined }): Promise<string>
}

/** Transfers of one wallet over a ledger: what that remembers is never paid twice. */
export function transfersOf({ rail, ledger, waitMs, pollMs, now }: TransfersOptions): Transfers {
  // One after another: two transfers that are signed at once would take the same nonce.
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = last.then(work)
    last = result.catch(() => undefined)
    return result
  }

  async function begin(call: PaymentCall, left: number): Promise<string> {
    const { id, key, binding } = call
    const deadAfter = Math.ceil(now() / 1000) + signingSeconds
    const { begun, entry } = await ledger.begin({ id: key, binding, reservation: crypto.randomUUID(), deadAfter }, now())
    if (!begun && entry.binding !== binding) throw tokenErrors('token/reused', { id })
    const signed = begun ? undefined : signedIn(entry)
    return signed === undefined ? await signAndSend(call, { entry, begun, left }) : await resume(call, { entry, signed, left })
  }

  async function signAndSend(call: PaymentCall, { entry, begun, left }: Standing & { readonly begun: boolean }): Promise<string> {
    const { id, transfer, signal } = call
    // Whoever began it is dead, or finds at his next step that it has passed on: he sends nothing then.
    const held = begun ? entry : await ledger.update(entry, {})
    if (held === undefined) throw tokenErrors('token/under-way', { id })
    const open = await inTurn(async () => {
      const signed = await signUnless(signal, transfer).catch(async (error: unknown) => {
        await ledger.update(held, { state: 'released' })
        throw error
      })
      const written = await ledger.update(held, { state: 'open', deadAfter: never, signed: recordOf(call, signed, rail) })
      if (written === undefined) throw tokenErrors('token/under-way', { id })
      const failure = await rail.send(signed).then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      return { written, signed, failure }
    })
    const { written, signed, failure } = open
    if (failure === undefined || !isX402Error(failure.error) || failure.error.moneyMoved !== 'no')
      return await follow(call, { entry: written, signed, left })
    await ledger.update(written, { state: 'released' })
    if (left === 0 || !rail.retries(failure.error)) throw failure.error
    return await begin(call, left - 1)
  }

  async function signUnless(signal: AbortSignal | undefined, transfer: Transfer): Promise<SignedTransaction> {
    const signed = await rail.sign(transfer, { signal })
    signal?.throwIfAborted()
    return signed
  }

  /** What was signed before: the chain is asked first, for what it says is all that counts. */
  async function resume(call: PaymentCall, sent: Sent): Promise<string> {
    const status = await rail.status(sent.signed)
    if (status.state === 'unknown') await resend(sent.signed)
    const isDead = status.state === 'expired' || (status.state === 'mined' && !status.success && status.block <= (await rail.final()))
    if (!isDead) return await follow(call, sent)
    if (sent.left === 0 || (await ledger.update(sent.entry, { state: 'released' })) === undefined)
      throw tokenErrors('token/under-way', { id: call.id })
    return await begin(call, sent.left - 1)
  }

  async function follow(call: PaymentCall, { entry, signed }: Sent): Promise<string> {
    const { id, signal } = call
    const { transaction } = signed
    let cause: unknown
    for (let waited = 0; ; waited += pollMs) {
      // A node that does not answer says nothing of the money.
      const status = await rail.status(signed).catch((error: unknown): TransactionStatus => {
        cause = error
        return { state: 'unknown' }
      })
      if (status.state === 'mined' && status.success) {
        await ledger.update(entry, { state: 'paid', deadAfter: Math.ceil(now() / 1000) + rememberSeconds })
        return transaction
      }
      // A block that is undone may mine it anew, and well: its id is free again only when that can no longer be.
      if (status.state === 'mined') throw tokenErrors('token/failed', { id, transaction })
      if (status.state === 'expired') {
        await ledger.update(entry, { state: 'released' })
        throw tokenErrors('token/expired', { id, transaction })
      }
      if (signal?.aborted) throw tokenErrors('token/pending', { id, transaction, cause: signal.reason })
      if (waited >= waitMs) throw tokenErrors('token/pending', { id, transaction, cause })
      if (waited > 0 && waited % (resendAfter * pollMs) === 0) await resend(signed)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  /** The same bytes once more: a refusal says nothing of those that were sent before. */
  async function resend(signed: SignedTransaction): Promise<void> {
    await rail.send(signed).catch((error: unknown) => {
      if (!isX402Error(error)) throw error
    })
  }

  return {
    async pay(transfer, { id = crypto.randomUUID(), signal }) {
      signal?.throwIfAborted()
      const { asset, recipient, amount } = transfer
      const { network, sender } = rail
      const binding = `transfer ${network} ${asset} ${sender} ${recipient} ${amount}`
      return await begin({ id, key: `transfer ${network} ${sender} ${id}`, binding, transfer, signal }, mostSignatures)
    },
  }
}

// Nobody has the bytes of what is being signed, so it is over by itself.
const signingSeconds = 600
// Bytes of an EVM transaction are good until their nonce is used, which no clock tells.
const never = 253_402_300_799
const rememberSeconds = 86_400
const mostSignatures = 5
// Nodes forget what waits; a transaction that took longer than this is sent again.
const resendAfter = 5

type PaymentCall = {
  readonly id: string
  readonly key: string
  readonly binding: string
  readonly transfer: Transfer
  readonly signal: AbortSignal | undefined
}

/** An entry of the ledger, and how often this call may still sign anew. */
type Standing = { readonly entry: LedgerEntry; readonly left: number }

type Sent = Standing & { readonly signed: SignedTransaction }

function recordOf({ key, transfer }: PaymentCall, signed: SignedTransaction, { network, sender }: TransferRail): SignedPayment {
  const { asset, recipient: payTo, amount } = transfer
  const { transaction, bytes, signer, nonce } = signed
  return {
    key: { id: key, payer: sender, deadAfter: never },
    payment: {
      x402Version: 2,
      accepted: { scheme: 'transfer', network, asset, amount: `${amount}`, payTo, maxTimeoutSeconds: 0 },
      payload: { transaction, bytes, signer, nonce: `${nonce}` },
    },
    version: 2,
    url: '',
    method: '',
    maxTimeoutSeconds: 0,
  }
}

/** The bytes that an entry keeps, or nothing where nothing was signed. */
function signedIn({ signed, state }: LedgerEntry): SignedTransaction | undefined {
  if (state === 'signing' || signed === undefined) return undefined
  const text = (name: string): string => String(memberOf(signed.payment.payload, name) ?? '')
  return { transaction: text('transaction'), bytes: text('bytes'), signer: text('signer'), nonce: BigInt(text('nonce')) }
}
