import { type BalanceReader, formatAmount, isX402Error } from '@flow402x/core'
import type { Candidate, Choice, Terms } from '../engine/choose.ts'
import type { LeftOut } from '../engine/errors.ts'

/** Leaves out of a choice what a wallet holds too little of. */
export type Funds = (choice: Choice, options: { readonly signal: AbortSignal | undefined }) => Promise<Choice>

/** Lets a client pay in what the wallet holds, by those who can tell, such as `evmBalances(…)`; what nobody can tell stays in the choice. */
export function heldFunds(balances: readonly BalanceReader[]): Funds {
  return (choice, { signal }) => affordable(choice, { balances, signal })
}

type Asking = { readonly balances: readonly BalanceReader[]; readonly signal: AbortSignal | undefined }

async function affordable({ candidates, leftOut }: Choice, asking: Asking): Promise<Choice> {
  const held = await Promise.all(candidates.map(({ terms }) => heldFor(terms, asking)))
  const lacks = ({ terms }: Candidate, at: number): boolean => (held[at] ?? terms.amount) < terms.amount
  const poor = candidates.flatMap((candidate, at): LeftOut[] => {
    if (!lacks(candidate, at)) return []
    const { requirements, asset, price } = candidate.terms
    const { scheme, network, amount, payTo } = requirements
    const why = `the wallet holds ${formatAmount(held[at] ?? 0n, asset)}, and ${price} are asked`
    return [{ scheme, network, asset: requirements.asset, amount, payTo, why }]
  })
  return { candidates: candidates.filter((candidate, at) => !lacks(candidate, at)), leftOut: [...leftOut, ...poor] }
}

async function heldFor({ requirements }: Terms, { balances, signal }: Asking): Promise<bigint | undefined> {
  for (const balance of balances) {
    const held = await balance(requirements, { signal }).catch((error: unknown) => {
      signal?.throwIfAborted()
      // A node that does not answer says nothing of the wallet.
      if (isX402Error(error)) return undefined
      throw error
    })
    if (held !== undefined) return held
  }
  return undefined
}
