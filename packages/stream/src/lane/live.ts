import {
  costOf,
  greater,
  type LaneCheckpoint,
  type LaneStanding,
  type LaneTerms,
  type Rail,
  type StreamTerms,
  type Units,
  unitsFor,
} from '@flow402x/core/stream'
import { createGate, credited, detach, type Gated, isOpen, open, paid, pause, reclaimed, shut, stop } from './gate.ts'
import { createHolding, drop, type Held, refuse, serve, take, tell, wanted } from './holding.ts'
import type { Lane, LaneReceipt, LaneState } from './lane.ts'
import { createMeter, grant, unitsOf, usedOf } from './meter.ts'
import type { Timers } from './timers.ts'

/** How long a lane stays in a state that delivers nothing, in milliseconds (streaming.md §7.1). */
export type Patience = { readonly gated: number; readonly paused: number; readonly detached: number }

/** What a lane needs of the instance that delivers over it. */
export interface LaneKeeper {
  /** A clock that never goes back, in milliseconds; and Unix milliseconds, for what others read. */
  readonly now: () => number
  readonly clock: () => number
  readonly timers: Timers
  readonly patience: Patience
  /** Until when this instance owns its lanes, on `now`. */
  leaseEnd(): number
  /** Asks the books for another slice. It answers by `credit` or `fence`, and never rejects. */
  grow(lane: LiveLane): Promise<void>
  /** Ends it in the books and in the store, and says what its channel was charged in all. It never rejects. */
  finish(lane: LiveLane, reason: string): Promise<bigint | undefined>
}

/** What stands in the row of a lane for all its life, and in none of its route's terms. */
export type LaneFacts = Omit<LaneTerms, 'unit' | 'clock' | 'openedAt'>

/** A lane that this instance delivers over: how much was used, how much may be, and who waits for it. */
export interface LiveLane {
  readonly sid: string
  readonly lane: LaneFacts
  readonly terms: StreamTerms
  readonly rail: Rail
  readonly epoch: number
  readonly standing: LaneStanding
  state(): LaneState
  units(): Units
  used(): bigint
  /** A new holder, in the place of the one before. `from`: where he has his content from on. */
  hold(from?: Units): Lane
  /** What the books say it may deliver now. */
  credit(standing: LaneStanding): void
  pause(): void
  resume(): void
  /** Ends it; answers the same to everybody. */
  end(reason: string): Promise<LaneReceipt>
  /** Stops without an end: it is another's, or will be. */
  fence(reason: string): void
  /** It was its own again, after a while without a lease. */
  reclaim(epoch: number, standing: LaneStanding): void
  /** Where it stands, for the store. */
  checkpoint(): LaneCheckpoint
  /** Whether it stands elsewhere than at the last `checkpoint`. */
  hasMoved(): boolean
  /** The voucher that would be signed next, as far as its payer's clients agree. */
  need(): bigint
  /** Seconds of credit that are left, where units are time. */
  ttl(): number | undefined
}

/** What a live lane is made of. */
export type LivePlan = Pick<LiveLane, 'sid' | 'lane' | 'terms' | 'rail' | 'epoch' | 'standing'> & {
  readonly units: Units
  readonly replayed: Units
  readonly keeper: LaneKeeper
}

/** What is of one lane alone. All else that it does is in one object for all of them: functions of its own would double what it weighs. */
type Living = Gated &
  Held & {
    readonly lane: LaneFacts
    readonly terms: StreamTerms
    readonly keeper: LaneKeeper
    epoch: number
    standing: LaneStanding
    /** Its end, once that has begun, and why. */
    ending: Promise<LaneReceipt> | undefined
    reason: string | undefined
    /** Where it stood at the last `checkpoint`. */
    written: Mark | undefined
  }

type Mark = Pick<LaneCheckpoint, 'units' | 'replayed' | 'state'>

type Parts = 'sid' | 'lane' | 'terms' | 'rail' | 'keeper' | 'epoch' | 'standing' | 'meter' | 'gate' | 'holding'
type OfOne = Parts | 'ending' | 'reason' | 'written'

/** A lane on its instance. */
export function createLive({ sid, lane, terms, rail, epoch, standing, units, replayed, keeper }: LivePlan): LiveLane {
  const { granted, used } = standing
  const counted = { units, used, replayed, granted, now: keeper.now, until: keeper.leaseEnd }
  const { rate, clock, window, tick } = terms
  const meter = createMeter({ rate, isTimed: clock === 'wall', window, linger: Number(tick) / 1e6, ...counted })
  const gate = createGate(terms, keeper)
  const own: Pick<Living & LiveLane, OfOne> = {
    sid,
    lane,
    terms,
    rail,
    keeper,
    epoch,
    standing,
    meter,
    gate,
    holding: createHolding(),
    ending: undefined,
    reason: undefined,
    written: undefined,
  }
  return Object.setPrototypeOf(own, doings)
}

const doings: Omit<LiveLane & Gated & Held, Parts> & ThisType<Living & LiveLane> = {
  state() {
    return this.gate.state
  },
  isOpen() {
    return isOpen(this)
  },
  units() {
    return unitsOf(this.meter)
  },
  used() {
    return usedOf(this.meter)
  },
  hold(from) {
    const held = take(this, from)
    if (this.gate.state === 'detached') open(this)
    return held
  },
  serve() {
    return serve(this)
  },
  wanted() {
    return wanted(this)
  },
  drop() {
    drop(this)
  },
  paid() {
    paid(this)
  },
  waits() {
    shut(this)
  },
  detach() {
    detach(this)
  },
  grow() {
    return this.keeper.grow(this)
  },
  credit(next) {
    this.standing = next
    grant(this.meter, next.granted)
    credited(this)
  },
  pause() {
    pause(this)
  },
  resume() {
    if (this.gate.state === 'paused') open(this)
  },
  end(why) {
    this.ending ??= finish(this, why)
    return this.ending
  },
  fence(why) {
    this.reason = why
    stop(this)
    this.tell('gated', 'lease')
    drop(this)
  },
  reclaim(epoch, found) {
    this.epoch = epoch
    this.credit(found)
    reclaimed(this)
  },
  tell(t, why) {
    tell(this, this.event(t, why))
  },
  event(t, why) {
    const { meter } = this
    return {
      t,
      consumed: usedOf(meter),
      charged: meter.granted,
      units: unitsOf(meter),
      need: this.need(),
      ttl: this.ttl(),
      reason: why,
    }
  },
  ring() {
    this.gate.due(this)
  },
  checkpoint() {
    const { lane, epoch, gate, meter, reason } = this
    this.written = markOf(this)
    return { id: lane.id, epoch, ...this.written, used: meter.used, since: gate.since, reason }
  },
  hasMoved() {
    const [{ units, replayed, state }, { written }] = [markOf(this), this]
    return written === undefined || units !== written.units || replayed !== written.replayed || state !== written.state
  },
  need() {
    const { accepted, consumed, used: before } = this.standing
    const { rate, buy, window } = this.terms
    if (this.lane.grade === 'A') return accepted + costOf(rate, buy)
    return greater(consumed + (usedOf(this.meter) - before) + costOf(rate, window), accepted + 1n)
  },
  ttl() {
    const { meter, terms, standing } = this
    if (terms.unit !== 'second') return undefined
    return Number(unitsFor(terms.rate, meter.granted + standing.ahead) - unitsOf(meter)) / 1e9
  },
}

async function finish(lane: Living & LiveLane, why: string): Promise<LaneReceipt> {
  if (lane.gate.state === 'ended') return receiptOf(lane)
  lane.reason = why
  stop(lane)
  refuse(lane)
  const charged = await lane.keeper.finish(lane, why)
  lane.tell('receipt', why)
  lane.tell('end', why)
  drop(lane)
  return receiptOf(lane, charged)
}

function receiptOf({ sid, meter, reason = 'ended' }: Living, charged?: bigint): LaneReceipt {
  return { sid, units: unitsOf(meter), used: usedOf(meter), charged, reason }
}

function markOf({ meter, gate }: Living): Mark {
  return { units: unitsOf(meter), replayed: meter.replayed, state: rowState(gate.state) }
}

function rowState(state: LaneState): LaneCheckpoint['state'] {
  if (state === 'paused' || state === 'detached' || state === 'ended') return state
  return 'open'
}
