import { costOf, type LaneStanding, lesser, type StreamTerms, unitsFor } from '@flow402x/core/stream'
import type { LaneEvent, LaneState } from './lane.ts'
import type { LaneKeeper } from './live.ts'
import { affords, type Meter, run, standsAt, unitsOf, usedOf } from './meter.ts'
import type { Alarm, Bell } from './timers.ts'

/**
 * The states of a lane (streaming.md §7.1), and what leads from one to the next: credit, time, its payer and its holder. It waits by the one
 * timer of its process, and while it is shut for nothing but an end. A plain record, since thousands of lanes have one each.
 */
export type Gate = {
  state: LaneState
  /** When it entered its state (Unix ms). */
  since: number
  /** Why it is shut. */
  reason: 'credit' | 'withdrawing' | 'lease' | undefined
  alarm: Alarm | undefined
  /** What is done when that rings. */
  due: (lane: Gated) => void
  isGrowing: boolean
  /** When the books are asked, where they said nothing before (on `now`). */
  asksAt: number
  /** What a window costs, and what is left where credit runs low. */
  readonly windowCost: bigint
  readonly lowCost: bigint
}

/** What a gate stands before: a lane. */
export interface Gated extends Bell {
  readonly gate: Gate
  readonly terms: StreamTerms
  readonly keeper: Pick<LaneKeeper, 'now' | 'clock' | 'leaseEnd' | 'timers' | 'patience'>
  readonly meter: Meter
  readonly standing: LaneStanding
  /** Lets pass who can be paid for, and says whether somebody still waits; for how much. */
  serve(): boolean
  wanted(): bigint
  drop(): void
  tell(t: LaneEvent['t'], why?: string): void
  grow(): Promise<void>
  end(reason: string): unknown
}

/** A gate that nobody has come to yet. */
export function createGate({ rate, window, tick }: StreamTerms, { clock, now }: Pick<LaneKeeper, 'clock' | 'now'>): Gate {
  const [since, asksAt] = [clock(), now() + betweenLooks]
  const [windowCost, lowCost] = [costOf(rate, window), costOf(rate, tick / 2n)]
  return { state: 'detached', since, reason: undefined, alarm: undefined, due: watch, isGrowing: false, asksAt, windowCost, lowCost }
}

// Where nothing is signed nothing asks the books, and a payer may take his money out meanwhile: what he was granted must not outlast that.
// Contracts let him after a quarter of an hour at the earliest, and for ten minutes a lane may be paused (ms).
const betweenLooks = 180_000
// Then: books that say nothing are asked again, and a lane whose money was on its way out has so long for what it was granted (ms).
const asksAgain = 10_000

/** Whether something may be delivered, as far as it can be paid. */
export function isOpen(lane: Gated): boolean {
  return isFlowing(lane) && isLeased(lane)
}

/** Opens, as far as there is credit for who waits. */
export function open(lane: Gated): void {
  const { gate, meter, terms } = lane
  silence(lane)
  if (isDrained(lane)) return
  const wasShut = gate.state === 'gated'
  gate.reason = undefined
  enter(lane, 'flowing')
  if (wasShut && isLeased(lane) && affords(meter, lane.wanted())) lane.tell('open')
  if (lane.serve() || (terms.clock === 'wall' && !affords(meter, 0n))) shut(lane)
  else watch(lane)
}

/** Shuts where something flowed: somebody waits, or the credit is used. */
export function shut(lane: Gated): void {
  if (!isFlowing(lane)) return
  const { gate, standing, keeper } = lane
  gate.reason = !isLeased(lane) ? 'lease' : standing.isDraining ? 'withdrawing' : 'credit'
  if (gate.reason === 'withdrawing') {
    drain(lane)
    return
  }
  enter(lane, 'gated')
  lane.tell('gated', gate.reason)
  if (gate.reason === 'credit') lane.tell('need')
  wait(lane, keeper.patience.gated, detach)
  if (lane.standing.ahead > 0n) grow(lane)
}

/** Looks what is to be done now, and when to look again. */
function watch(lane: Gated): void {
  if (!isFlowing(lane)) return
  const { gate, meter, terms, keeper } = lane
  const isTimed = terms.clock === 'wall'
  if (!isLeased(lane) || (isTimed && !affords(meter, 0n))) {
    shut(lane)
    return
  }
  if (isDrained(lane)) return
  const left = meter.granted - usedOf(meter)
  const { ahead } = lane.standing
  if (ahead > 0n && left < gate.windowCost / 2n) grow(lane)
  if (left + ahead <= gate.lowCost && gate.state === 'flowing') {
    enter(lane, 'low')
    lane.tell('low')
  }
  const [now, stands] = [keeper.now(), standsAt(meter)]
  const asks = gate.asksAt - now
  if (!isTimed) {
    if (gate.alarm?.bell === undefined) wait(lane, asks, look)
    return
  }
  const next = Math.min(untilNext(lane, left), keeper.leaseEnd() - now, asks)
  if (now + next < stands) wait(lane, next, watch)
  else if (lane.standing.isDraining && now >= stands) drain(lane)
  // Of a clock that stands still by then nothing comes: what is delivered next watches it again.
  else wait(lane, asks, look)
}

/** Something was paid. Who is watched anyway is not watched more closely for that. */
export function paid(lane: Gated): void {
  const { gate, terms } = lane
  if (terms.clock === 'media' || gate.due !== watch || gate.alarm?.bell === undefined) watch(lane)
}

/** The books said something new. */
export function credited(lane: Gated): void {
  const { gate, meter, keeper } = lane
  const { ahead, isDraining } = lane.standing
  if (!isDraining) gate.asksAt = keeper.now() + betweenLooks
  if (gate.state !== 'gated') {
    if (gate.state === 'low' && meter.granted - usedOf(meter) + ahead > gate.lowCost) enter(lane, 'flowing')
    watch(lane)
  } else if (isDraining && gate.reason === 'credit') drain(lane)
  else if (affords(meter, lane.wanted())) open(lane)
}

/** The lease that was lost is its own again. */
export function reclaimed(lane: Gated): void {
  if (lane.gate.state === 'gated' && lane.gate.reason === 'lease') open(lane)
}

/** Its payer wants nothing for a while. */
export function pause(lane: Gated): void {
  if (!isFlowing(lane) && lane.gate.state !== 'gated') return
  enter(lane, 'paused')
  wait(lane, lane.keeper.patience.paused, endPaused)
}

/** Its holder is gone. */
export function detach(lane: Gated): void {
  enter(lane, 'detached')
  lane.drop()
  wait(lane, lane.keeper.patience.detached, endIdle)
}

/** It is over. */
export function stop(lane: Gated): void {
  silence(lane)
  enter(lane, 'ended')
}

function isLeased({ keeper }: Gated): boolean {
  return keeper.now() < keeper.leaseEnd()
}

function isFlowing({ gate: { state } }: Gated): boolean {
  return state === 'flowing' || state === 'low'
}

function enter(lane: Gated, next: LaneState): void {
  const { gate, keeper, meter } = lane
  if (next !== 'low' && next !== gate.state) gate.since = keeper.clock()
  gate.state = next
  run(meter, isFlowing(lane))
}

function wait(lane: Gated, after: number, due: (lane: Gated) => void): void {
  const { gate, keeper } = lane
  silence(lane)
  gate.due = due
  gate.alarm = keeper.timers.at(keeper.now() + after, lane)
}

function silence({ gate: { alarm }, keeper }: Gated): void {
  if (alarm !== undefined) keeper.timers.cancel(alarm)
}

/** Asks the books in silence. */
function look(lane: Gated): void {
  if (!isDrained(lane)) wait(lane, lane.gate.asksAt - lane.keeper.now(), look)
}

/** Asks the books where it is time; or says that it is over, since its payer was taking his money out when they were asked. */
function isDrained(lane: Gated): boolean {
  const { gate, keeper, standing } = lane
  const now = keeper.now()
  if (now < gate.asksAt) return false
  if (standing.isDraining) {
    drain(lane)
    return true
  }
  gate.asksAt = now + asksAgain
  grow(lane)
  return false
}

function endPaused(lane: Gated): void {
  lane.end('paused for too long')
}

function endIdle(lane: Gated): void {
  lane.end('idle')
}

function grow(lane: Gated): void {
  const { gate } = lane
  if (gate.isGrowing) return
  gate.isGrowing = true
  void lane.grow().finally(() => {
    gate.isGrowing = false
  })
}

/** Its payer takes his money out: what he was granted was delivered, and nothing comes after that. */
function drain(lane: Gated): void {
  enter(lane, 'draining')
  lane.tell('gated', 'withdrawing')
  lane.end('withdrawn')
}

/** How long until more is to be granted, credit runs low, or it is over; in milliseconds. */
function untilNext({ gate, meter, standing: { ahead }, terms: { rate } }: Gated, left: bigint): number {
  const grows = ahead > 0n ? left - gate.windowCost / 2n : 0n
  const low = gate.state === 'flowing' ? left + ahead - gate.lowCost : 0n
  let next = grows > 0n ? lesser(grows, left) : left
  if (low > 0n) next = lesser(low, next)
  return Number(unitsFor(rate, usedOf(meter) + next) - unitsOf(meter)) / 1e6
}
