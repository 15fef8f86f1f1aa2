import { type Channel, type ChannelStore, channelBook } from '@flow402x/core'
import { growLane, raiseVoucher } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, type RedisCluster, startPostgres, startRedis, startRedisCluster, type TestServer } from '@flow402x/testing/servers'
import { testChannels } from '@flow402x/testing/suites'
import { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { postgresStore } from '../postgres.ts'
import { hotStore } from '../redis.ts'

const missing = hasRedis() ? '' : ' (skipped: there is no redis-server here)'
let [database, redis]: Partial<TestServer>[] = []
// What any of them says that it could not write down.
const errors: unknown[] = []
const closing: (() => Promise<void>)[] = []
beforeAll(async () => {
  // What fast is fast with: a Redis that writes nothing to disk.
  ;[database, redis] = await Promise.all([startPostgres(), startRedis({ settings: { appendonly: 'no' } })])
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
  await database?.stop?.()
  await redis?.stop?.()
})

type Opened = { readonly channels: ChannelStore; readonly cold: ChannelStore; close(): Promise<void> }

type Where = { readonly prefix?: string; readonly nodes?: readonly string[] }

/** A store of a process; those of one `prefix` share what is hot. It is in one Redis, or in a cluster with these nodes. */
async function open(durability: 'sync' | 'fast', flushEvery = 250, { prefix = crypto.randomUUID(), nodes }: Where = {}): Promise<Opened> {
  const store = await postgresStore(database?.url ?? '', { connections: 4 })
  const hot = await hotStore(nodes ?? redis?.url ?? '', { store, durability, flushEvery, prefix, onError: (error) => errors.push(error) })
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await hot.close()
    isOpen = false
  }
  closing.push(() => store.close(), close)
  return { channels: hot.channels, cold: store.channels, close }
}

describe.skipIf(missing !== '').each(['sync', 'fast'] as const)(`channels in Redis, %s${missing}`, (durability) => {
  let stores: Opened[] = []
  beforeAll(async () => {
    stores = await Promise.all([1, 2, 3].map(() => open(durability, 250, { prefix: `suite-${durability}` })))
  })
  testChannels({ program: { none: 'skipped: two processes on Redis are a test of streams' } }, () => stores.map(({ channels }) => channels))
})

describe.skipIf(missing !== '')(`what a crash of Redis may forget${missing}`, () => {
  it('is nothing where changes are written down before they are answered', async () => {
    verifies(['T22', 'FS1-HOT'])
    const { channels } = await open('sync', 3_600_000)
    const book = channelBook(channels, { side: 'receiver' })
    const { id } = await lane(channels)
    for (let max = 20n; max <= 100n; max += 10n) await raise(book, id, max)
    await redis?.crash?.()
    expect(await channels.find({ side: 'receiver', id })).toMatchObject({ top: 100n, voucher: { max: 100n } })
  })

  it('is what was answered since the last flush, and comes again with the next voucher', async () => {
    verifies(['F9', 'FS1-HOT'])
    const { channels, cold } = await open('fast', 3_600_000)
    const book = channelBook(channels, { side: 'receiver' })
    const { id } = await lane(channels)
    const key = { side: 'receiver', id } as const
    await raise(book, id, 50n)
    for await (const one of channels.list({ side: 'receiver' })) if (one.id === id) expect(one.top).toBe(50n)
    await raise(book, id, 70n)
    const acknowledged = await raise(book, id, 90n)
    expect(acknowledged).toMatchObject({ granted: 90n })
    expect(await book.change(id, (row) => growLane(row, { id: 'lane', epoch: 1, used: 80n, slice: 1000n, now: 1 }))).toMatchObject({
      used: 80n,
    })
    await redis?.crash?.()
    const standing = await channels.find(key)
    // Forgotten are the two vouchers after the flush, 40 of money, and not a unit more; what was delivered of it is not charged.
    expect([standing?.top, standing?.charged, (await cold.find(key))?.top]).toEqual([50n, 0n, 50n])
    // Whoever delivers goes on with what he knows: it is charged as far as the books have it, and the rest with the next voucher.
    const step = { id: 'lane', epoch: 1, used: 80n, slice: 1000n, now: 2 }
    expect(await book.change(id, (row) => growLane(row, step))).toMatchObject({ used: 50n, granted: 50n })
    expect(await raise(book, id, 90n)).toMatchObject({ granted: 90n })
    expect(await book.change(id, (row) => growLane(row, step))).toMatchObject({ used: 80n })
    expect(await channels.find(key)).toMatchObject({ top: 90n, charged: 80n })
  })

  it('is no refund, no deposit, no lane and no end of one: they are on disk when they are answered', async () => {
    verifies('FS1-HOT')
    const { channels, cold } = await open('fast', 3_600_000)
    const row = await lane(channels)
    const changes: ((standing: Channel) => Channel)[] = [
      (standing) => ({ ...standing, refunding: 7n }),
      (standing) => ({ ...standing, funds: { ...standing.funds, withdrawing: 5n } }),
      (standing) => ({ ...standing, held: [{ id: 'work', from: 0n, to: 1n, until: 9 }] }),
      ({ lanes: _, ...standing }) => standing,
    ]
    let standing = row
    for (const change of changes) {
      standing = (await channels.update(standing, change(standing))) ?? standing
      expect(await cold.find(standing)).toEqual(standing)
    }
  })

  it('is remembered by nobody: a row that Redis lost changes nothing under its old epoch', async () => {
    verifies(['M25', 'FS1-HOT'])
    const [first, second] = [await open('fast', 3_600_000, { prefix: 'lost' }), await open('fast', 3_600_000, { prefix: 'lost' })]
    const [stale, fresh] = [first, second].map(({ channels }) => channelBook(channels, { side: 'receiver' }))
    const { id } = await lane(first.channels)
    if (stale === undefined || fresh === undefined) throw new RangeError('no books')
    await raise(stale, id, 60n)
    await redis?.crash?.()
    // As many changes as were lost, by another: epochs that are only counted would meet.
    await raise(fresh, id, 40n)
    expect(await stale.change(id, (row) => growLane(row, { id: 'lane', slice: 1000n, now: 1 }))).toMatchObject({ granted: 40n })
    expect(await first.channels.find({ side: 'receiver', id })).toMatchObject({ top: 40n })
  })
})

describe.skipIf(missing !== '')(`rows in Redis${missing}`, () => {
  it('are written down in time, by another where their process died', async () => {
    verifies('FS1-HOT')
    const [dead, living] = [await open('fast', 3_600_000, { prefix: 'dead' }), await open('fast', 100, { prefix: 'dead' })]
    const { id } = await lane(dead.channels)
    await raise(channelBook(dead.channels, { side: 'receiver' }), id, 60n)
    await vi.waitFor(async () => expect((await living.cold.find({ side: 'receiver', id }))?.top).toBe(60n), 3000)
    const client = new Redis(redis?.url ?? '')
    const waiting = await Promise.all((await client.keys('*}:channels')).map((key) => client.smembers(key)))
    expect(waiting.flat()).not.toContain(`receiver ${id}`)
    await client.quit()
  })

  it('are given up for what the database says, where somebody worked on it without Redis', async () => {
    verifies('FS1-HOT')
    const { channels, cold } = await open('fast', 50)
    const row = await lane(channels)
    const key = { side: 'receiver', id: row.id } as const
    const standing = await cold.find(key)
    if (standing === undefined) throw new RangeError('no row')
    let ahead = standing
    for (let more = 1n; more <= 3n; more += 1n) ahead = (await cold.update(ahead, { ...ahead, refunding: more })) ?? ahead
    await raise(channelBook(channels, { side: 'receiver' }), row.id, 30n)
    await vi.waitFor(() => expect(errors).toMatchObject([{ code: 'store/overtaken', context: { channel: row.id } }]), 3000)
    expect(await channels.find(key)).toMatchObject({ refunding: 3n, top: 10n })
  })

  it('are written down at the end', async () => {
    const { channels, cold, close } = await open('fast', 3_600_000)
    const { id } = await lane(channels)
    await raise(channelBook(channels, { side: 'receiver' }), id, 60n)
    expect((await cold.find({ side: 'receiver', id }))?.top).toBe(10n)
    await close()
    expect((await cold.find({ side: 'receiver', id }))?.top).toBe(60n)
  })
})

describe.skipIf(missing !== '')(`channels in a cluster of three nodes, fast${missing}`, () => {
  let cluster: RedisCluster
  let stores: Opened[] = []
  const opened = (flushEvery: number, prefix: string) => open('fast', flushEvery, { prefix, nodes: cluster.urls })
  beforeAll(async () => {
    cluster = await startRedisCluster({ settings: { appendonly: 'no' } })
    closing.push(() => cluster.stop())
    stores = await Promise.all([1, 2, 3].map(() => opened(250, 'suite-cluster')))
  }, 30_000)
  testChannels({ program: { none: 'skipped: two processes on Redis are a test of streams' } }, () => stores.map(({ channels }) => channels))

  it('are on all nodes, written down in time by another where their process died, and forgotten by a crash as by one Redis', async () => {
    verifies(['F9', 'FS1-HOT'])
    const [dead, living] = [await opened(3_600_000, 'nodes'), await opened(100, 'nodes')]
    const book = channelBook(dead.channels, { side: 'receiver' })
    const rows = await Promise.all(Array.from({ length: 30 }, () => lane(dead.channels)))
    await Promise.all(rows.map(({ id }) => raise(book, id, 60n)))
    const client = new Cluster([...cluster.urls])
    await client.ping()
    const kept = await Promise.all(client.nodes('master').map((node) => node.keys('*nodes*')))
    client.disconnect()
    expect(kept.map((keys) => keys.length > 3)).toEqual([true, true, true])
    const written = () => Promise.all(rows.map(async ({ id }) => (await living.cold.find({ side: 'receiver', id }))?.top))
    await vi.waitFor(async () => expect(await written()).toEqual(rows.map(() => 60n)), 5000)

    const alone = await opened(3_600_000, 'alone')
    const { id } = await lane(alone.channels)
    const own = channelBook(alone.channels, { side: 'receiver' })
    expect(await raise(own, id, 60n)).toMatchObject({ granted: 60n })
    await cluster.crash()
    await vi.waitFor(async () => expect(await alone.channels.find({ side: 'receiver', id })).toMatchObject({ top: 10n }), 10_000)
    expect(await raise(own, id, 60n)).toMatchObject({ granted: 60n })
    expect(await alone.channels.find({ side: 'receiver', id })).toMatchObject({ top: 60n })
  }, 30_000)
})

/** A channel of which one lane is paid, up to 10. */
async function lane(channels: ChannelStore): Promise<Channel> {
  const row: Channel = {
    side: 'receiver',
    id: crypto.randomUUID(),
    network: 'eip155:84532',
    config: {},
    funds: { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 },
    refunding: 0n,
    charged: 0n,
    top: 0n,
    held: [],
    free: [],
    epoch: 1,
  }
  await channels.open(row)
  await raise(channelBook(channels, { side: 'receiver' }), row.id, 10n, true)
  return (await channels.find(row)) ?? row
}

function raise(book: ReturnType<typeof channelBook>, id: string, max: bigint, opens = false) {
  const step = { id: 'lane', epoch: 1, slice: 1000n, now: 1, opens }
  return book.change(id, (row) => raiseVoucher(row, { ...step, max, signature: `to ${max}` }))
}
