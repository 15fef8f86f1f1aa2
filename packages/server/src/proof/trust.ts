import type { BudgetStore, Claim } from '@flow402x/core'
import type { Engine, Served } from '../engine/server.ts'

/** How far facilitators are believed without a look at the chain (M13). One in this process is believed wholly: it could do anything. */
export type Trust = {
  /** Whether its word, or a look, could still settle this amount: asked before anything is worked for. */
  admits(served: Served, amount: string): Promise<boolean>
  /** Takes the amount of a claim on a facilitator's word, as long as all that it was believed stays within the bound. */
  believe(served: Served, claim: Claim): Promise<boolean>
  /** The chain has answered for it: the amount is no longer a matter of trust. */
  settled(claim: Claim): Promise<void>
  /** A facilitator said what the chain denies: nothing goes through it any more. */
  lied(url: string, claim: Claim): void
  /** Whether nothing goes through it any more. */
  isBroken(served: Served): boolean
  /** Uses it again. */
  forgive(url: string): void
}

/** What trust is made of; `forgiveAfter` in milliseconds. */
export type TrustOptions = Pick<Engine, 'emit' | 'clock'> & { readonly budgets: BudgetStore; readonly forgiveAfter: number | undefined }

/** Keeps the account of every facilitator's word in the store, so that processes and restarts add nothing to it. */
export function createTrust({ budgets, emit, clock, forgiveAfter = Number.POSITIVE_INFINITY }: TrustOptions): Trust {
  const brokenSince = new Map<string, number>()
  return {
    async admits({ facilitator: { url }, scheme, limit }, amount) {
      if (url === undefined || limit === undefined || scheme.look !== undefined) return true
      const { reserved, committed } = await budgets.use(scopeOf(url, scheme))
      return reserved + committed + BigInt(amount) <= limit
    },
    async believe({ facilitator: { url }, scheme, limit }, { claimId, submission }) {
      if (url === undefined || limit === undefined) return true
      const amount = BigInt(submission.requirements.amount)
      const { granted } = await budgets.reserve({ id: idOf(claimId), amount, limits: [{ scope: scopeOf(url, scheme), limit }] })
      return granted
    },
    settled: ({ claimId }) => budgets.release(idOf(claimId)),
    lied(url, { claimId, payer }) {
      if (isBroken(url)) return
      brokenSince.set(url, clock())
      emit({ type: 'distrusted', facilitator: url, claimId, payer })
    },
    isBroken: ({ facilitator: { url } }) => url !== undefined && isBroken(url),
    forgive: (url) => void brokenSince.delete(url),
  }

  function isBroken(url: string): boolean {
    return clock() - (brokenSince.get(url) ?? Number.NEGATIVE_INFINITY) < forgiveAfter
  }
}

// One bound for each asset; a scheme of the server stands for its asset, as it has one.
function scopeOf(url: string, { scheme, network }: Served['scheme']): string {
  return `trust ${url} ${scheme} ${network}`
}

function idOf(claimId: string): string {
  return `trust ${claimId}`
}
