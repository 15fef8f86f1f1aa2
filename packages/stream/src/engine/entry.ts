import {
  coreErrors,
  type Outcome,
  outcomeToWire,
  type PaymentPayload,
  parseRate,
  paymentResponseHeader,
  paymentSignatureHeader,
  type Submission,
  withoutPaymentId,
} from '@flow402x/core'
import { isVisit, pageFile } from '@flow402x/core/page'
import {
  isSliding,
  type LaneRefusal,
  type LaneRow,
  type LaneStanding,
  laneHeader,
  paymentResumeHeader,
  paymentStreamHeader,
  type RailPayment,
  type Resume,
} from '@flow402x/core/stream'
import type { Lane } from '../lane/lane.ts'
import type { LiveLane } from '../lane/live.ts'
import { engineErrors } from './errors.ts'
import { sliceOf } from './instance.ts'
import { paramsOf, resourceOf, type StreamOffer } from './offers.ts'
import { commonHeaders, pathOf, problem, type StreamAnswer, type StreamRequest } from './request.ts'
import { paidHeaders, type Route } from './streams.ts'
import { isOf, takeOver } from './take-over.ts'

/** What comes of a request: an answer, or a lane to deliver over with the headers of its answer. */
export type Admission =
  | { readonly kind: 'answer'; readonly answer: StreamAnswer }
  | { readonly kind: 'lane'; readonly lane: Lane; readonly headers: Readonly<Record<string, string>> }

/** A payment that is one of the offers'. */
export type Paying = {
  readonly route: Route
  readonly url: string
  readonly offer: StreamOffer
  readonly submission: Submission
  readonly read: RailPayment
}

/** The money a payment brought in before its voucher is taken. */
type Moved = Outcome & { readonly status: 'settled' }

type Opened = { readonly live: LiveLane; readonly receipt?: Outcome | undefined }

/** Lets a request to a stream in: by its first payment, or where its lane goes on. */
export async function admit(route: Route, request: StreamRequest): Promise<Admission> {
  const resume = request.header('payment-resume')
  if (resume !== undefined) return goOn(route, request, paymentResumeHeader.decode(resume))
  const paying = readPaying(route, request)
  if ('answer' in paying) return { kind: 'answer', answer: await shown(route, request, paying.answer) }
  const opened = await openLane(paying)
  if ('answer' in opened) return { kind: 'answer', answer: opened.answer }
  return { kind: 'lane', lane: opened.live.hold(), headers: await laneHeaders(route, opened) }
}

/** An offer as people see it who open the stream in a browser, where its seller has a page; programs get it as it is. */
async function shown({ engine, options, offers }: Route, request: StreamRequest, answer: StreamAnswer): Promise<StreamAnswer> {
  const { page } = engine
  if (page === undefined || request.header('payment-signature') !== undefined) return answer
  try {
    const file = await pageFile(page, request)
    if (file !== undefined || !isVisit(request)) return file ?? answer
    const { url } = request
    const accepts = offers.all.map(({ requirements }) => requirements)
    const about = { resource: resourceOf(options, url), rate: parseRate(options.rate), accepts, extensions: options.extensions ?? [] }
    const { headers, ...seen } = await page.show({ url, ...about })
    return { ...seen, headers: { ...answer.headers, ...headers } }
  } catch (error) {
    engine.emit({ type: 'error', error })
    return answer
  }
}

/** The payment of a request, as far as it is one of the offers'. */
export function readPaying(route: Route, request: StreamRequest): Paying | { readonly answer: StreamAnswer } {
  const { url } = request
  const header = request.header('payment-signature')
  if (header === undefined) return { answer: offerAnswer(route, { url, error: 'Payment required' }) }
  if (header.includes(',')) throw coreErrors('headers/duplicate', { header: paymentSignatureHeader.name })
  const payment: PaymentPayload = withoutPaymentId(paymentSignatureHeader.decode(header))
  const offer = route.offers.match(payment)
  if (offer === undefined) return { answer: offerAnswer(route, { url, error: 'No matching payment requirements' }) }
  const read = offer.rail.read(payment)
  if (read === undefined) return { answer: offerAnswer(route, { url, offer, error: 'invalid_payload' }) }
  return { route, url, offer, submission: { payment, requirements: offer.requirements }, read }
}

/** Takes the first payment of a lane: what is signed is judged before anything is written or asked (A23). */
export async function openLane(paying: Paying): Promise<Opened | { readonly answer: StreamAnswer }> {
  const { route, offer, submission, read } = paying
  const { engine } = route
  const moved = await bringIn(paying)
  if ('answer' in moved) return moved
  const channel = await offer.rail.check(submission)
  if ('reason' in channel) return refused(paying, { ...channel, status: 402 })
  const grade = isSliding(submission.payment) && offer.rail.grades.includes('B') ? 'B' : 'A'
  const signature = grade === 'B' ? await channel.signed({ max: read.max, signature: read.signature }) : ''
  if (signature === undefined) return refused(paying, { status: 402, reason: 'invalid_payload' })
  const sid = await engine.sids.make()
  const id = await engine.sids.idOf(sid)
  const row = rowOf(paying, { id, grade, channelId: channel.id, payer: channel.payer })
  // The row stands first: a lane in the books that nobody knows would never end.
  await engine.lanes.open(row)
  const step = { id, channelId: channel.id, epoch: row.epoch, used: 0n, slice: sliceOf(offer.terms, grade) }
  const taken = await taking(paying, { step, grade, signature }).catch(async (error: unknown) => {
    // Whether it was taken nobody knows: if it was, this gives it back.
    await offer.rail.end(step, { refundable: true }).catch(() => undefined)
    throw error
  })
  if ('reason' in taken) {
    await engine.lanes.checkpoint(engine.instance.owner, [{ ...row, state: 'ended', since: engine.clock(), reason: taken.reason }])
    return refused(paying, taken)
  }
  const live = engine.instance.begin({ sid, row, standing: taken.standing, terms: offer.terms, rail: offer.rail })
  engine.emit({ type: 'laneOpened', lane: id, payer: channel.payer, resource: row.resource })
  return { live, receipt: receiptOf(taken.receipt, moved.moved) }
}

/** Brings the deposit of a payment in, through the facilitator; nothing of a payment without one. */
export async function bringIn({
  route,
  url,
  offer,
  submission,
  read,
}: Paying): Promise<{ readonly moved?: Moved } | { readonly answer: StreamAnswer }> {
  if (read.kind === 'voucher') return {}
  const moved = await offer.rail.move(submission, { facilitator: route.engine.facilitator })
  if (!('status' in moved)) return refused({ route, url, offer }, { ...moved, status: 402 })
  if (moved.status === 'settled' && read.kind === 'deposit') return { moved }
  const answer = receiptAnswer(route, moved)
  return { answer }
}

/** The receipt of a payment whose deposit, where it had one, was brought in. */
export function receiptOf(receipt: Outcome | undefined, moved: Moved | undefined): Outcome | undefined {
  if (receipt === undefined || moved === undefined) return receipt ?? moved
  return { ...receipt, status: 'settled', transaction: moved.transaction, ...(moved.amount === undefined ? {} : { amount: moved.amount }) }
}

/** A refusal by its status (streaming.md §6): what may be signed anew comes with the offers. */
export function refused(
  { route, url, offer }: Pick<Paying, 'route' | 'url' | 'offer'>,
  { status, reason, message, extra, accepted = 0n }: LaneRefusal,
): { readonly answer: StreamAnswer } {
  const { cors } = route.engine
  if (status === 402) return { answer: offerAnswer(route, { url, offer, error: reason, detail: message, extra }) }
  if (status === 409)
    return { answer: problem(engineErrors('stream/stale', { accepted: `${accepted}` }), { cors, said: { accepted, error: reason } }) }
  if (status === 410) return { answer: problem(engineErrors('stream/over', { reason: message ?? reason }), { cors }) }
  if (status === 423) return { answer: problem(engineErrors('stream/draining', {}), { cors, said: { error: reason } }) }
  return { answer: problem(engineErrors('stream/too-fast', {}), { cors, retryAfter: 1, said: { error: reason } }) }
}

/** The headers of an answer that carries a lane, or that opened one for another transport. */
export async function laneHeaders(route: Route, { live, receipt }: Opened): Promise<Readonly<Record<string, string>>> {
  const { clock, sids } = route.engine
  const ttl = live.ttl()
  const time = ttl === undefined ? {} : { ttl: Math.round(ttl * 1000) / 1000, until: Math.round(clock() + ttl * 1000) }
  const { 'tick-url': tickUrl, ws } = paramsOf(live.terms)
  const params = { v: '1', 'tick-url': tickUrl, ...(ws === undefined ? {} : { ws }), sid: live.sid, ...time }
  return paidHeaders(route, {
    [paymentStreamHeader.name]: paymentStreamHeader.encode(params),
    [laneHeader.name]: await sids.bearerOf(live.sid),
    ...(receipt === undefined ? {} : { [paymentResponseHeader.name]: paymentResponseHeader.encode(outcomeToWire(receipt)) }),
  })
}

/** The offers, and why they are made: where a payment was refused, with what its payer may sign anew. */
export function offerAnswer(
  { engine, offers }: Route,
  {
    url,
    error,
    offer,
    detail,
    extra,
  }: { url: string; error: string; offer?: StreamOffer; detail?: string | undefined; extra?: LaneRefusal['extra'] },
): StreamAnswer {
  const { origin, pathname } = new URL(url)
  // A query may name a lane, and what an offer says is passed on.
  const required = offers.challenge(`${origin}${pathname}`, { error, ...(offer && { offer }), ...(extra && { extra }) })
  return {
    status: 402,
    headers: { ...commonHeaders(engine.cors), ...offers.headers, 'Content-Type': 'application/problem+json', 'PAYMENT-REQUIRED': required },
    body: JSON.stringify({
      type: 'urn:flow402x:payment-required',
      title: 'Payment Required',
      status: 402,
      detail: detail ?? `${error}. Nothing was charged.`,
      error,
    }),
  }
}

/** What came of a payment that moves money and opens nothing. */
function receiptAnswer({ engine: { cors } }: Route, outcome: Outcome): StreamAnswer {
  const receipt = { [paymentResponseHeader.name]: paymentResponseHeader.encode(outcomeToWire(outcome)) }
  const status = outcome.status === 'settled' ? 200 : outcome.status === 'pending' ? 503 : 402
  const headers = {
    ...commonHeaders(cors),
    ...receipt,
    'Content-Type': 'application/json',
    ...(status === 503 ? { 'Retry-After': '2' } : {}),
  }
  const error = outcome.status === 'notSettled' ? { error: outcome.reason } : {}
  return { status, headers, body: JSON.stringify({ status: outcome.status, ...error }) }
}

type Taking = { readonly step: Parameters<StreamOffer['rail']['raise']>[1]; readonly grade: 'A' | 'B'; readonly signature: string }

async function taking(
  { offer, submission, read }: Paying,
  { step, grade, signature }: Taking,
): Promise<{ readonly standing: LaneStanding; readonly receipt?: Outcome } | LaneRefusal> {
  if (grade === 'A') return offer.rail.buy(submission, step, { opens: true })
  const standing = await offer.rail.raise({ max: read.max, signature }, step, { opens: true })
  if ('reason' in standing) return standing
  const { network } = submission.requirements
  return { standing, receipt: { status: 'settled', transaction: '', amount: '', network, payer: read.payer } }
}

function rowOf(
  { route: { engine, options }, url, offer }: Paying,
  { id, grade, channelId, payer }: Pick<LaneRow, 'id' | 'grade' | 'channelId' | 'payer'>,
): LaneRow {
  const { scheme, terms } = offer
  const now = engine.clock()
  return {
    id,
    scheme: scheme.scheme,
    network: scheme.network,
    channelId,
    payer,
    resource: pathOf({ url }),
    route: options.tickUrl,
    unit: terms.unit,
    clock: terms.clock,
    rate: terms.rate,
    grade,
    refundable: terms.refundable,
    openedAt: now,
    units: 0n,
    used: 0n,
    replayed: 0n,
    state: 'detached',
    owner: engine.instance.owner,
    epoch: 1,
    leaseUntil: engine.instance.leaseUntil(),
    since: now,
  }
}

/** Goes on in a lane: here, or in the place of the instance that has it (M7, M25). A payment that comes along is taken as a tick. */
async function goOn(route: Route, request: StreamRequest, { sid, from }: Resume): Promise<Admission> {
  const { engine } = route
  const gone = { kind: 'answer', answer: problem(engineErrors('stream/unknown-lane', {}), { cors: engine.cors }) } as const
  if (!(await engine.sids.isOurs(sid))) return gone
  const id = await engine.sids.idOf(sid)
  const live = engine.instance.named(sid) ?? (await takeOver(route, { sid, id }))
  if (live === undefined) return gone
  if ('answer' in live) return { kind: 'answer', answer: live.answer }
  if (!isOf(route, live.lane) || live.lane.resource !== pathOf(request)) return gone
  const header = request.header('payment-signature')
  const ticked = header === undefined ? undefined : await engine.ticks.pay(route, { request, live })
  // The same voucher again is no mistake here: it is how a payer who lost his connection proves which lane is his.
  if (ticked !== undefined && ticked.status >= 400 && ticked.status !== 409) {
    const sold = live.standing.granted > live.used() || live.standing.ahead > 0n
    if (!sold) return { kind: 'answer', answer: ticked }
  }
  const lane = live.hold(from)
  engine.emit({ type: 'laneResumed', lane: id, payer: live.lane.payer, resource: live.lane.resource })
  return { kind: 'lane', lane, headers: { ...(await laneHeaders(route, { live })), ...receiptIn(ticked) } }
}

function receiptIn(ticked: StreamAnswer | undefined): Readonly<Record<string, string>> {
  const receipt = ticked?.headers[paymentResponseHeader.name]
  return receipt === undefined || (ticked?.status ?? 400) >= 400 ? {} : { [paymentResponseHeader.name]: receipt }
}
