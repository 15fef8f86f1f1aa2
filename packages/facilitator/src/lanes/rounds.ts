import type { OnEvent } from '../engine/events.ts'

/** A loop that looks at the chain. */
export type Rounds = {
  /** Looks at once. */
  poke(): void
  /** Goes on looking at the usual pace. */
  start(): void
  stop(): void
}

/** What the loop looks at. */
export type RoundsOptions = {
  readonly network: string
  readonly onEvent: OnEvent
  /** One look; says whether it found something new. */
  readonly look: () => Promise<boolean>
  /** Whether there is something that must be seen soon. */
  readonly waiting: () => boolean
  /** Whether there is something that may wait. */
  readonly sleeping: () => boolean
  /** Milliseconds between two looks while things happen; 50 unless told, which no payer notices. */
  readonly fastest?: number
  /** Milliseconds between two looks while something waits and nothing happens; a second unless told, for the sake of long waits. */
  readonly patient?: number
}

// What may wait costs one request a second.
const slowest = 1000

/** Looks at once when poked, then fast while things happen, and slower and slower while nothing does. */
export function createRounds({ network, onEvent, look, waiting, sleeping, fastest = 50, patient = slowest }: RoundsOptions): Rounds {
  let interval = fastest
  let timer: NodeJS.Timeout | undefined
  let inRound = false
  let scheduled = false
  let poked = false
  let stopped = false

  return {
    poke() {
      interval = fastest
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
      if (await look()) interval = fastest
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
