import type { JournalStore, SignerLease } from '@flow402x/core'

/** The lease of one signer, as far as this process has it. */
export type Hold = {
  /** The lease, while it is known to be ours. */
  readonly lease: SignerLease | undefined
  /** Takes the lease or keeps it, and says whether it is ours. Errors: those of the journal. */
  take(): Promise<boolean>
  /** Forgets the lease, after something said that it has passed on. */
  lose(): void
  /** Lets others have it. */
  release(): Promise<void>
}

/** Who holds what for how long; `clock` in Unix milliseconds. */
export type HoldOptions = {
  readonly journal: JournalStore
  readonly network: string
  readonly signer: string
  readonly owner: string
  readonly milliseconds: number
  readonly clock: () => number
  /** Called with a lease that was not ours before, and awaited before it is used. */
  readonly taken: () => Promise<void>
}

/** A signer sends from one process at a time (M18): its lease is renewed when half of it is over. */
export function createHold({ journal, network, signer, owner, milliseconds, clock, taken }: HoldOptions): Hold {
  let lease: SignerLease | undefined
  let taking: Promise<boolean> | undefined

  return {
    get lease() {
      return lease
    },
    take() {
      if (lease !== undefined && taking === undefined && lease.until - clock() > milliseconds / 2) return Promise.resolve(true)
      taking ??= ask().finally(() => {
        taking = undefined
      })
      return taking
    },
    lose() {
      lease = undefined
    },
    async release() {
      const held = lease
      lease = undefined
      if (held !== undefined) await journal.release(held)
    },
  }

  async function ask(): Promise<boolean> {
    const now = clock()
    const got = await journal.lease({ network, signer, owner, now, until: now + milliseconds })
    const before = lease?.epoch
    lease = got
    if (got === undefined) return false
    if (got.epoch === before) return true
    try {
      await taken()
    } catch (error) {
      lease = undefined
      throw error
    }
    return lease !== undefined
  }
}
