import type { Address, MaybeEncodedAccount } from '@solana/kit'
import type { Commitment, Slots } from './slots.ts'

/** Accounts as they were, for the commitments that do not see the newest writes yet. */
export type Journal = {
  /** An account as a commitment sees it, if that is not how it is now. */
  get(address: Address, commitment: Commitment): MaybeEncodedAccount | undefined
  /** All accounts that a commitment sees otherwise than they are now. */
  all(commitment: Commitment): MaybeEncodedAccount[]
  write(before: readonly MaybeEncodedAccount[]): void
  forget(address: Address): void
}

/** Keeps accounts until their writes are finalized. */
export function createJournal(slots: Slots): Journal {
  const writes = new Map<Address, { slot: bigint; before: MaybeEncodedAccount }[]>()
  const get: Journal['get'] = (address, commitment) => writes.get(address)?.find(({ slot }) => slot > slots.slot(commitment))?.before
  slots.onStep(() => {
    const finalized = slots.slot('finalized')
    for (const [address, all] of writes) {
      const open = all.filter(({ slot }) => slot > finalized)
      if (open.length === 0) writes.delete(address)
      else writes.set(address, open)
    }
  })
  return {
    get,
    all: (commitment) => [...writes.keys()].flatMap((address) => get(address, commitment) ?? []),
    write(before) {
      const slot = slots.slot('processed')
      for (const account of before) {
        const earlier = writes.get(account.address)
        if (earlier === undefined) writes.set(account.address, [{ slot, before: account }])
        else if (earlier.at(-1)?.slot !== slot) earlier.push({ slot, before: account })
      }
    },
    forget: (address) => writes.delete(address),
  }
}
