import type { JournalStore, Outcome, PaymentKey, Settlement, Submission } from '@flow402x/core'

/** Who asks for a settlement: the seller's claim where it has one (M2), and what exactly it asked. */
export type Asker = {
  readonly claimId: string | undefined
  readonly submission: Submission
  /** Called when the payment is under way already: it is worth a look. */
  readonly again: () => void
}

/** What came of asking: an outcome, or, where there is none in time, the transaction that may be one. */
export type Answer = { readonly outcome: Outcome } | { readonly transaction: string | undefined }

/** What stands for each payment, by `PaymentKey.id`: the journal says it, this process waits for it. */
export type Settlements = {
  /** What stands for this payment, if anything does. */
  meet(key: PaymentKey, asker: Asker): Promise<Answer | undefined>
  /** Takes a payment in for which nothing stands and gives it to `work`. */
  run(key: PaymentKey, asker: Asker, work: (settlement: Settlement) => void): Promise<Answer>
  /** It rides in this transaction. */
  carried(id: string, transaction: string): void
  ended(id: string, outcome: Outcome): void
  /** Nothing was sent for it: forgets it, so that the same payment may try again, for whoever asks. `false` when it is too late. */
  forget(id: string): Promise<boolean>
  /** Whether this process works on a payment. */
  works(id: string): boolean
  /** Every wait ends now. */
  stop(): void
}

/** Times in milliseconds; `clock` in Unix milliseconds. */
export type SettlementsOptions = {
  readonly journal: JournalStore
  readonly owner: string
  readonly clock: () => number
  readonly confirmTimeout: number
}

type Waiter = { readonly end: (outcome: Outcome | undefined) => void; readonly sent: () => void }

const sweepMilliseconds = 60_000
// So long a process is believed to work on what it took in and has not signed for.
const queueLease = 10_000
// How often the journal is asked for a payment that another process works on, and for one of our own, in case we missed its end.
const askOthers = 100
const askOurselves = 2000

/**
 * One payment, one settlement (D1, A3). The same claim joins a settlement under way, gets the same end again, and has a
 * pending one looked up, also after a restart; any other claim gets `duplicate_settlement`.
 *
 * Open mode, without a claim: nobody can be told from anybody, so only a settlement that was answered `pending` is looked up
 * again, for the very same request, and a success is told once and never replayed (M2).
 */
export function createSettlements({ journal, owner, clock, confirmTimeout }: SettlementsOptions): Settlements {
  // What this process took in and has not seen the end of, with its transaction.
  const ours = new Map<string, { transaction: string | undefined }>()
  const waiting = new Map<string, Set<Waiter>>()
  // In open mode, what was answered pending and has been told to nobody since.
  const untold = new Map<string, { readonly text: string; readonly deadAfter: number }>()
  let nextSweep = 0
  let stopped = false

  return {
    async meet(key, asker) {
      const stands = await journal.find(key.id)
      if (stands === undefined || (mayBeTaken(stands) && !ours.has(key.id))) return undefined
      return answer(stands, { key, asker })
    },
    async run(key, asker, work) {
      await sweep()
      const { submission, claimId } = asker
      const now = clock()
      const fresh = { id: key.id, deadAfter: key.deadAfter, submission, owner, leaseUntil: now + queueLease }
      const asked = { ...fresh, ...(claimId === undefined ? {} : { claimId }) }
      let { begun, settlement } = await journal.begin(asked, now)
      // What a dead process had taken in for another claim is that claim's (M2). Nothing was sent for it: it ends, and this begins.
      if (begun && settlement.claimId !== claimId && (await journal.conclude(settlement, undefined)))
        ({ begun, settlement } = await journal.begin(asked, now))
      if (!begun || settlement.claimId !== claimId || ours.has(key.id)) return answer(settlement, { key, asker })
      ours.set(key.id, { transaction: undefined })
      const end = wait(key.id)
      // What a store read back is another object than the one that was verified and is remembered for it.
      work(settlement.epoch === 1 ? { ...settlement, submission } : settlement)
      return told(await end, { key, asker })
    },
    carried(id, transaction) {
      const row = ours.get(id)
      if (row !== undefined) row.transaction = transaction
      for (const waiter of waiting.get(id) ?? []) waiter.sent()
    },
    ended,
    async forget(id) {
      const settlement = await journal.find(id)
      if (settlement === undefined) return true
      if (settlement.slot !== undefined || settlement.outcome !== undefined) return false
      return journal.conclude(settlement, undefined)
    },
    works: (id) => ours.has(id),
    stop() {
      stopped = true
      for (const waiter of [...waiting.values()].flatMap((waiters) => [...waiters])) waiter.end(undefined)
    },
  }

  function ended(id: string, outcome: Outcome): void {
    ours.delete(id)
    for (const waiter of [...(waiting.get(id) ?? [])]) waiter.end(outcome)
  }

  function mayBeTaken({ slot, outcome, leaseUntil }: Settlement): boolean {
    return slot === undefined && outcome === undefined && leaseUntil <= clock()
  }

  async function answer(stands: Settlement, { key, asker }: { readonly key: PaymentKey; readonly asker: Asker }): Promise<Answer> {
    const sameClaim = asker.claimId !== undefined && asker.claimId === stands.claimId
    const openRepeat = asker.claimId === undefined && stands.claimId === undefined && mayTell(stands, asker)
    if (!sameClaim && !openRepeat) return { outcome: duplicate(key, asker, await transactionOf(stands)) }
    untold.delete(key.id)
    if (stands.outcome !== undefined) return { outcome: stands.outcome }
    asker.again()
    return told(await wait(key.id), { key, asker })
  }

  /** The official server repeats a pending settlement with the same body (wire.md §4): the same letters, so no parsing is needed. */
  function mayTell(stands: Settlement, { submission }: Asker): boolean {
    const text = JSON.stringify(submission)
    const left = untold.get(stands.id)
    if (left !== undefined) return left.text === text
    // Of a process that is gone: whoever asked it has been answered, or never will be.
    const answered = clock() > stands.leaseUntil + 2 * confirmTimeout
    return stands.outcome === undefined && !waiting.has(stands.id) && answered && JSON.stringify(stands.submission) === text
  }

  async function told(outcome: Outcome | undefined, { key, asker }: { readonly key: PaymentKey; readonly asker: Asker }): Promise<Answer> {
    if (outcome !== undefined) return { outcome }
    if (asker.claimId === undefined) untold.set(key.id, { text: JSON.stringify(asker.submission), deadAfter: key.deadAfter })
    const stands = await journal.find(key.id)
    if (stands?.outcome !== undefined) {
      untold.delete(key.id)
      return { outcome: stands.outcome }
    }
    return { transaction: stands && (await transactionOf(stands)) }
  }

  async function transactionOf({ id, slot, outcome }: Settlement): Promise<string | undefined> {
    const known = ours.get(id)?.transaction ?? outcome?.transaction
    if (known !== undefined || slot === undefined) return known
    const slots = await journal.slots(slot)
    return slots.find(({ nonce }) => nonce === slot.nonce)?.attempts.at(-1)?.transaction
  }

  /** The end of a payment, or nothing when its time is over: counted from its transaction, where this process sends it. */
  function wait(id: string): Promise<Outcome | undefined> {
    if (stopped) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const waiters = waiting.get(id) ?? new Set()
      waiting.set(id, waiters)
      const inLine = ours.get(id) !== undefined && ours.get(id)?.transaction === undefined
      let late = setTimeout(() => waiter.end(undefined), inLine ? 2 * confirmTimeout + 1000 : confirmTimeout)
      let asking = askLater()
      const waiter: Waiter = {
        sent() {
          clearTimeout(late)
          late = setTimeout(() => waiter.end(undefined), confirmTimeout)
        },
        end(outcome) {
          clearTimeout(late)
          clearTimeout(asking)
          waiters.delete(waiter)
          if (waiters.size === 0) waiting.delete(id)
          resolve(outcome)
        },
      }
      waiters.add(waiter)

      function askLater(): NodeJS.Timeout {
        return setTimeout(ask, ours.has(id) ? askOurselves : askOthers)
      }
      async function ask(): Promise<void> {
        const stands = await journal.find(id).catch(() => undefined)
        if (stands?.outcome !== undefined) return ended(id, stands.outcome)
        if (waiters.has(waiter)) asking = askLater()
      }
    })
  }

  async function sweep(): Promise<void> {
    const now = clock()
    if (now < nextSweep) return
    nextSweep = now + sweepMilliseconds
    for (const [id, row] of untold) if (isDead(row, now)) untold.delete(id)
    await journal.purge(now)
  }
}

/** Clocks of payer, seller and chain may differ by minutes: so long after its end a signature counts as alive, in seconds. */
export const marginSeconds = 600

/** Whether a signature can be used nowhere any more, on any clock. `now` in Unix milliseconds. */
export function isDead({ deadAfter }: Pick<PaymentKey, 'deadAfter'>, now: number): boolean {
  return now / 1000 > deadAfter + marginSeconds
}

function duplicate(key: PaymentKey, { submission }: Asker, transaction: string | undefined): Outcome {
  const { network } = submission.requirements
  return {
    status: 'notSettled',
    network,
    reason: 'duplicate_settlement',
    message: 'This payment was handed to this facilitator by another claim. It pays once.',
    payer: key.payer,
    ...(transaction === undefined ? {} : { transaction }),
    retry: 'never',
    deadAfter: key.deadAfter,
  }
}
