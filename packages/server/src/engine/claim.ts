import { type Claim, type ClaimChange, type Facilitator, type MoneyMoved, type Outcome, settledByAnother } from '@flow402x/core'
import { paidFor } from '../proof/books.ts'
import { mayGrant } from '../proof/grant.ts'
import { type Finding, judge, nameOf, owedFor, prove } from '../proof/proof.ts'
import type { Engine, Served } from './server.ts'
import { holdClaim } from './tenure.ts'

/** How often a handler may run for one payment: once, and again only after it failed (M3, M9). */
export const maxAttempts = 3

// How long a settlement is waited for; then the answer is that nobody knows, and it is asked again later.
const settlePatience = 90_000
// How long after its own expiry a payment that nobody can account for is given up (M3).
const expiryMargin = 60

/** A settlement as the server took it down: the outcome for its payer and the claim that now stands. */
export type Settling = { readonly outcome: Outcome; readonly claim: Claim }

/** `change` is written with `settling`, `lease` (ms) is how long the settled claim is held for its delivery. */
export type SettleClaimOptions = {
  readonly served: Served
  readonly change?: ClaimChange
  readonly lease?: number
}

/**
 * Settles a claim: writes `settling` first, asks the facilitator, writes what came of it. Every way of not knowing is
 * `pending` (M5). Gives nothing when the claim is no longer ours (M6).
 */
export function settleClaim(engine: Engine, held: Claim, options: SettleClaimOptions): Promise<Settling | undefined> {
  const { served } = options
  return whileSettling(engine, held, {
    ...options,
    change: { ...options.change, asked: nameOf(served) },
    // What was not asked for can be asked for again, once the facilitator is trusted again.
    find: async (claim) => {
      if (served.byChain === true) return prove(engine, { claim, served })
      return engine.trust.isBroken(served) || !(await mayAsk(engine, claim, served))
        ? { outcome: { ...handlerFailed(claim), reason: 'facilitator_distrusted' }, reopen: true }
        : judge(engine, { claim, served, answer: await askFacilitator(engine, claim, served.facilitator) })
    },
  })
}

/** Finds out what became of a claim that was being settled before: after `settling` only the chain says no (M5). Nobody is served by that. */
export function resolveClaim(engine: Engine, claim: Claim, { served }: { readonly served: Served }): Promise<Settling | undefined> {
  return whileSettling(engine, claim, { served, change: { holder: '' }, find: (settling) => prove(engine, { claim: settling, served }) })
}

type Finder = SettleClaimOptions & { readonly find: (claim: Claim) => Promise<Finding> }

async function whileSettling(engine: Engine, held: Claim, { change = {}, lease = 0, find }: Finder): Promise<Settling | undefined> {
  const settling = await engine.claims.update(held, { ...change, state: 'settling', leaseUntil: engine.clock() + engine.lease })
  if (settling === undefined) return undefined
  const tenure = holdClaim(engine, settling)
  const finding = nothingUsed(settling) ?? (await find(settling))
  return conclude(engine, await tenure.end(), { finding, lease })
}

/** Of a ceiling of which nothing was used nothing is settled: the payment is done without a transaction (wire.md §10). */
function nothingUsed(claim: Claim): Finding | undefined {
  const { network, amount } = claim.submission.requirements
  if (BigInt(amount) > 0n) return undefined
  return { outcome: { status: 'settled', transaction: '', network, payer: claim.payer, amount: '0' } }
}

/** Writes down what is known of a settlement, and to whom it falls. */
async function conclude(
  engine: Engine,
  asked: Claim,
  { finding, lease }: { readonly finding: Finding; readonly lease: number },
): Promise<Settling | undefined> {
  const { outcome, vouchedBy = '' } = finding
  const word = vouchedBy === (asked.vouchedBy ?? '') ? {} : { vouchedBy }
  if (outcome.status === 'settled') {
    const settled = { ...word, outcome, settledAt: engine.clock() }
    const isOurs = await mayGrant(engine, asked, finding)
    const leaseUntil = isOurs && lease > 0 ? engine.clock() + lease : 0
    const telling = engine.teller.paid({ ...asked, outcome }, { granted: isOurs })
    const claim = await engine.claims.update(asked, { ...settled, state: isOurs ? 'settled' : 'failed', leaseUntil }, telling)
    if (claim === undefined) return undefined
    announce(engine, claim, outcome)
    if (isOurs) return { outcome, claim }
    engine.emit({ type: 'undelivered', ...paidFor(claim) })
    return { outcome: settledElsewhere(claim), claim }
  }
  announce(engine, asked, outcome)
  if (outcome.status === 'pending')
    return written(outcome, await engine.claims.update(asked, { ...word, state: 'settling', leaseUntil: 0, outcome }))
  const isOpen = finding.reopen === true && asked.attempts < maxAttempts
  const claim = await engine.claims.update(asked, { ...word, state: isOpen ? 'open' : 'failed', leaseUntil: 0, outcome })
  if (claim !== undefined) {
    await engine.trust.settled(claim)
    if (finding.reopen !== true && !paysBefore(claim)) await engine.payers.failed(claim)
  }
  return written(outcome, claim)
}

function written(outcome: Outcome, claim: Claim | undefined): Settling | undefined {
  return claim === undefined ? undefined : { outcome, claim }
}

function paysBefore({ submission }: Claim): boolean {
  return submission.requirements.extra?.paymentFlow === 'upfront'
}

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

/** The outcome for a payment that moved by a transaction which may have been meant for another shop (M2). */
export function settledElsewhere(claim: Claim): Outcome & { readonly status: 'notSettled' } {
  const { transaction = '' } = claim.outcome ?? {}
  const owed = owedFor(claim.outcome)
  if (owed !== undefined) {
    return {
      ...alreadyUsed(claim),
      reason: owed,
      message: `The transfer ${transaction} arrived and pays for nothing here: ${owed}. It is listed for the seller to give back.`,
    }
  }
  const message = `This payment was moved by ${transaction}, which this shop did not send: it is listed for the seller to refund, unless it paid for something else.`
  return { ...alreadyUsed(claim), reason: settledByAnother, message }
}

/** Whether the money of a claim has moved, as far as its server knows. */
export function moneyMovedIn({ state, outcome }: Claim): MoneyMoved {
  if (state === 'settled' || state === 'delivered' || outcome?.status === 'settled') return 'yes'
  return state === 'settling' ? 'unknown' : 'no'
}

/** Whether its handler has done its work and may not do it again: all that is left to do is to settle it. */
export function isWorkedFor({ response, attempts }: Claim): boolean {
  return response !== undefined && attempts < maxAttempts
}

/** Whether a payment can no longer move, by any clock, at `now` (Unix ms). */
export function givenUp({ deadAfter }: Claim, now: number): boolean {
  return now / 1000 > deadAfter + expiryMargin
}

function networkOf(claim: Claim): string {
  return claim.submission.requirements.network
}

/** Where nobody can look, a word that could not be believed is not asked for: its claim would be pending for good (M13). */
async function mayAsk({ trust }: Engine, claim: Claim, served: Served): Promise<boolean> {
  return served.scheme.look !== undefined || trust.believe(served, claim)
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
