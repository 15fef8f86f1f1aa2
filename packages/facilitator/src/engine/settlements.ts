import type { Draw, JournalStore, NewSettlement, Outcome, PaymentKey, Settlement, Submission } from '@flow402x/core'

/** Who asks for a settlement: the seller's claim where it has one (M2), and what exactly it asked. */
export type Asker = {
  readonly claimId: string | undefined
  readonly submission: Submission
  /** What it takes from the payer's balance, where that is known. */
  readonly draw: Draw | undefined
  /** Called when the payment is under way already: it is worth a look. */
  readonly again: () => void
}

/** What came of asking: the end of the payment, or why it is not told; where there is none in time, the transaction that may be one. */
export type Answer = { readonly outcome: Outcome } | { readonly refused: Outcome } | { readonly transaction: string | undefined }

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
  /** Ends it without a transaction of this facilitator's; with no outcome it is forgotten. `false` when it is too late. */
  conclude(id: string, outcome: Outcome | undefined): Promise<boolean>
  /** Whether this process works on a payment. */
  works(id: string): boolean
  /** What became of a claim; one that nobody has seen is buried until `deadAfter` (M5). */
  status(
    claimId: string,
    deadAfter: number,
  ): Promise<{ readonly settlement: Settlement; readonly transaction: string | undefined } | undefined>
  /** Whether somebody waits here for the end of a payment. */
  waits(id: string): boolean
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

type Asked = { readonly key: PaymentKey; readonly asker: Asker }

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
 * Open mode, without a claim: nobody can be told from anybody, so only a settlement that was answered `pending`, or whose asker
 * died with its process, is looked up again, by one asker with the very same request, and a success is told once and never
 * replayed (M2). The journal says who may hear of it, so that any process may be asked.
 */
export function createSettlements({ journal, owner, clock, confirmTimeout }: SettlementsOptions): Settlements {
  // What this process took in and has not seen the end of, with its transaction.
  const ours = new Map<string, { transaction: string | undefined }>()
  const waiting = new Map<string, Set<Waiter>>()
  // Longer than anybody waits: what stands in line, and then for its transaction.
  const hearing = 3 * confirmTimeout + 5000
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
      const asked: NewSettlement = {
        id: key.id,
        deadAfter: key.deadAfter,
        submission,
        owner,
        leaseUntil: now + queueLease,
        ...(claimId === undefined ? { heardUntil: now + hearing } : { claimId }),
        ...(asker.draw === undefined ? {} : { draw: asker.draw }),
      }
      const taken = await journal.begin(asked, now)
      // What a dead process had taken in for somebody else is his (M2). Nothing was sent for it: it ends, and this begins.
      const theirs = taken.begun && (taken.settlement.claimId !== claimId || (claimId === undefined && taken.settlement.epoch > 1))
      const ended = theirs && (await journal.conclude(taken.settlement, undefined))
      const { begun, settlement } = ended ? await journal.begin(asked, now) : taken
      if (settlement === undefined) return { refused: spent(key, asker) }
      if (!begun || settlement.claimId !== claimId || ours.has(key.id)) return answer(settlement, { key, asker })
      ours.set(key.id, { transaction: undefined })
      const end = wait(key.id)
      // What a store read back is another object than the one that was verified and is remembered for it.
      work(settlement.epoch === 1 ? { ...settlement, submission } : settlement)
      return told(settlement, { key, asker, end })
    },
    carried(id, transaction) {
      const row = ours.get(id)
      if (row !== undefined) row.transaction = transaction
      for (const waiter of waiting.get(id) ?? []) waiter.sent()
    },
    ended,
    forget: (id) => conclude(id, undefined),
    conclude,
    works: (id) => ours.has(id),
    async status(claimId, deadAfter) {
      const settlement = await journal.bury(claimId, deadAfter)
      return settlement && { settlement, transaction: await transactionOf(settlement) }
    },
    waits: (id) => waiting.has(id),
    stop() {
      stopped = true
      for (const waiter of [...waiting.values()].flatMap((waiters) => [...waiters])) waiter.end(undefined)
    },
  }

  async function conclude(id: string, outcome: Outcome | undefined): Promise<boolean> {
    const settlement = await journal.find(id)
    if (settlement === undefined) return outcome === undefined
    if (settlement.slot !== undefined || settlement.outcome !== undefined) return false
    return journal.conclude(settlement, outcome)
  }

  function ended(id: string, outcome: Outcome): void {
    ours.delete(id)
    for (const waiter of [...(waiting.get(id) ?? [])]) waiter.end(outcome)
  }

  function mayBeTaken({ slot, outcome, leaseUntil }: Settlement): boolean {
    return slot === undefined && outcome === undefined && leaseUntil <= clock()
  }

  async function answer(stands: Settlement, { key, asker }: Asked): Promise<Answer> {
    const same = stands.claimId === asker.claimId
    const heard = key.told === 'anyone' ? withoutTurn(stands) : same ? await mayHear(stands, asker) : undefined
    if (heard === undefined) return { refused: duplicate(key, asker, await transactionOf(stands)) }
    if (heard.outcome !== undefined) return { outcome: heard.outcome }
    asker.again()
    return told(heard, { key, asker, end: wait(key.id) })
  }

  /** The settlement as this asker may hear of it: its claim always, and without one who comes first with the same request. */
  async function mayHear(stands: Settlement, { claimId, submission }: Asker): Promise<Settlement | undefined> {
    const { heardUntil = 0, outcome } = stands
    if (claimId !== undefined) return stands
    const free = heardUntil === 0 || (outcome === undefined && heardUntil <= clock())
    if (!free || inOrder(stands.submission) !== inOrder(submission)) return undefined
    const until = clock() + hearing
    return (await journal.hear(stands, until)) ? { ...stands, heardUntil: until } : undefined
  }

  async function told(
    settlement: Settlement,
    { key, asker, end }: Asked & { readonly end: Promise<Outcome | undefined> },
  ): Promise<Answer> {
    const { id, heardUntil } = settlement
    const inTime = await end
    const stands = inTime === undefined ? await journal.find(id) : undefined
    const outcome = inTime ?? stands?.outcome
    // Who slept past his time may be told nothing, for another may have heard of it; a pending answer leaves it to the next.
    const mine = heardUntil === undefined || (outcome !== undefined && clock() < heardUntil)
    if (!mine && !(await journal.hear(settlement, outcome === undefined ? 0 : clock() + hearing)) && outcome !== undefined)
      return { refused: duplicate(key, asker, outcome.transaction) }
    return outcome === undefined ? { transaction: stands && (await transactionOf(stands)) } : { outcome }
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
    await journal.purge(now)
  }
}

/** Clocks of payer, seller and chain may differ by minutes: so long after its end a signature counts as alive, in seconds. */
export const marginSeconds = 600

/** Whether a signature can be used nowhere any more, on any clock. `now` in Unix milliseconds. */
export function isDead({ deadAfter }: Pick<PaymentKey, 'deadAfter'>, now: number): boolean {
  return now / 1000 > deadAfter + marginSeconds
}

/** JSON with members in one order: a request that was kept and read again is the same request. */
function inOrder(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  )
}

/** A settlement that is told to whoever asks, and not to one after the other. */
function withoutTurn({ heardUntil, ...settlement }: Settlement): Settlement {
  return settlement
}

function duplicate(key: PaymentKey, asker: Asker, transaction: string | undefined): Outcome {
  const message = 'This payment was handed to this facilitator by another claim. It pays once.'
  return { ...unsettled(key, asker), reason: 'duplicate_settlement', message, ...(transaction === undefined ? {} : { transaction }) }
}

function spent(key: PaymentKey, asker: Asker): Outcome {
  const message =
    'This claim settles nothing here: it was asked about before its payment came, or it is another payment’s. Nothing was sent.'
  return { ...unsettled(key, asker), reason: 'claim_spent', message }
}

function unsettled({ payer, deadAfter }: PaymentKey, { submission }: Asker) {
  const { network } = submission.requirements
  return { status: 'notSettled', network, payer, retry: 'never', deadAfter } as const
}
