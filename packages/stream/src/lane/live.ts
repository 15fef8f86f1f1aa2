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
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
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
  readonly replayed: Units
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

type Waiting = { readonly units: Units; readonly pays: boolean; readonly answer: (isPaid: boolean) => void }
type Holder = { readonly over: AbortController; readonly from: Units; readonly hearing: Set<(event: LaneEvent) => void> }
type GateReason = 'credit' | 'withdrawing' | 'lease'

// Of what was delivered, this part may be delivered once more for nothing, beside one window (M25).
const replayedPart = 10n

/** A lane on its instance. */
export function createLive(plan: LivePlan): LiveLane {
  const { terms, keeper, clock } = plan
  const { rate } = terms
  const isTimed = terms.clock === 'wall'
  const windowCost = costOf(rate, terms.window)
  const lowCost = costOf(rate, terms.tick / 2n)
  let { epoch, standing, units, replayed } = plan
  let used = standing.used
  let state: LaneState = 'detached'
  let since = clock()
  let gate: GateReason | undefined
  let runsFrom: number | undefined
  let holder: Holder | undefined
  let free: Units = 0n
  let waiting: Waiting[] = []
  let alarm: Alarm | undefined
  let ending: Promise<LaneReceipt> | undefined
  let reason: string | undefined
  let isGrowing = false
  let written = ''

  const own = (): bigint => standing.granted
  const isLeased = (): boolean => keeper.now() < keeper.leaseEnd()
  const isFlowing = (): boolean => state === 'flowing' || state === 'low'

  /** Counts the time that went by, up to the end of the credit. */
  const settle = (): void => {
    if (runsFrom === undefined) return
    const elapsed = BigInt(Math.floor((Math.min(keeper.now(), keeper.leaseEnd()) - runsFrom) * 1e6))
    if (elapsed <= 0n) return
    runsFrom += Number(elapsed) / 1e6
    units = greater(units, lesser(units + elapsed, unitsFor(rate, own())))
    used = costOf(rate, units)
  }
  const fits = (more: Units): boolean => {
    if (!isFlowing() || !isLeased()) return false
    return isTimed ? pays(0n) : pays(more)
  }
  const pay = (more: Units): void => {
    if (isTimed || more === 0n) return
    const again = lesser(more, free)
    free -= again
    replayed += again
    units += more - again
    used = costOf(rate, units)
    watch()
  }
  const tell = (event: Pick<LaneEvent, 't' | 'reason'>): void => {
    const ttl = api.ttl()
    const full: LaneEvent = { ...event, consumed: used, charged: own(), units, need: api.need(), ...(ttl === undefined ? {} : { ttl }) }
    for (const hear of holder?.hearing ?? []) hear(full)
  }
  const enter = (next: LaneState): void => {
    if (next === state) return
    settle()
    if (state === 'flowing' || next === 'flowing' || next !== 'low') since = clock()
    state = next
    runsFrom = isTimed && isFlowing() ? (runsFrom ?? keeper.now()) : undefined
  }
  const ring = (after: number, then: () => void): void => {
    alarm?.cancel()
    alarm = keeper.timers.at(keeper.now() + after, then)
  }
  const drop = (): void => {
    const late = waiting
    waiting = []
    for (const { answer } of late) answer(false)
    holder?.over.abort()
    holder = undefined
  }
  const detach = (): void => {
    enter('detached')
    drop()
    ring(keeper.patience.detached, () => void api.end('idle'))
  }
  /** Its payer takes his money out: what he was granted is delivered, and nothing comes after that. */
  const drain = (): void => {
    enter('draining')
    tell({ t: 'gated', reason: 'withdrawing' })
    void api.end('withdrawn')
  }
  const shut = (): void => {
    if (!isFlowing()) return
    gate = !isLeased() ? 'lease' : standing.isDraining ? 'withdrawing' : 'credit'
    if (gate === 'withdrawing') {
      drain()
      return
    }
    enter('gated')
    tell({ t: 'gated', reason: gate })
    if (gate === 'credit') tell({ t: 'need' })
    ring(keeper.patience.gated, detach)
    if (standing.ahead > 0n) grow()
  }
  const grow = (): void => {
    if (isGrowing) return
    isGrowing = true
    void keeper.grow(api).finally(() => {
      isGrowing = false
    })
  }
  /** Looks what is to be done now, and when to look again. */
  const watch = (): void => {
    if (!isFlowing()) return
    settle()
    const left = own() - used
    if (isTimed && !pays(0n)) {
      shut()
      return
    }
    if (standing.ahead > 0n && left < windowCost / 2n) grow()
    if (left + standing.ahead <= lowCost && state === 'flowing') {
      enter('low')
      tell({ t: 'low' })
    }
    if (!isTimed) return
    // What comes next: more is to be granted, credit runs low, or it is over.
    const marks = [standing.ahead > 0n ? left - windowCost / 2n : 0n, state === 'flowing' ? left + standing.ahead - lowCost : 0n, left]
    const next = marks.filter((mark) => mark > 0n).reduce(lesser, left)
    const timeOfCredit = unitsFor(rate, used + next) - units
    ring(Math.min(Number(timeOfCredit) / 1e6, keeper.leaseEnd() - keeper.now()), watchOrShut)
  }
  const watchOrShut = (): void => {
    if (isLeased()) watch()
    else shut()
  }
  const serve = (): void => {
    for (let [first] = waiting; first !== undefined && fits(first.units); [first] = waiting) {
      waiting.shift()
      if (first.pays) pay(first.units)
      first.answer(true)
    }
    if (waiting.length > 0 || (isTimed && !fits(0n))) shut()
    else watch()
  }
  const open = (): void => {
    alarm?.cancel()
    const wasShut = state === 'gated'
    gate = undefined
    enter('flowing')
    if (wasShut && fits(waiting[0]?.units ?? 0n)) tell({ t: 'open' })
    serve()
  }
  const ask = (mine: Holder, { units: more, pays: isPaid }: Pick<Waiting, 'units' | 'pays'>): boolean | Promise<boolean> => {
    if (holder !== mine || state === 'ended') return false
    settle()
    if (waiting.length === 0 && fits(more)) {
      if (isPaid) pay(more)
      return true
    }
    return new Promise((answer) => {
      waiting.push({ units: more, pays: isPaid, answer })
      if (isFlowing()) shut()
    })
  }

  const api: LiveLane = {
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
      settle()
      return units
    },
    get used() {
      settle()
      return used
    },
    get standing() {
      return standing
    },
    get replayed() {
      return replayed
    },
    hold(from) {
      settle()
      drop()
      const mine: Holder = { over: new AbortController(), from: isTimed ? units : startOf(from), hearing: new Set() }
      holder = mine
      if (state === 'detached') open()
      return handleOf(mine)
    },
    credit(next) {
      settle()
      standing = next
      if (next.isDraining && state === 'gated' && gate === 'credit') drain()
      else if (state === 'gated' && pays(isTimed ? 0n : (waiting[0]?.units ?? 0n))) open()
      else if (state === 'low' && own() - used + next.ahead > lowCost) {
        enter('flowing')
        watch()
      } else watch()
    },
    pause() {
      if (!isFlowing() && state !== 'gated') return
      enter('paused')
      ring(keeper.patience.paused, () => void api.end('paused for too long'))
    },
    resume() {
      if (state === 'paused') open()
    },
    end(why) {
      ending ??= finish(why)
      return ending
    },
    fence(why) {
      settle()
      alarm?.cancel()
      state = 'ended'
      reason = why
      runsFrom = undefined
      tell({ t: 'gated', reason: 'lease' })
      drop()
    },
    reclaim(next, found) {
      epoch = next
      api.credit(found)
      if (state === 'gated' && gate === 'lease') open()
    },
    checkpoint() {
      settle()
      written = mark()
      return { id: plan.lane.id, epoch, units, used, replayed, state: rowState(state), since, reason }
    },
    get hasMoved() {
      settle()
      return mark() !== written
    },
    need() {
      const { accepted, consumed } = standing
      if (plan.lane.grade === 'A') return accepted + costOf(rate, terms.buy)
      const wanted = consumed + (used - standing.used) + windowCost
      return wanted > accepted ? wanted : accepted + 1n
    },
    ttl() {
      if (terms.unit !== 'second') return undefined
      return Number(unitsFor(rate, own() + standing.ahead) - units) / 1e9
    },
  }
  return api

  function mark(): string {
    return `${units} ${replayed} ${state === 'low' ? 'flowing' : state}`
  }
  /** Whether there is credit for so much, whatever the lane is doing. */
  function pays(more: Units): boolean {
    const paid = greater(0n, more - free)
    return paid === 0n ? free > 0n || unitsFor(rate, own()) > units : costOf(rate, units + paid) <= own()
  }
  /** From where a holder has his content: what he missed of the last window costs nothing again, seldom enough (M25). */
  function startOf(from: Units = units): Units {
    const most = unitsFor(rate, own())
    if (from >= units) {
      // He knows better than a checkpoint what arrived, as long as it was granted.
      units = greater(units, lesser(from, most))
      used = costOf(rate, units)
      free = 0n
      return units
    }
    const allowance = terms.window + units / replayedPart - replayed
    free = greater(0n, lesser(lesser(units - from, terms.window), allowance))
    return from
  }
  async function finish(why: string): Promise<LaneReceipt> {
    settle()
    if (state === 'ended') return { sid: plan.sid, units, used, reason: reason ?? why }
    alarm?.cancel()
    enter('ended')
    reason = why
    const late = waiting
    waiting = []
    for (const { answer } of late) answer(false)
    await keeper.finish(api, why)
    tell({ t: 'receipt', reason: why })
    tell({ t: 'end', reason: why })
    drop()
    return { sid: plan.sid, units, used, reason: why }
  }
  function handleOf(mine: Holder): Lane {
    return {
      sid: plan.sid,
      unit: terms.unit,
      clock: terms.clock,
      from: mine.from,
      signal: mine.over.signal,
      get state() {
        return holder === mine || state === 'ended' ? state : 'detached'
      },
      get units() {
        return api.units
      },
      get used() {
        return api.used
      },
      get granted() {
        return own()
      },
      remaining() {
        settle()
        return holder === mine && isFlowing() && isLeased() ? unitsFor(rate, own()) - units + free : 0n
      },
      debit: (more) => ask(mine, { units: more, pays: true }),
      ready: (more) => ask(mine, { units: more, pays: false }),
      take(most, step) {
        if (holder !== mine || !isFlowing() || !isLeased() || waiting.length > 0) return 0n
        settle()
        const left = unitsFor(rate, own()) - units + free
        const some = lesser(most, left) / step
        if (some > 0n) pay(some * step)
        return some > 0n ? some * step : 0n
      },
      hear(listener) {
        mine.hearing.add(listener)
        return () => void mine.hearing.delete(listener)
      },
      release() {
        if (holder === mine && state !== 'ended') detach()
      },
      end: (why = 'finished') => (holder === mine || ending !== undefined ? api.end(why) : Promise.resolve(standingReceipt())),
    }
  }
  function standingReceipt(): LaneReceipt {
    return { sid: plan.sid, units, used, reason: 'resumed elsewhere' }
  }
}

function rowState(state: LaneState): LaneCheckpoint['state'] {
  if (state === 'paused' || state === 'detached' || state === 'ended') return state
  return 'open'
}
