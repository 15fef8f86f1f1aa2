import * as z from 'zod/mini'
import { pause } from '../calls/pause.ts'
import type { Submission } from '../protocol/facilitator.ts'
import type { PaymentPayload, PaymentRequirements } from '../protocol/payment.ts'
import type { LookOptions, Sighting } from '../protocol/scheme.ts'
import type { Verdict } from '../protocol/settlement.ts'
import type { PaymentKey } from '../store/claims.ts'
import { expiryOf, referenceTag } from './reference.ts'

/** The name of the scheme whose payer makes the transfer himself and shows it. */
export const transferProof = 'transfer-proof'

/** Why a transfer is not taken yet: the chain does not show it, and the same payment may be shown again in a moment. */
export const unconfirmed = 'transaction_unconfirmed'

/** Why a transfer is refused that moved nothing and never will: it may be made anew. */
export const transferFailed = 'transaction_failed'

/** The payload of a transfer that was made: the reference it was made for, and the transaction, which may be left to the seller to find. */
export const transferPayload = z.looseObject({
  transaction: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  reference: z.string().check(z.refine((text) => expiryOf(text) !== undefined)),
})

/** What a chain shows of a transaction that somebody names for a payment; `time` in Unix seconds, `deep` as deep as its seller asks. */
export type SeenTransfer =
  | { readonly state: 'unknown' }
  | { readonly state: 'refused'; readonly reason: string; readonly message: string; readonly deep: boolean }
  | {
      readonly state: 'paid'
      readonly transaction: string
      readonly payer: string
      /** What arrived, in atomic units. */
      readonly amount: bigint
      /** Whether it carries the tag of the reference, or none at all. */
      readonly tagged: boolean
      readonly time: number
      readonly deep: boolean
      readonly logIndex?: number
    }

/** What one chain family knows of transfers. */
export type TransferChain = {
  readonly network: string
  /** The one spelling of a transaction's name, or nothing for text that is none. */
  spell(transaction: string): string | undefined
  /** Looks at a transaction as the transfer that is asked for: its receiver, its asset, and the tag of its reference. */
  see(
    submission: Submission,
    options: { readonly transaction: string; readonly tag: Uint8Array; readonly signal?: AbortSignal | undefined },
  ): Promise<SeenTransfer>
}

/** How transfers are judged. */
export type TransferSightOptions = {
  /** Takes transfers that carry no reference too: a stranger may redeem an equal transfer first. */
  readonly unbound?: boolean
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** How long a transaction that a node does not show yet is looked for, in milliseconds; 3,000 unless told (H30). */
  readonly patience?: number
}

/** What a chain says of transfers, as the contracts of `ServerScheme` and `FacilitatorScheme` have it. */
export type TransferSight = {
  verify(submission: Submission, options?: { readonly signal?: AbortSignal | undefined }): Promise<Verdict>
  look(submission: Submission, options?: LookOptions): Promise<Sighting>
}

// How long after its reference a transfer may be mined: it was sent in time, and blocks take theirs.
const graceSeconds = 120
// How long after its reference a transfer may be shown: who lost his connection comes back, and after that nothing remembers it.
const redeemableSeconds = 7 * 86_400
const lookPause = 300

/** The identity of a transfer: its transaction, once ever. Who made it, only the chain says. */
export function transferKey(payment: PaymentPayload, { network, spell }: Pick<TransferChain, 'network' | 'spell'>): PaymentKey | undefined {
  const { transaction, reference } = readTransfer(payment) ?? {}
  const name = transaction === undefined ? undefined : spell(transaction)
  if (name === undefined || reference === undefined || payment.accepted.network !== network) return undefined
  return { ...keyOfTransfer(name, network), payer: '', deadAfter: deadAfterOf(reference) }
}

/** What makes a transfer itself, by the one spelling of its transaction. */
export function keyOfTransfer(transaction: string, network: string): Pick<PaymentKey, 'id'> {
  return { id: `${network}/transfer/${transaction}` }
}

/** The reference that an offer gives its payer, and until when a transfer for it can be made and shown (Unix seconds). */
export type GivenReference = { readonly reference: string; readonly until?: number; readonly deadAfter?: number }

const anyReference = /^[\x21-\x7e]{1,256}$/

/** Reads the reference of an offer. One of the plain challenge may be any text, which says nothing of its time. */
export function referenceIn({ extra }: PaymentRequirements): GivenReference | undefined {
  const reference = typeof extra?.reference === 'string' ? extra.reference : ''
  const until = expiryOf(reference)
  if (until !== undefined) return { reference, until, deadAfter: deadAfterOf(reference) }
  return extra?.plain === true && anyReference.test(reference) ? { reference } : undefined
}

/** Until when a transfer can be shown for a reference (Unix seconds). */
export function deadAfterOf(reference: string): number {
  return (expiryOf(reference) ?? 0) + redeemableSeconds
}

/** The payload of a transfer, or nothing for another one. */
export function readTransfer(payment: PaymentPayload): z.infer<typeof transferPayload> | undefined {
  return z.safeParse(transferPayload, payment.payload).data
}

/**
 * Judges transfers by what a chain shows of them. Paid is what its sender himself sent to the payee with the tag of the reference. What
 * arrived so and is not what was asked, in amount or in time, has settled all the same and says in `extra.owed` why it buys nothing: it is
 * to be given back (M24).
 */
export function transferSight(
  chain: TransferChain,
  { unbound = false, clock = Date.now, patience = 3000 }: TransferSightOptions,
): TransferSight {
  const { network } = chain
  async function see(submission: Submission, signal: AbortSignal | undefined): Promise<SeenTransfer> {
    const { transaction = '', reference = '' } = readTransfer(submission.payment) ?? {}
    const name = chain.spell(transaction)
    if (name === undefined || reference === '') return { state: 'unknown' }
    return chain.see(submission, { transaction: name, tag: await referenceTag(reference), signal })
  }

  return {
    async verify(submission, { signal } = {}) {
      const reference = readTransfer(submission.payment)?.reference
      if (reference === undefined || transferKey(submission.payment, chain) === undefined)
        return { valid: false, reason: 'invalid_payload' }
      let seen = await see(submission, signal)
      for (let waited = 0; seen.state === 'unknown' && waited < patience; waited += lookPause) {
        await pause(lookPause, signal)
        seen = await see(submission, signal)
      }
      if (seen.state === 'unknown') return { valid: false, reason: unconfirmed, message: unseen }
      if (seen.state === 'refused') return { valid: false, reason: seen.reason, message: seen.message }
      const why = seen.tagged ? undefined : refuseUntagged(seen, { submission, reference })
      return why === undefined ? { valid: true, payer: seen.payer, extra: { amount: `${seen.amount}` } } : { valid: false, ...why }
    },
    async look(submission, { signal } = {}) {
      const reference = readTransfer(submission.payment)?.reference ?? ''
      const seen = await see(submission, signal)
      if (seen.state === 'unknown') {
        const isOver = clock() / 1000 > deadAfterOf(reference)
        return isOver ? { status: 'notSettled', network, reason: unconfirmed, retry: 'resign' } : { status: 'pending', network }
      }
      if (seen.state === 'refused') {
        const { reason, message } = seen
        return seen.deep
          ? { status: 'notSettled', network, reason, message, retry: reason === transferFailed ? 'resign' : 'never', denied: true }
          : { status: 'pending', network, denied: true }
      }
      const { transaction, payer, amount, logIndex } = seen
      if (!seen.deep) return { status: 'pending', network, transaction, payer }
      const owed = whyOwed(seen, { submission, reference, unbound })
      return {
        status: 'settled',
        network,
        transaction,
        payer,
        amount: `${amount}`,
        ...(owed === undefined ? {} : { extra: { owed } }),
        ...(logIndex === undefined ? {} : { logIndex }),
      }
    },
  }
}

type Paid = SeenTransfer & { readonly state: 'paid' }
type Asked = { readonly submission: Submission; readonly reference: string }

const unseen = 'The chain does not show this transaction yet. Nothing is lost: show the same payment again in a moment.'

/** A transfer without a tag could be anybody's: only one that could have been made for this very challenge is looked at any further. */
function refuseUntagged({ amount, time }: Paid, { submission, reference }: Asked) {
  const { requirements } = submission
  if (amount !== BigInt(requirements.amount)) {
    return { reason: 'wrong_amount', message: `The transaction paid ${amount}, and ${requirements.amount} was asked, in atomic units.` }
  }
  const asked = (expiryOf(reference) ?? 0) - requirements.maxTimeoutSeconds
  return time < asked ? { reason: 'transfer_too_old', message: 'The transfer was made before its challenge.' } : undefined
}

function whyOwed({ amount, tagged, time }: Paid, { submission, reference, unbound }: Asked & { readonly unbound: boolean }) {
  if (!tagged && !unbound) return 'transfer_without_reference'
  if (amount !== BigInt(submission.requirements.amount)) return 'wrong_amount'
  return time > (expiryOf(reference) ?? 0) + graceSeconds ? 'stale_reference' : undefined
}
