import { unlessAborted } from '../calls/abort.ts'
import type { Facilitator, SettleOptions, Submission } from '../protocol/facilitator.ts'
import { memberOf } from '../protocol/payment.ts'
import type { Outcome } from '../protocol/settlement.ts'
import { bazaarKey } from './judge.ts'
import type { ListingReason } from './listing.ts'

/** A payment that was settled for a resource whose 402 said that it may be found. */
export type SettledPayment = { readonly submission: Submission; readonly outcome: Outcome & { readonly status: 'settled' } }

/** What a bazaar says to a settled payment: its resource is listed, is looked at within a minute, or is not listed and why (H12). */
export type ListingNotice = { readonly status: 'success' | 'processing' | 'rejected'; readonly reason: ListingReason }

/** Where settled payments are told: a bazaar in the same process, or one behind HTTP. */
export interface DiscoveryFeed {
  announce(payment: SettledPayment, options?: { readonly signal?: AbortSignal | undefined }): Promise<ListingNotice>
}

/** How settled payments are announced. */
export type AnnounceOptions = {
  readonly feed: DiscoveryFeed
  /** Told of what could not be announced: no payment waits for it or fails by it. */
  readonly onError?: (error: unknown) => void
  /** How long an answer waits for the bazaar, in milliseconds; 2,000 unless told. */
  readonly patience?: number
}

/**
 * A facilitator that tells a bazaar of every payment it settled for what may be found, before it answers, so that one that is asked again
 * after a crash tells it then; what the bazaar said stands in `extensions.bazaar` of the answer.
 */
export function announcing<Given extends Facilitator>(
  facilitator: Given,
  { feed, onError = () => {}, patience = 2000 }: AnnounceOptions,
): Given {
  return {
    ...facilitator,
    async settle(submission: Submission, options?: SettleOptions): Promise<Outcome> {
      const outcome = await facilitator.settle(submission, options)
      if (outcome.status !== 'settled' || memberOf(submission.payment.extensions, bazaarKey) == null) return outcome
      try {
        const signal = AbortSignal.timeout(patience)
        const notice = await unlessAborted(feed.announce({ submission, outcome }, { signal }), signal)
        return { ...outcome, extensions: { ...outcome.extensions, [bazaarKey]: notice } }
      } catch (error) {
        onError(error)
        return outcome
      }
    },
  }
}
