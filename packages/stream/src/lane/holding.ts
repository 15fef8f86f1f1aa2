import { lesser, type StreamTerms, type Units } from '@flow402x/core/stream'
import type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane.ts'
import { affords, begin, goOnAt, left, leftOf, type Meter, pay, startAt, unitsOf, usedOf } from './meter.ts'

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
  /** What is told of it, as it stands now. */
  event(t: LaneEvent['t'], why?: string): LaneEvent
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

/** Whose turn it is. `over` is what his signal is of, if he asked for one. */
type Holder = { readonly lane: Held; readonly from: Units; over: AbortController | undefined; hearing: readonly Hear[] }

// Those of nobody, which all lanes share that nobody waits for, or hears.
const nobody: readonly Waiting[] = []
const unheard: readonly Hear[] = []

/** A lane that nobody delivers over yet. */
export function createHolding(): Holding {
  return { holder: undefined, waiting: nobody }
}

/** A new holder, in the place of the one before. */
export function take(lane: Held, from: Units | undefined): Lane {
  drop(lane)
  const mine: Holder = { lane, from: startAt(lane.meter, from), over: undefined, hearing: unheard }
  lane.holding.holder = mine
  return Object.setPrototypeOf({ mine }, handle)
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
  for (const hear of holding.holder?.hearing ?? unheard) hear(event)
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
  const { holder } = lane.holding
  lane.holding.holder = undefined
  if (holder === undefined) return
  holder.over?.abort()
  const event = lane.event('over')
  for (const hear of holder.hearing) hear(event)
}

function fits(lane: Held, more: Units): boolean {
  return lane.isOpen() && affords(lane.meter, more)
}

function pass(lane: Held, { units, pays }: Asked): void {
  const { meter } = lane
  if (!pays || (units === 0n && !meter.isTimed)) return
  const stood = begin(meter)
  pay(meter, units)
  lane.paid()
  // Its payer hears that time goes on, and from where.
  if (stood) tell(lane, lane.event('open'))
}

function ask(mine: Holder, asked: Asked): boolean | Promise<boolean> {
  const { units, pays } = asked
  const { lane } = mine
  const { holding } = lane
  if (holding.holder !== mine || lane.state() === 'ended') return false
  if (holding.waiting.length === 0 && fits(lane, units)) {
    pass(lane, asked)
    return true
  }
  return new Promise((answer) => {
    holding.waiting = holding.waiting.concat({ units, pays, answer })
    lane.waits()
  })
}

/** Whether it is his yet. */
function holds(mine: Holder): boolean {
  return mine.lane.holding.holder === mine
}

/** What a holder has in his hands. One object does it for all of them: functions of each one's own would be kept as long as he holds. */
const handle: Lane & ThisType<{ readonly mine: Holder } & Lane> = {
  get sid() {
    return this.mine.lane.sid
  },
  get unit() {
    return this.mine.lane.terms.unit
  },
  get clock() {
    return this.mine.lane.terms.clock
  },
  get state() {
    const state = this.mine.lane.state()
    return holds(this.mine) || state === 'ended' ? state : 'detached'
  },
  get from() {
    return this.mine.from
  },
  get units() {
    return unitsOf(this.mine.lane.meter)
  },
  get used() {
    return usedOf(this.mine.lane.meter)
  },
  get granted() {
    return this.mine.lane.meter.granted
  },
  get signal() {
    const { mine } = this
    if (mine.over === undefined) {
      mine.over = new AbortController()
      if (!holds(mine)) mine.over.abort()
    }
    return mine.over.signal
  },
  remaining() {
    const { lane } = this.mine
    return holds(this.mine) && lane.isOpen() ? leftOf(lane.meter) : 0n
  },
  debit(units) {
    return ask(this.mine, { units, pays: true })
  },
  ready(units) {
    return ask(this.mine, { units, pays: false })
  },
  left() {
    if (holds(this.mine)) left(this.mine.lane.meter)
  },
  goOnAt(units) {
    if (holds(this.mine)) goOnAt(this.mine.lane.meter, units)
  },
  take(most, step) {
    const { lane } = this.mine
    if (!holds(this.mine) || !lane.isOpen() || lane.holding.waiting.length > 0) return 0n
    const some = (lesser(most, leftOf(lane.meter)) / step) * step
    if (some > 0n) pass(lane, { units: some, pays: true })
    return some
  },
  hear(listener) {
    const { mine } = this
    // Not `[…]`, which leaves room for sixteen more.
    mine.hearing = mine.hearing.concat(listener)
    return () => {
      mine.hearing = mine.hearing.filter((one) => one !== listener)
    }
  },
  release() {
    const { lane } = this.mine
    if (holds(this.mine) && lane.state() !== 'ended') lane.detach()
  },
  end(reason = 'finished') {
    const { lane } = this.mine
    if (holds(this.mine) || lane.state() === 'ended') return lane.end(reason)
    const { units, used } = this
    return Promise.resolve({ sid: lane.sid, units, used, reason: 'resumed elsewhere' })
  },
}
