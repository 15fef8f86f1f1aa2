import type { BudgetStore, BudgetUse, Reservation } from '@flow402x/core'
import * as z from 'zod/mini'
import { amount, json, readColumns } from '../claims/record.ts'
import { type Row, run, type SqlDatabase, type Statement, type Work } from './database.ts'

const useRow = z.object({ reserved: amount, committed: amount })
const reservationRow = z.object({ amount, scopes: z.pipe(json, z.array(z.string())) })
const nothing: BudgetUse = { reserved: 0n, committed: 0n }

/** Budgets in SQL: amounts are text, counted here, while the rows of their scopes are held. */
export function sqlBudgets(database: SqlDatabase): BudgetStore {
  return {
    reserve: (reservation) => database.transaction(() => reserve(reservation)),
    commit: (id) => database.transaction(() => end(id, 'committed')),
    release: (id) => database.transaction(() => end(id, 'released')),
    async use(scope) {
      const [row] = await database.query(run('SELECT reserved, committed FROM flow402x_budget_scopes WHERE scope = ?1', [scope]))
      return useOf(row, scope)
    },
  }
}

function* reserve({ id, amount, limits }: Reservation): Work<Awaited<ReturnType<BudgetStore['reserve']>>> {
  const scopes = scopesOf(limits)
  const uses = yield* hold(scopes)
  const held = yield run('SELECT id FROM flow402x_reservations WHERE id = ?1', [id])
  if (held.length > 0) return { granted: true }
  for (const { scope, limit } of limits) {
    const { reserved, committed } = uses.get(scope) ?? nothing
    const left = limit - reserved - committed
    if (amount > left) return { granted: false, scope, left: left > 0n ? left : 0n }
  }
  yield run('INSERT INTO flow402x_reservations (id, amount, scopes) VALUES (?1, ?2, ?3)', [id, String(amount), JSON.stringify(scopes)])
  for (const [scope, { reserved, committed }] of uses) yield write(scope, { reserved: reserved + amount, committed })
  return { granted: true }
}

function* end(id: string, as: 'committed' | 'released'): Work<void> {
  const [row] = yield run('DELETE FROM flow402x_reservations WHERE id = ?1 RETURNING amount, scopes', [id])
  if (row === undefined) return
  const { amount, scopes } = readColumns(row, { schema: reservationRow, what: `Reservation ${id}` })
  for (const [scope, { reserved, committed }] of yield* hold(scopes)) {
    yield write(scope, { reserved: reserved - amount, committed: committed + (as === 'committed' ? amount : 0n) })
  }
}

// Everyone takes scopes in one order, so that nobody waits in a circle.
function scopesOf(limits: Reservation['limits']): string[] {
  return [...new Set(limits.map(({ scope }) => scope))].sort()
}

/** Reads scopes and holds their rows until the transaction ends: a row that is written is held, also with what it had. */
function* hold(scopes: readonly string[]): Work<Map<string, BudgetUse>> {
  const uses = new Map<string, BudgetUse>()
  for (const scope of scopes) uses.set(scope, useOf((yield run(holdScope, [scope]))[0], scope))
  return uses
}

const holdScope = `INSERT INTO flow402x_budget_scopes (scope, reserved, committed) VALUES (?1, '0', '0')
  ON CONFLICT (scope) DO UPDATE SET scope = excluded.scope RETURNING reserved, committed`

function useOf(row: Row | undefined, scope: string): BudgetUse {
  return row === undefined ? nothing : readColumns(row, { schema: useRow, what: `Budget ${scope}` })
}

function write(scope: string, { reserved, committed }: BudgetUse): Statement {
  const text = 'UPDATE flow402x_budget_scopes SET reserved = ?2, committed = ?3 WHERE scope = ?1'
  return run(text, [scope, String(reserved), String(committed)])
}
