import {
  type Claim,
  type ClaimAnswer,
  echoesExtensions,
  type Funds,
  type MoneyMoved,
  type PaymentKey,
  type PaymentPayload,
  readPaymentId,
  type Submission,
  sameAddress,
  withoutPaymentId,
  X402Error,
} from '@flow402x/core'
import { unconfirmed } from '@flow402x/core/transfer'
import { admitVoucher } from '../channels/voucher.ts'
import { extensionsOf } from '../extensions/extensions.ts'
import { servedFor } from '../proof/audit.ts'
import { staleQuote } from '../proof/quotes.ts'
import { accepts, foreign, offeredFor, requirementsOf, secretOf, unseenTransfer, withTransaction } from '../proof/transfer.ts'
import { type Dialect, type NotSettled, notSettledResponse, type ProblemOptions, problemResponse, storedResponse } from './answers.ts'
import {
  alreadyUsed,
  handlerFailed,
  isWorkedFor,
  maxAttempts,
  moneyMovedIn,
  resolveClaim,
  type Settling,
  settleClaim,
  settledElsewhere,
} from './claim.ts'
import { serverErrors } from './errors.ts'
import type { Offer, PaidOptions, Quote } from './offers.ts'
import { type Binding, bindingOf, digestText, type IncomingRequest } from './request.ts'
import {
  type Admission,
  type Answer,
  busyResponse,
  departure,
  dressDelivered,
  heldRun,
  paidRun,
  passed,
  pendingResponse,
  type RunContext,
  settleMargin,
  undelivered,
} from './run.ts'
import type { Engine, Served } from './server.ts'

/** Answers with the offers again and says why; `correct` tells a payer in them from where he may go on. */
export type Ask = (
  error: string,
  more?: { readonly detail?: string | undefined; readonly status?: 402 | 412; readonly correct?: (quote: Quote) => Quote },
) => Promise<Admission>

/** A request that carries one readable payment. */
export type Visit = {
  readonly engine: Engine
  readonly request: IncomingRequest
  readonly options: PaidOptions
  readonly quote: Quote
  readonly payment: PaymentPayload
  readonly dialect: Dialect
  readonly ask: Ask
}

// A visit whose payment is one of the offers and has an identity.
type Matched = RunContext & {
  readonly visit: Visit
  readonly key: PaymentKey
  readonly submission: Submission
  /** Digest of the payment id: who knows the id is the payer (M4). */
  readonly secret: string | undefined
}

/** Look up, verify, claim, run: in this order, so that garbage which names a payment blocks nobody (DESIGN §4). */
export async function admitPayment(visit: Visit): Promise<Admission> {
  const { engine, quote, request, ask } = visit
  const offer = quote.offers.find((one) => accepts(one, visit.payment))
  if (offer === undefined) return ask('No matching payment requirements')
  const payment = offer.served.scheme.proof === undefined ? visit.payment : await withTransaction(visit.payment, offer)
  if (payment === undefined) return answer(unseenTransfer(visit))
  const id = readPaymentId(payment)
  if (id === 'malformed') return problem(engine, serverErrors('payment/bad-identifier', {}))
  if (engine.requirePaymentId && id.id === undefined && offer.served.scheme.proof === undefined)
    return problem(engine, serverErrors('payment/identifier-required', {}))
  if (payment.extensions != null && !echoesExtensions(extensionsOf(engine, visit.options, quote), payment))
    return ask('extension_echo_mismatch')
  if (offer.served.scheme.vouchers !== undefined) return admitVoucher(visit, offer)
  const key = offer.served.scheme.key(payment)
  if (key === undefined) return ask('invalid_payload')
  const matched = await match({ ...visit, payment }, { offer, key, id: id.id })
  const standing = await engine.claims.find(key.id)
  if (standing !== undefined && standing.state !== 'open') return meet(matched, standing)

  // What was paid before is known above, and by its terms, however long ago they were quoted.
  if ((offer.quotedUntil ?? Number.POSITIVE_INFINITY) * 1000 < engine.clock()) return ask('stale_quote', { detail: staleQuote })
  const verified = await verify(matched)
  if ('kind' in verified) return overtaken(matched, verified)
  const body = await request.body(engine.maxBodyBytes)
  if (body === undefined) return problem(engine, serverErrors('payment/body-too-large', { limit: engine.maxBodyBytes }))
  const bound = await bindingOf(request, body)
  // A transfer has moved already: it buys what it was made for, whatever else its payer is owed.
  if (offer.served.scheme.proof !== undefined) {
    const ours = await offeredFor(matched, { ...verified, ...bound })
    return ours === undefined
      ? ask('foreign_reference', { detail: foreign })
      : claimAndRun({ ...matched, ...ours }, { ...verified, ...bound })
  }
  const unfinished = await engine.claims.undelivered(key.payer, bound.binding, { maxAttempts, now: engine.clock(), holder: engine.holder })
  const rescued = unfinished === undefined || unfinished.id === key.id ? undefined : await rescue(matched, unfinished)
  return rescued ?? claimAndRun(matched, { ...verified, ...bound })
}

/** A copy may have been claimed or settled while this one was verified, and that is then why it was refused. */
async function overtaken(matched: Matched, refusal: Admission): Promise<Admission> {
  const since = await matched.engine.claims.find(matched.key.id)
  return since === undefined || since.state === 'open' ? refusal : meet(matched, since)
}

async function match(visit: Visit, { offer, key, id }: { offer: Offer; key: PaymentKey; id: string | undefined }): Promise<Matched> {
  const { engine, request, dialect, options, payment } = visit
  const submission = { payment: withoutPaymentId(payment), requirements: requirementsOf(offer, payment) }
  const known = secretOf(offer, { payment, key }) ?? id
  const secret = known === undefined ? undefined : await digestText(known)
  return { visit, engine, url: request.url, served: offer.served, dialect, options, key, submission, secret }
}

/**
 * A payment that could be settled: what its payer holds, as seen not before `since` (Unix ms), whether he pays before the work, and of a
 * transfer what arrived.
 */
type Verified = {
  readonly payer: string
  readonly held: bigint | undefined
  readonly since: number
  readonly paysFirst: boolean
  readonly moved: string | undefined
}

async function verify({ visit, engine, served, submission, key }: Matched): Promise<Admission | Verified> {
  const since = engine.clock()
  const { facilitator, scheme } = served
  const checked = scheme.check(submission, { now: Math.floor(since / 1000) })
  if (!checked.valid) return visit.ask(checked.reason, { detail: checked.message })
  const isMoved = scheme.proof !== undefined
  const settlesBefore = isMoved || settlesFirst(visit.options)
  if (!settlesBefore && key.deadAfter * 1000 - since <= settleMargin) return visit.ask('invalid_payload', { detail: tooShort })
  if (engine.trust.isBroken(served)) return distrusted(engine, served)
  try {
    const [verdict, isAdmitted, paysFirst] = await Promise.all([
      facilitator.verify(submission),
      engine.trust.admits(served, submission.requirements.amount),
      settlesBefore || engine.payers.paysFirst(key.payer),
    ])
    if (!verdict.valid && isMoved && verdict.reason === unconfirmed) return answer(unseenTransfer(visit))
    if (!verdict.valid) {
      const status = verdict.reason === 'permit2_allowance_required' ? 412 : 402
      return visit.ask(verdict.reason, { detail: verdict.message, status })
    }
    if (verdict.payer !== '' && key.payer !== '' && !sameAddress(verdict.payer, key.payer)) return visit.ask('invalid_payload')
    if (!isAdmitted) return distrusted(engine, served)
    if (paysFirst && !scheme.flows.includes('upfront')) return visit.ask('payer_unreliable', { detail: unreliable })
    const moved = isMoved && typeof verdict.extra?.amount === 'string' ? verdict.extra.amount : undefined
    return { payer: verdict.payer, held: verdict.funds, since, paysFirst, moved }
  } catch (error) {
    if (!(error instanceof X402Error)) throw error
    engine.emit({ type: 'error', error })
    // The seller's own trouble with its facilitator is no fault of the payment (H13).
    return problem(engine, error, { retryAfter: 5 })
  }
}

function distrusted(engine: Engine, { facilitator }: Served): Admission {
  engine.emit({ type: 'error', error: serverErrors('facilitator/distrusted', { url: facilitator.url ?? '' }) })
  return problem(engine, serverErrors('server/not-ready', {}), { retryAfter: 60 })
}

const unreliable = 'Payments of this wallet failed after the work was done. It is served where payments settle before the work.'
const tooShort = `The payment is valid for less than ${settleMargin / 1000} seconds more, which is too short to work and settle.`

function settlesFirst({ flow = 'authorization' }: PaidOptions): boolean {
  return flow === 'upfront'
}

async function claimAndRun(matched: Matched, bought: Verified & Binding): Promise<Admission> {
  const { engine, key, served, url } = matched
  const { granted, claim, overdrawn } = await claimWithin(matched, bought)
  if (claim.id !== key.id) return problem(engine, serverErrors('payment/identifier-reused', {}))
  if (overdrawn === true) return problem(engine, serverErrors('payment/overdrawn', {}), { retryAfter: 1 })
  if (!granted) return meet(matched, claim)
  engine.emit({ type: 'claimed', url, payer: claim.payer, claimId: claim.claimId })
  if (claim.response !== undefined) return afterSettling(matched, await settleClaim(engine, claim, { served }))
  if (!bought.paysFirst) return heldRun(matched, claim)
  const settling = await settleClaim(engine, claim, { served, lease: engine.lease })
  if (settling === undefined) return answer(busyResponse(matched))
  return settling.outcome.status === 'settled' ? paidRun(matched, settling.claim) : unsettled(matched, settling)
}

/** The claim, as far as what the payer holds pays it beside his others (M8). */
async function claimWithin({ engine, key, submission, secret, served }: Matched, bought: Verified & Binding): Promise<ClaimAnswer> {
  const { scheme } = served
  const committed = scheme.commits?.(submission.payment, bought.request)
  const ask = (funds: Funds | undefined): Promise<ClaimAnswer> => {
    const now = engine.clock()
    const { lease, holder } = engine
    const request = { key, binding: bought.binding, claimId: crypto.randomUUID(), submission, now, leaseUntil: now + lease, holder }
    const known = { ...(secret === undefined ? {} : { secret }), ...(committed === undefined ? {} : { committed }) }
    return engine.claims.claim({ ...request, ...known, ...(funds === undefined ? {} : { funds }) }, { maxAttempts })
  }
  const { held, since } = bought
  if (held !== undefined || scheme.funds === undefined) return ask(held === undefined ? undefined : { held, since })
  // That this payment alone is covered was verified; only a payer with others under way is looked up.
  const alone = await ask({ held: BigInt(submission.requirements.amount), since })
  if (alone.overdrawn !== true) return alone
  const seenAt = engine.clock()
  const seen = await scheme.funds(submission)
  return seen === undefined ? alone : ask({ held: seen, since: seenAt })
}

/** A copy of a payment that is known: only who knows the payment id is answered as its payer (M4). */
async function meet(matched: Matched, claim: Claim): Promise<Admission> {
  const { engine, secret } = matched
  const refused = (outcome: NotSettled['outcome']) => refuse(matched, outcome, moneyMovedIn(claim))
  if (claim.state === 'open') return refused(claim.attempts < maxAttempts ? alreadyUsed(claim) : handlerFailed(claim))
  if (claim.state === 'failed') return refused(claim.outcome?.status === 'notSettled' ? claim.outcome : settledElsewhere(claim))
  if (claim.state === 'claimed') {
    // Its holder has vanished: nobody asked for its settlement, yet its signature lives (M3).
    const isServed = engine.clock() < claim.leaseUntil || isWorkedFor(claim)
    return isServed ? answer(busyResponse(matched)) : refused({ ...handlerFailed(claim), retry: 'never' })
  }
  const isPayer = secret !== undefined && secret === claim.secret
  if (isPayer && !(await sameBinding(matched, claim))) return refused(alreadyUsed(claim))
  if (claim.state === 'settling') return settleAgain(matched, claim, isPayer)
  if (isPayer) return deliver(matched, claim, isPayer)
  return refused(claim.state === 'delivered' ? alreadyUsed(claim) : paidUndelivered(claim))
}

/** The payer's unfinished purchase of the same thing is finished first, and the payment he now made is not settled (M4). */
async function rescue(matched: Matched, found: Claim): Promise<Admission | undefined> {
  const { engine } = matched
  // Whoever holds it may be dead, and may as well be about to deliver it or to find that it was paid.
  if (engine.clock() < found.leaseUntil) return answer(found.state === 'settled' ? busyResponse(matched) : pendingResponse(matched, found))
  if (found.state === 'settled') return deliver(matched, found)
  const served = servedFor((await engine.ready()).served, found)
  if (found.state === 'open') return served && settleLeft(matched, found, served)
  if (served === undefined) return answer(pendingResponse(matched, found))
  const again = await resolveClaim(engine, found, { served })
  if (again === undefined) return answer(busyResponse(matched))
  if (again.outcome.status === 'pending') return answer(pendingResponse(matched, again.claim))
  if (again.claim.state === 'open') return settleLeft(matched, again.claim, served)
  return again.outcome.status === 'settled' ? deliver(matched, again.claim) : undefined
}

/** Settles what was worked for and never sent, by the payment it was worked for; nothing where that is not to be had any more. */
async function settleLeft(matched: Matched, left: Claim, served: Served): Promise<Admission | undefined> {
  const { engine } = matched
  const { id, payer, deadAfter, binding, submission } = left
  const now = engine.clock()
  if (!isWorkedFor(left) || deadAfter * 1000 - now <= settleMargin) return undefined
  const { lease, holder } = engine
  const request = { key: { id, payer, deadAfter }, binding, claimId: crypto.randomUUID(), submission, now, leaseUntil: now + lease, holder }
  const { granted, claim } = await engine.claims.claim(request, { maxAttempts })
  if (!granted) return answer(busyResponse(matched))
  const settling = await settleClaim(engine, claim, { served })
  return settling?.outcome.status === 'notSettled' ? undefined : afterSettling(matched, settling)
}

/** What a settlement came to whose goods were made before, in another visit. */
async function afterSettling(matched: Matched, settling: Settling | undefined): Promise<Admission> {
  if (settling === undefined) return answer(busyResponse(matched))
  return settling.outcome.status === 'settled' ? deliver(matched, settling.claim) : unsettled(matched, settling)
}

async function settleAgain(matched: Matched, claim: Claim, isPayer: boolean): Promise<Admission> {
  const { engine, served } = matched
  if (engine.clock() < claim.leaseUntil) return answer(pendingResponse(matched, claim))
  const again = await resolveClaim(engine, claim, { served })
  if (again === undefined) return answer(busyResponse(matched))
  if (again.outcome.status !== 'settled') return unsettled(matched, again)
  return isPayer ? deliver(matched, again.claim, isPayer) : refuse(matched, paidUndelivered(again.claim), 'yes')
}

/** The goods of a settled claim: the stored response, or the handler once more where nothing was kept (M9). */
async function deliver(matched: Matched, claim: Claim, isKnown = false): Promise<Admission> {
  const { engine } = matched
  const { state, response, attempts } = claim
  const goods = response && storedResponse(response)
  if (goods !== undefined) (await dressDelivered(matched, claim))(goods.headers)
  if (state === 'delivered') return goods === undefined ? refuse(matched, alreadyUsed(claim), 'yes') : answer(goods)
  const now = engine.clock()
  const isServed = now < claim.leaseUntil
  if (goods === undefined && !isServed && attempts >= maxAttempts) return answer(undelivered(matched, claim))
  const hold = { attempts: goods === undefined ? attempts + 1 : attempts, leaseUntil: now + engine.lease, holder: engine.holder }
  const held = isServed ? undefined : await engine.claims.update(claim, hold)
  // Of two that come for it with payments of their own one is served: the other's was not asked for (M6). Its id proves its payer.
  if (held === undefined)
    return goods !== undefined && isKnown ? { ...answer(goods), sent: passed(matched, claim) } : answer(busyResponse(matched))
  return goods === undefined ? paidRun(matched, held) : { ...answer(goods), sent: departure(matched, held) }
}

function unsettled(matched: Matched, { outcome, claim }: Settling): Admission {
  return outcome.status === 'notSettled' ? refuse(matched, outcome, moneyMovedIn(claim)) : answer(pendingResponse(matched, claim))
}

function refuse({ engine, dialect, url }: Matched, outcome: NotSettled['outcome'], moneyMoved: MoneyMoved = 'no'): Admission {
  engine.emit({ type: 'refused', url, reason: outcome.reason })
  return answer(notSettledResponse(engine, { outcome, dialect, moneyMoved }))
}

function paidUndelivered(claim: Claim): NotSettled['outcome'] {
  const transaction = claim.outcome?.transaction ?? ''
  const message = `This payment was settled in ${transaction} and not delivered. A new payment from the same wallet for the same request is delivered without being charged.`
  return { ...alreadyUsed(claim), message }
}

async function sameBinding({ visit, engine }: Matched, claim: Claim): Promise<boolean> {
  const body = await visit.request.body(engine.maxBodyBytes)
  return body !== undefined && (await bindingOf(visit.request, body)).binding === claim.binding
}

function problem(engine: Engine, error: X402Error, options?: ProblemOptions): Answer {
  return answer(problemResponse(engine, error, options))
}

function answer(response: Response): Answer {
  return { kind: 'answer', response }
}
