import type { Claim, ClaimChange, Facilitator, MoneyMoved, Outcome } from '@flow402x/core'
import type { Engine } from './server.ts'
import { holdClaim } from './tenure.ts'

/** How often a handler may run for one payment: once, and again only after it failed (M3, M9). */
export const maxAttempts = 3

// How long a settlement is waited for; then the answer is that nobody knows, and it is asked again later.
const settlePatience = 90_000
// How long after its own expiry a payment that nobody can account for is given up (M3).
const expiryMargin = 60

/** A settlement as the server took it down: the outcome and the claim that now stands. */
export type Settling = { readonly outcome: Outcome; readonly claim: Claim }

/** `change` is written with `settling`, `lease` (ms) is how long the settled claim is held for its delivery. */
export type SettleClaimOptions = {
  readonly facilitator: Facilitator
  readonly change?: ClaimChange
  readonly lease?: number
  readonly repeated?: boolean
}

/**
 * Settles a claim: writes `settling` first, asks the facilitator, writes what came of it. Every way of not knowing is
 * `pending` (M5). Gives nothing when the claim is no longer ours (M6).
 *
 * `repeated` marks a claim that was being settled before: then a refusal proves nothing until the payment has expired.
 */
export async function settleClaim(
  engine: Engine,
  held: Claim,
  { facilitator, change = {}, lease = 0, repeated = false }: SettleClaimOptions,
): Promise<Settling | undefined> {
  const settling = await engine.claims.update(held, { ...change, state: 'settling', leaseUntil: engine.clock() + engine.lease })
  if (settling === undefined) return undefined
  const tenure = holdClaim(engine, settling)
  const answer = await askFacilitator(engine, settling, facilitator)
  const asked = await tenure.end()
  const outcome = repeated ? doubted(answer, settling, engine.clock()) : answer
  announce(engine, settling, outcome)
  const leaseUntil = outcome.status === 'settled' && lease > 0 ? engine.clock() + lease : 0
  const claim = await engine.claims.update(asked, { state: stateAfter[outcome.status], leaseUntil, outcome })
  return claim === undefined ? undefined : { outcome, claim }
}

const stateAfter = { settled: 'settled', pending: 'settling', notSettled: 'failed' } as const

/** The outcome that a payment's own answer carries when its handler failed: nothing moved, the signature lives on (M3). */
export function handlerFailed(claim: Claim): Outcome & { readonly status: 'notSettled' } {
  return {
    status: 'notSettled',
    network: networkOf(claim),
    reason: 'handler_failed',
    payer: claim.payer,
    retry: claim.attempts < maxAttempts ? 'same' : 'never',
    deadAfter: claim.deadAfter,
  }
}

/** The outcome for a copy of a payment that is taken: by another request, for another purchase, or for good. */
export function alreadyUsed(claim: Claim): Outcome & { readonly status: 'notSettled' } {
  return {
    status: 'notSettled',
    network: networkOf(claim),
    reason: 'duplicate_settlement',
    message: 'This payment was already used. It pays once, for the request it was first sent with.',
    payer: claim.payer,
    ...(claim.outcome?.transaction === undefined ? {} : { transaction: claim.outcome.transaction }),
    retry: 'never',
    deadAfter: claim.deadAfter,
  }
}

/** Whether the money of a claim has moved, as far as its server knows. */
export function moneyMovedIn({ state }: Claim): MoneyMoved {
  if (state === 'settled' || state === 'delivered') return 'yes'
  return state === 'settling' ? 'unknown' : 'no'
}

/** Whether a payment can no longer move, by any clock, at `now` (Unix ms). */
export function givenUp({ deadAfter }: Claim, now: number): boolean {
  return now / 1000 > deadAfter + expiryMargin
}

function networkOf(claim: Claim): string {
  return claim.submission.requirements.network
}

async function askFacilitator(engine: Engine, claim: Claim, facilitator: Facilitator): Promise<Outcome> {
  const unknown: Outcome = { status: 'pending', network: networkOf(claim), payer: claim.payer }
  let late: ReturnType<typeof setTimeout> | undefined
  const patience = new Promise<Outcome>((resolve) => {
    late = setTimeout(() => resolve(unknown), settlePatience)
  })
  try {
    return await Promise.race([facilitator.settle(claim.submission, { claimId: claim.claimId }), patience])
  } catch (error) {
    engine.emit({ type: 'error', error })
    return unknown
  } finally {
    clearTimeout(late)
  }
}

function doubted(outcome: Outcome, claim: Claim, now: number): Outcome {
  if (outcome.status !== 'notSettled' || outcome.retry === 'resign' || givenUp(claim, now)) return outcome
  const { network, payer, transaction } = outcome
  return { status: 'pending', network, ...(payer === undefined ? {} : { payer }), ...(transaction === undefined ? {} : { transaction }) }
}

function announce(engine: Engine, { payer, claimId, submission }: Claim, outcome: Outcome): void {
  if (outcome.status === 'settled') {
    const amount = outcome.amount ?? submission.requirements.amount
    engine.emit({ type: 'settled', payer, claimId, transaction: outcome.transaction, amount })
  } else if (outcome.status === 'pending') {
    engine.emit({ type: 'pending', payer, claimId, ...(outcome.transaction === undefined ? {} : { transaction: outcome.transaction }) })
  } else {
    engine.emit({ type: 'notSettled', payer, claimId, reason: outcome.reason })
  }
}
