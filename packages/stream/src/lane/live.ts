import {
  costOf,
  greater,
  type LaneCheckpoint,
  type LaneStanding,
  type LaneTerms,
  lesser,
  type StreamTerms,
  type Units,
  unitsFor,
} from '@flow402x/core/stream'
import { createHolding } from './holding.ts'
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
import { createMeter } from './meter.ts'
import type { Alarm, Timers } from './timers.ts'

/** How long a lane stays in a state that delivers nothing, in milliseconds (streaming.md §7.1). */
export type Patience = { readonly gated: number; readonly paused: number; readonly detached: number }

/** What a lane needs of the instance that delivers over it. */
export interface LaneKeeper {
  /** A clock that never goes back, in milliseconds. */
  readonly now: () => number
  readonly timers: Timers
  readonly patience: Patience
  /** Until when this instance owns its lanes, on `now`. */
  leaseEnd(): number
  /** Asks the books for another slice. It answers by `credit` or `fence`, and never rejects. */
  grow(lane: LiveLane): Promise<void>
  /** Ends it in the books and in the store. It never rejects. */
  finish(lane: LiveLane, reason: string): Promise<void>
}

/** A lane that this instance delivers over: how much was used, how much may be, and who waits for it. */
export interface LiveLane {
  readonly sid: string
  readonly lane: LaneTerms
  readonly terms: StreamTerms
  readonly epoch: number
  readonly state: LaneState
  readonly units: Units
  readonly used: bigint
  readonly standing: LaneStanding
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
  readonly hasMoved: boolean
  /** The voucher that would be signed next, as far as its payer's clients agree. */
  need(): bigint
  /** Seconds of credit that are left, where units are time. */
  ttl(): number | undefined
}

/** What a live lane is made of. */
export type LivePlan = {
  readonly sid: string
  readonly lane: LaneTerms
  readonly terms: StreamTerms
  readonly epoch: number
  readonly standing: LaneStanding
  readonly units: Units
  readonly replayed: Units
  readonly keeper: LaneKeeper
  /** Unix milliseconds, for what others read. */
  readonly clock: () => number
}

type GateReason = 'credit' | 'withdrawing' | 'lease'

/** A lane on its instance. */
export function createLive(plan: LivePlan): LiveLane {
  const { terms, keeper, clock } = plan
  const { rate } = terms
  const isTimed = terms.clock === 'wall'
  const [windowCost, lowCost] = [costOf(rate, terms.window), costOf(rate, terms.tick / 2n)]
  let { epoch, standing } = plan
  let state: LaneState = 'detached'
  let since = clock()
  let gate: GateReason | undefined
  let alarm: Alarm | undefined
  let ending: Promise<LaneReceipt> | undefined
  let reason: string | undefined
  let isGrowing = false
  let written = ''

  const { now, leaseEnd, timers, patience } = keeper
  const isLeased = (): boolean => now() < leaseEnd()
  const isFlowing = (): boolean => state === 'flowing' || state === 'low'
  const { granted, used } = standing
  const counted = { units: plan.units, used, replayed: plan.replayed, granted, now, until: leaseEnd }
  const meter = createMeter({ rate, isTimed, window: terms.window, ...counted })
  const tell = (t: LaneEvent['t'], why?: string): void => {
    const ttl = live.ttl()
    const said = { t, consumed: meter.used, charged: meter.granted, units: meter.units, need: live.need() }
    holding.tell({ ...said, ...(ttl === undefined ? {} : { ttl }), ...(why === undefined ? {} : { reason: why }) })
  }
  const enter = (next: LaneState): void => {
    if (next !== 'low' && next !== state) since = clock()
    state = next
    meter.run(isFlowing())
  }
  const ring = (after: number, then: () => void): void => {
    alarm?.cancel()
    alarm = timers.at(now() + after, then)
  }
  const detach = (): void => {
    enter('detached')
    holding.drop()
    ring(patience.detached, () => void live.end('idle'))
  }
  /** Its payer takes his money out: what he was granted is delivered, and nothing comes after that. */
  const drain = (): void => {
    enter('draining')
    tell('gated', 'withdrawing')
    void live.end('withdrawn')
  }
  const shut = (): void => {
    if (!isFlowing()) return
    gate = !isLeased() ? 'lease' : standing.isDraining ? 'withdrawing' : 'credit'
    if (gate === 'withdrawing') {
      drain()
      return
    }
    enter('gated')
    tell('gated', gate)
    if (gate === 'credit') tell('need')
    ring(patience.gated, detach)
    if (standing.ahead > 0n) grow()
  }
  const grow = (): void => {
    if (isGrowing) return
    isGrowing = true
    void keeper.grow(live).finally(() => {
      isGrowing = false
    })
  }
  /** Looks what is to be done now, and when to look again. */
  const watch = (): void => {
    if (!isFlowing()) return
    if (!isLeased() || (isTimed && !meter.affords(0n))) {
      shut()
      return
    }
    const left = meter.granted - meter.used
    if (standing.ahead > 0n && left < windowCost / 2n) grow()
    if (left + standing.ahead <= lowCost && state === 'flowing') {
      enter('low')
      tell('low')
    }
    if (isTimed) ring(Math.min(untilNext(left), leaseEnd() - now()), watch)
  }
  /** How long until more is to be granted, credit runs low, or it is over; in milliseconds. */
  const untilNext = (left: bigint): number => {
    const marks = [standing.ahead > 0n ? left - windowCost / 2n : 0n, state === 'flowing' ? left + standing.ahead - lowCost : 0n]
    const next = marks.filter((mark) => mark > 0n).reduce(lesser, left)
    return Number(unitsFor(rate, meter.used + next) - meter.units) / 1e6
  }
  const open = (): void => {
    alarm?.cancel()
    const wasShut = state === 'gated'
    gate = undefined
    enter('flowing')
    if (wasShut && isLeased() && meter.affords(holding.wanted())) tell('open')
    if (holding.serve() || (isTimed && !meter.affords(0n))) shut()
    else watch()
  }
  const finish = async (why: string): Promise<LaneReceipt> => {
    const receipt = (): LaneReceipt => ({ sid: plan.sid, units: meter.units, used: meter.used, reason: reason ?? why })
    if (state === 'ended') return receipt()
    alarm?.cancel()
    enter('ended')
    reason = why
    holding.refuse()
    await keeper.finish(live, why)
    tell('receipt', why)
    tell('end', why)
    holding.drop()
    return receipt()
  }
  const holding = createHolding({
    sid: plan.sid,
    unit: terms.unit,
    clock: terms.clock,
    meter,
    state: () => state,
    isOpen: () => isFlowing() && isLeased(),
    paid: watch,
    waits: shut,
    detach,
    end: (why) => live.end(why),
  })
  const mark = (): string => `${meter.units} ${meter.replayed} ${state === 'low' ? 'flowing' : state}`
  const live: LiveLane = {
    sid: plan.sid,
    lane: plan.lane,
    terms,
    get epoch() {
      return epoch
    },
    get state() {
      return state
    },
    get units() {
      return meter.units
    },
    get used() {
      return meter.used
    },
    get standing() {
      return standing
    },
    hold(from) {
      const lane = holding.take(from)
      if (state === 'detached') open()
      return lane
    },
    credit(next) {
      standing = next
      meter.granted = next.granted
      if (state !== 'gated') {
        if (state === 'low' && meter.granted - meter.used + next.ahead > lowCost) enter('flowing')
        watch()
      } else if (next.isDraining && gate === 'credit') drain()
      else if (meter.affords(holding.wanted())) open()
    },
    pause() {
      if (!isFlowing() && state !== 'gated') return
      enter('paused')
      ring(patience.paused, () => void live.end('paused for too long'))
    },
    resume() {
      if (state === 'paused') open()
    },
    end(why) {
      ending ??= finish(why)
      return ending
    },
    fence(why) {
      alarm?.cancel()
      enter('ended')
      reason = why
      tell('gated', 'lease')
      holding.drop()
    },
    reclaim(next, found) {
      epoch = next
      live.credit(found)
      if (state === 'gated' && gate === 'lease') open()
    },
    checkpoint() {
      written = mark()
      const { units, used: cost, replayed } = meter
      return { id: plan.lane.id, epoch, units, used: cost, replayed, state: rowState(state), since, reason }
    },
    get hasMoved() {
      return mark() !== written
    },
    need() {
      const { accepted, consumed } = standing
      if (plan.lane.grade === 'A') return accepted + costOf(rate, terms.buy)
      return greater(consumed + (meter.used - standing.used) + windowCost, accepted + 1n)
    },
    ttl() {
      if (terms.unit !== 'second') return undefined
      return Number(unitsFor(rate, meter.granted + standing.ahead) - meter.units) / 1e9
    },
  }
  return live
}

function rowState(state: LaneState): LaneCheckpoint['state'] {
  if (state === 'paused' || state === 'detached' || state === 'ended') return state
  return 'open'
}
