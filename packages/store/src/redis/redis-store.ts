import type { BudgetStore, Store } from '@flow402x/core'
import type { RetentionOptions } from '@flow402x/core/memory'
import { redisBudgets as budgetsOf } from './budgets.ts'
import { redisClaims, redisLogs } from './claims.ts'
import { connectRedis, type RedisOptions, type RedisSource } from './connection.ts'
import { redisViews } from './views.ts'

/** Options of a store in Redis. */
export type RedisStoreOptions = RedisOptions & RetentionOptions

/**
 * A store in Redis: one server by its URL, a cluster by the URLs of some of its nodes, or an `ioredis` client of the caller's,
 * which stays open at `close`. What a server acknowledged survives its crash; what a replica had not received yet is lost when it takes over, so
 * a deployment that fails over keeps claims in PostgreSQL.
 *
 * Errors: `config/store-not-durable` unless every server has `appendonly yes`, `appendfsync always` and
 * `maxmemory-policy noeviction`; `config/store-unreachable`; `store/unreadable` and what `ioredis` throws from operations.
 */
export async function redisStore(
  source: RedisSource,
  options: RedisStoreOptions = {},
): Promise<Omit<Store, 'journal' | 'ledger' | 'payees' | 'outbox' | 'channels' | 'lanes'>> {
  const connection = await connectRedis(source, { ...options, duty: 'claims' })
  return {
    claims: redisClaims(connection, options),
    budgets: budgetsOf(connection),
    logs: redisLogs(connection),
    views: redisViews(connection),
    close: connection.close,
  }
}

/**
 * Budgets alone in Redis, from servers that need not synchronise with every write: a crash may forget the spending of its last
 * moments.
 *
 * Errors: `config/store-not-durable` unless every server has `maxmemory-policy noeviction`; `config/store-unreachable`.
 */
export async function redisBudgets(source: RedisSource, options: RedisOptions = {}): Promise<BudgetStore & { close(): Promise<void> }> {
  const connection = await connectRedis(source, { ...options, duty: 'budgets' })
  return { ...budgetsOf(connection), close: connection.close }
}
