import { setTimeout as pause } from 'node:timers/promises'
import { type CallOptions, type Draw, type PaymentKey, type Submission, settledByAnother, type Verdict } from '@flow402x/core'
import type { Desk } from './desk.ts'
import { facilitatorErrors } from './errors.ts'
import { sighted } from './sighting.ts'

/**
 * Read-only (D7). Errors: `facilitator/cannot-verify` when the scheme could not look, which says nothing of the payment;
 * `facilitator/busy` when too many payments of its payer are under way.
 */
export async function verify(desk: Desk, submission: Submission, { signal }: CallOptions): Promise<Verdict> {
  const { verdict } = await judge(desk, submission, { signal, keep: false })
  if (verdict.valid || verdict.over === undefined) return verdict
  const key = desk.scheme.key(submission.payment)
  const ours = key !== undefined && (await desk.journal.find(key.id)) !== undefined
  const seen = ours ? undefined : await sighted(submission, { ...desk, signal })
  if (seen?.status !== 'notSettled' || seen.reason !== settledByAnother) return verdict
  const { reason, message = '', transaction } = seen
  return { ...verdict, reason, message, extra: { ...verdict.extra, transaction } }
}

/** `keep` asks for a place among what is under way. */
export type Judging = { readonly signal: AbortSignal | undefined; readonly keep: boolean }
/** A verdict; `short` where only what the payer has promised elsewhere stands against the payment. */
export type Judged = { readonly verdict: Verdict; readonly short?: true; leave(): void }

const looks = 3
const lookAgain = 150

/** The verdict, where what its payer has promised here counts as gone; with `keep` a valid one holds a place until it is left. */
export async function judge(desk: Desk, submission: Submission, { signal, keep }: Judging): Promise<Judged> {
  const known = desk.scheme.key(submission.payment)
  for (let look = 1; ; look += 1) {
    const verdict = await ask(desk, submission, { signal, settle: keep })
    const draw = known && drawOf(desk, known, submission)
    if (!verdict.valid || draw === undefined) return { verdict, leave() {} }
    const place = await desk.reservations.take(draw, { id: known?.id ?? '', funds: verdict.funds, keep })
    if (place === 'busy') throw facilitatorErrors('facilitator/busy', { why: 'Too many payments of this payer are under way' })
    if (place !== 'short') return { verdict, ...place }
    if (look === looks) return { verdict: { valid: false, ...short, payer: verdict.payer }, short: true, leave() {} }
    // What was mined and is not written down yet counts twice: as gone, and as promised.
    desk.lanes.poke()
    await pause(lookAgain, undefined, { signal })
  }
}

const short = {
  reason: 'insufficient_funds',
  message: 'The payer’s other payments that are under way need what he holds. Nothing was charged; send the same payment again later.',
}

/** What a payment takes from its payer, by one name for one balance. */
export function drawOf({ scheme }: Pick<Desk, 'scheme'>, { payer }: PaymentKey, { payment, requirements }: Submission): Draw | undefined {
  // What was moved already takes nothing any more.
  if (scheme.byPayer === true) return undefined
  const { network, asset, amount } = requirements
  const account = [network, /^0x/i.test(asset) ? asset.toLowerCase() : asset, payer].join('/')
  return { account, amount: scheme.draw?.(payment) ?? BigInt(amount) }
}

/**
 * Hands on what the payer signed to go before his payment, and gives the verdict after that; nothing where there is nothing to hand on.
 * Errors: `facilitator/cannot-verify`, and nothing was sent of this facilitator's own.
 */
export function relay(desk: Desk, submission: Submission, { signal }: CallOptions): Promise<Verdict | undefined> {
  return orCannot(desk, { signal, look: async () => desk.scheme.relay?.(submission, { signal }) })
}

type Asking = CallOptions & { readonly settle: boolean }

function ask(desk: Desk, submission: Submission, { signal, settle }: Asking): Promise<Verdict> {
  return orCannot(desk, { signal, look: () => desk.scheme.verify(submission, { signal, settle }) })
}

type Step<Result> = { readonly signal: AbortSignal | undefined; readonly look: () => Promise<Result> }

async function orCannot<Result>({ scheme, onEvent }: Desk, { signal, look }: Step<Result>): Promise<Result> {
  try {
    return await look()
  } catch (cause) {
    signal?.throwIfAborted()
    const { network } = scheme
    onEvent({ type: 'verifyFailed', scheme: scheme.scheme, network, error: cause })
    throw facilitatorErrors('facilitator/cannot-verify', { scheme: scheme.scheme, network, cause })
  }
}
