import { costOf, type LaneStanding, lesser, type StreamTerms, unitsFor } from '@flow402x/core/stream'
import type { LaneEvent, LaneState } from './lane.ts'
import type { LaneKeeper } from './live.ts'
import { affords, type Meter, run, unitsOf, usedOf } from './meter.ts'
import type { Alarm } from './timers.ts'

/** What a gate stands before. */
export type GatePlan = {
  readonly terms: StreamTerms
  readonly keeper: Pick<LaneKeeper, 'now' | 'leaseEnd' | 'timers' | 'patience'>
  readonly meter: Meter
  /** Unix milliseconds. */
  readonly clock: () => number
  readonly standing: () => LaneStanding
  /** Lets pass who can be paid for; whether somebody still waits, and for how much. */
  readonly serve: () => boolean
  readonly wanted: () => bigint
  readonly drop: () => void
  readonly tell: (t: LaneEvent['t'], why?: string) => void
  readonly grow: () => Promise<void>
  readonly end: (reason: string) => void
}

/** The states of a lane (streaming.md §7.1), and what leads from one to the next: credit, time, its payer and its holder. */
export interface Gate {
  state(): LaneState
  /** When it entered its state (Unix ms). */
  since(): number
  /** Whether something may be delivered, as far as it can be paid. */
  isOpen(): boolean
  open(): void
  /** Shuts where something flowed: somebody waits, or the credit is used. */
  shut(): void
  /** Looks what is to be done now, and when to look again. */
  watch(): void
  /** The books said something new. */
  credited(): void
  /** The lease that was lost is its own again. */
  reclaimed(): void
  pause(): void
  detach(): void
  stop(): void
}

/** A gate. It waits by the one timer of its process, and while it is shut for nothing but an end. */
export function createGate(plan: GatePlan): Gate {
  const { terms, keeper, meter, standing, tell, end } = plan
  const { now, leaseEnd, timers, patience } = keeper
  const isTimed = terms.clock === 'wall'
  const [windowCost, lowCost] = [costOf(terms.rate, terms.window), costOf(terms.rate, terms.tick / 2n)]
  let state: LaneState = 'detached'
  let since = plan.clock()
  let reason: 'credit' | 'withdrawing' | 'lease' | undefined
  let alarm: Alarm | undefined
  let isGrowing = false

  const isLeased = (): boolean => now() < leaseEnd()
  const isFlowing = (): boolean => state === 'flowing' || state === 'low'
  const enter = (next: LaneState): void => {
    if (next !== 'low' && next !== state) since = plan.clock()
    state = next
    run(meter, isFlowing())
  }
  const ring = (after: number, then: () => void): void => {
    alarm?.cancel()
    alarm = timers.at(now() + after, then)
  }
  const grow = (): void => {
    if (isGrowing) return
    isGrowing = true
    void plan.grow().finally(() => {
      isGrowing = false
    })
  }
  /** Its payer takes his money out: what he was granted was delivered, and nothing comes after that. */
  const drain = (): void => {
    enter('draining')
    tell('gated', 'withdrawing')
    end('withdrawn')
  }
  /** How long until more is to be granted, credit runs low, or it is over; in milliseconds. */
  const untilNext = (left: bigint): number => {
    const { ahead } = standing()
    const marks = [ahead > 0n ? left - windowCost / 2n : 0n, state === 'flowing' ? left + ahead - lowCost : 0n]
    const next = marks.filter((mark) => mark > 0n).reduce(lesser, left)
    return Number(unitsFor(terms.rate, usedOf(meter) + next) - unitsOf(meter)) / 1e6
  }
  const gate: Gate = {
    state: () => state,
    since: () => since,
    isOpen: () => isFlowing() && isLeased(),
    open() {
      alarm?.cancel()
      const wasShut = state === 'gated'
      reason = undefined
      enter('flowing')
      if (wasShut && isLeased() && affords(meter, plan.wanted())) tell('open')
      if (plan.serve() || (isTimed && !affords(meter, 0n))) gate.shut()
      else gate.watch()
    },
    shut() {
      if (!isFlowing()) return
      reason = !isLeased() ? 'lease' : standing().isDraining ? 'withdrawing' : 'credit'
      if (reason === 'withdrawing') {
        drain()
        return
      }
      enter('gated')
      tell('gated', reason)
      if (reason === 'credit') tell('need')
      ring(patience.gated, gate.detach)
      if (standing().ahead > 0n) grow()
    },
    watch() {
      if (!isFlowing()) return
      if (!isLeased() || (isTimed && !affords(meter, 0n))) {
        gate.shut()
        return
      }
      const left = meter.granted - usedOf(meter)
      const { ahead } = standing()
      if (ahead > 0n && left < windowCost / 2n) grow()
      if (left + ahead <= lowCost && state === 'flowing') {
        enter('low')
        tell('low')
      }
      if (isTimed) ring(Math.min(untilNext(left), leaseEnd() - now()), gate.watch)
    },
    credited() {
      const { ahead, isDraining } = standing()
      if (state !== 'gated') {
        if (state === 'low' && meter.granted - usedOf(meter) + ahead > lowCost) enter('flowing')
        gate.watch()
      } else if (isDraining && reason === 'credit') drain()
      else if (affords(meter, plan.wanted())) gate.open()
    },
    reclaimed() {
      if (state === 'gated' && reason === 'lease') gate.open()
    },
    pause() {
      if (!isFlowing() && state !== 'gated') return
      enter('paused')
      ring(patience.paused, () => end('paused for too long'))
    },
    detach() {
      enter('detached')
      plan.drop()
      ring(patience.detached, () => end('idle'))
    },
    stop() {
      alarm?.cancel()
      enter('ended')
    },
  }
  return gate
}
