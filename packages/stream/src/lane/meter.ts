import type { AtomicRate } from '@flow402x/core'
import { costOf, greater, lesser, type Units, unitsFor } from '@flow402x/core/stream'

/** What a lane counts with. `now` never goes back (ms), and nothing is counted after `until`. */
export type MeterPlan = {
  readonly rate: AtomicRate
  readonly isTimed: boolean
  readonly window: Units
  readonly units: Units
  readonly used: bigint
  readonly replayed: Units
  readonly granted: bigint
  readonly now: () => number
  readonly until: () => number
}

/** Counts what a lane delivers, never more than it was granted: the time that goes by while it runs, or what is paid piece by piece. */
export interface Meter {
  readonly units: Units
  /** What they cost, in atomic units; and how much may be. */
  readonly used: bigint
  granted: bigint
  /** Units that were delivered once more for nothing. */
  readonly replayed: Units
  /** Lets the clock run, or stops it where it is. */
  run(runs: boolean): void
  /** Counts the time that went by. */
  settle(): void
  /** Units that there is credit for. */
  left(): Units
  /** Whether there is credit for so much; for nothing where there is any. */
  affords(more: Units): boolean
  pay(more: Units): void
  /** Where a holder begins who has his content up to `from`: what he missed of the last window costs nothing again, seldom enough (M25). */
  start(from?: Units): Units
}

// Of what was delivered, this part may be delivered once more for nothing, beside one window.
const replayedPart = 10n

/** A meter. */
export function createMeter(plan: MeterPlan): Meter {
  const { rate, isTimed, window, now, until } = plan
  let { units, used, replayed, granted } = plan
  let free: Units = 0n
  let runsFrom: number | undefined

  const limit = (): Units => unitsFor(rate, granted)
  const settle = (): void => {
    if (runsFrom === undefined) return
    const elapsed = BigInt(Math.floor((Math.min(now(), until()) - runsFrom) * 1e6))
    if (elapsed <= 0n) return
    runsFrom += Number(elapsed) / 1e6
    count(greater(units, lesser(units + elapsed, limit())))
  }
  const count = (next: Units): void => {
    units = next
    used = costOf(rate, units)
  }
  const meter: Meter = {
    get units() {
      settle()
      return units
    },
    get used() {
      settle()
      return used
    },
    get granted() {
      return granted
    },
    set granted(next) {
      settle()
      granted = next
    },
    get replayed() {
      return replayed
    },
    settle,
    run(runs) {
      settle()
      runsFrom = runs && isTimed ? (runsFrom ?? now()) : undefined
    },
    left() {
      settle()
      return limit() - units + free
    },
    affords(more) {
      if (isTimed || more === 0n) return meter.left() > 0n
      return costOf(rate, units + greater(0n, more - free)) <= granted
    },
    pay(more) {
      if (isTimed || more === 0n) return
      const again = lesser(more, free)
      free -= again
      replayed += again
      count(units + more - again)
    },
    start(from = units) {
      settle()
      free = 0n
      if (isTimed) return units
      // He knows better than a checkpoint what arrived, as long as it was granted.
      if (from >= units) {
        if (from > units) count(greater(units, lesser(from, limit())))
        return units
      }
      const allowance = window + units / replayedPart - replayed
      free = greater(0n, lesser(lesser(units - from, window), allowance))
      return from
    },
  }
  return meter
}
