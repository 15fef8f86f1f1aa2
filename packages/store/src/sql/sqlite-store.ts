import type { Store } from '@flow402x/core'
import type { RetentionOptions } from '@flow402x/core/memory'
import Database from 'libsql'
import { type Catalogued, sqlCatalogue } from '../catalogue/catalogue.ts'
import { sqlChannels } from '../channels/channels.ts'
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

/** `busyTimeout` is how many milliseconds a change waits for other processes that write to the file; 5,000 where nothing is said. */
export type SqliteStoreOptions = RetentionOptions & { readonly busyTimeout?: number }

/**
 * A store in one SQLite file, made where it is missing and shared by the processes of one machine. What it answered is on
 * disk: it survives kill -9 and a power cut.
 *
 * Errors: `config/store-not-durable` where the file cannot be written ahead and synchronised (in memory, on some network
 * disks); `store/unreadable` from operations.
 */
export function sqliteStore(file: string, options: SqliteStoreOptions = {}): Store & Catalogued {
  const database = openFile(file, options)
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
    catalogue: sqlCatalogue(database, { outbox, dialect: 'sqlite' }),
    lanes: sqlLanes(database),
    close: database.close,
  }
}

function openFile(file: string, { busyTimeout = 5000 }: SqliteStoreOptions): SqlDatabase {
  const connection = new Database(file, { timeout: busyTimeout })
  const prepared = new Map<string, Database.Statement>()

  const rows = (text: string, values: readonly Column[]): readonly Row[] => {
    const statement = prepared.get(text) ?? connection.prepare(text)
    prepared.set(text, statement)
    return statement.all(...values.map(bound)) as Row[] // it gives objects by column
  }
  const groups = commitInGroups(connection)
  try {
    assertDurable(connection, file)
    transact(connection, () => drive(migrate('sqlite'), rows))
  } catch (error) {
    connection.close()
    throw error
  }
  return {
    async query({ text, values }) {
      return text.startsWith('SELECT') ? rows(text, values) : groups.add(() => rows(text, values))
    },
    transaction: (work) => groups.add(() => saved(connection, () => drive(work(), rows))),
    async close() {
      groups.flush()
      prepared.clear()
      connection.close()
    },
  }
}

const mostInGroup = 256

/**
 * Changes that are asked for in one turn of the event loop share a transaction: a disk synchronises some thousand times a
 * second, whatever it writes. Nobody is answered before the group is on disk, and one that fails takes nothing else with it.
 */
function commitInGroups(connection: Database.Database) {
  type Change = { run(): () => void; reject(error: unknown): void }
  let waiting: Change[] = []

  function flush(): void {
    const [group, rest] = [waiting.slice(0, mostInGroup), waiting.slice(mostInGroup)]
    waiting = rest
    if (rest.length > 0) setImmediate(flush)
    if (group.length === 0) return
    try {
      for (const answer of transact(connection, () => group.map(({ run }) => run()))) answer()
    } catch (error) {
      for (const { reject } of group) reject(error)
    }
  }
  return {
    flush() {
      while (waiting.length > 0) flush()
    },
    add<Result>(work: () => Result): Promise<Result> {
      return new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(flush)
        const run = (): (() => void) => {
          try {
            const result = work()
            return () => resolve(result)
          } catch (error) {
            // Some errors end the transaction itself, and with it the group.
            if (!connection.inTransaction) throw error
            return () => reject(error)
          }
        }
        waiting.push({ run, reject })
      })
    },
  }
}

function transact<Result>(connection: Database.Database, work: () => Result): Result {
  connection.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    connection.exec('COMMIT')
    return result
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK')
    throw error
  }
}

/** All of a change or nothing of it, within the group's transaction. */
function saved<Result>(connection: Database.Database, work: () => Result): Result {
  connection.exec('SAVEPOINT change')
  try {
    return work()
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK TO change')
    throw error
  } finally {
    if (connection.inTransaction) connection.exec('RELEASE change')
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
