import type { OnEvent } from '../engine/events.ts'

/** A loop that looks at the chain. */
export type Rounds = {
  /** Looks at once. */
  poke(): void
  /** Goes on looking at the usual pace. */
  start(): void
  /** Whether the chain has mined of late nearly at once what it was sent. */
  readonly quick: boolean
  stop(): void
}

/** What the loop looks at. */
export type RoundsOptions = {
  readonly network: string
  readonly onEvent: OnEvent
  /** One look; gives the milliseconds for which the oldest of what it found was under way, and nothing where nothing was new. */
  readonly look: () => Promise<number | undefined>
  /** Whether there is something that must be seen soon. */
  readonly waiting: () => boolean
  /** Whether there is something that may wait. */
  readonly sleeping: () => boolean
  /** Milliseconds between two looks while things happen, on a chain that takes its time; 50 unless told, which no payer notices. */
  readonly fastest?: number
  /** Milliseconds between two looks while something waits and nothing happens; a second unless told, for the sake of long waits. */
  readonly patient?: number
}

// What may wait costs one request a second.
const slowest = 1000
// A chain is looked at twice in the time that it takes: nodes count calls. And so often at most, in milliseconds.
const looks = 2
const soonest = 2

/**
 * Looks at once when poked, then fast while things happen, and slower and slower while nothing does. How fast, a chain that mines
 * sooner than it would be looked at has shown.
 */
export function createRounds({ network, onEvent, look, waiting, sleeping, fastest = 50, patient = slowest }: RoundsOptions): Rounds {
  // What took longest of late counts: one block that came just in time does not make a chain quick.
  let took = looks * fastest
  let interval = fastest
  let timer: NodeJS.Timeout | undefined
  let inRound = false
  let scheduled = false
  let poked = false
  let stopped = false

  return {
    get quick() {
      return took < fastest
    },
    poke() {
      interval = pace()
      poked = true
      schedule(0)
    },
    start() {
      if (!scheduled) schedule(interval)
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }

  function pace(): number {
    return Math.min(Math.max(took / looks, soonest), fastest)
  }

  function schedule(milliseconds: number): void {
    if (inRound || stopped) return
    clearTimeout(timer)
    scheduled = true
    timer = setTimeout(() => void round(), milliseconds)
    // Who waits for an answer keeps the process alive, not the looking.
    timer.unref()
  }

  async function round(): Promise<void> {
    inRound = true
    scheduled = false
    poked = false
    try {
      const found = await look()
      if (found !== undefined) {
        took = Math.max(found, took / 2)
        interval = pace()
      }
    } catch (error) {
      onEvent({ type: 'journalFailed', network, error })
    }
    inRound = false
    if (poked) schedule(0)
    else if (waiting()) schedule(interval)
    else if (sleeping()) schedule(slowest)
    interval = Math.min(interval * 1.5, patient)
  }
}
