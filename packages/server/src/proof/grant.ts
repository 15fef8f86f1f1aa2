import { type Claim, sameAddress } from '@flow402x/core'
import type { Engine } from '../engine/server.ts'
import { type Finding, owedFor } from './proof.ts'

/** For which payees this store is the only one that grants anything: all, none, or the listed ones. */
export type SoleClaimant = boolean | readonly { readonly network: string; readonly payTo: string }[]

/**
 * Whether what the chain shows pays this claim. One log pays one payment, once, whatever scheme it came by (M1). A transaction that
 * was not sent for this claim may have been meant for another shop of the same wallet: it is granted only where there is none, or
 * where the payer committed the payment to this very request (M2).
 */
export async function mayGrant({ logs, soleClaimant }: Engine, claim: Claim, { outcome, logIndex, foreign }: Finding): Promise<boolean> {
  if (owedFor(outcome) !== undefined) return false
  const { network, payTo } = claim.submission.requirements
  const isSole =
    typeof soleClaimant === 'boolean' ? soleClaimant : soleClaimant.some((one) => one.network === network && sameAddress(one.payTo, payTo))
  if (foreign === true && !isSole && claim.committed !== true) return false
  if (logIndex === undefined || outcome.status !== 'settled') return true
  return logs.consume({ network, transaction: outcome.transaction, logIndex }, claim.id)
}
