import { createHash } from 'node:crypto'
import type { Slot } from '@flow402x/core'
import type { Rider } from './batch.ts'
import type { Judgement } from './judge.ts'
import type { Found, Sight } from './sight.ts'

/** What was mined, as it was judged. */
export type Judged = { readonly slot: Slot; readonly found: Found; readonly unpaid: readonly Rider[] }

/** The mined slots of one signer until nothing can undo them (M17). */
export type Finality = {
  readonly any: boolean
  /** Whether it is time to look. */
  readonly due: boolean
  /** Whether one of them was not to be found, so that it must be looked for soon. */
  readonly doubted: boolean
  add(judged: Judged): void
  /** Takes over what the journal says; whatever was known before is forgotten. */
  load(slots: readonly Slot[]): void
  clear(): void
  /** Closes what is final, and opens again what is gone. */
  close(): Promise<void>
}

/** What finality asks. */
export type FinalityOptions = {
  readonly sight: Sight
  /** Milliseconds between two looks. */
  readonly finality: number
  readonly judge: (slot: Slot, found: Found) => Promise<Judgement | undefined>
  /** It is final, and what was told of it still holds, or else `told` is what holds. */
  readonly closed: (slot: Slot, told: Judgement) => Promise<boolean>
  /** Its transaction was mined and is not any more. */
  readonly reopen: (slot: Slot) => Promise<boolean>
}

type Mined = {
  readonly slot: Slot
  /** Its block, as far as this process has seen it. */
  block: bigint | undefined
  /** What it did when it was judged; nothing where another process judged it. */
  readonly judged: { readonly print: string; readonly unpaid: readonly Rider[] } | undefined
  /** How often in a row the chain did not know it. */
  missed: number
}

const atOnce = 8
// One node may lag behind another (H30), so one answer does not make a transaction undone.
const proofs = 3

/** Looks at mined slots, at most once in `finality`, until the chain calls their blocks final. */
export function createFinality({ sight, finality, judge, closed, reopen }: FinalityOptions): Finality {
  let mined: readonly Mined[] = []
  let lookedAt = performance.now()
  const doubted = (): boolean => mined.some(({ missed }) => missed > 0)

  return {
    get any() {
      return mined.length > 0
    },
    get due() {
      return mined.length > 0 && (doubted() || performance.now() > lookedAt + finality)
    },
    get doubted() {
      return doubted()
    },
    add({ slot, found, unpaid }) {
      if (mined.length === 0) lookedAt = performance.now()
      mined = [...mined, { slot, block: found.status.block, judged: { print: printOf(found), unpaid }, missed: 0 }]
    },
    load(slots) {
      mined = slots.filter(({ state }) => state === 'mined').map((slot) => ({ slot, block: undefined, judged: undefined, missed: 0 }))
    },
    clear() {
      mined = []
    },
    async close() {
      lookedAt = performance.now()
      const final = await sight.final()
      if (final === undefined) return
      // The newest is the first that a reorg undoes, and where one is gone others are.
      const newest = mined.at(-1)
      const due = doubted() ? mined : mined.filter((one) => one === newest || one.block === undefined || one.block <= final)
      for (let at = 0; at < due.length; at += atOnce) {
        const done = await Promise.all(due.slice(at, at + atOnce).map((one) => look(one, final)))
        if (done.includes(false)) return
      }
    },
  }

  /** `false` when there is no use in going on. */
  async function look(one: Mined, final: bigint): Promise<boolean> {
    const { slot, judged } = one
    const seen = await sight.see(slot)
    if (seen === undefined) return false
    if (seen.state !== 'mined') return missing(one)
    one.missed = 0
    one.block = seen.status.block
    if (one.block > final) return true
    // In another block than before it may have done something else.
    const same = judged?.print === printOf(seen)
    const told = same ? { outcomes: new Map(), unpaid: judged.unpaid, undone: [] } : await judge(slot, seen)
    if (told === undefined) return true
    if (!(await closed(slot, told))) return false
    forget(one)
    return true
  }

  async function missing(one: Mined): Promise<boolean> {
    one.missed += 1
    if (one.missed < proofs) return true
    if (!(await reopen(one.slot))) return false
    forget(one)
    return true
  }

  function forget(gone: Mined): void {
    mined = mined.filter((one) => one !== gone)
  }
}

/** What a transaction did, wherever it was mined. */
function printOf({ transaction, status: { success, logs } }: Found): string {
  const effects = logs.map(({ address, topics, data }) => [address, topics, data])
  return createHash('sha256')
    .update(JSON.stringify([transaction, success, effects]))
    .digest('base64')
}
