import { verifies } from '@flow402x/testing/requirements'
import { freePort, hasRedis, type RedisCluster, startRedis, startRedisCluster, type TestServer } from '@flow402x/testing/servers'
import { testStore } from '@flow402x/testing/suites'
import { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisBudgets, redisStore } from '../redis.ts'

const options = { retention: 3_600_000 }
const noJournal = 'skipped: Redis alone never holds a journal or a ledger (M18)'
const missing = hasRedis() ? '' : ' (skipped: there is no redis-server here)'

describe.skipIf(missing !== '')(`one server${missing}`, () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())

  testStore({
    name: 'Redis',
    noJournal,
    open: () => redisStore(server.url, options),
    program: () => ({ module: new URL('../redis.ts', import.meta.url).href, make: 'redisStore', arguments: [server.url, options] }),
    crash: () => server.crash(),
  })

  it('shares nothing between prefixes', async () => {
    const stores = await Promise.all(['a', 'b'].map((prefix) => redisStore(server.url, { prefix })))
    const log = { network: 'eip155:8453', transaction: '0x1', logIndex: 0 }
    expect(await Promise.all(stores.map(({ logs }, index) => logs.consume(log, `${index}`)))).toEqual([true, true])
    for (const store of stores) await store.close()
  })

  it('answers the same request again where its first answer was lost', async () => {
    const client = new Redis(server.url)
    const store = await redisStore(client)
    const request = { key: { id: 'lost', payer: 'p', deadAfter: 1 }, binding: 'b', claimId: 'c', submission, now: 0, leaseUntil: 9 }
    const first = await store.claims.claim(request, { maxAttempts: 1 })
    expect(await store.claims.claim(request, { maxAttempts: 1 })).toEqual(first)
    expect((await store.claims.claim({ ...request, claimId: 'd' }, { maxAttempts: 1 })).granted).toBe(false)
    await store.close()
    expect(await client.ping()).toBe('PONG')
    await client.quit()
  })

  it.each([
    ['appendonly', 'no'],
    ['appendfsync', 'everysec'],
    ['maxmemory-policy', 'allkeys-lru'],
  ])('refuses claims where %s is %s', async (setting, value) => {
    verifies('M18')
    const careless = await startRedis({ settings: { [setting]: value } })
    const refused = { code: 'config/store-not-durable', message: expect.stringContaining(`${setting} is "${value}"`) }
    await expect(redisStore(careless.url)).rejects.toMatchObject(refused)
    if (setting === 'maxmemory-policy') await expect(redisBudgets(careless.url)).rejects.toMatchObject(refused)
    else {
      const budgets = await redisBudgets(careless.url)
      expect(await budgets.reserve({ id: 'a', amount: 1n, limits: [{ scope: 's', limit: 1n }] })).toEqual({ granted: true })
      await budgets.close()
    }
    await careless.stop()
  })
})

describe.skipIf(missing !== '')(`three nodes${missing}`, () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  testStore({
    name: 'a Redis cluster',
    noJournal,
    open: () => redisStore(cluster.urls, options),
    program: () => ({ module: new URL('../redis.ts', import.meta.url).href, make: 'redisStore', arguments: [cluster.urls, options] }),
    crash: () => cluster.crash(),
  })

  it('spreads claims over its nodes', async () => {
    const client = new Cluster([...cluster.urls])
    await client.ping()
    const sizes = await Promise.all(client.nodes('master').map((node) => node.dbsize()))
    client.disconnect()
    expect(sizes).toHaveLength(3)
    expect(Math.min(...sizes)).toBeGreaterThan(20)
  })
})

it('says at start that nobody answers', async () => {
  const url = `redis://127.0.0.1:${await freePort()}`
  const refused = { code: 'config/store-unreachable', message: expect.stringContaining('ECONNREFUSED') }
  await expect(redisStore(url)).rejects.toMatchObject(refused)
  await expect(redisStore([url])).rejects.toMatchObject({ code: 'config/store-unreachable' })
})

const requirements = {
  scheme: 'exact',
  network: 'eip155:8453',
  amount: '1',
  asset: '0x1',
  payTo: '0x2',
  maxTimeoutSeconds: 60,
}
const submission = { requirements, payment: { x402Version: 2, accepted: requirements, payload: {} } } as const
