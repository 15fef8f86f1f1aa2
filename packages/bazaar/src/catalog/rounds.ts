import type { CatalogueEntry, CatalogueStore } from '@flow402x/core/bazaar'
import type { BazaarEvent } from './bazaar.ts'
import type { Listings } from './listings.ts'

/** With what is looked, and how often. Times in milliseconds. */
export type RoundsOptions = {
  readonly catalogue: CatalogueStore
  readonly listings: Listings
  readonly atOnce: number
  readonly tick: number
  /** Longer than a look may take, so that nobody else takes what is being looked at. */
  readonly lease: number
  readonly clock: () => number
  readonly onEvent: (event: BazaarEvent) => void
  readonly closed: AbortSignal
}

/** Looks at what is due. */
export type Rounds = { round(): Promise<number>; start(): void; close(): Promise<void> }

/** Looks at what is due, a few at a time, for as long as it is open. */
export function createRounds({ catalogue, listings, atOnce, tick, lease, clock, onEvent, closed }: RoundsOptions): Rounds {
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<number> | undefined

  async function lookRound(): Promise<number> {
    let looked = 0
    try {
      while (!closed.aborted) {
        const now = clock()
        const entries = await catalogue.due({ now, until: now + lease, most: atOnce })
        if (entries.length === 0) break
        for (const end of await Promise.allSettled(entries.map(lookAt))) {
          if (end.status === 'fulfilled') looked += 1
          else if (!closed.aborted) onEvent({ type: 'failed', what: 'round', error: end.reason })
        }
      }
    } catch (error) {
      onEvent({ type: 'failed', what: 'round', error })
    }
    return looked
  }

  async function lookAt(entry: CatalogueEntry): Promise<void> {
    const { key, state, reason } = (await listings.lookAt(entry, closed)) ?? entry
    onEvent({ type: 'looked', key, state, reason })
  }

  function round(): Promise<number> {
    running ??= lookRound().finally(() => {
      running = undefined
    })
    return running
  }

  return {
    round,
    start() {
      const next = async (): Promise<void> => {
        await round()
        if (!closed.aborted) timer = setTimeout(() => void next(), tick)
      }
      void next()
    },
    async close() {
      clearTimeout(timer)
      await running
    },
  }
}
