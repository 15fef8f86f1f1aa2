import { verifies } from '@flow402x/testing/requirements'
import { freePort, startPostgres, type TestServer } from '@flow402x/testing/servers'
import { testStore } from '@flow402x/testing/suites'
import { Pool } from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type PostgresConnection, postgresStore } from '../postgres.ts'

const options = { retention: 3_600_000, connections: 4 }
let server: TestServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

testStore({
  name: 'PostgreSQL',
  open: () => postgresStore(server.url, options),
  program: () => ({ module: new URL('../postgres.ts', import.meta.url).href, make: 'postgresStore', arguments: [server.url, options] }),
  crash: () => server.crash(),
})

/** A pool onto a database of its own, which `settings` are put on. */
async function emptyDatabase(name: string, settings: readonly string[] = []): Promise<Pool> {
  const admin = quietPool(server.url)
  await admin.query(`CREATE DATABASE ${name}`)
  for (const setting of settings) await admin.query(`ALTER DATABASE ${name} SET ${setting}`)
  await admin.end()
  const url = new URL(server.url)
  url.pathname = name
  return quietPool(url.href)
}

/** `end` of a pool is answered before its connections are gone, and the server may stop first. */
function quietPool(connectionString: string): Pool {
  // A client that is being closed has left its pool, and may still hear that its server went.
  return new Pool({ connectionString }).on('error', () => {}).on('connect', (client) => client.on('error', () => {}))
}

it('refuses a server that answers before it is on disk', async () => {
  verifies('M18')
  const pool = await emptyDatabase('careless', ['synchronous_commit = off'])
  const refused = { code: 'config/store-not-durable', message: expect.stringContaining('synchronous_commit is off') }
  await expect(postgresStore(pool)).rejects.toMatchObject(refused)
  await pool.end()
})

it('says at start that nobody answers', async () => {
  await expect(postgresStore(`postgres://postgres@127.0.0.1:${await freePort()}/postgres`)).rejects.toMatchObject({
    code: 'config/store-unreachable',
  })
})

it('makes its tables once, however many processes start at once, and leaves the caller its pool', async () => {
  const pool = await emptyDatabase('fresh')
  const stores = await Promise.all(Array.from({ length: 8 }, () => postgresStore(pool)))
  for (const store of stores) await store.close()
  const { rows } = await pool.query('SELECT version FROM flow402x_migrations ORDER BY version')
  expect(rows.length).toBeGreaterThan(2)
  expect(rows).toEqual(rows.map((_, index) => ({ version: index + 1 })))
  await pool.end()
})

it('repeats what the database refused for the sake of others, and nothing else', async () => {
  const pool = await emptyDatabase('strict', ["default_transaction_isolation = 'serializable'"])
  const scope = 'total'
  const store = await postgresStore(pool)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => store.budgets.reserve({ id: `${index}`, amount: 1n, limits: [{ scope, limit: 7n }] })),
  )
  expect(answers.filter(({ granted }) => granted)).toHaveLength(7)
  expect(await store.budgets.use(scope)).toEqual({ reserved: 7n, committed: 0n })

  const failing = (code: string): { asked: number; pool: Parameters<typeof postgresStore>[0] } => {
    const counted = { asked: 0, pool: { query, connect: () => pool.connect() } }
    async function query(...input: Parameters<PostgresConnection['query']>): ReturnType<PostgresConnection['query']> {
      if (!input[0].startsWith('INSERT INTO flow402x_logs')) return pool.query(...input)
      counted.asked += 1
      if (counted.asked < 3) throw Object.assign(new Error('refused'), { code })
      return pool.query(...input)
    }
    return counted
  }
  const log = { network: 'eip155:8453', transaction: '0x1', logIndex: 0 }
  const busy = failing('40001')
  expect(await (await postgresStore(busy.pool)).logs.consume(log, 'a')).toBe(true)
  expect(busy.asked).toBe(3)
  const lost = failing('08006')
  await expect((await postgresStore(lost.pool)).logs.consume(log, 'a')).rejects.toThrow('refused')
  expect(lost.asked).toBe(1)
  await pool.end()
})
