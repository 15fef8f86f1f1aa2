import { type Claim, type ClaimChange, sameAddress } from '@flow402x/core'
import { givenUp } from '../engine/claim.ts'
import type { Engine, ReadyServer, Served } from '../engine/server.ts'
import { paidFor } from './books.ts'
import { mayGrant } from './grant.ts'
import { type Finding, isLie, lie, lookFor, proven } from './proof.ts'

// How long the chain may lag behind a facilitator that is known by its word alone.
const lagging = 120_000

/** Looks up what stands on a word: a settlement at any time, a refusal once its payment is dead, when the chain has the last word (M3, M13). */
export async function audit(engine: Engine, { served }: ReadyServer, signal: AbortSignal | undefined): Promise<void> {
  for await (const claim of engine.claims.vouched()) {
    signal?.throwIfAborted()
    // What is being delivered is looked up when that is over: a change now would take the claim from its holder.
    if (claim.leaseUntil > engine.clock()) continue
    if (claim.state === 'settling' || claim.state === 'claimed' || claim.state === 'open') continue
    if (isLie(claim)) {
      engine.trust.lied(claim.vouchedBy ?? '', claim)
      continue
    }
    const home = servedFor(served, claim)
    if (home?.scheme.look === undefined) continue
    if (claim.outcome?.status === 'settled') await auditSettled(engine, claim, home)
    else if (givenUp(claim, engine.clock())) await auditRefused(engine, claim, home)
  }
}

/** Who serves the scheme of a claim. */
export function servedFor(served: readonly Served[], { submission: { requirements } }: Claim): Served | undefined {
  return served.find(
    ({ scheme: { scheme, network, asset } }) =>
      scheme === requirements.scheme &&
      network === requirements.network &&
      (asset === undefined || sameAddress(asset.address, requirements.asset)),
  )
}

async function auditSettled(engine: Engine, claim: Claim, served: Served): Promise<void> {
  const seen = await lookFor(engine, { claim, served, transaction: claim.outcome?.transaction })
  if (seen === undefined) return
  const { vouchedBy = '' } = claim
  if (seen.status === 'settled') {
    const finding: Finding = proven(seen)
    const isPaid = await mayGrant(engine, claim, finding)
    if (!isPaid) engine.trust.lied(vouchedBy, claim)
    await engine.claims.update(claim, { vouchedBy: '', outcome: finding.outcome })
    await engine.trust.settled(claim)
    return
  }
  const isOverdue = engine.clock() - (claim.settledAt ?? 0) > lagging
  if (seen.status === 'notSettled' || seen.denied === true || isOverdue) engine.trust.lied(vouchedBy, claim)
  if (seen.status !== 'notSettled') return
  const { logIndex: _, denied: __, ...outcome } = seen
  // What was not delivered yet is not paid for either; delivered is delivered.
  await engine.claims.update(claim, { outcome: { ...outcome, reason: lie }, ...(claim.state === 'settled' ? { state: 'failed' } : {}) })
}

async function auditRefused(engine: Engine, claim: Claim, served: Served): Promise<void> {
  const seen = await lookFor(engine, { claim, served })
  if (seen === undefined || seen.status === 'pending') return
  if (seen.status === 'notSettled') return void (await engine.claims.update(claim, { vouchedBy: '' }))
  const finding: Finding = { ...proven(seen), foreign: true }
  const change: ClaimChange = { vouchedBy: '', outcome: finding.outcome, settledAt: engine.clock() }
  const granted = await mayGrant(engine, claim, finding)
  const telling = engine.teller.paid({ ...claim, outcome: finding.outcome }, { granted })
  const late = await engine.claims.update(claim, granted ? { ...change, state: 'settled', leaseUntil: 0 } : change, telling)
  if (late !== undefined) engine.emit({ type: 'undelivered', ...paidFor(late) })
}
