import type { AtomicRate } from '@flow402x/core'
import { costOf, greater, lesser, type Units, unitsFor } from '@flow402x/core/stream'

/**
 * Counts what a lane delivers, never more than it was granted: the time that goes by while something is delivered and `linger` (ms) longer, as
 * its payer counts it, or what is paid piece by piece. `now` never goes back (ms), and nothing is counted after `until`. That a clock stands
 * in silence is seen when it is asked: no timer stops it. A plain record, since thousands of lanes have one each.
 */
export type Meter = {
  readonly rate: AtomicRate
  readonly isTimed: boolean
  readonly window: Units
  readonly linger: number
  readonly now: () => number
  readonly until: () => number
  /** As they were last counted, and what they cost (atomic): `unitsOf` and `usedOf` count first. */
  units: Units
  used: bigint
  /** The most units that cost no more than `used`: as long as there are no more, nothing is divided. */
  covered: Units
  /** How much may be used, and the most units that cost no more. */
  granted: bigint
  limit: Units
  /** Units that were delivered once more for nothing, and those that still may be. */
  replayed: Units
  free: Units
  /** Since when its clock runs and is not counted. */
  runsFrom: number | undefined
  /** When the last of what was delivered had left; never yet, while something is under way. */
  leftAt: number
}

// Of what was delivered, this part may be delivered once more for nothing, beside one window.
const replayedPart = 10n

// Who writes once in each `linger` is late by a part of it now and then, and is not silent.
const latePart = 2

/** A meter whose clock stands still. */
export function createMeter(plan: Omit<Meter, 'covered' | 'limit' | 'free' | 'runsFrom' | 'leftAt'>): Meter {
  const { rate, isTimed, window, linger, now, until, units, used, granted, replayed } = plan
  const limit = unitsFor(rate, granted)
  const counted = { units, used, covered: -1n, granted, limit, replayed, free: 0n }
  return { rate, isTimed, window, linger, now, until, ...counted, runsFrom: undefined, leftAt: Number.NEGATIVE_INFINITY }
}

/** Units that were delivered, with the time that goes by. */
export function unitsOf(meter: Meter): Units {
  settle(meter)
  return meter.units
}

/** What they cost, in atomic units. */
export function usedOf(meter: Meter): bigint {
  settle(meter)
  return meter.used
}

/** Lets so much be used in all, from now on. */
export function grant(meter: Meter, granted: bigint): void {
  settle(meter)
  if (granted === meter.granted) return
  meter.granted = granted
  meter.limit = unitsFor(meter.rate, granted)
}

/** Lets the clock run, or stops it where it is. */
export function run(meter: Meter, runs: boolean): void {
  settle(meter)
  meter.runsFrom = runs && meter.isTimed ? (meter.runsFrom ?? meter.now()) : undefined
}

/** Something is delivered: time goes by until it has `left`. Says whether the clock stood, since nothing came for long. */
export function begin(meter: Meter): boolean {
  if (meter.runsFrom === undefined) return false
  const [at, late] = [meter.now(), meter.linger / latePart]
  let stood = false
  if (at > standsAt(meter) + late) {
    settle(meter)
    stood = at - meter.runsFrom > late
    meter.runsFrom = at
  }
  meter.leftAt = Number.POSITIVE_INFINITY
  return stood
}

/** What was delivered has left: from here on it is silent, until something more is. */
export function left(meter: Meter): void {
  if (meter.leftAt === Number.POSITIVE_INFINITY) meter.leftAt = meter.now()
}

/** When its clock stands still, if nothing more is delivered. */
export function standsAt({ leftAt, linger }: Meter): number {
  return leftAt + linger
}

/** Units that there is credit for. */
export function leftOf(meter: Meter): Units {
  settle(meter)
  return meter.limit - meter.units + meter.free
}

/** Whether there is credit for so much; for nothing where there is any. */
export function affords(meter: Meter, more: Units): boolean {
  if (meter.isTimed || more === 0n) return leftOf(meter) > 0n
  return costOf(meter.rate, meter.units + greater(0n, more - meter.free)) <= meter.granted
}

/** Counts what is delivered piece by piece. */
export function pay(meter: Meter, more: Units): void {
  if (meter.isTimed || more === 0n) return
  const again = lesser(more, meter.free)
  meter.free -= again
  meter.replayed += again
  count(meter, meter.units + more - again)
}

/** Where a holder begins who has his content up to `from`: what he missed of the last window costs nothing again, seldom enough (M25). */
export function startAt(meter: Meter, from: Units = meter.units): Units {
  settle(meter)
  meter.free = 0n
  const { units, isTimed, window } = meter
  if (isTimed) {
    // The first has a moment to begin; what others had under way is no more.
    if (units === 0n) meter.leftAt = meter.now()
    else if (meter.leftAt === Number.POSITIVE_INFINITY) meter.leftAt = Number.NEGATIVE_INFINITY
    return units
  }
  // He knows better than a checkpoint what arrived, as long as it was granted.
  if (from >= units) {
    if (from > units) count(meter, greater(units, lesser(from, meter.limit)))
    return meter.units
  }
  const allowance = window + units / replayedPart - meter.replayed
  meter.free = greater(0n, lesser(lesser(units - from, window), allowance))
  return from
}

/** His content goes on at this unit, whatever he said that he has: what comes after it and was not delivered costs. */
export function goOnAt(meter: Meter, at: Units): void {
  meter.free = lesser(meter.free, greater(0n, meter.units - at))
}

/** Counts the time that went by. */
function settle(meter: Meter): void {
  if (meter.runsFrom === undefined) return
  const elapsed = Math.floor((Math.min(meter.now(), meter.until(), standsAt(meter)) - meter.runsFrom) * 1e6)
  if (elapsed <= 0) return
  meter.runsFrom += elapsed / 1e6
  count(meter, greater(meter.units, lesser(meter.units + BigInt(elapsed), meter.limit)))
}

function count(meter: Meter, units: Units): void {
  meter.units = units
  if (units <= meter.covered) return
  meter.used = costOf(meter.rate, units)
  meter.covered = unitsFor(meter.rate, meter.used)
}
