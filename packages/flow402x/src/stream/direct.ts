import { pause, toAtomicRate } from '@flow402x/core'
import { costOf, oneUnit, readUnits, type Units } from '@flow402x/core/stream'
import type { TokenAdapter } from '@flow402x/core/token'
import { streamErrors } from './errors.ts'
import { type FlowPrice, rateOf } from './words.ts'

/** A stream of money to an address: a transfer for each window, paid when it begins. */
export type DirectStream = {
  readonly recipient: string
  /** Dollars for each second; of a token that is no dollar, so much of it: `'0.001 ETH'`. */
  readonly rate: FlowPrice
  /** Seconds. */
  readonly duration: number
  /** Seconds of each window, which are the most that is ever paid ahead: ten unless told. */
  readonly window?: number
  /** Names this stream: called again with the same name, after a crash too, no window is paid twice. */
  readonly id?: string
  readonly onPayment?: (payment: DirectPayment) => void
  /** Ends it: no further window is paid. */
  readonly signal?: AbortSignal
}

/** One window that was paid, in atomic units. */
export type DirectPayment = { readonly window: number; readonly amount: bigint; readonly transaction: string }

/** What a stream came to: all windows that were paid, and what they were in all (atomic units). */
export type DirectReceipt = { readonly paid: bigint; readonly payments: readonly DirectPayment[]; readonly ended: 'whole' | 'stopped' }

/** How long is waited: `pause` unless told. */
export type DirectClock = { readonly now?: () => number; readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void> }

/**
 * Pays an address for as long as it is told. Each window's share is counted from the beginning, so that all of them are the whole to the
 * last atomic unit.
 *
 * Errors: `flow/bad-price`, `flow/bad-stream`, and those of the adapter: what had been paid was told to `onPayment`, and the same `id`
 * goes on from there.
 */
export async function payDirect(stream: DirectStream, adapter: TokenAdapter, clock: DirectClock = {}): Promise<DirectReceipt> {
  const { recipient, id = crypto.randomUUID(), onPayment, signal } = stream
  const { now = () => performance.now(), sleep = pause } = clock
  const rate = toAtomicRate(rateOf(stream.rate, 'second'), adapter.decimals)
  const [length, window] = [secondsIn(stream.duration, 'duration'), secondsIn(stream.window ?? 10, 'window')]
  const begun = now()
  const payments: DirectPayment[] = []
  let paid = 0n
  for (let index = 0; BigInt(index) * window < length; index += 1) {
    const from = BigInt(index) * window
    const until = from + window < length ? from + window : length
    const due = begun + Number(from / 1_000n) / 1_000 - now()
    if (due > 0) await sleep(due, signal).catch(() => {})
    if (signal?.aborted) return { paid, payments, ended: 'stopped' }
    const amount = costOf(rate, until) - costOf(rate, from)
    if (amount === 0n) continue
    // Not given up half way: whether it was paid is then known, and the next window is not paid.
    const transaction = await adapter.createPayment(recipient, amount, { id: `${id}/${index}` })
    const payment = { window: index, amount, transaction }
    payments.push(payment)
    paid += amount
    onPayment?.(payment)
  }
  const rest = begun + Number(length / 1_000n) / 1_000 - now()
  if (rest > 0) await sleep(rest, signal).catch(() => {})
  return { paid, payments, ended: signal?.aborted ? 'stopped' : 'whole' }
}

function secondsIn(seconds: number, name: string): Units {
  const units = readUnits(String(seconds))
  if (units === undefined || units < oneUnit / 1_000n)
    throw streamErrors('flow/bad-stream', { why: `the ${name} of ${seconds} is no number of seconds` })
  return units
}
