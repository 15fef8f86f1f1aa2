import type { JournalStore } from '@flow402x/core'
import type { Desk } from './desk.ts'
import type { OnEvent } from './events.ts'

/** What finishes the work of processes that died. */
export type Recovery = {
  /** Looks once, and then every few seconds; it never rejects, and what failed is tried again. */
  start(): Promise<void>
  stop(): void
}

/** What is looked through; `clock` in Unix milliseconds. */
export type RecoveryOptions = {
  readonly desks: readonly Desk[]
  readonly journal: JournalStore
  readonly clock: () => number
  readonly onEvent: OnEvent
}

const lookAgain = 1000

/**
 * Slots whose signer nobody holds are finished (K3, K4). For a payment that was taken in and never signed for nothing was sent
 * (K1, K2): it is forgotten, and settles for whoever hands it in again.
 */
export function createRecovery({ desks, journal, clock, onEvent }: RecoveryOptions): Recovery {
  let started: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  return {
    start() {
      started ??= run()
      return started
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }

  async function run(): Promise<void> {
    try {
      for (const lanes of new Set(desks.map((desk) => desk.lanes))) await lanes.recover()
      for await (const settlement of journal.abandoned(clock())) {
        if (desks.some(({ settlements }) => settlements.works(settlement.id))) continue
        await journal.conclude(settlement, undefined)
      }
    } catch (error) {
      for (const network of new Set(desks.map(({ scheme }) => scheme.network))) onEvent({ type: 'journalFailed', network, error })
    }
    if (stopped) return
    timer = setTimeout(() => void run(), lookAgain)
    timer.unref()
  }
}
