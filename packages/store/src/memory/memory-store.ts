import type { Store } from '@flow402x/core'
import {
  defaultRetention,
  memoryBudgets,
  memoryChannels,
  memoryClaims,
  memoryJournal,
  memoryLanes,
  memoryLedger,
  memoryLogs,
  memoryOutbox,
  memoryPayees,
  memoryViews,
  type RetentionOptions,
} from '@flow402x/core/memory'
import { storeErrors } from '../claims/errors.ts'

/** `force` lets the store run in production all the same: what it holds dies with the process. */
export type MemoryStoreOptions = RetentionOptions & { readonly force?: boolean }

/**
 * A store in the memory of one process, for tests and first steps.
 *
 * Errors: `config/memory-store` when `NODE_ENV` is `production`: a restart would forget which payments were served.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  if (options.force !== true && globalThis.process?.env?.NODE_ENV === 'production') throw storeErrors('config/memory-store', {})
  const { retention = defaultRetention } = options
  const outbox = memoryOutbox(retention)
  return {
    claims: memoryClaims(retention, outbox),
    budgets: memoryBudgets(),
    ledger: memoryLedger(retention),
    payees: memoryPayees(),
    logs: memoryLogs(),
    journal: memoryJournal(retention, outbox),
    outbox,
    channels: memoryChannels(),
    lanes: memoryLanes(),
    views: memoryViews(),
    close: async () => {},
  }
}
