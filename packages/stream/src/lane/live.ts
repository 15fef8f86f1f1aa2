import {
  costOf,
  greater,
  type LaneCheckpoint,
  type LaneStanding,
  type LaneTerms,
  type StreamTerms,
  type Units,
  unitsFor,
} from '@flow402x/core/stream'
import { createGate } from './gate.ts'
import { createHolding } from './holding.ts'
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
import { createMeter, grant, unitsOf, usedOf } from './meter.ts'
import type { Timers } from './timers.ts'

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
  /** Ends it in the books and in the store, and says what its channel was charged in all. It never rejects. */
  finish(lane: LiveLane, reason: string): Promise<bigint | undefined>
}

/** A lane that this instance delivers over: how much was used, how much may be, and who waits for it. */
export interface LiveLane {
  readonly sid: string
  readonly lane: LaneTerms
  readonly terms: StreamTerms
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

type Living = Omit<LiveLane, 'epoch' | 'standing'> & { epoch: number; standing: LaneStanding }

/** A lane on its instance. */
export function createLive(plan: LivePlan): LiveLane {
  const { terms, keeper, clock } = plan
  const { rate } = terms
  let ending: Promise<LaneReceipt> | undefined
  let reason: string | undefined
  let written = ''

  const { granted, used } = plan.standing
  const { now, leaseEnd } = keeper
  const counted = { units: plan.units, used, replayed: plan.replayed, granted, now, until: leaseEnd }
  const meter = createMeter({ rate, isTimed: terms.clock === 'wall', window: terms.window, ...counted })
  const tell = (t: LaneEvent['t'], why?: string): void => {
    const ttl = live.ttl()
    const said = { t, consumed: usedOf(meter), charged: meter.granted, units: unitsOf(meter), need: live.need() }
    holding.tell({ ...said, ...(ttl === undefined ? {} : { ttl }), ...(why === undefined ? {} : { reason: why }) })
  }
  const gate = createGate({
    terms,
    keeper,
    meter,
    clock,
    standing: () => live.standing,
    serve: () => holding.serve(),
    wanted: () => holding.wanted(),
    drop: () => holding.drop(),
    tell,
    grow: () => keeper.grow(live),
    end: (why) => void live.end(why),
  })
  const holding = createHolding({
    sid: plan.sid,
    unit: terms.unit,
    clock: terms.clock,
    meter,
    state: gate.state,
    isOpen: gate.isOpen,
    paid: gate.watch,
    waits: gate.shut,
    detach: gate.detach,
    end: (why) => live.end(why),
  })
  const receipt = (charged?: bigint): LaneReceipt => {
    return { sid: plan.sid, units: unitsOf(meter), used: usedOf(meter), charged, reason: reason ?? 'ended' }
  }
  const finish = async (why: string): Promise<LaneReceipt> => {
    if (gate.state() === 'ended') return receipt()
    reason = why
    gate.stop()
    holding.refuse()
    const charged = await keeper.finish(live, why)
    tell('receipt', why)
    tell('end', why)
    holding.drop()
    return receipt(charged)
  }
  const live = livingLane()
  return live

  function livingLane(): Living {
    const mark = (): string => `${unitsOf(meter)} ${meter.replayed} ${rowState(gate.state())}`
    return {
      sid: plan.sid,
      lane: plan.lane,
      terms,
      epoch: plan.epoch,
      standing: plan.standing,
      state: gate.state,
      units: () => unitsOf(meter),
      used: () => usedOf(meter),
      hold(from) {
        const lane = holding.take(from)
        if (gate.state() === 'detached') gate.open()
        return lane
      },
      credit(next) {
        live.standing = next
        grant(meter, next.granted)
        gate.credited()
      },
      pause: gate.pause,
      resume() {
        if (gate.state() === 'paused') gate.open()
      },
      end(why) {
        ending ??= finish(why)
        return ending
      },
      fence(why) {
        reason = why
        gate.stop()
        tell('gated', 'lease')
        holding.drop()
      },
      reclaim(next, found) {
        live.epoch = next
        live.credit(found)
        gate.reclaimed()
      },
      checkpoint() {
        written = mark()
        const { units, used: cost, replayed } = meter
        return {
          id: plan.lane.id,
          epoch: live.epoch,
          units,
          used: cost,
          replayed,
          state: rowState(gate.state()),
          since: gate.since(),
          reason,
        }
      },
      hasMoved: () => mark() !== written,
      need() {
        const { accepted, consumed, used: before } = live.standing
        if (plan.lane.grade === 'A') return accepted + costOf(rate, terms.buy)
        return greater(consumed + (usedOf(meter) - before) + costOf(rate, terms.window), accepted + 1n)
      },
      ttl() {
        if (terms.unit !== 'second') return undefined
        return Number(unitsFor(rate, meter.granted + live.standing.ahead) - unitsOf(meter)) / 1e9
      },
    }
  }
}

function rowState(state: LaneState): LaneCheckpoint['state'] {
  if (state === 'paused' || state === 'detached' || state === 'ended') return state
  return 'open'
}
