import type { Units } from '@flow402x/core/stream'

/** How fast the seconds of a programme are bought, over all of its lanes. */
export interface Pace {
  /** For how long so many more are too early, in milliseconds; nothing where they are not. */
  early(more: Units, ahead: Units): number
  /** So many were bought. */
  bought(units: Units): void
}

/** No faster than `speed` times as fast as time passes, from now on. `now` is monotonic, in milliseconds. */
export function createPace(speed: number, now: () => number): Pace {
  const began = now()
  let sum = 0n
  return {
    early: (more, ahead) => Math.ceil(Number(sum + more - ahead) / 1e6 / speed - (now() - began)),
    bought(units) {
      sum += units
    },
  }
}
