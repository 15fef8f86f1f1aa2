import type { Claim } from '@flow402x/core'
import { givenUp, handlerFailed, settleClaim } from './claim.ts'
import type { Engine, ReadyServer } from './server.ts'

/** Paid for and not delivered: its payer can still fetch it, or the seller refunds it. Amounts in atomic units of `asset`. */
export type PaidUndelivered = {
  readonly claimId: string
  readonly payer: string
  readonly network: string
  readonly asset: string
  readonly amount: string
  readonly transaction: string
}

/** What a round of finishing came to: how many claims it ended, how many still wait for the chain, and what was paid for in vain. */
export type Reconciled = { readonly ended: number; readonly pending: number; readonly undelivered: readonly PaidUndelivered[] }

/**
 * Finishes what was left: asks again about settlements without an answer, ends claims whose holder or payment has died, and
 * lists what was paid for and not delivered (hazards §2). Several servers on one store may do it at once: each claim is taken by one (M6).
 */
export async function reconcile(engine: Engine, { signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<Reconciled> {
  const ready = await engine.ready()
  let [ended, pending] = [0, 0]
  const undelivered: PaidUndelivered[] = []
  for await (const claim of engine.claims.unfinished({ now: engine.clock() })) {
    signal?.throwIfAborted()
    const after = await finish(engine, ready, claim)
    if (after?.state === 'failed' || after?.state === 'delivered') ended += 1
    else if (after?.state === 'settled') undelivered.push(paidFor(after))
    else if (after?.state === 'settling') pending += 1
  }
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

async function finish(engine: Engine, { served }: ReadyServer, claim: Claim): Promise<Claim | undefined> {
  if (claim.state === 'settling') {
    const { scheme, network } = claim.submission.requirements
    const home = served.find((one) => one.scheme.scheme === scheme && one.scheme.network === network)
    if (home === undefined) return claim
    return (await settleClaim(engine, claim, { facilitator: home.facilitator, repeated: true }))?.claim
  }
  // A handler that failed may be tried again while its payment lives; one that died with its process is not run again (K1).
  if (claim.state === 'settled' || (claim.state === 'open' && !givenUp(claim, engine.clock()))) return claim
  return engine.claims.update(claim, { state: 'failed', leaseUntil: 0, outcome: { ...handlerFailed(claim), retry: 'never' } })
}

function paidFor({ claimId, payer, submission, outcome }: Claim): PaidUndelivered {
  const { network, asset, amount } = submission.requirements
  const settled = outcome?.status === 'settled' ? outcome : undefined
  return { claimId, payer, network, asset, amount: settled?.amount ?? amount, transaction: settled?.transaction ?? '' }
}
