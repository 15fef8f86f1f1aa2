import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifies } from '@flow402x/testing/requirements'
import { testStore } from '@flow402x/testing/suites'
import Database from 'libsql'
import { afterAll, expect, it } from 'vitest'
import { sqliteStore } from '../sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-sqlite-'))
const file = join(folder, 'payments.db')
const options = { retention: 3_600_000 }
afterAll(() => rmSync(folder, { recursive: true }))

testStore({
  name: 'SQLite',
  open: async () => sqliteStore(file, options),
  program: () => ({ module: new URL('../sqlite.ts', import.meta.url).href, make: 'sqliteStore', arguments: [file, options] }),
})

it('refuses what no disk keeps', () => {
  verifies('M18')
  expect(() => sqliteStore(':memory:')).toThrow(
    expect.objectContaining({ code: 'config/store-not-durable', message: expect.stringContaining('journal mode is "memory"') }),
  )
})

it('one change that fails takes none of its group with it, and leaves nothing of itself', async () => {
  const path = join(folder, 'damaged.db')
  const store = sqliteStore(path)
  const by = (id: string, scopes: readonly string[]) => ({ id, amount: 1n, limits: scopes.map((scope) => ({ scope, limit: 9n })) })
  await store.budgets.reserve(by('before', ['b']))
  const other = new Database(path)
  other.exec("UPDATE flow402x_budget_scopes SET reserved = 'much' WHERE scope = 'b'")
  const [first, damaged, last] = await Promise.allSettled([
    store.budgets.reserve(by('first', ['a'])),
    store.budgets.reserve(by('damaged', ['a', 'b'])),
    store.budgets.reserve(by('last', ['a'])),
  ])
  expect([first, last]).toEqual(Array.from({ length: 2 }, () => ({ status: 'fulfilled', value: { granted: true } })))
  expect(damaged).toMatchObject({ status: 'rejected', reason: { code: 'store/unreadable', context: { what: 'Budget b' } } })
  expect(await store.budgets.use('a')).toEqual({ reserved: 2n, committed: 0n })
  other.close()
  await store.close()
})

it('waits for another process as long as it was told, does nothing then, and goes on afterwards', async () => {
  const path = join(folder, 'busy.db')
  const store = sqliteStore(path, { busyTimeout: 50 })
  const other = new Database(path)
  other.exec('BEGIN IMMEDIATE')
  const log = { network: 'eip155:8453', transaction: '0x1', logIndex: 0 }
  const both = await Promise.allSettled([store.logs.consume(log, 'a'), store.logs.consume(log, 'b')])
  expect(both).toEqual(Array.from({ length: 2 }, () => ({ status: 'rejected', reason: expect.objectContaining({ code: 'SQLITE_BUSY' }) })))
  other.exec('ROLLBACK')
  expect(await store.logs.consume(log, 'c')).toBe(true)
  other.close()
  await store.close()
})
