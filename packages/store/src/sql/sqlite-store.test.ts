import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifies } from '@flow402x/testing/requirements'
import { testStore } from '@flow402x/testing/suites'
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
