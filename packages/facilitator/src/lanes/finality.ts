import type { Outcome, Slot } from '@flow402x/core'
import type { Sight } from './sight.ts'

/** The mined slots of one signer until they are final. */
export type Finality = {
  readonly any: boolean
  /** Whether one must be looked at again. */
  readonly due: boolean
  add(slot: Slot): void
  /** Takes over what the journal says; whatever was known before is forgotten. */
  load(slots: readonly Slot[]): void
  clear(): void
  /** Closes what still stands, and opens again what does not. */
  close(): Promise<void>
}

/** What finality asks; `finality` in milliseconds, `clock` in Unix milliseconds. */
export type FinalityOptions = {
  readonly sight: Sight
  readonly finality: number
  readonly clock: () => number
  readonly resolve: (slot: Slot, state: Slot['state'], outcomes: ReadonlyMap<string, Outcome>) => Promise<boolean>
  /** Its transaction was mined and is not any more (M17). */
  readonly reopen: (slot: Slot) => void
}

type Mined = { readonly slot: Slot; readonly due: number }

/** Looks at mined slots once more when their time has come. */
export function createFinality({ sight, finality, clock, resolve, reopen }: FinalityOptions): Finality {
  let mined: readonly Mined[] = []
  const dueNow = (): readonly Mined[] => mined.filter(({ due }) => due <= clock())

  return {
    get any() {
      return mined.length > 0
    },
    get due() {
      return dueNow().length > 0
    },
    add(slot) {
      mined = [...mined, { slot, due: clock() + finality }]
    },
    load(slots) {
      mined = slots.filter(({ state }) => state === 'mined').map((slot) => ({ slot, due: slot.since + finality }))
    },
    clear() {
      mined = []
    },
    async close() {
      const due = dueNow().toSorted((a, b) => (a.slot.nonce < b.slot.nonce ? 1 : -1))
      for (const [index, { slot }] of due.entries()) {
        // Nonces are mined in order, so the highest that still stands answers for all below it.
        if ((await sight.mined(slot)) !== undefined) return closeAll(due.slice(index))
        // The chain may be silent rather than changed: only what it says counts.
        if ((await sight.lost(slot)) !== true || !(await resolve(slot, 'open', new Map()))) return
        forget(slot)
        reopen(slot)
      }
    },
  }

  async function closeAll(standing: readonly Mined[]): Promise<void> {
    for (const { slot } of standing) {
      if (!(await resolve(slot, 'final', new Map()))) return
      forget(slot)
    }
  }

  function forget(slot: Slot): void {
    mined = mined.filter((one) => one.slot.nonce !== slot.nonce)
  }
}
