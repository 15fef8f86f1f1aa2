import { acceptsOffer, type PaymentKey, type PaymentPayload, type PaymentRequirements, type Submission } from '@flow402x/core'
import { unconfirmed } from '@flow402x/core/transfer'
import { problemResponse } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import type { Offer } from '../engine/offers.ts'
import type { Visit } from '../engine/payment.ts'
import type { Served } from '../engine/server.ts'

/** Whether a payment answers an offer. One whose reference says what it was made for is honoured as it was, also where the price has changed since (M24). */
export function accepts(offer: Offer, payment: PaymentPayload): boolean {
  const { maxTimeoutSeconds } = payment.accepted
  const { scheme } = offer.served
  const offered = scheme.proof === undefined ? offer.requirements : { ...requirementsOf(offer, payment), maxTimeoutSeconds }
  return acceptsOffer(offered, payment.accepted, scheme.ignoredExtra)
}

/** The requirements that a payment is held to: those of the offer, with what its reference will have to confirm. */
export function requirementsOf({ requirements, served: { scheme } }: Offer, { accepted }: PaymentPayload): PaymentRequirements {
  return scheme.proof === undefined ? requirements : { ...requirements, amount: accepted.amount, payTo: accepted.payTo }
}

/** A transfer that is told by its reference alone, with the transaction that the chain shows for it; nothing where it shows none. */
export async function withTransaction(payment: PaymentPayload, offer: Offer): Promise<PaymentPayload | undefined> {
  const { proof } = offer.served.scheme
  const isNamed = payment.payload.transaction !== undefined || proof?.secret(payment) === undefined
  if (proof?.find === undefined || isNamed) return payment
  return await proof.find({ payment, requirements: requirementsOf(offer, payment) })
}

/** What proves the payer of a transfer: its reference. Two transfers for one reference are two payments. */
export function secretOf(
  { served }: Offer,
  { payment, key }: { readonly payment: PaymentPayload; readonly key: PaymentKey },
): string | undefined {
  const reference = served.scheme.proof?.secret(payment)
  return reference === undefined ? undefined : `${reference} ${key.id}`
}

type Transfer = { readonly key: PaymentKey; readonly submission: Submission; readonly served: Served }
type Bought = { readonly payer: string; readonly request: string; readonly moved: string | undefined }

/** A transfer as what its reference was made for: this request, and what arrived or what it says itself. Nothing for a reference of others. */
export async function offeredFor(
  { key, submission, served }: Transfer,
  { payer, request, moved }: Bought,
): Promise<Pick<Transfer, 'key' | 'submission'> | undefined> {
  const requirements = await served.scheme.proof?.offered(submission, { binding: request, moved })
  return requirements && { key: { ...key, payer }, submission: { ...submission, requirements } }
}

/** Why a reference is refused. */
export const foreign = 'The reference was not made by this seller for this request, or not for what was paid.'

/** The answer while the chain does not show a transfer: it may yet, and is not paid for anew. */
export function unseenTransfer({ engine, dialect }: Visit): Response {
  return problemResponse(engine, serverErrors('payment/unseen', {}), { reason: unconfirmed, retryAfter: 2, dialect })
}
