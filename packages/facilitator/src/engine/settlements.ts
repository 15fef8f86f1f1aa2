import type { Outcome, PaymentKey, Submission } from '@flow402x/core'

/** Who asks for a settlement: the seller's claim where it has one (M2), and what exactly it asked. */
export type Asker = { readonly claimId: string | undefined; readonly submission: Submission }

/** One settlement of one payment. */
export type Work = {
  /** Settles. `keep` is called with the transaction before it is sent. It never rejects. */
  readonly run: (keep: (transaction: string) => void) => Promise<Outcome>
  /** Looks a pending transaction up again and sends nothing. It never rejects. */
  readonly resume: (transaction: string) => Promise<Outcome>
}

/** What is known of each payment that was settled, or is being settled, by `PaymentKey.id`. */
export type Settlements = {
  /** What stands for this payment, if anything does. */
  meet(key: PaymentKey, asker: Asker): Promise<Outcome> | undefined
  /** Settles a payment for which nothing stands. */
  run(key: PaymentKey, asker: Asker, work: Work): Promise<Outcome>
}

type Row = {
  readonly asker: Asker
  readonly resume: Work['resume']
  readonly deadAfter: number
  // `pending` was answered as such, `running` has not been answered yet.
  state: 'running' | 'pending' | 'final'
  transaction: string | undefined
  current: Promise<Outcome>
}

// Clocks of payer, seller and chain may differ by minutes.
const marginSeconds = 600
const sweepMilliseconds = 60_000

/**
 * One payment, one settlement (D1, A3). The same claim joins a settlement under way, gets the same end again, and has a
 * pending one looked up; any other claim gets `duplicate_settlement`.
 *
 * Open mode, without a claim: nobody can be told from anybody, so only a settlement that was answered `pending` is looked up
 * again, for the very same request, and a success is told once and never replayed (M2).
 * Rows live as long as their payment, and unresolved ones until they are resolved (D5, M12). `clock` in Unix milliseconds.
 */
export function createSettlements({ clock }: { readonly clock: () => number }): Settlements {
  const rows = new Map<string, Row>()
  let nextSweep = 0

  return {
    meet(key, asker) {
      const row = rows.get(key.id)
      if (row === undefined) return undefined
      const sameClaim = asker.claimId !== undefined && asker.claimId === row.asker.claimId
      const openRepeat =
        asker.claimId === undefined && row.asker.claimId === undefined && row.state === 'pending' && sameRequest(asker, row.asker)
      if (!sameClaim && !openRepeat) return Promise.resolve(duplicate(key, asker, row))
      if (row.state === 'pending' && row.transaction !== undefined) return follow(key.id, row, row.resume(row.transaction))
      return row.current
    },
    run(key, asker, work) {
      sweep()
      const keep = (transaction: string): void => {
        row.transaction = transaction
      }
      const { resume } = work
      const row: Row = { asker, resume, deadAfter: key.deadAfter, state: 'running', transaction: undefined, current: never }
      rows.set(key.id, row)
      return follow(key.id, row, work.run(keep))
    },
  }

  function follow(id: string, row: Row, settling: Promise<Outcome>): Promise<Outcome> {
    row.state = 'running'
    row.current = settling.then((outcome) => {
      row.state = outcome.status === 'pending' ? 'pending' : 'final'
      // Nothing was sent: the same payment may try again, for whoever asks.
      if (outcome.status === 'notSettled' && outcome.transaction === undefined) rows.delete(id)
      return outcome
    })
    return row.current
  }

  function sweep(): void {
    const now = clock()
    if (now < nextSweep) return
    nextSweep = now + sweepMilliseconds
    for (const [id, row] of rows) {
      if (row.state === 'final' && isDead(row, now)) rows.delete(id)
    }
  }
}

/** Whether a signature can be used nowhere any more, on any clock. `now` in Unix milliseconds. */
export function isDead({ deadAfter }: Pick<PaymentKey, 'deadAfter'>, now: number): boolean {
  return now / 1000 > deadAfter + marginSeconds
}

const never = new Promise<Outcome>(() => {})

/** The official server repeats a pending settlement with the same body (wire.md §4): the same letters, so no parsing is needed. */
function sameRequest(a: Asker, b: Asker): boolean {
  return JSON.stringify(a.submission) === JSON.stringify(b.submission)
}

function duplicate(key: PaymentKey, { submission }: Asker, { transaction }: Row): Outcome {
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
