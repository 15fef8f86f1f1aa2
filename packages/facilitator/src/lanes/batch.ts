import type { Call, FacilitatorScheme, Outcome, Settlement } from '@flow402x/core'

/** One payment that waits for its transaction, or rides in one. */
export type Rider = {
  readonly id: string
  readonly payer: string
  readonly scheme: FacilitatorScheme
  readonly settlement: Settlement
  readonly calls: readonly Call[]
  /** Whether nobody wants it any more; asked before it is signed for, never after. */
  readonly cancelled: () => boolean
  /** It failed in company and has one transaction of its own to try. */
  readonly again: boolean
}

/** What is remembered of payers, so that one who empties his account spoils no more than one call of a batch (M15). */
export type Payers = {
  /** A payer whose payments settled rides as often as he likes, an unknown one once a batch, one whose payment failed alone. */
  standing(payer: string): 'good' | 'unknown' | 'bad'
  note(payer: string, outcome: Outcome): void
}

const remembered = 20_000

/** Remembers the payers it met last. */
export function createPayers(): Payers {
  const known = new Map<string, 'good' | 'bad'>()
  return {
    standing: (payer) => known.get(payer) ?? 'unknown',
    note(payer, { status }) {
      const before = known.get(payer)
      known.delete(payer)
      if (status === 'notSettled') known.set(payer, 'bad')
      else if (before !== 'bad') known.set(payer, 'good')
      for (const oldest of known.size > remembered ? known.keys() : []) {
        known.delete(oldest)
        break
      }
    },
  }
}

/**
 * Takes from the front of `queue` what can share one transaction: the first, and after it as many as may ride with it. What runs
 * a payer's code never does (M14), and of those that could not be told from each other one does (M16).
 */
export function takeBatch(queue: Rider[], { most, payers }: { readonly most: number; readonly payers: Payers }): Rider[] {
  const [first] = queue
  if (first === undefined || most <= 1 || ridesAlone(first, payers)) return queue.splice(0, 1)
  const [batch, left]: [Rider[], Rider[]] = [[], []]
  const aboard = new Set<string>()
  for (const rider of queue) {
    if (batch.length === most) break
    const again = aboard.has(rider.payer) && payers.standing(rider.payer) !== 'good'
    const marks = rider.calls.flatMap(({ apart }) => apart ?? [])
    if (again || marks.some((mark) => aboard.has(mark)) || ridesAlone(rider, payers)) {
      left.push(rider)
      continue
    }
    for (const mark of [rider.payer, ...marks]) aboard.add(mark)
    batch.push(rider)
  }
  queue.splice(0, batch.length + left.length, ...left)
  return batch
}

function ridesAlone({ again, calls, payer }: Rider, payers: Payers): boolean {
  return again || calls.some(({ alone }) => alone) || payers.standing(payer) === 'bad'
}
