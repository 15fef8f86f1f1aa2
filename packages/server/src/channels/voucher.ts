import type { Charged, Outcome, PaymentRequirements, Submission, TakenVoucher, VoucherRefusal } from '@flow402x/core'
import { withoutPaymentId } from '@flow402x/core'
import { dressPaid, dressRefusal, notSettledResponse, problemResponse, receiptHeader } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import type { Offer, PaidOptions, Quote } from '../engine/offers.ts'
import type { Visit } from '../engine/payment.ts'
import { bindingOf } from '../engine/request.ts'
import {
  type Admission,
  busyResponse,
  type Failure,
  type HandlerResult,
  hangingResponse,
  type PaidFacts,
  type PaymentInfo,
  paidHandlerTimeout,
  type Release,
  type Run,
  type RunContext,
  type Sent,
  usedIn,
} from '../engine/run.ts'
import { withReceipts } from '../extensions/extensions.ts'

type Settled = Outcome & { readonly status: 'settled' }

/**
 * Lets a payment over a channel in. Its voucher is taken in the scheme's own books, with no claim and no facilitator; a deposit is brought
 * into the channel before, and a refund is answered here (DESIGN §4, wire.md §11).
 */
export async function admitVoucher(visit: Visit, offer: Offer): Promise<Admission> {
  const { engine, request, dialect, options, payment } = visit
  const { scheme, facilitator } = offer.served
  const read = scheme.vouchers?.read(payment)
  if (scheme.vouchers === undefined || read === undefined) return visit.ask('invalid_payload')
  const context: RunContext = { engine, url: request.url, served: offer.served, dialect, options }
  const submission: Submission = { payment: withoutPaymentId(payment), requirements: offer.requirements }
  const moved = read.kind === 'voucher' ? undefined : await scheme.vouchers.move(submission, { facilitator })
  if (moved !== undefined && !('status' in moved)) return refuse(visit, offer, moved)
  if (moved?.status === 'pending') return { kind: 'answer', response: hangingResponse(context, moved) }
  if (moved?.status === 'notSettled') return { kind: 'answer', response: notSettledResponse(engine, { outcome: moved, dialect }) }
  if (moved !== undefined && read.kind === 'refund') return refunded(context, { moved, channelId: read.channelId })
  const body = knownBody(visit)
  const taken = await scheme.vouchers.take(submission, {
    id: crypto.randomUUID(),
    until: engine.clock() + engine.lease,
    request: async () => (await bindingOf(request, (await body?.()) ?? new Uint8Array())).binding,
  })
  if ('reason' in taken) return refuse(visit, offer, taken)
  // Read while it is there: its handler may leave nothing of it.
  if (body !== undefined) await orUntaken(taken, body)
  engine.emit({ type: 'claimed', url: request.url, payer: taken.payer, claimId: taken.id })
  return voucherRun(context, { taken, submission, moved })
}

/** Reads the body of a request, once, where that says how long it is. What is longer than is kept goes to its handler as it comes. */
function knownBody({ engine: { maxBodyBytes: limit }, request }: Visit): (() => Promise<Uint8Array>) | undefined {
  const length = Number(request.header('content-length') ?? 0)
  if (!(length > 0 && length <= limit)) return undefined
  let reading: Promise<Uint8Array> | undefined
  return () => {
    reading ??= request.body(limit).then((whole) => {
      if (whole === undefined) throw serverErrors('payment/body-too-large', { limit })
      return whole
    })
    return reading
  }
}

/** Does what comes before the work; where that fails the voucher pays for another try. */
async function orUntaken(taken: TakenVoucher, prepare: () => Promise<unknown>): Promise<void> {
  try {
    await prepare()
  } catch (error) {
    await taken.finish(0n)
    throw error
  }
}

/** The offers again, and in the one that was meant where its payer may go on from (wire.md §11.5). */
function refuse({ ask }: Visit, { requirements: meant }: Offer, { reason, message: detail, extra }: VoucherRefusal): Promise<Admission> {
  if (extra === undefined) return ask(reason, { detail })
  const isMeant = ({ scheme, network, asset }: PaymentRequirements): boolean =>
    scheme === meant.scheme && network === meant.network && asset === meant.asset
  const correct = ({ offers }: Quote): Quote => ({
    offers: offers.map((one) =>
      isMeant(one.requirements) ? { ...one, requirements: { ...one.requirements, extra: { ...one.requirements.extra, ...extra } } } : one,
    ),
  })
  return ask(reason, { detail, correct })
}

function refunded({ engine, dialect }: RunContext, { moved, channelId }: { moved: Settled; channelId: string }): Admission {
  const response = Response.json({ message: 'Refund acknowledged', channelId })
  dressPaid(engine, receiptHeader(moved, dialect))(response.headers)
  return { kind: 'answer', response }
}

type Paying = { readonly taken: TakenVoucher; readonly submission: Submission; readonly moved: Settled | undefined }

/**
 * Runs a handler for a voucher. It is charged before anything of the answer leaves: when that is whole, or upfront when its status is
 * known, since it streams from then on. A handler that fails charges nothing, and its voucher pays for another try.
 */
function voucherRun(context: RunContext, paying: Paying): Run {
  const { engine, options } = context
  const { taken, submission } = paying
  const facts = factsOf({ payer: taken.payer, requirements: submission.requirements })
  const time = allowTime(patienceOf(options), {
    pause: engine.lease / 3,
    onPause: () => void taken.extend(engine.clock() + engine.lease).catch((error: unknown) => engine.emit({ type: 'error', error })),
    onOver: (reason) => abort(facts, reason),
  })
  return {
    kind: 'run',
    hold: options.flow !== 'upfront',
    facts,
    async complete(work) {
      let isLeaving = false
      try {
        const release = await charge(context, paying, { result: await time.result(work), end: time.end })
        isLeaving = release.kind === 'deliver' && release.sent !== undefined
        return release
      } catch (error) {
        engine.emit({ type: 'error', error })
        return { kind: 'answer', response: problemResponse(engine, serverErrors('server/not-ready', {}), { retryAfter: 5 }) }
      } finally {
        if (!isLeaving) time.end()
      }
    },
  }
}

const aborting = Symbol('aborting')
type VoucherFacts = PaidFacts & { [aborting]: AbortController | undefined }

// Made for who asks for it: making a signal costs as much as all else of a run. One getter for all, since one that were each run's own
// would keep all of the run until the next full collection of garbage.
const madeSignal: ThisType<VoucherFacts> = {
  get signal() {
    this[aborting] ??= new AbortController()
    return this[aborting].signal
  },
}

function factsOf(payment: PaymentInfo): VoucherFacts {
  return Object.assign<Pick<VoucherFacts, 'signal'>, Omit<VoucherFacts, 'signal'>>(Object.create(madeSignal), {
    payment,
    [aborting]: undefined,
  })
}

function abort(facts: VoucherFacts, reason: unknown): void {
  facts[aborting] ??= new AbortController()
  facts[aborting].abort(reason)
}

type Pauses = { readonly pause: number; readonly onPause: () => void; readonly onOver: (reason: unknown) => void }

/**
 * The time of a handler, and of its answer until that has left. While it lasts `onPause` is called after each pause, so that its voucher
 * stays taken. One timer for all: of thousands a second hardly any comes to its end.
 */
function allowTime(patience: number, { pause, onPause, onOver }: Pauses) {
  let left = patience
  let late: Failure | undefined
  let tell: (late: Failure) => void = () => {}
  const wait = (): ReturnType<typeof setTimeout> => {
    const span = Math.min(pause, left)
    left -= span
    return setTimeout(pass, span)
  }
  const pass = () => {
    if (left <= 0) return giveUp()
    onPause()
    timer = wait()
  }
  const giveUp = () => {
    const failure = new DOMException('The handler took too long.', 'TimeoutError')
    late = { failure, timedOut: true }
    onOver(failure)
    tell(late)
  }
  let timer = wait()
  return {
    /** What the work comes to, or that it failed, or that its time was over before. */
    result: (work: Promise<HandlerResult>) =>
      new Promise<HandlerResult | Failure>((resolve) => {
        tell = resolve
        if (late !== undefined) resolve(late)
        const done = (result: HandlerResult | Failure) => {
          // Who reads an answer may take his time.
          left = Number.POSITIVE_INFINITY
          resolve(result)
        }
        work.then(done, (failure: unknown) => done({ failure, timedOut: false }))
      }),
    end: () => clearTimeout(timer),
  }
}

/** In milliseconds, and no more than a timer can wait. */
function patienceOf({ handlerTimeout = paidHandlerTimeout }: PaidOptions): number {
  return Math.min(handlerTimeout, 2 ** 31 - 1)
}

/** What a handler made, and what ends the time of its answer. */
type Ended = { readonly result: HandlerResult | Failure; readonly end: () => void }

async function charge(context: RunContext, paying: Paying, { result, end }: Ended): Promise<Release> {
  const { engine, url, dialect } = context
  const { taken } = paying
  if ('failure' in result || result.status >= 400) return failed(context, paying, result)
  const usage = usedIn(context, paying, result)
  if ('failure' in usage) return failed(context, paying, usage)
  const used = usage.submission === undefined ? taken.amount : BigInt(usage.submission.requirements.amount)
  const charged = await taken.finish(used)
  // Somebody else does the work by now, since this took longer than it was known to be alive.
  if (charged === undefined) return { kind: 'answer', response: busyResponse(context) }
  engine.emit({ type: 'settled', payer: taken.payer, claimId: taken.id, transaction: charged.transaction, amount: `${used}` })
  let isTold = false
  const sent: Sent = async (hasLeft) => {
    if (isTold) return
    isTold = true
    end()
    try {
      await taken.leave(hasLeft)
      if (hasLeft) engine.emit({ type: 'delivered', url, payer: taken.payer, claimId: taken.id })
    } catch (error) {
      engine.emit({ type: 'error', error })
    }
  }
  const { network } = paying.submission.requirements
  const told = await withReceipts(engine, receiptOf(charged, paying), { payer: taken.payer, network, at: engine.clock(), ...context })
  return { kind: 'deliver', dress: dressPaid(engine, receiptHeader(told, dialect)), sent }
}

/** A deposit that came with the voucher stands in its receipt, whatever became of the work: it is its payer's. */
function receiptOf(charged: Charged, { moved }: Paying): Outcome {
  return moved === undefined
    ? charged
    : { ...charged, transaction: moved.transaction, ...(moved.amount === undefined ? {} : { amount: moved.amount }) }
}

async function failed(context: RunContext, paying: Paying, result: HandlerResult | Failure): Promise<Release> {
  const { engine, url, dialect } = context
  const { taken, submission, moved } = paying
  const { payer, id: claimId } = taken
  engine.emit({ type: 'handlerFailed', url, payer, claimId, ...('failure' in result ? { error: result.failure } : {}) })
  const charged = await taken.finish(0n)
  const { network } = submission.requirements
  const outcome: Outcome =
    moved === undefined || charged === undefined
      ? { status: 'notSettled', network, reason: 'handler_failed', payer, retry: 'same' }
      : receiptOf(charged, paying)
  if (!('failure' in result)) return { kind: 'deliver', dress: dressRefusal(engine, receiptHeader(outcome, dialect)) }
  const error = serverErrors(result.timedOut ? 'payment/handler-timeout' : 'payment/handler-failed', {})
  return { kind: 'answer', response: problemResponse(engine, error, { reason: 'handler_failed', outcome, dialect }) }
}
