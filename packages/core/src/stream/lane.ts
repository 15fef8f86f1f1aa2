import {
  bounded,
  type Changed,
  type Channel,
  type FreeStretch,
  greater,
  type LaneCredit,
  lesser,
  nextBase,
  rowWith,
  usableFunds,
  type Withheld,
  withDebt,
} from '../channel/channel.ts'
import { roomIn, takeStretch } from '../channel/work.ts'

/**
 * Why a lane is given nothing: as for any work; the voucher is `stale` (lower than one that was accepted); the lane is `gone` (ended, or
 * another owner delivers it by now); its channel is paid in the other `grade`; or it has as many lanes as it may.
 */
export type LaneWithheld = Withheld | 'stale' | 'gone' | 'grade' | 'crowded'

/**
 * The lane that a step is about. `epoch` is its owner's; who is not its owner leaves `epoch` and `used` away. `used`: all that was
 * delivered, which becomes charged. `slice`: how much more than that it may deliver before its books are asked again, at most what the
 * largest window costs (M29).
 */
export type LaneStep = {
  readonly id: string
  readonly epoch?: number | undefined
  readonly used?: bigint | undefined
  readonly slice: bigint
  readonly now: number
}

/** The lane as it stands after a step, or why nothing was done. */
export type LaneResult = LaneCredit | LaneWithheld

// Bounds of a row, as of other work.
const mostLanes = 8
const mostCredit = 32

/**
 * Buys a window (grade A): the voucher up to `max` pays for exactly the `amount` below it, and only from where the channel stands, so
 * that its payer learns of what he was given back. `opens` the lane where it is not there.
 */
export function buyWindow(
  channel: Channel,
  purchase: LaneStep & { readonly max: bigint; readonly amount: bigint; readonly signature: string; readonly opens: boolean },
): Changed<LaneResult> {
  const { max, amount, signature, now } = purchase
  const stage = staged(channel, purchase, { grade: 'A', opens: purchase.opens })
  if (typeof stage === 'string') return { channel, result: stage }
  if (max - amount !== nextBase(stage.channel, amount)) return { channel, result: 'sold' }
  // The name is of no other work: those of lanes are theirs alone.
  const { channel: taken, result } = takeStretch(stage.channel, { id: purchase.id, max, amount, now, until: now + 1 })
  if (result !== undefined) return { channel, result }
  const bought = rowWith(taken, { held: taken.held.filter(({ id }) => id !== purchase.id) })
  return placed(withVoucher(bought, { max, signature }), {
    ...purchase,
    lane: stage.lane,
    more: [{ from: max - amount, to: max, spent: true }],
  })
}

/**
 * Raises what is signed (grade B): all that it adds, and what other work has left of lower vouchers, is this lane's credit (M29). The
 * highest voucher again grants from that credit (M26: who calls this for it knows the lane's secret).
 */
export function raiseVoucher(
  channel: Channel,
  voucher: LaneStep & { readonly max: bigint; readonly signature: string; readonly opens: boolean },
): Changed<LaneResult> {
  const { max, signature } = voucher
  const stage = staged(channel, voucher, { grade: 'B', opens: voucher.opens })
  if (typeof stage === 'string') return { channel, result: stage }
  const { top, free } = stage.channel
  const { slice } = voucher
  if (max <= top) {
    const isSame = max === stage.channel.voucher?.max && !stage.isNew
    return isSame ? placed(stage.channel, { slice, lane: stage.lane, more: [] }) : { channel, result: 'stale' }
  }
  if (max > usableFunds(stage.channel)) return { channel, result: 'beyond' }
  if (stage.lane.credit.length + free.length >= mostCredit) return { channel, result: 'busy' }
  const lane = withCredit(stage.channel, { lane: stage.lane, more: [...free, { from: top, to: max, spent: true }], slice })
  // A voucher above all that was taken is the highest that was served.
  const lanes = lanesWith(stage.channel, lane)
  return { channel: rowWith(stage.channel, { top: max, free: [], voucher: { max, signature }, lanes }), result: lane }
}

/** Writes down what a lane used, and lets it deliver another slice of its credit. */
export function growLane(channel: Channel, step: LaneStep): Changed<LaneResult> {
  const stage = staged(channel, step, undefined)
  if (typeof stage === 'string') return { channel, result: stage }
  return placed(stage.channel, { slice: step.slice, lane: stage.lane, more: [] })
}

/** Makes another its owner, with what the last one is known to have used. The books must not know that epoch yet. */
export function adoptLane(channel: Channel, step: LaneStep & { readonly epoch: number }): Changed<LaneResult> {
  const lane = laneOf(channel, step.id)
  if (lane === undefined || lane.epoch >= step.epoch) return { channel, result: 'gone' }
  return growLane(withLane(channel, laneWith(lane, { epoch: step.epoch })), step)
}

/**
 * Ends a lane: what it did not use is free again, to the last atomic unit, or charged where it is not `refundable`. Its end as the result
 * says what was used in all. Nothing changes where it is ended already.
 */
export function endLane(channel: Channel, step: LaneStep & { readonly refundable: boolean }): Changed<LaneResult> {
  const stage = staged(channel, step, undefined)
  if (typeof stage === 'string') return { channel, result: stage }
  const { lane } = stage
  const unused = creditOf(lane)
  const others = (stage.channel.lanes ?? []).filter(({ id }) => id !== lane.id)
  const { free, charged } = stage.channel
  const left = step.refundable ? { free: bounded([...free, ...lane.credit]) } : { charged: charged + unused }
  const ended = rowWith(stage.channel, { ...left, lanes: others.length === 0 ? undefined : others })
  const used = step.refundable ? lane.used : lane.used + unused
  return { channel: withDebt(ended, step.now), result: laneWith(lane, { used, granted: used, credit: [] }) }
}

/** The lane of that id, where the channel has it. */
export function laneOf({ lanes = [] }: Channel, id: string): LaneCredit | undefined {
  return lanes.find((one) => one.id === id)
}

/** What was signed for a lane and not used. */
export function creditOf({ credit }: Pick<LaneCredit, 'credit'>): bigint {
  // What lies side by side, as ticks bring it, is counted together.
  let [sum, start, end] = [0n, 0n, 0n]
  for (const { from, to } of credit) {
    if (from !== end) {
      sum += end - start
      start = from
    }
    end = to
  }
  return sum + end - start
}

/** What FS/1 calls charged: all that was delivered, and what live lanes may deliver yet (streaming.md §3.1). */
export function grantedIn({ charged, lanes = [] }: Channel): bigint {
  return lanes.reduce((sum, { granted, used }) => sum + granted - used, charged)
}

type Stage = { readonly channel: Channel; readonly lane: LaneCredit; readonly isNew: boolean }

/** The lane that a step is about, with what it used so far written down; a new one where its payment opens it. */
function staged(
  channel: Channel,
  step: LaneStep,
  payment: { readonly grade: LaneCredit['grade']; readonly opens: boolean } | undefined,
): Stage | LaneWithheld {
  const { lanes = [] } = channel
  if (payment !== undefined && lanes.some((other) => other.grade !== payment.grade)) return 'grade'
  const lane = laneOf(channel, step.id)
  const opens = payment?.opens ?? false
  if (lane === undefined) {
    if (!opens || payment === undefined) return 'gone'
    if (lanes.length >= mostLanes) return 'crowded'
    const { grade } = payment
    const begun = { id: step.id, epoch: step.epoch ?? 1, grade, used: 0n, granted: 0n, credit: [], until: undefined }
    return { channel, lane: begun, isNew: true }
  }
  if (opens || (step.epoch !== undefined && step.epoch !== lane.epoch)) return 'gone'
  return settled(channel, lane, step)
}

/** Charges what a lane used since the last time, never more than it was granted. */
function settled(channel: Channel, lane: LaneCredit, { used = lane.used, now }: LaneStep): Stage {
  const all = greater(lesser(used, lane.granted), lane.used)
  if (all === lane.used) return { channel, lane, isNew: false }
  const next = laneWith(lane, { used: all, credit: without(lane.credit, all - lane.used) })
  const charged = channel.charged + all - lane.used
  return { channel: withDebt(rowWith(channel, { charged, lanes: lanesWith(channel, next) }), now), lane: next, isNew: false }
}

type Placing = { readonly lane: LaneCredit; readonly more: readonly FreeStretch[]; readonly slice: bigint }

function placed(channel: Channel, { lane, more, slice }: Placing): Changed<LaneResult> {
  const next = withCredit(channel, { lane, more, slice })
  if (next.credit.length > mostCredit) return { channel, result: 'busy' }
  if (more.length === 0 && next.granted === lane.granted) return { channel, result: lane }
  return { channel: withLane(channel, next), result: next }
}

/** A lane with so much more credit, of which it may deliver another slice, as far as its channel has the money yet. */
function withCredit(channel: Channel, { lane, more, slice }: Placing): LaneCredit {
  // Not `[…]`, which leaves room for sixteen more: thousands of lanes have credit.
  const credit = more.length === 0 ? lane.credit : inOrder(lane.credit.concat(more))
  const next = lesser(lesser(creditOf({ credit }), slice), roomFor(channel, lane))
  return laneWith(lane, { credit, granted: greater(lane.granted, lane.used + next) })
}

/** What a channel has for a lane, beside what its others may deliver already. */
function roomFor(channel: Channel, { id }: LaneCredit): bigint {
  return (channel.lanes ?? []).reduce((room, other) => (other.id === id ? room : room - (other.granted - other.used)), roomIn(channel))
}

/** A lane with some of its members changed: as `rowWith`, and for the same reason. */
function laneWith({ id, epoch, grade, used, granted, credit, until }: LaneCredit, changes: Partial<LaneCredit>): LaneCredit {
  return Object.assign({ id, epoch, grade, used, granted, credit, until }, changes)
}

function withLane(channel: Channel, lane: LaneCredit): Channel {
  return rowWith(channel, { lanes: lanesWith(channel, lane) })
}

function lanesWith({ lanes = [] }: Channel, lane: LaneCredit): readonly LaneCredit[] {
  const at = lanes.findIndex(({ id }) => id === lane.id)
  return at < 0 ? [...lanes, lane] : lanes.with(at, lane)
}

function withVoucher(channel: Channel, voucher: { readonly max: bigint; readonly signature: string }): Channel {
  return voucher.max > (channel.voucher?.max ?? 0n)
    ? rowWith(channel, { voucher: { max: voucher.max, signature: voucher.signature } })
    : channel
}

/** Stretches from the lowest on: they come so, but for those that other work has left. */
function inOrder(stretches: readonly FreeStretch[]): readonly FreeStretch[] {
  const isSorted = stretches.every(({ from }, at) => at === 0 || from >= (stretches[at - 1]?.from ?? 0n))
  return isSorted ? stretches : stretches.toSorted((a, b) => (a.from < b.from ? -1 : 1))
}

/** Credit without the `used` lowest of it. */
function without(credit: readonly FreeStretch[], used: bigint): readonly FreeStretch[] {
  let left = used
  for (const [at, one] of credit.entries()) {
    const size = one.to - one.from
    if (size > left)
      return left === 0n ? credit.slice(at) : [{ from: one.from + left, to: one.to, spent: one.spent }, ...credit.slice(at + 1)]
    left -= size
  }
  return []
}
