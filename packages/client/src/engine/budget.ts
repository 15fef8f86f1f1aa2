import type { BudgetStore, BudgetUse, Reservation } from '@flow402x/core'

/**
 * A budget in the memory of this process: enough for one short-lived program. It forgets with the process, and processes do
 * not share it.
 */
export function memoryBudget(): BudgetStore {
  const held = new Map<string, Reservation>()
  const uses = new Map<string, BudgetUse>()
  const use = (scope: string): BudgetUse => uses.get(scope) ?? { reserved: 0n, committed: 0n }

  function finish(id: string, committed: boolean): void {
    const reservation = held.get(id)
    if (reservation === undefined) return
    held.delete(id)
    const { amount, limits } = reservation
    for (const { scope } of limits) {
      const before = use(scope)
      uses.set(scope, { reserved: before.reserved - amount, committed: before.committed + (committed ? amount : 0n) })
    }
  }

  // No operation awaits before it is done, so each is atomic in its process.
  return {
    async reserve(reservation) {
      if (held.has(reservation.id)) return { granted: true }
      for (const { scope, limit } of reservation.limits) {
        const { reserved, committed } = use(scope)
        const left = limit - reserved - committed
        if (reservation.amount > left) return { granted: false, scope, left: left > 0n ? left : 0n }
      }
      held.set(reservation.id, reservation)
      for (const { scope } of reservation.limits) {
        const before = use(scope)
        uses.set(scope, { ...before, reserved: before.reserved + reservation.amount })
      }
      return { granted: true }
    },
    async commit(id) {
      finish(id, true)
    },
    async release(id) {
      finish(id, false)
    },
    async use(scope) {
      return use(scope)
    },
  }
}
