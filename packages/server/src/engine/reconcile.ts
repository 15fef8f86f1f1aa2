import type { Claim } from '@flow402x/core'
import { audit, servedFor } from '../proof/audit.ts'
import { type PaidUndelivered, paidFor } from '../proof/books.ts'
import { wordOf } from '../proof/proof.ts'
import { givenUp, handlerFailed, isWorkedFor, maxAttempts, resolveClaim } from './claim.ts'
import type { Engine, ReadyServer } from './server.ts'

/** What a round of finishing came to: how many claims it ended, how many still wait for the chain, and what was paid for in vain. */
export type Reconciled = { readonly ended: number; readonly pending: number; readonly undelivered: readonly PaidUndelivered[] }

/**
 * Finishes what was left: finds out about settlements without an answer, ends claims whose holder or payment has died, lists
 * what was paid for and not delivered, and looks up what was believed (hazards §2, M13). Several servers on one store may do it at once: each claim is taken by one (M6).
 */
export async function reconcile(engine: Engine, { signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<Reconciled> {
  const ready = await engine.ready()
  let [ended, pending] = [0, 0]
  const undelivered: PaidUndelivered[] = []
  for await (const claim of engine.claims.unfinished({ now: engine.clock() })) {
    signal?.throwIfAborted()
    const after = await finish(engine, ready, claim)
    if (after !== undefined) await tellOf(engine, after)
    if (after?.state === 'failed' || after?.state === 'delivered') ended += 1
    else if (after?.state === 'settled') undelivered.push(paidFor(after))
    else if (after?.state === 'settling') pending += 1
  }
  await audit(engine, ready, signal)
  return { ended, pending, undelivered }
}

/** Rounds of `reconcile`, `every` milliseconds after the end of the one before, until they are stopped. A process may end while they wait. */
export function reconcileRounds(engine: Engine, every: number): { stop(): void } {
  const known = new Set<string>()
  const stopped = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const round = async () => {
    try {
      const { undelivered } = await reconcile(engine, { signal: stopped.signal })
      for (const paid of undelivered) if (!known.has(paid.claimId)) engine.emit({ type: 'undelivered', ...paid })
      for (const { claimId } of undelivered) known.add(claimId)
    } catch (error) {
      if (!stopped.signal.aborted) engine.emit({ type: 'error', error })
    }
    if (stopped.signal.aborted) return
    timer = setTimeout(() => void round(), every)
    // Runtimes without Node's timers have nothing to keep alive.
    if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  }
  void round()
  return {
    stop() {
      stopped.abort()
      clearTimeout(timer)
    },
  }
}

/** What is owed and what hangs stands in the claim itself: it is told at the first look, whoever takes it. */
async function tellOf({ teller, clock }: Engine, claim: Claim): Promise<void> {
  if (claim.state === 'settled') await teller.say(claim.attempts < maxAttempts ? 'claim.undelivered' : 'claim.refundDue', claim)
  if (claim.state === 'settling' && clock() / 1000 > claim.deadAfter) await teller.say('claim.pending', claim)
}

async function finish(engine: Engine, { served }: ReadyServer, claim: Claim): Promise<Claim | undefined> {
  const home = servedFor(served, claim)
  if (claim.state === 'settling') return home === undefined ? claim : (await resolveClaim(engine, claim, { served: home }))?.claim
  // A handler that failed may be tried again while its payment lives. So may a settlement that was never sent, but only by its payer:
  // settled without him it would have him pay for goods that he may never come for (M3, M9).
  if (claim.state === 'settled' || (claim.state === 'open' && !givenUp(claim, engine.clock()))) return claim
  if (claim.state === 'claimed' && isWorkedFor(claim)) return engine.claims.update(claim, { state: 'open', leaseUntil: 0 })
  // A handler that died with its process is not run again (K1).
  // Whatever its server did, its payer signed: the chain has the last word (M3).
  const word = home === undefined ? {} : wordOf(home)
  const { response, outcome } = claim
  const why = response !== undefined && outcome?.status === 'notSettled' ? outcome : handlerFailed(claim)
  return engine.claims.update(claim, { ...word, state: 'failed', leaseUntil: 0, outcome: { ...why, retry: 'never' } })
}
