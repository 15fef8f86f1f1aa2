import { lesser, type StreamTerms, type Units } from '@flow402x/core/stream'
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
import { affords, leftOf, type Meter, pay, startAt, unitsOf, usedOf } from './meter.ts'

/** Who delivers over a lane: one at a time, and he waits here where there is no credit. A plain record, as a gate is. */
export type Holding = { holder: Holder | undefined; waiting: readonly Waiting[] }

/** A lane as it is held. */
export interface Held {
  readonly sid: string
  readonly terms: Pick<StreamTerms, 'unit' | 'clock'>
  readonly meter: Meter
  readonly holding: Holding
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

type Asked = { readonly units: Units; readonly pays: boolean }
type Waiting = Asked & { readonly answer: (isPaid: boolean) => void }
type Hear = (event: LaneEvent) => void
type Holder = { readonly over: AbortController; readonly from: Units; readonly hearing: Set<Hear> }

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

// That of nobody, which all lanes share that nobody waits for.
const nobody: readonly Waiting[] = []

/** A lane that nobody delivers over yet. */
export function createHolding(): Holding {
  return { holder: undefined, waiting: nobody }
}

/** A new holder, in the place of the one before. */
export function take(lane: Held, from: Units | undefined): Lane {
  drop(lane)
  const holder = { over: new AbortController(), from: startAt(lane.meter, from), hearing: new Set<Hear>() }
  lane.holding.holder = holder
  return handleOf(lane, holder)
}

/** Lets everybody pass who can be paid for now; whether somebody still waits. */
export function serve(lane: Held): boolean {
  const { holding } = lane
  for (let [first] = holding.waiting; first !== undefined && fits(lane, first.units); [first] = holding.waiting) {
    holding.waiting = holding.waiting.slice(1)
    pass(lane, first)
    first.answer(true)
  }
  return holding.waiting.length > 0
}

/** What the first one waits for. */
export function wanted({ holding }: Held): Units {
  return holding.waiting[0]?.units ?? 0n
}

/** Tells its holder. */
export function tell({ holding }: Held, event: LaneEvent): void {
  for (const hear of holding.holder?.hearing ?? []) hear(event)
}

/** Tells all who wait that nothing comes. */
export function refuse({ holding }: Held): void {
  const late = holding.waiting
  holding.waiting = nobody
  for (const { answer } of late) answer(false)
}

/** The same, and its holder that it is over. */
export function drop(lane: Held): void {
  refuse(lane)
  lane.holding.holder?.over.abort()
  lane.holding.holder = undefined
}

function fits(lane: Held, more: Units): boolean {
  return lane.isOpen() && affords(lane.meter, more)
}

function pass(lane: Held, { units, pays }: Asked): void {
  if (!pays || units === 0n) return
  pay(lane.meter, units)
  lane.paid()
}

function ask(lane: Held, mine: Holder, asked: Asked): boolean | Promise<boolean> {
  const { holding } = lane
  if (holding.holder !== mine || lane.state() === 'ended') return false
  if (holding.waiting.length === 0 && fits(lane, asked.units)) {
    pass(lane, asked)
    return true
  }
  return new Promise((answer) => {
    holding.waiting = [...holding.waiting, { ...asked, answer }]
    lane.waits()
  })
}

function handleOf(lane: Held, mine: Holder): Lane {
  const { sid, terms, meter, holding } = lane
  const isMine = (): boolean => holding.holder === mine
  return withFigures({
    sid,
    unit: terms.unit,
    clock: terms.clock,
    from: mine.from,
    signal: mine.over.signal,
    look: () => ({ meter, state: isMine() || lane.state() === 'ended' ? lane.state() : 'detached' }),
    remaining: () => (isMine() && lane.isOpen() ? leftOf(meter) : 0n),
    debit: (units) => ask(lane, mine, { units, pays: true }),
    ready: (units) => ask(lane, mine, { units, pays: false }),
    take(most, step) {
      if (!isMine() || !lane.isOpen() || holding.waiting.length > 0) return 0n
      const some = (lesser(most, leftOf(meter)) / step) * step
      if (some > 0n) pass(lane, { units: some, pays: true })
      return some
    },
    hear(listener) {
      mine.hearing.add(listener)
      return () => void mine.hearing.delete(listener)
    },
    release() {
      if (isMine() && lane.state() !== 'ended') lane.detach()
    },
    end(reason = 'finished') {
      if (isMine() || lane.state() === 'ended') return lane.end(reason)
      return Promise.resolve({ sid, units: unitsOf(meter), used: usedOf(meter), reason: 'resumed elsewhere' })
    },
  })
}
