import type { Correction, PaymentEnd, PaymentRequirements, SignedPayment } from '@flow402x/core'
import { sameTerms, schemeFor } from '../engine/choose.ts'
import type { Delivered } from '../engine/deliver.ts'
import { clientErrors } from '../engine/errors.ts'
import { type Attempt, attemptOf } from '../engine/ledger.ts'
import type { Wallet } from '../engine/pay.ts'
import { clockSkew } from '../engine/sign.ts'
import { readOffer } from '../http/offer.ts'

/** Why a payment was not taken, in a second 402 that still asks what was asked before: only then may something be sent in its place. */
export async function correctionIn(
  { response, receipt }: Delivered,
  { requirements, url }: { readonly requirements: PaymentRequirements; readonly url: string },
): Promise<Omit<Correction, 'sends'> | undefined> {
  if (response.status !== 402 || receipt?.success) return undefined
  const offer = await readOffer(response, { url, schemes: [] }).catch(() => undefined)
  const entry = offer?.required?.accepts.find((offered) => sameTerms(offered, requirements))
  // Text may follow the code (wire.md §22).
  const [reason = ''] = (offer?.required?.error ?? receipt?.errorReason ?? '').split(':')
  return entry === undefined || reason === '' ? undefined : { reason, requirements: entry }
}

type Answered = { readonly delivered: Delivered; readonly reasons: Set<string>; readonly signal: AbortSignal | undefined }

/** The same call with what its scheme sends in the place of a payment that was not taken, once for each reason; written down first. */
export async function corrected(wallet: Wallet, attempt: Attempt, { delivered, reasons, signal }: Answered): Promise<Attempt | undefined> {
  const { signed, terms, entry, message, redirected } = attempt
  const scheme = schemeFor(wallet.schemes, signed.payment.accepted)
  const correction = scheme?.onCorrective && (await correctionIn(delivered, { requirements: terms.requirements, url: terms.url }))
  if (correction === undefined || reasons.has(correction.reason)) return undefined
  reasons.add(correction.reason)
  const { response } = delivered
  const now = Math.floor(wallet.now() / 1000) + clockSkew(response, { url: terms.url, now: wallet.now() })
  const options = { now, maxTimeoutSeconds: signed.maxTimeoutSeconds, binding: entry.binding, signal }
  const prepared = await scheme?.onCorrective?.(
    { payload: signed.payment.payload, key: signed.key },
    { ...correction, sends: attempt.sends },
    options,
  )
  if (prepared === undefined) return undefined
  await response.body?.cancel()
  const { key, payload } = prepared
  const change = { deadAfter: key.deadAfter, signed: { ...signed, key, payment: { ...signed.payment, payload: { ...payload } } } }
  const written = await wallet.ledger.update(entry, change)
  const next = written === undefined ? undefined : attemptOf(wallet, written, { message, redirected })
  if (next === undefined) throw clientErrors('client/call-under-way', { url: terms.url, callId: attempt.id })
  wallet.emit({ id: attempt.id, type: 'corrected', terms, reason: correction.reason })
  return next
}

/** Lets a scheme know how a payment of it ended. */
export async function tell(wallet: Wallet, { payment, key }: SignedPayment, end: PaymentEnd): Promise<void> {
  await schemeFor(wallet.schemes, payment.accepted)?.onReceipt?.({ payload: payment.payload, key }, end)
}
