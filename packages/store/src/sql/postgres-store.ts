import { setTimeout as wait } from 'node:timers/promises'
import { type Store, X402Error } from '@flow402x/core'
import type { RetentionOptions } from '@flow402x/core/memory'
import { Pool } from 'pg'
import { type Catalogued, sqlCatalogue } from '../catalogue/catalogue.ts'
import { type Settled, sqlChannels } from '../channels/channels.ts'
import { postgresInbox } from '../channels/inbox.ts'
import { sqlLanes } from '../channels/lanes.ts'
import { sqlViews } from '../channels/views.ts'
import { storeErrors } from '../claims/errors.ts'
import type { Column } from '../claims/record.ts'
import { sqlBudgets } from './budgets.ts'
import { sqlClaims } from './claims.ts'
import { migrate, type Row, type SqlDatabase, type Work } from './database.ts'
import { sqlJournal } from './journal.ts'
import { sqlLedger } from './ledger.ts'
import { sqlLogs } from './logs.ts'
import { sqlOutbox } from './outbox.ts'
import { sqlPayees } from './payees.ts'

/** A connection, as much of `pg`'s as the store uses. */
export interface PostgresConnection {
  query(text: string, values?: unknown[]): Promise<{ rows: Row[] }>
}

/** A pool of connections: one of `pg`, or anything like it. */
export interface PostgresPool extends PostgresConnection {
  connect(): Promise<PostgresConnection & { release(error?: Error | boolean): void }>
}

/** `connections` is the most that are opened at once where the store has a pool of its own; 10 where nothing is said. */
export type PostgresStoreOptions = RetentionOptions & { readonly connections?: number; readonly signal?: AbortSignal | undefined }

/**
 * A store in PostgreSQL, shared by any number of processes, given as a URL or as a pool of the caller's, which stays open at
 * `close`. It makes its tables (`flow402x_…`) where they are missing. Plain SQL and no locks beyond rows, so that databases that
 * speak PostgreSQL's protocol serve as well.
 *
 * Errors: `config/store-not-durable` where the server may lose what it acknowledged; `config/store-unreachable`;
 * `store/contended`, `store/unreadable` and what `pg` throws from operations.
 */
export async function postgresStore(
  source: string | PostgresPool,
  options: PostgresStoreOptions = {},
): Promise<Store & Catalogued & Settled> {
  options.signal?.throwIfAborted()
  const { pool, close } = typeof source === 'string' ? ownPool(source, options) : { pool: source, close: async () => {} }
  const database = postgresDatabase(pool, close)
  try {
    await assertDurable(database).catch(unreachable)
    options.signal?.throwIfAborted()
    await database.transaction(() => migrate('postgres'))
  } catch (error) {
    await close()
    throw error
  }
  const outbox = sqlOutbox(database, options)
  return {
    claims: sqlClaims(database, { ...options, outbox }),
    budgets: sqlBudgets(database),
    ledger: sqlLedger(database, options),
    payees: sqlPayees(database),
    logs: sqlLogs(database),
    journal: sqlJournal(database, { ...options, outbox }),
    outbox,
    channels: sqlChannels(database),
    views: sqlViews(database),
    catalogue: sqlCatalogue(database, { outbox, dialect: 'postgres' }),
    lanes: sqlLanes(
      database,
      typeof source === 'string' ? postgresInbox(source, (text, values) => database.query({ text, values })) : undefined,
    ),
    close,
  }
}

function unreachable(cause: unknown): never {
  if (cause instanceof X402Error) throw cause
  throw storeErrors('config/store-unreachable', { store: 'PostgreSQL', why: cause instanceof Error ? cause.message : String(cause), cause })
}

function ownPool(url: string, { connections = 10 }: PostgresStoreOptions): { readonly pool: PostgresPool; close(): Promise<void> } {
  // To compile a statement takes longer than any of these runs. A database that only speaks the protocol may not know the setting.
  const onConnect = async (client: PostgresConnection): Promise<void> => void (await client.query('SET jit = off').catch(() => undefined))
  const pool = new Pool({ connectionString: url, max: connections, onConnect })
  // A connection that breaks while idle, or while it is being closed, is replaced by the next query; without a listener it
  // would end the process.
  pool.on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
  return { pool, close: () => pool.end() }
}

function postgresDatabase(pool: PostgresPool, close: () => Promise<void>): SqlDatabase {
  const ask = async (connection: PostgresConnection, text: string, values: readonly Column[]): Promise<readonly Row[]> =>
    (await connection.query(dollars(text), [...values])).rows
  return {
    query: ({ text, values }) => repeated(() => ask(pool, text, values)),
    transaction: (work) => repeated(() => transact(pool, work)),
    close,
  }

  async function transact<Result>(from: PostgresPool, work: () => Work<Result>): Promise<Result> {
    const connection = await from.connect()
    let broken = false
    try {
      await connection.query('BEGIN')
      const running = work()
      let step = running.next([])
      while (step.done !== true) step = running.next(await ask(connection, step.value.text, step.value.values))
      await connection.query('COMMIT')
      return step.value
    } catch (error) {
      // Where even that fails the connection is gone, and with it the transaction.
      await connection.query('ROLLBACK').catch(() => {
        broken = true
      })
      throw error
    } finally {
      connection.release(broken)
    }
  }
}

const translated = new Map<string, string>()

/** PostgreSQL numbers its parameters `$1`. */
function dollars(text: string): string {
  const known = translated.get(text) ?? text.replaceAll(/\?(\d+)/g, '$$$1')
  translated.set(text, known)
  return known
}

// Nothing of the statement was done: serialization failure, deadlock, a row or a table that another made meanwhile.
const repeatable = new Set(['40001', '40P01', '23505', '42P07'])
const mostAttempts = 20

async function repeated<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (cause) {
      if (!repeatable.has(codeOf(cause))) throw cause
      if (attempt === mostAttempts) throw storeErrors('store/contended', { store: 'PostgreSQL', attempts: attempt, cause })
      await wait(Math.min(2 ** attempt, 100) * (0.5 + Math.random() / 2))
    }
  }
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}

/** M18: a commit that is answered is on disk. Databases that only speak the protocol know none of these settings, or say they are on. */
async function assertDurable(database: SqlDatabase): Promise<void> {
  const text = "SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes') AND setting = 'off'"
  const off = (await database.query({ text, values: [] })).map(({ name }) => String(name))
  if (off.length === 0) return
  throw storeErrors('config/store-not-durable', {
    store: 'PostgreSQL',
    why: `${off.join(' and ')} ${off.length === 1 ? 'is' : 'are'} off`,
    fix: 'Turn it on for this server, database and role.',
  })
}
