import { bounded, type Changed, type Channel, greater, lesser, withDebt } from '../channel/channel.ts'
import { adoptPosition, withoutLost } from '../channel/payer.ts'
import { creditOf, endLane, growLane, type LaneWithheld, laneOf, raiseVoucher } from './lane.ts'

/**
 * What a payer wants of one of his lanes: `used` of what he signed for it was delivered (atomic, since the lane began), and `window` is to
 * lie ahead. `least` is by how much a voucher has to grow to be worth a signature. Until `until` (Unix ms) the lane is believed to be alive.
 */
export type Slide = {
  readonly id: string
  readonly used: bigint
  readonly window: bigint
  readonly least: bigint
  readonly now: number
  readonly until: number
  readonly opens: boolean
}

/** What is to be signed: everything up to `max`. The lane has used `used` and may use `credit` more; both together have `grown` by so much. */
export type Slid = { readonly max: bigint; readonly used: bigint; readonly credit: bigint; readonly grown: bigint }

// A payer's lane may use whatever was signed for it.
const everything = 1n << 128n

/**
 * Slides a payer's voucher (grade B): what is signed is never more than what was delivered and one window for each of his live lanes
 * (M29). Credit of other work counts first. A lane opens above everything that was ever signed, since a lower voucher may be
 * public by now (M26).
 */
export function slideVoucher(channel: Channel, slide: Slide): Changed<Slid | LaneWithheld> {
  const { id, window, now, until, opens } = slide
  const current = withoutLost(channel, now)
  const lane = laneOf(current, id)
  const before = lane === undefined ? 0n : lane.used + creditOf(lane)
  const used = lesser(greater(slide.used, lane?.used ?? 0n), before)
  const short = used + window - before
  const inherited = current.free.reduce((sum, { from, to }) => sum + to - from, 0n)
  const max = current.top + greater(short - inherited, 1n)
  const step = { id, epoch: 1, used, slice: everything, now, opens, max, signature: '' }
  const isWorthIt = opens || (short > 0n && short >= slide.least)
  const { channel: next, result } = isWorthIt ? raiseVoucher(current, step) : growLane(current, step)
  if (typeof result === 'string') return { channel: current, result }
  const lanes = next.lanes?.map((one) => (one.id === id ? { ...one, until } : one)) ?? []
  const { voucher: _, ...rest } = next
  // What will be signed is written down first; its signature is kept by whoever makes it.
  const written = { ...rest, lanes, ...(current.voucher && { voucher: current.voucher }) }
  const credit = creditOf(result)
  return { channel: written, result: { max: next.top, used: result.used, credit, grown: result.used + credit - before } }
}

/** How a payer's lane ended: `charged` is what its receiver says that he charged over the channel in all, and `max` what was last signed for the lane. */
export type LaneLeft = Pick<Slide, 'id' | 'used' | 'now'> & {
  readonly told?: { readonly charged: bigint; readonly max: bigint } | undefined
}

/**
 * Ends a payer's lane: `used` of it is charged, and the rest is credit, which later work signs again before anything new. What these books
 * had counted and its receiver did not is credit as well, also what a dead process had signed, where nothing was signed since.
 */
export function leaveLane(channel: Channel, { id, used, now, told }: LaneLeft): Changed<void> {
  const left = withoutLost(leftBy(channel, { id, used, now }), now)
  const isAlone = left.lanes === undefined && left.held.length === 0 && left.top === told?.max
  const position = greater(told?.charged ?? left.charged, left.funds.claimed)
  const isLower = isAlone && position < left.charged
  return { channel: isLower ? withDebt(adoptPosition(left, { position }), now) : left, result: undefined }
}

function leftBy(channel: Channel, { id, used, now }: LaneLeft): Channel {
  const lane = laneOf(channel, id)
  if (lane === undefined) return channel
  const { channel: ended } = endLane(channel, { id, used, slice: 0n, now, refundable: true })
  const back = greater(lane.used - greater(used, 0n), 0n)
  if (back === 0n) return ended
  const end = lane.credit[0]?.from ?? ended.top
  const free = bounded([...ended.free, { from: end - back, to: end, spent: true }])
  return withDebt({ ...ended, charged: ended.charged - back, free }, now)
}
