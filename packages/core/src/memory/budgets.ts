import type { BudgetStore, BudgetUse, Reservation } from '../store/payer.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Budgets in the memory of one process: they forget with it, and processes do not share them. */
export function memoryBudgets(): BudgetStore {
  const held = new Map<string, Reservation>()
  const uses = new Map<string, BudgetUse>()
  const use = (scope: string): BudgetUse => uses.get(scope) ?? { reserved: 0n, committed: 0n }

  const move = ({ amount, limits }: Reservation, by: { readonly reserved: bigint; readonly committed: bigint }): void => {
    for (const scope of new Set(limits.map((limit) => limit.scope))) {
      const { reserved, committed } = use(scope)
      uses.set(scope, { reserved: reserved + amount * by.reserved, committed: committed + amount * by.committed })
    }
  }
  const end = (id: string, committed: bigint): void => {
    const reservation = held.get(id)
    if (reservation === undefined) return
    held.delete(id)
    move(reservation, { reserved: -1n, committed })
  }

  return {
    async reserve(reservation) {
      if (held.has(reservation.id)) return { granted: true }
      for (const { scope, limit } of reservation.limits) {
        const { reserved, committed } = use(scope)
        const left = limit - reserved - committed
        if (reservation.amount > left) return { granted: false, scope, left: left > 0n ? left : 0n }
      }
      held.set(reservation.id, reservation)
      move(reservation, { reserved: 1n, committed: 0n })
      return { granted: true }
    },
    async commit(id) {
      end(id, 1n)
    },
    async release(id) {
      end(id, 0n)
    },
    async use(scope) {
      return use(scope)
    },
  }
}
