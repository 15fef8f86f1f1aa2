import type { BudgetStore, Claim } from '@flow402x/core'
import type { Engine } from '../engine/server.ts'

/** How often a payer may leave work unpaid before everything is settled before it is worked for: `most` times in `within` milliseconds. */
export type UnpaidWork = { readonly most?: number; readonly within?: number }

/** What payers left unpaid after it was worked for, counted in the store (M8). */
export type PayerRecord = {
  /** Whether this payer's payments are settled before any work. */
  paysFirst(payer: string): Promise<boolean>
  /** A payment failed whose handler had done its work. */
  failed(claim: Claim): Promise<void>
}

/** Counts in windows of `within`, each a budget of its own. */
export function payerRecord({
  budgets,
  clock,
  limits,
}: Pick<Engine, 'clock'> & { readonly budgets: BudgetStore; readonly limits: UnpaidWork }): PayerRecord {
  const { most = 3, within = 3_600_000 } = limits
  const scopeOf = (payer: string): string => `unpaid work ${payer} ${Math.floor(clock() / within)}`
  return {
    async paysFirst(payer) {
      return (await budgets.use(scopeOf(payer))).committed >= BigInt(most)
    },
    async failed({ payer, claimId }) {
      const id = `unpaid work ${claimId}`
      await budgets.reserve({ id, amount: 1n, limits: [{ scope: scopeOf(payer), limit: BigInt(Number.MAX_SAFE_INTEGER) }] })
      await budgets.commit(id)
    },
  }
}
