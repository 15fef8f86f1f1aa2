import { type Channel, type ChannelStore, channelBook } from '@flow402x/core'
import { growLane, raiseVoucher } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, startPostgres, startRedis, type TestServer } from '@flow402x/testing/servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { postgresStore } from '../postgres.ts'
import { hotStore } from '../redis.ts'

const missing = hasRedis() ? '' : ' (skipped: there is no redis-server here)'
let database: TestServer
const closing: (() => unknown)[] = []
beforeAll(async () => {
  database = await startPostgres()
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
  await database?.stop()
})

/** Two processes on one Redis, that can come back with what it had at `remember`, as one that writes its file now and then does. */
async function openTwo(durability: 'sync' | 'fast', flushEvery: number) {
  const redis = await startRedis({ settings: { appendonly: 'no' } })
  closing.push(() => redis.stop())
  const open = async () => {
    const cold = await postgresStore(database.url, { connections: 4 })
    const hot = await hotStore(redis.url, { store: cold, durability, flushEvery, prefix: 'two' })
    closing.push(
      () => cold.close(),
      () => hot.close(),
    )
    return { channels: hot.channels, cold: cold.channels, book: channelBook(hot.channels, { side: 'receiver' }) }
  }
  const [first, second] = [await open(), await open()]
  const remember = async (): Promise<void> => {
    const client = new Redis(redis.url)
    await client.save()
    await client.quit()
  }
  return { first, second, remember, goBack: () => redis.crash() }
}

describe.skipIf(missing !== '').each(['sync', 'fast'] as const)(
  `a Redis that comes back as it was a while ago, %s${missing}`,
  (durability) => {
    it('is believed nothing: what the database was told since stands, whoever changes the row next', async () => {
      verifies(['FS1-HOT', 'M27', 'M18'])
      const { first, second, remember, goBack } = await openTwo(durability, 3_600_000)
      // So many changes were forgotten, and so many came after that: epochs that are only counted meet, or pass each other.
      for (const [forgotten, later] of [
        [1, 0],
        [1, 1],
        [1, 4],
        [2, 1],
        [3, 3],
      ] as const) {
        const { id } = await lane(first.channels)
        await remember()
        const standing = await first.channels.find({ side: 'receiver', id })
        if (standing === undefined) throw new RangeError('no row')
        let known = standing
        for (let more = 1n; more <= forgotten; more += 1n)
          known =
            (await first.channels.update(known, { ...known, refunding: more, funds: { ...known.funds, readAt: Number(more) } })) ?? known
        expect((await first.cold.find(known))?.refunding).toBe(BigInt(forgotten))
        await goBack()
        await vi.waitFor(() => second.channels.find(known), 5000)
        for (let more = 1n; more <= later; more += 1n) await raise(second.book, id, 10n + more)
        for await (const row of second.channels.list({ side: 'receiver' })) if (row.id === id) expect(row.refunding).toBe(BigInt(forgotten))
        expect(await first.channels.find(known)).toMatchObject({ refunding: BigInt(forgotten), top: 10n + BigInt(later) })
        expect((await first.cold.find(known))?.top).toBe(10n + BigInt(later))
      }
    })

    it('sells nothing twice: a stretch that was sold before is sold', async () => {
      verifies(['FS1-HOT', 'F4', 'T14'])
      const { first, second, remember, goBack } = await openTwo(durability, 3_600_000)
      const { id } = await lane(first.channels)
      await remember()
      // Its lane ends with 7 of 10 used, and the rest is given back.
      const used = { id: 'lane', epoch: 1, used: 7n, slice: 0n, now: 1 }
      await first.book.change(id, (row) => growLane(row, used))
      await first.book.change(id, ({ lanes: _, ...row }) => ({
        channel: { ...row, free: [{ from: 7n, to: 10n, spent: true }] },
        result: 0,
      }))
      await goBack()
      const again = await vi.waitFor(() => second.book.change(id, (row) => growLane(row, { ...used, used: 2n, slice: 10n })), 5000)
      expect(again).toBe('gone')
      expect(await second.channels.find({ side: 'receiver', id })).toMatchObject({ charged: 7n, free: [{ from: 7n, to: 10n }] })
    })
  },
)

async function lane(channels: ChannelStore): Promise<Channel> {
  const funds = { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 }
  const bare = { side: 'receiver', id: crypto.randomUUID(), network: 'eip155:84532', config: {}, funds, refunding: 0n } as const
  await channels.open({ ...bare, charged: 0n, top: 0n, held: [], free: [], epoch: 1 })
  await raise(channelBook(channels, { side: 'receiver' }), bare.id, 10n, true)
  const row = await channels.find(bare)
  if (row === undefined) throw new RangeError('no row')
  return row
}

function raise(book: ReturnType<typeof channelBook>, id: string, max: bigint, opens = false) {
  const step = { id: 'lane', epoch: 1, slice: 1000n, now: 1, opens }
  return book.change(id, (row) => raiseVoucher(row, { ...step, max, signature: `to ${max}` }))
}
