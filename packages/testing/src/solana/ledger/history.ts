import type { Address } from '@solana/kit'
import type { Entry } from './bank.ts'
import type { Commitment, Slots } from './slots.ts'

/** The transactions that blocks hold, as far back as they are kept. */
export type History = {
  /** All transactions there ever were. */
  count(): number
  add(entry: Entry): void
  /** Undefined also while the commitment does not see it yet. */
  get(signature: string, commitment: Commitment): Entry | undefined
  /** Newest first. */
  ofAddress(address: Address, commitment: Commitment): Entry[]
  /** In the order in which they ran. */
  inSlot(slot: bigint): Entry[]
}

const kept = 10_000

/** Keeps the last 10,000 transactions. */
export function createHistory(slots: Slots): History {
  const entries = new Map<string, Entry>()
  const seen = (commitment: Commitment) => (entry: Entry) => entry.slot <= slots.slot(commitment)
  let count = 0
  return {
    count: () => count,
    add(entry) {
      count += 1
      entries.set(entry.signature, entry)
      const [oldest] = entries.keys()
      if (entries.size > kept && oldest !== undefined) entries.delete(oldest)
    },
    get(signature, commitment) {
      const entry = entries.get(signature)
      return entry !== undefined && seen(commitment)(entry) ? entry : undefined
    },
    ofAddress: (address, commitment) =>
      [...entries.values()].filter((entry) => seen(commitment)(entry) && entry.keys.some((key) => key.address === address)).reverse(),
    inSlot: (slot) => [...entries.values()].filter((entry) => entry.slot === slot),
  }
}
