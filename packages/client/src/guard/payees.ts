import { type Payee, type PayeeStore, sameAddress } from '@flow402x/core'
import type { Terms } from '../engine/choose.ts'
import { clientErrors } from '../engine/errors.ts'
import type { Approval } from '../engine/options.ts'

/** A payee that is not the one an origin had paid before: `was` is that one. */
export type PayeeChange = { readonly terms: Terms; readonly was: Payee }

/** How payees are judged. */
export type PayeeOptions = {
  readonly payees: PayeeStore
  readonly approvePayee:
    | ((change: PayeeChange, options: { readonly signal?: AbortSignal | undefined }) => Approval | Promise<Approval>)
    | undefined
  /** Origins that may name another payee with every request. */
  readonly dynamicPayees: readonly string[]
  readonly signal: AbortSignal | undefined
}

/**
 * Compares who is to be paid with whom this origin had paid before; the caller pins the answer right before it signs. Only
 * `true` of `approvePayee` lets another payee or asset pass (M32). Errors: `client/payee-changed`.
 */
export async function checkPayee(terms: Terms, options: PayeeOptions): Promise<{ pin(): Promise<void> }> {
  const { payees, approvePayee, dynamicPayees, signal } = options
  const { scheme, network, payTo, asset } = terms.requirements
  const { origin } = new URL(terms.url)
  if (dynamicPayees.includes(origin)) return { pin: async () => {} }
  const name = { origin, network, scheme }
  const was = await payees.find(name)
  const isSame = (standing: Payee) => sameAddress(standing.payTo, payTo) && sameAddress(standing.asset, asset)
  const known = was !== undefined && isSame(was)
  if (was !== undefined && !known && (await approvePayee?.({ terms, was }, { signal })) !== true) throw changed(terms, was)
  return {
    async pin() {
      const standing = known ? was : await payees.pin(name, { payTo, asset }, was)
      // Another process may have met this origin in the meantime.
      if (!isSame(standing)) throw changed(terms, standing)
    },
  }
}

function changed({ url, requirements }: Terms, was: Payee) {
  const { payTo, asset } = requirements
  return clientErrors('client/payee-changed', { url, payTo, asset, was })
}
