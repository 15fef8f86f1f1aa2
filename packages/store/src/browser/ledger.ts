import { type LedgerEntry, type LedgerStore, settleResponse } from '@flow402x/core'
import { defaultRetention, type RetentionOptions } from '@flow402x/core/memory'
import * as z from 'zod/mini'
import { callStates, signedPayment } from '../claims/signed.ts'
import { type BrowserStoreOptions, browserTable } from './database.ts'

const ledgerRow = z.object({
  id: z.string(),
  binding: z.string(),
  reservation: z.string(),
  deadAfter: z.number(),
  state: z.enum(callStates),
  epoch: z.number(),
  signed: z.exactOptional(signedPayment),
  receipt: z.exactOptional(settleResponse),
})

/**
 * What a web page signed (IndexedDB), so that neither a reload nor another page of its origin signs for the same call again. Nothing is
 * forgotten but by `purge`.
 */
export function browserLedger({
  name = 'flow402x-ledger',
  indexedDB,
  retention = defaultRetention,
}: BrowserLedgerOptions = {}): LedgerStore {
  const calls = browserTable<LedgerEntry>({
    database: { name, ...(indexedDB && { indexedDB }) },
    table: 'calls',
    keyPath: 'id',
    read: (stored) => z.parse(ledgerRow, stored),
    write: (entry) => entry,
  })

  async function* those(which: (entry: LedgerEntry) => boolean): AsyncGenerator<LedgerEntry> {
    yield* (await calls.all()).filter(which)
  }

  return {
    async begin(call) {
      let begun = false
      const entry = await calls.change(call.id, (found) => {
        begun = found === undefined || (found.state === 'released' && found.binding === call.binding)
        return begun ? { ...call, state: 'signing', epoch: (found?.epoch ?? 0) + 1 } : undefined
      })
      // What was begun or found stands.
      return { begun, entry: entry ?? { ...call, state: 'signing', epoch: 1 } }
    },
    find: (id) => calls.change(id, () => undefined),
    async update(entry, change) {
      let written: LedgerEntry | undefined
      await calls.change(entry.id, (found) => {
        written = found?.epoch === entry.epoch ? { ...found, ...change, epoch: found.epoch + 1 } : undefined
        return written
      })
      return written
    },
    overdue: (now) => those(({ state, deadAfter }) => (state === 'signing' || state === 'open') && deadAfter * 1000 < now),
    receipts: () => those(({ state, receipt }) => state === 'paid' && receipt !== undefined),
    async purge(now) {
      const isOld = ({ state, deadAfter }: LedgerEntry) => (state === 'paid' || state === 'released') && deadAfter * 1000 + retention < now
      const dropped = await Promise.all((await calls.all()).filter(isOld).map(({ id }) => calls.drop(id, isOld)))
      return dropped.filter(Boolean).length
    },
  }
}

/** Where a page keeps its ledger, and how long what is over. */
export type BrowserLedgerOptions = BrowserStoreOptions & RetentionOptions
