import { lesser, type Units } from '@flow402x/core/stream'
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
import { affords, leftOf, type Meter, pay, startAt, unitsOf, usedOf } from './meter.ts'

/** What holding a lane needs of it. */
export type Held = {
  readonly sid: string
  readonly unit: string
  readonly clock: 'wall' | 'media'
  readonly meter: Meter
  state(): LaneState
  /** Whether something may be delivered now, as far as it can be paid. */
  isOpen(): boolean
  /** Something was paid. */
  paid(): void
  /** Somebody waits for credit. */
  waits(): void
  detach(): void
  end(reason: string): Promise<LaneReceipt>
}

/** Who delivers over a lane: one at a time, and he waits here where there is no credit. */
export interface Holding {
  take(from: Units | undefined): Lane
  /** Lets everybody pass who can be paid for now; whether somebody still waits. */
  serve(): boolean
  /** What the first one waits for. */
  wanted(): Units
  tell(event: LaneEvent): void
  /** Tells all who wait that nothing comes; the holder as well, that it is over. */
  refuse(): void
  drop(): void
}

type Waiting = { readonly units: Units; readonly pays: boolean; readonly answer: (isPaid: boolean) => void }
type Holder = { readonly over: AbortController; readonly from: Units; readonly hearing: Set<(event: LaneEvent) => void> }

type Figures = Pick<Lane, 'state' | 'units' | 'used' | 'granted'>
type Looking = { readonly look: () => { readonly meter: Meter; readonly state: LaneState } }

/** What handles say by getters: one object for all of them, since getters of its own would double what a handle weighs. */
const figures: Figures & ThisType<Looking> = {
  get state() {
    return this.look().state
  },
  get units() {
    return unitsOf(this.look().meter)
  },
  get used() {
    return usedOf(this.look().meter)
  },
  get granted() {
    return this.look().meter.granted
  },
}

function withFigures(handle: Omit<Lane, keyof Figures> & Looking): Lane {
  return Object.assign(Object.create(figures), handle)
}

/** The holding of a lane. */
export function createHolding(held: Held): Holding {
  const { meter } = held
  let holder: Holder | undefined
  let waiting: Waiting[] = []

  const fits = (more: Units): boolean => held.isOpen() && affords(meter, more)
  const pass = ({ units, pays }: Pick<Waiting, 'units' | 'pays'>): void => {
    if (!pays || units === 0n) return
    pay(meter, units)
    held.paid()
  }
  const ask = (mine: Holder, asked: Pick<Waiting, 'units' | 'pays'>): boolean | Promise<boolean> => {
    if (holder !== mine || held.state() === 'ended') return false
    if (waiting.length === 0 && fits(asked.units)) {
      pass(asked)
      return true
    }
    return new Promise((answer) => {
      waiting.push({ ...asked, answer })
      held.waits()
    })
  }
  const handleOf = (mine: Holder): Lane =>
    withFigures({
      sid: held.sid,
      unit: held.unit,
      clock: held.clock,
      from: mine.from,
      signal: mine.over.signal,
      look: () => ({ meter, state: holder === mine || held.state() === 'ended' ? held.state() : 'detached' }),
      remaining: () => (holder === mine && held.isOpen() ? leftOf(meter) : 0n),
      debit: (units) => ask(mine, { units, pays: true }),
      ready: (units) => ask(mine, { units, pays: false }),
      take(most, step) {
        if (holder !== mine || !held.isOpen() || waiting.length > 0) return 0n
        const left = leftOf(meter)
        const some = (lesser(most, left) / step) * step
        if (some > 0n) pass({ units: some, pays: true })
        return some
      },
      hear(listener) {
        mine.hearing.add(listener)
        return () => void mine.hearing.delete(listener)
      },
      release() {
        if (holder === mine && held.state() !== 'ended') held.detach()
      },
      end(reason = 'finished') {
        if (holder === mine || held.state() === 'ended') return held.end(reason)
        return Promise.resolve({ sid: held.sid, units: unitsOf(meter), used: usedOf(meter), reason: 'resumed elsewhere' })
      },
    })
  const holding: Holding = {
    take(from) {
      holding.drop()
      holder = { over: new AbortController(), from: startAt(meter, from), hearing: new Set() }
      return handleOf(holder)
    },
    serve() {
      for (let [first] = waiting; first !== undefined && fits(first.units); [first] = waiting) {
        waiting.shift()
        pass(first)
        first.answer(true)
      }
      return waiting.length > 0
    },
    wanted: () => waiting[0]?.units ?? 0n,
    tell(event) {
      for (const hear of holder?.hearing ?? []) hear(event)
    },
    refuse() {
      const late = waiting
      waiting = []
      for (const { answer } of late) answer(false)
    },
    drop() {
      holding.refuse()
      holder?.over.abort()
      holder = undefined
    },
  }
  return holding
}
