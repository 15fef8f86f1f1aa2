import { type FacilitatorScheme, type Outcome, type Sighting, type Submission, settledByAnother } from '@flow402x/core'
import type { OnEvent } from './events.ts'

type Looking = { readonly scheme: FacilitatorScheme; readonly onEvent: OnEvent; readonly signal?: AbortSignal | undefined }

/**
 * What the chain says of a payment that nothing of this facilitator settled: that another's transaction did, or will once it is
 * final (M1); that it provably cannot be settled any more (M3). Nothing where it says no more than that; it rejects only when
 * `signal` aborts.
 */
export async function sighted(submission: Submission, { scheme, onEvent, signal }: Looking): Promise<Outcome | undefined> {
  let seen: Sighting | undefined
  try {
    seen = await scheme.look?.(submission, { signal })
  } catch (error) {
    signal?.throwIfAborted()
    onEvent({ type: 'readFailed', network: scheme.network, error })
  }
  if (seen?.status === 'settled') return byAnother(seen)
  if (seen?.status === 'pending') return seen.transaction === undefined ? undefined : seen
  return seen?.retry === 'resign' ? seen : undefined
}

/** Never a success of ours: a stranger who shows a payment that somebody else mined must not be granted it. */
function byAnother({ network, transaction, payer }: Outcome & { readonly status: 'settled' }): Outcome {
  return {
    status: 'notSettled',
    network,
    reason: settledByAnother,
    message: 'A transaction that is not this facilitator’s settled this payment. Whom it paid for, the seller must decide.',
    ...(payer === undefined ? {} : { payer }),
    transaction,
    retry: 'never',
  }
}
