import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { testCatalogue } from '@flow402x/testing/suites'
import { afterAll, beforeAll } from 'vitest'
import { postgresStore } from '../postgres.ts'
import { sqliteStore } from '../sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-catalogue-'))
let server: TestServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

testCatalogue({ name: 'SQLite', open: async () => sqliteStore(join(folder, 'bazaar.db')) })
testCatalogue({ name: 'PostgreSQL', open: () => postgresStore(server.url, { connections: 4 }) })
