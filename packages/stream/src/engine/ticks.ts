import { type Outcome, outcomeToWire, paymentResponseHeader } from '@flow402x/core'
import {
  type FrameError,
  type LaneMessage,
  type LaneRefusal,
  type LaneRow,
  type LaneStanding,
  laneHeader,
  readLaneMessage,
  type StreamVoucher,
  type TickVoucher,
} from '@flow402x/core/stream'
import type { LaneReceipt } from '../lane/lane.ts'
import type { LiveLane } from '../lane/live.ts'
import type { Ticked } from '../transports/socket.ts'
import { bringIn, laneHeaders, offerAnswer, openLane, readPaying, receiptOf, refused } from './entry.ts'
import { engineErrors } from './errors.ts'
import { createRaising, type Found, unsigned } from './raising.ts'
import { commonHeaders, problem, type StreamAnswer, type StreamRequest } from './request.ts'
import type { Engine, Route } from './streams.ts'
import { isOf } from './take-over.ts'

/** A tick as a frame has it: `max` in atomic units, the signature as bytes. */
export type FrameTick = { readonly sid: string } & TickVoucher

/** Takes ticks: of lanes that are here, and for others' (streaming.md §6). */
export interface Ticks {
  answer(route: Route, request: StreamRequest): Promise<StreamAnswer>
  /** A payment of any x402 client for a lane that is here: one window more. */
  pay(route: Route, paid: { readonly request: StreamRequest; readonly live: LiveLane }): Promise<StreamAnswer>
  frame(route: Route, tick: FrameTick): Promise<Ticked>
}

type Said = { readonly found: Found; readonly said: Extract<LaneMessage, { op: 'pause' | 'resume' | 'close' }>; readonly url: string }
type Base = Omit<Engine, 'ticks' | 'ticksPerSecond'>

const mostBody = 8192

/** Ticks of an engine. */
export function createTicks(base: Base): Ticks {
  const { isInTime, raise, channelOf, step, arrived } = createRaising(base)
  const answered = { ...commonHeaders(base.cors), 'Content-Type': 'application/json' }
  const json = (body: string): StreamAnswer => ({ status: 200, headers: answered, body })

  /** The lane of that name: at once where it is here, since most ticks are. */
  const find = (route: Route, sid: string): Found | Promise<Found | StreamAnswer> => {
    const live = base.instance.named(sid)
    const isHere = live !== undefined && live.state() !== 'ended' && isOf(route, live.lane)
    return isHere ? { id: live.lane.id, live, row: live.lane } : findElsewhere(route, sid)
  }
  const findElsewhere = async (route: Route, sid: string): Promise<Found | StreamAnswer> => {
    const { cors, sids, lanes } = base
    const unknown = (): StreamAnswer => problem(engineErrors('stream/unknown-lane', {}), { cors })
    if (!(await sids.isOurs(sid))) return unknown()
    const id = await sids.idOf(sid)
    const row = await lanes.find(id)
    if (row === undefined || !isOf(route, row)) return unknown()
    return row.state === 'ended' ? { id, row, over: row } : { id, row }
  }
  /** A payment with its header: of a lane one window more or a deposit (M2, M8), and without one a new lane (M1). */
  async function payment(route: Route, request: StreamRequest): Promise<StreamAnswer> {
    const sid = await sidOf(request)
    if (sid === undefined) {
      const paying = readPaying(route, request)
      if ('answer' in paying) return paying.answer
      const opened = await openLane(paying)
      return 'answer' in opened ? opened.answer : { status: 204, headers: await laneHeaders(route, opened) }
    }
    const found = await find(route, sid)
    if ('status' in found) return found
    return found.over === undefined ? pay(route, request, found) : isOver(base, found.over)
  }
  async function pay(route: Route, request: StreamRequest, found: Found): Promise<StreamAnswer> {
    const { engine } = route
    if (!isInTime(found.id, engine.ticksPerSecond)) return tooFast(base)
    const paying = readPaying(route, request)
    if ('answer' in paying) return paying.answer
    const { offer, submission, read } = paying
    if (read.channelId !== found.row.channelId) return refused(paying, { status: 402, reason: 'invalid_payload' }).answer
    const moved = await bringIn(paying)
    if ('answer' in moved) return moved.answer
    if (found.row.grade === 'B') {
      const raised = await raise(route, found, { max: read.max, signature: read.signature })
      return 'reason' in raised ? refused(paying, raised).answer : receipted(base, receiptOf(undefined, moved.moved))
    }
    const bought = await step(route, found, (one) => offer.rail.buy(submission, one, { opens: false }))
    await arrived(found, 'reason' in bought ? bought : bought.standing)
    if ('reason' in bought) return refused(paying, bought).answer
    return receipted(base, receiptOf(bought.receipt, moved.moved))
  }
  async function message(route: Route, request: StreamRequest): Promise<StreamAnswer> {
    const { engine } = route
    const text = await request.body(mostBody)
    // Any x402 client asks before it pays.
    if (text === '') return offerAnswer(route, { url: request.url, error: 'Payment required' })
    const said = text === undefined ? undefined : readLaneMessage(text)
    if (said === undefined) throw engineErrors('stream/malformed', { why: 'it is neither a tick nor a word about a lane' })
    const looked = find(route, said.sid)
    const found = looked instanceof Promise ? await looked : looked
    if ('status' in found) return found
    if (!isInTime(found.id, engine.ticksPerSecond)) return tooFast(base)
    if (said.op !== undefined) return control(route, { found, said, url: request.url })
    if (found.over !== undefined) return isOver(base, found.over)
    const { channelId, maxClaimableAmount: max, signature } = said.voucher
    if (found.row.grade !== 'B' || !isIts(found, channelId))
      return problem(engineErrors('stream/malformed', { why: 'this lane is not paid by such vouchers' }), { cors: base.cors })
    const raised = await raise(route, found, { max, signature })
    const offer = route.offers.all[0]
    if ('reason' in raised) return offer === undefined ? tooFast(base) : refused({ route, url: request.url, offer }, raised).answer
    return json(tickText(raised, found.live))
  }
  async function control(route: Route, { found, said, url }: Said): Promise<StreamAnswer> {
    const { op } = said
    const final = op === 'close' ? said.final : undefined
    if (found.over !== undefined && final === undefined) return isOver(base, found.over)
    // What was delivered is known once the lane is over, and only then can a voucher be for exactly that.
    const told = found.over === undefined ? await obey(found, op) : ended(found.over)
    const refusal = final === undefined ? undefined : await keep(found, final)
    const offer = route.offers.all[0]
    if (refusal === undefined || offer === undefined) return json(JSON.stringify(told))
    return refused({ route, url, offer }, refusal).answer
  }
  async function obey({ id, live, row }: Found, op: 'pause' | 'resume' | 'close') {
    if (live === undefined) {
      const owner = (await base.lanes.find(id))?.owner
      if (owner !== undefined) await base.instance.tell(owner, `${op} ${id}`)
      return { state: 'asked', grade: row.grade }
    }
    if (op === 'close') return ended(await live.end('closed'))
    if (op === 'pause') live.pause()
    else live.resume()
    return { state: live.state(), consumed: `${live.used()}` }
  }
  /** Keeps a last voucher where its chain pays one exactly; elsewhere what was delivered is claimed without it (streaming.md §1.4). */
  async function keep(found: Found, { channelId, maxClaimableAmount: max, signature }: StreamVoucher): Promise<LaneRefusal | undefined> {
    const rail = base.railOf(found.row)
    if (rail?.keep === undefined) return undefined
    const signed = isIts(found, channelId) ? await (await channelOf(found))?.signed({ max, signature }) : undefined
    return signed === undefined ? unsigned(rail) : await rail.keep({ max, signature: signed }, found.row.channelId)
  }
  async function sidOf(request: StreamRequest): Promise<string | undefined> {
    const header = request.header(laneHeader.name.toLowerCase())
    if (header === undefined) return new URL(request.url).searchParams.get('sid') ?? undefined
    // Whose code is not ours names no lane that could be found.
    return (await base.sids.readBearer(header)) ?? ''
  }

  return {
    answer: (route, request) => (request.header('payment-signature') === undefined ? message(route, request) : payment(route, request)),
    pay: (route, { request, live }) => pay(route, request, { id: live.lane.id, live, row: live.lane }),
    async frame(route, tick) {
      const looked = find(route, tick.sid)
      const found = looked instanceof Promise ? await looked : looked
      if ('status' in found || found.over !== undefined) return 'ended'
      if (!isInTime(found.id, route.engine.ticksPerSecond)) return 'rate'
      if (found.row.grade !== 'B') return 'over'
      const raised = await raise(route, found, tick)
      if ('reason' in raised) return frameError(raised)
      const ttl = found.live?.ttl()
      const ttlMs = ttl === undefined ? undefined : Math.round(ttl * 1000)
      return { accepted: raised.accepted, consumed: consumedOf(raised, found.live), ttlMs }
    },
  }
}

function isIts({ row }: Found, channelId: string): boolean {
  return channelId === row.channelId || channelId.toLowerCase() === row.channelId.toLowerCase()
}

function ended({ units, used, reason, charged }: Pick<LaneRow, 'units' | 'used' | 'reason'> & Pick<LaneReceipt, 'charged'>) {
  return { state: 'ended', units: `${units}`, consumed: `${used}`, reason, ...(charged === undefined ? {} : { charged: `${charged}` }) }
}

function frameError({ status, reason }: LaneRefusal): FrameError {
  if (status === 409) return 'stale'
  if (status === 410) return 'ended'
  if (status === 423) return 'withdrawing'
  if (status === 429) return 'rate'
  return reason.endsWith('voucher_signature') ? 'signature' : 'over'
}

/** What was delivered of the channel, with what this lane used since it was written down. */
function consumedOf({ consumed, used }: LaneStanding, live: LiveLane | undefined): bigint {
  return live === undefined ? consumed : consumed + live.used() - used
}

/** The answer to a tick, written at once: it is nothing but numbers, of which amounts are decimal strings. */
function tickText(standing: LaneStanding, live: LiveLane | undefined): string {
  const ttl = live?.ttl()
  const { balance, claimed, withdrawRequestedAt } = standing.channel
  const lane = `"accepted":"${standing.accepted}","consumed":"${consumedOf(standing, live)}","charged":"${standing.charged}"`
  const channel = `{"balance":"${balance}","claimed":"${claimed}","withdrawRequestedAt":${withdrawRequestedAt}}`
  return `{${lane}${ttl === undefined ? '' : `,"ttl":${ttl}`},"channel":${channel}}`
}

function isOver({ cors }: Base, { reason = 'ended' }: Pick<LaneRow, 'reason'>): StreamAnswer {
  return problem(engineErrors('stream/over', { reason }), { cors })
}

function tooFast({ cors }: Base): StreamAnswer {
  return problem(engineErrors('stream/too-fast', {}), { cors, retryAfter: 1 })
}

function receipted({ cors }: Base, receipt: Outcome | undefined): StreamAnswer {
  const said = receipt === undefined ? {} : { [paymentResponseHeader.name]: paymentResponseHeader.encode(outcomeToWire(receipt)) }
  return { status: 204, headers: { ...commonHeaders(cors), ...said } }
}
