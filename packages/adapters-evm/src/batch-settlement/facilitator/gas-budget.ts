import type { BudgetStore, Call, PaymentKey } from '@flow402x/core'
import { evmErrors } from '../../chain/errors.ts'

/** What one payer may cost, who pays nothing for being served: deposits and refunds in turn would use up all gas there is (M19). */
export type GasBudget = {
  /** Where it is written down: facilitators that share a store share its budgets. */
  readonly budgets: BudgetStore
  /** The most gas that the deposits and refunds of one payer may be allowed in a day. */
  readonly perPayer: bigint
}

// What deposits and refunds use that run no contract of a payer's or receiver's (wire.md §12.4), and something to spare.
const usual = 200_000n

/** Whose gas is asked for: the key of what is settled, its calls, and the network; `now` in Unix seconds. */
export type GasAsked = { readonly key: PaymentKey; readonly calls: readonly Call[]; readonly network: string; readonly now: number }

/**
 * Sets the gas of a settlement aside, once however often it is asked for. It counts for the day whatever comes of it, so that failing
 * costs no less than succeeding. Errors: `evm/gas-budget`.
 */
export async function reserveGas({ budgets, perPayer }: GasBudget, { key, calls, network, now }: GasAsked): Promise<void> {
  const amount = calls.reduce((sum, { alone, gas }) => sum + (alone ? gas : usual), 0n)
  const scope = ['gas', network, key.payer, new Date(now * 1000).toISOString().slice(0, 10)].join(' ')
  const reserved = await budgets.reserve({ id: `gas ${key.id}`, amount, limits: [{ scope, limit: perPayer }] })
  if (!reserved.granted) throw evmErrors('evm/gas-budget', { payer: key.payer, network, left: reserved.left })
}
