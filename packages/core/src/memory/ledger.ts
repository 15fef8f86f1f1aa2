import type { LedgerEntry, LedgerStore } from '../store/payer.ts'
import { sweepSeldom } from './retention.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** A client's ledger in the memory of one process; what is over is kept `retention` milliseconds after it is dead. */
export function memoryLedger(retention: number): LedgerStore {
  const standing = new Map<string, LedgerEntry>()
  const over = new Map<string, LedgerEntry>()

  const find = (id: string) => standing.get(id) ?? over.get(id)
  const put = (entry: LedgerEntry): LedgerEntry => {
    const [kept, other] = isOver(entry) ? [over, standing] : [standing, over]
    other.delete(entry.id)
    kept.set(entry.id, entry)
    return entry
  }
  const sweep = (now: number, limit: number): number => {
    const dead = [...over.values()].slice(0, limit).filter(({ deadAfter }) => deadAfter * 1000 + retention < now)
    for (const { id } of dead) over.delete(id)
    return dead.length
  }
  const seldom = sweepSeldom(sweep)

  return {
    async begin(call, now) {
      seldom(now)
      const found = find(call.id)
      const free = found === undefined || (found.state === 'released' && found.binding === call.binding)
      if (!free) return { begun: false, entry: found }
      return { begun: true, entry: put({ ...call, state: 'signing', epoch: (found?.epoch ?? 0) + 1 }) }
    },
    async find(id) {
      return find(id)
    },
    async update(entry, change) {
      const found = find(entry.id)
      return found?.epoch === entry.epoch ? put({ ...found, ...change, epoch: found.epoch + 1 }) : undefined
    },
    async *overdue(now) {
      yield* [...standing.values()].filter(({ deadAfter }) => deadAfter * 1000 < now)
    },
    async *receipts() {
      yield* [...over.values()].filter(({ state, receipt }) => state === 'paid' && receipt !== undefined)
    },
    async purge(now) {
      return sweep(now, over.size)
    },
  }
}

function isOver({ state }: LedgerEntry): boolean {
  return state === 'paid' || state === 'released'
}
