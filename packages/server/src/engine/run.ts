import {
  type Claim,
  type ClaimChange,
  type Outcome,
  type PaymentRequirements,
  readSettlementOverride,
  type StoredResponse,
  settlementOverridesHeader,
} from '@flow402x/core'
import { unconfirmed } from '@flow402x/core/transfer'
import { withReceipts } from '../extensions/extensions.ts'
import { wordOf } from '../proof/proof.ts'
import {
  type Dialect,
  type Dress,
  dressPaid,
  dressRefusal,
  notSettledResponse,
  type PlainAnswer,
  problemResponse,
  receiptHeader,
} from './answers.ts'
import { handlerFailed, maxAttempts, moneyMovedIn, settleClaim } from './claim.ts'
import { serverErrors } from './errors.ts'
import type { PaidOptions } from './offers.ts'
import type { Engine, Served } from './server.ts'
import { holdClaim, type Tenure } from './tenure.ts'

/**
 * What a handler may know of the payment it runs for; `transaction` and `purchase` only where it was settled before. `purchase` is the same
 * each time the handler runs for it, and no other's.
 */
export type PaymentInfo = {
  readonly payer: string
  readonly requirements: PaymentRequirements
  readonly transaction?: string
  readonly purchase?: string
}

/** What a handler made: `usage` is what it says was used, `whole` gives all of what is complete and small enough to be kept for its payer. */
export type HandlerResult = {
  readonly status: number
  readonly usage: string | undefined
  readonly whole?: (() => Pick<StoredResponse, 'headers' | 'body'>) | undefined
}

/**
 * Told by who writes a response how that went: whether it left, whole or until its reader went away (M9), or nobody had any of it.
 * Only the first counts, and it never rejects.
 */
export type Sent = (hasLeft: boolean) => Promise<void>

/** What becomes of a handler's result: it leaves, dressed, or another answer leaves in its place. `sent` comes with paid goods. */
export type Release =
  | { readonly kind: 'deliver'; readonly dress: Dress; readonly sent?: Sent }
  | { readonly kind: 'answer'; readonly response: Response }

/** What a handler is told: who paid, and what aborts when its time is over. */
export type PaidFacts = { readonly payment: PaymentInfo; readonly signal: AbortSignal }

/** A handler that may run once. Where `hold` is set nothing of its response may leave before `complete` says so (M7). */
export type Run = {
  readonly kind: 'run'
  readonly hold: boolean
  readonly facts: PaidFacts
  /** Takes the handler's result, or for a stream its status as soon as that is known; a rejection is a failed handler. Never rejects. */
  complete(result: Promise<HandlerResult>): Promise<Release>
}

/** An answer in the handler's place; `sent` comes with goods that were stored. */
export type Answer = { readonly kind: 'answer'; readonly response: Response; readonly plain?: PlainAnswer; readonly sent?: Sent }

/** What a gate says of a request. */
export type Admission = Answer | Run

/** The most bytes of a response that are kept for its payer. */
export const keptBytes = 1024 * 1024

/** Everything a run needs to know of the visit it belongs to. */
export type RunContext = {
  readonly engine: Engine
  readonly url: string
  readonly served: Served
  readonly dialect: Dialect
  readonly options: PaidOptions
}

/** What is left of a payment's validity for settling it after the handler, in milliseconds. */
export const settleMargin = 10_000
/** How long an answer may take that is paid for already, in milliseconds. */
export const paidHandlerTimeout = 300_000

/** Verified, claimed, not settled: the handler works, then its payment is settled, then its response leaves (DESIGN §5.2). */
export function heldRun(context: RunContext, claim: Claim): Run {
  const { engine, options } = context
  const tenure = holdClaim(engine, claim)
  const left = claim.deadAfter * 1000 - engine.clock() - settleMargin
  const timeout = AbortSignal.timeout(Math.max(0, Math.min(options.handlerTimeout ?? Number.POSITIVE_INFINITY, left, 2 ** 31 - 1)))
  return {
    kind: 'run',
    hold: true,
    facts: { payment: { payer: claim.payer, requirements: claim.submission.requirements }, signal: timeout },
    complete: (work) =>
      guarded(context, claim, async () => {
        const result = await inTime(work, timeout)
        const held = await tenure.end()
        if ('failure' in result || result.status >= 400) return failHeld(context, held, result)
        const used = usedIn(context, held, result)
        return 'failure' in used ? failHeld(context, held, used) : settleHeld(context, held, { ...result, used })
      }),
  }
}

/** Settled already: the handler works and its response leaves as it comes; a failure leaves the claim to be served again (M9). */
export function paidRun(context: RunContext, claim: Claim): Run {
  const { engine, options, dialect } = context
  const tenure = holdClaim(engine, claim)
  const timeout = AbortSignal.timeout(options.handlerTimeout ?? paidHandlerTimeout)
  const transaction = claim.outcome?.transaction ?? ''
  return {
    kind: 'run',
    hold: false,
    facts: {
      payment: { payer: claim.payer, requirements: claim.submission.requirements, transaction, purchase: claim.id },
      signal: timeout,
    },
    complete: (work) =>
      guarded(context, claim, async () => {
        const result = await inTime(work, timeout)
        const receipt = claim.outcome === undefined ? undefined : receiptHeader(claim.outcome, dialect)
        if ('failure' in result || result.status >= 400) {
          failed(context, claim, result)
          await engine.claims.update(await tenure.end(), { leaseUntil: 0 })
          if ('failure' in result) return { kind: 'answer', response: undelivered(context, claim) }
          return { kind: 'deliver', dress: dressRefusal(engine, receipt) }
        }
        return { kind: 'deliver', dress: await dressDelivered(context, claim), sent: departure(context, claim, tenure) }
      }),
  }
}

/**
 * Holds a settled claim while its goods leave, and writes down that they have: a process that dies before leaves it paid and
 * undelivered (K6).
 */
export function departure(context: RunContext, claim: Claim, tenure: Tenure = holdClaim(context.engine, claim)): Sent {
  const { engine, url } = context
  const { payer, claimId } = claim
  let isTold = false
  return async (hasLeft) => {
    if (isTold) return
    isTold = true
    const held = await tenure.end()
    try {
      await engine.claims.update(held, { ...(hasLeft ? { state: 'delivered' } : {}), leaseUntil: 0 })
      if (hasLeft) engine.emit({ type: 'delivered', url, payer, claimId })
    } catch (error) {
      engine.emit({ type: 'error', error })
    }
  }
}

/** Writes down that goods have left which another process holds: if that died nobody else would, and if it lives it finds them delivered. */
export function passed(context: RunContext, claim: Claim): Sent {
  const written = departure(context, claim, { end: async () => claim })
  return async (hasLeft) => (hasLeft ? written(hasLeft) : undefined)
}

/** The headers of a paid response that leaves for its payer. */
export async function dressDelivered(context: RunContext, { outcome, payer, submission, settledAt }: Claim): Promise<Dress> {
  const { engine, dialect } = context
  if (outcome === undefined) return dressRefusal(engine)
  const paid = { ...context, payer, network: submission.requirements.network, at: settledAt ?? engine.clock() }
  return dressPaid(engine, receiptHeader(await withReceipts(engine, outcome, paid), dialect))
}

/** The answer while nobody knows whether a claim's money moved. */
export function pendingResponse(context: RunContext, { outcome, payer, submission }: Claim): Response {
  const { network } = submission.requirements
  return hangingResponse(context, outcome?.status === 'pending' ? outcome : { status: 'pending', network, payer })
}

/** The answer while nobody knows whether money moved: the transaction, when to ask again, and never a bare 402. */
export function hangingResponse({ engine, dialect }: RunContext, outcome: Outcome): Response {
  const error = serverErrors('payment/pending', { transaction: outcome.transaction ?? '' })
  const reason = dialect === 'plain' ? unconfirmed : 'settlement_pending'
  return problemResponse(engine, error, { reason, outcome, dialect, retryAfter: 2 })
}

/** The answer to a payment that was settled and whose handler failed. */
export function undelivered({ engine, dialect }: RunContext, { outcome, attempts }: Claim): Response {
  const told = { ...(outcome === undefined ? {} : { outcome }), dialect }
  const { transaction = '' } = outcome ?? {}
  if (attempts >= maxAttempts) return problemResponse(engine, serverErrors('payment/refund-due', { transaction }), told)
  return problemResponse(engine, serverErrors('payment/undelivered', { transaction }), { ...told, retryAfter: 1 })
}

/** The answer while another request holds the claim. */
export function busyResponse({ engine }: RunContext): Response {
  return problemResponse(engine, serverErrors('payment/busy', {}), { retryAfter: 1 })
}

/** A handler that threw, or took too long. */
export type Failure = { readonly failure: unknown; readonly timedOut: boolean }

/** What the handler says was used, as a change of what is settled. An amount that cannot be settled is a handler that failed. */
export function usedIn(
  { served }: RunContext,
  { submission }: Pick<Claim, 'submission'>,
  { usage: text }: HandlerResult,
): Pick<ClaimChange, 'submission'> | Failure {
  if (text === undefined || served.scheme.settlement === undefined) return {}
  try {
    const used = readSettlementOverride(text)
    if (used === undefined) throw serverErrors('server/bad-usage', { text: text.slice(0, 200) })
    return { submission: { ...submission, requirements: served.scheme.settlement(submission, used) } }
  } catch (failure) {
    return { failure, timedOut: false }
  }
}

type Used = HandlerResult & { readonly used: Pick<ClaimChange, 'submission'> }

async function settleHeld(context: RunContext, claim: Claim, { used, ...result }: Used): Promise<Release> {
  const { engine, served, dialect } = context
  const response = storable(result)
  const change = { ...used, ...(response === undefined ? {} : { response }) }
  const settling = await settleClaim(engine, claim, { served, change, lease: engine.lease })
  if (settling === undefined) return { kind: 'answer', response: busyResponse(context) }
  const { outcome } = settling
  if (outcome.status === 'pending') return { kind: 'answer', response: pendingResponse(context, settling.claim) }
  if (outcome.status === 'notSettled') {
    return { kind: 'answer', response: notSettledResponse(engine, { outcome, dialect, moneyMoved: moneyMovedIn(settling.claim) }) }
  }
  return { kind: 'deliver', dress: await dressDelivered(context, settling.claim), sent: departure(context, settling.claim) }
}

async function failHeld(context: RunContext, claim: Claim, result: HandlerResult | Failure): Promise<Release> {
  const { engine, dialect } = context
  failed(context, claim, result)
  const left = claim.attempts < maxAttempts
  const word = left ? {} : wordOf(context.served)
  await engine.claims.update(claim, { ...word, state: left ? 'open' : 'failed', leaseUntil: 0, outcome: handlerFailed(claim) })
  const outcome = handlerFailed(claim)
  if (!('failure' in result)) return { kind: 'deliver', dress: dressRefusal(engine, receiptHeader(outcome, dialect)) }
  const error = serverErrors(result.timedOut ? 'payment/handler-timeout' : 'payment/handler-failed', {})
  return { kind: 'answer', response: problemResponse(engine, error, { reason: 'handler_failed', outcome, dialect }) }
}

/** What a handler made, or that it failed, at the latest when its time is over. */
async function inTime(work: Promise<HandlerResult>, timeout: AbortSignal): Promise<HandlerResult | Failure> {
  let late = () => {}
  const overdue = new Promise<Failure>((resolve) => {
    late = () => resolve({ failure: timeout.reason, timedOut: true })
    timeout.addEventListener('abort', late, { once: true })
    if (timeout.aborted) late()
  })
  const made = work.catch((failure: unknown): Failure => ({ failure, timedOut: false }))
  return Promise.race([made, overdue]).finally(() => timeout.removeEventListener('abort', late))
}

// A store or engine that breaks here breaks after the claim: nobody may read the answer as "not paid".
async function guarded(context: RunContext, claim: Claim, step: () => Promise<Release>): Promise<Release> {
  try {
    return await step()
  } catch (error) {
    context.engine.emit({ type: 'error', error })
    return { kind: 'answer', response: pendingResponse(context, claim) }
  }
}

// They describe one connection, not the response (RFC 9110 §7.6.1).
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer', 'content-length', 'date'])
const usageHeader = settlementOverridesHeader.toLowerCase()

function storable({ status, whole }: HandlerResult): StoredResponse | undefined {
  const made = whole?.()
  if (made === undefined || made.body.length > keptBytes) return undefined
  const { headers, body } = made
  return { status, headers: headers.filter(([name]) => !hopByHop.has(name.toLowerCase()) && name.toLowerCase() !== usageHeader), body }
}

function failed({ engine, url }: RunContext, { payer, claimId }: Claim, result: HandlerResult | Failure): void {
  engine.emit({ type: 'handlerFailed', url, payer, claimId, ...('failure' in result ? { error: result.failure } : {}) })
}
