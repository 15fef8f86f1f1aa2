import type { Store } from '@flow402x/core'
import Database from 'libsql'
import { storeErrors } from '../claims/errors.ts'
import type { Column } from '../claims/record.ts'
import type { RetentionOptions } from '../claims/retention.ts'
import { sqlBudgets } from './budgets.ts'
import { sqlClaims } from './claims.ts'
import { migrate, type Row, type SqlDatabase, type Work } from './database.ts'
import { sqlLogs } from './logs.ts'

/** `busyTimeout` is how many milliseconds a change waits for other processes that write to the file; 5,000 where nothing is said. */
export type SqliteStoreOptions = RetentionOptions & { readonly busyTimeout?: number }

/**
 * A store in one SQLite file, made where it is missing and shared by the processes of one machine. What it answered is on
 * disk: it survives kill -9 and a power cut.
 *
 * Errors: `config/store-not-durable` where the file cannot be written ahead and synchronised (in memory, on some network
 * disks); `store/unreadable` from operations.
 */
export function sqliteStore(file: string, options: SqliteStoreOptions = {}): Store {
  const database = openFile(file, options)
  return {
    claims: sqlClaims(database, options),
    budgets: sqlBudgets(database),
    logs: sqlLogs(database),
    close: database.close,
  }
}

function openFile(file: string, { busyTimeout = 5000 }: SqliteStoreOptions): SqlDatabase {
  const connection = new Database(file, { timeout: busyTimeout })
  const prepared = new Map<string, Database.Statement>()

  // The connection is synchronous: nothing else of this process comes between the statements of a transaction.
  const rows = (text: string, values: readonly Column[]): readonly Row[] => {
    const statement = prepared.get(text) ?? connection.prepare(text)
    prepared.set(text, statement)
    return statement.all(...values.map(bound)) as Row[] // it gives objects by column
  }
  const transact = <Result>(work: () => Work<Result>): Result => {
    connection.exec('BEGIN IMMEDIATE')
    try {
      const result = drive(work(), rows)
      connection.exec('COMMIT')
      return result
    } catch (error) {
      if (connection.inTransaction) connection.exec('ROLLBACK')
      throw error
    }
  }
  try {
    assertDurable(connection, file)
    transact(() => migrate('BLOB'))
  } catch (error) {
    connection.close()
    throw error
  }
  return {
    query: async ({ text, values }) => rows(text, values),
    transaction: async (work) => transact(work),
    close: async () => {
      prepared.clear()
      connection.close()
    },
  }
}

function drive<Result>(work: Work<Result>, rows: (text: string, values: readonly Column[]) => readonly Row[]): Result {
  let step = work.next([])
  while (step.done !== true) step = work.next(rows(step.value.text, step.value.values))
  return step.value
}

// The binding writes the buffer behind a view and not the view.
function bound(value: Column): Column {
  return value instanceof Uint8Array ? Buffer.from(value) : value
}

/** M18: write-ahead log, synchronised with every commit. */
function assertDurable(connection: Database.Database, file: string): void {
  connection.exec('PRAGMA synchronous = FULL')
  const journal = settingOf(connection, 'journal_mode = WAL')
  const synchronous = settingOf(connection, 'synchronous')
  if (journal === 'wal' && synchronous === '2') return
  throw storeErrors('config/store-not-durable', {
    store: `SQLite at ${file}`,
    why: `its journal mode is "${journal}" and synchronous is ${synchronous}; it takes "wal" and 2 (FULL) to keep what was acknowledged`,
    fix: 'Name a file on a local disk.',
  })
}

function settingOf(connection: Database.Database, pragma: string): string {
  const row: unknown = connection.prepare(`PRAGMA ${pragma}`).raw().get()
  return String(Array.isArray(row) ? row[0] : row)
}
