import type { BudgetStore } from '@flow402x/core'
import { storeErrors } from '../claims/errors.ts'
import type { RedisConnection } from './connection.ts'
import { endScript, reserveScript } from './scripts.ts'

// The width of the amounts that the scripts count with; sums of many stay below it.
const width = 96
const most = 10n ** 90n

/** Budgets in Redis. A reservation counts against several scopes at once, so all of them share one slot. */
export function redisBudgets({ client, prefix, run }: RedisConnection): BudgetStore {
  const scopeKey = (scope: string): string => `{${prefix}-budgets}:scope:${scope}`
  const reservationKey = (id: string): string => `{${prefix}-budgets}:reservation:${id}`
  return {
    async reserve({ id, amount, limits }) {
      if (amount >= most) throw storeErrors('config/amount-too-large', { amount: String(amount) })
      const scopes = [...new Map(limits.map(({ scope, limit }) => [scope, limit]))]
      const keys = [reservationKey(id), ...scopes.map(([scope]) => scopeKey(scope))]
      const values = [amount, ...scopes.map(([, limit]) => (limit < most ? limit : most))].map(wide)
      const answer = await run(reserveScript, { keys, values })
      const [full, used]: unknown[] = Array.isArray(answer) ? answer : []
      const [scope, limit] = scopes[Number(full) - 1] ?? []
      if (scope === undefined || limit === undefined) return { granted: true }
      const left = limit - BigInt(String(used))
      return { granted: false, scope, left: left > 0n ? left : 0n }
    },
    async commit(id) {
      await run(endScript, { keys: [reservationKey(id)], values: ['committed'] })
    },
    async release(id) {
      await run(endScript, { keys: [reservationKey(id)], values: [''] })
    },
    async use(scope) {
      const [reserved, committed] = await client.hmget(scopeKey(scope), 'reserved', 'committed')
      return { reserved: BigInt(reserved ?? 0), committed: BigInt(committed ?? 0) }
    },
  }
}

function wide(amount: bigint): string {
  return String(amount).padStart(width, '0')
}
