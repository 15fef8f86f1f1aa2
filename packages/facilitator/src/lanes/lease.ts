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

/** How a process shares a signer with others. */
export type Turns = {
  /** Whether another process was seen to hold the signer. */
  readonly elsewhere: boolean
  /** Takes the signer, or keeps it; now and then it lets others have it first. Errors: those of the journal. */
  take(): Promise<boolean>
  /** A turn begins. */
  begin(): void
  /** There is something to do. */
  busy(): void
  /** There is nothing to do. */
  idle(): void
  stop(): void
}

/** What a process shares. */
export type TurnsOptions = {
  readonly hold: Hold
  /** Whether other processes may want the signer. */
  readonly shared: boolean
  /** Whether there is nothing to do. */
  readonly nothing: () => boolean
  readonly pause: () => Promise<unknown>
  readonly failed: (error: unknown) => void
}

// A signer that has nothing to do is kept this long, and under load this long at a time before another may have it.
const linger = 250
const turn = 2000
// So long a signer that another process holds is not asked for where there are others.
const deniedFor = 500

/** Takes turns. */
export function createTurns({ hold, shared, nothing, pause, failed }: TurnsOptions): Turns {
  let deniedAt = Number.NEGATIVE_INFINITY
  let since = 0
  let letGo: NodeJS.Timeout | undefined
  let stopped = false
  return {
    get elsewhere() {
      return performance.now() < deniedAt + deniedFor
    },
    async take() {
      if (shared && hold.lease !== undefined && performance.now() > since + turn) {
        await hold.release()
        await pause()
      }
      const ours = await hold.take()
      deniedAt = ours ? Number.NEGATIVE_INFINITY : performance.now()
      return ours
    },
    begin() {
      since = performance.now()
    },
    busy() {
      clearTimeout(letGo)
    },
    idle() {
      // Others may have the signer when there is nothing to do, but not between two payments of a busy time.
      clearTimeout(letGo)
      if (!shared || stopped) return
      letGo = setTimeout(() => {
        if (nothing()) hold.release().catch(failed)
      }, linger)
      letGo.unref()
    },
    stop() {
      stopped = true
      clearTimeout(letGo)
    },
  }
}
