import { postgresStore } from '@flow402x/store/postgres'
import { hotStore } from '@flow402x/store/redis'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, startRedis } from '@flow402x/testing/servers'
import { describe, expect, test, vi } from 'vitest'
import { useGround, usePostgres } from '../fixtures/ground.ts'
import { drain, startSellerProcess } from '../fixtures/seller-process.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const missing = hasRedis() ? '' : ' (skipped: there is no redis-server here)'
const ground = useGround(escrowFacilitator)
const database = usePostgres()

const token = 10n
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 100, windowMax: 100, tick: 20 }

/** A shop whose channels are hot in a Redis that writes nothing to disk, and both of its stores. */
async function openHot(streams: { readonly lease?: number; readonly checkpointEvery?: number } = {}) {
  const redis = await startRedis({ settings: { appendonly: 'no' } })
  const cold = await postgresStore(database.url, { connections: 4 })
  // It goes on trying while Redis is away.
  const store = await hotStore(redis.url, { store: cold, durability: 'fast', onError: () => {} })
  ground.closing(() => redis.stop())
  ground.closing(() => cold.close())
  ground.closing(() => store.close())
  const shop = await ground.open({ rate: tokens, source: slowTokens, store, streams: { ticksPerSecond: 100, ...streams } })
  return { redis, cold, shop }
}

type Hot = Awaited<ReturnType<typeof openHot>>
type Payer = Awaited<ReturnType<Hot['shop']['newPayer']>>

/** A lane that has signed for 60 tokens, which is written down, and then for 100, which Redis forgets after it was answered. */
async function crashed({
  redis,
  cold,
  shop,
}: Hot): Promise<{ payer: Payer; reading: Awaited<ReturnType<Hot['shop']['open']>>; top: bigint }> {
  const payer = await shop.newPayer(100_000n)
  const reading = await shop.open(payer.voucher(20n * token), 'B')
  expect((await shop.slide(reading.sid, payer.voucher(60n * token))).status).toBe(200)
  const key = { side: 'receiver', id: payer.id } as const
  await vi.waitFor(async () => expect((await cold.channels.find(key))?.top).toBe(60n * token), 3000)
  const last = await payer.voucher(100n * token)
  expect((await shop.slide(reading.sid, last)).status).toBe(200)
  await redis.crash()
  const { top } = await shop.row(payer)
  // The flush may have been faster; what was written before is never lost.
  expect([60n * token, 100n * token]).toContain(top)
  return { payer, reading, top }
}

describe.skipIf(missing !== '')(`a stream that flows while Redis forgets what was answered last${missing}`, () => {
  test('goes on with the next voucher of an honest payer, and all that was delivered is charged', { timeout: 20_000 }, async () => {
    verifies(['F9', 'FS1-HOT'])
    const hot = await openHot()
    const { payer, reading } = await crashed(hot)
    await vi.waitFor(async () => expect((await hot.shop.slide(reading.sid, payer.voucher(140n * token))).status).toBe(200), 5000)
    await vi.waitFor(() => expect(reading.items.length).toBe(140), 8000)
    const { body } = await hot.shop.post({ sid: reading.sid, op: 'close' })
    expect(body).toMatchObject({ state: 'ended', consumed: `${140n * token}`, charged: `${140n * token}` })
    expect(await hot.shop.row(payer)).toMatchObject({ charged: 140n * token, top: 140n * token, free: [] })
    expect(reading.items).toHaveLength(140)
  })

  test('costs its seller the vouchers since the last flush where the payer says nothing more, and not a token beyond', {
    timeout: 20_000,
  }, async () => {
    verifies(['F9', 'T11'])
    const hot = await openHot()
    const { payer, reading, top } = await crashed(hot)
    await vi.waitFor(() => expect(reading.items.length).toBe(100), 8000)
    await hot.shop.post({ sid: reading.sid, op: 'close' })
    await reading.ended
    expect(reading.items).toHaveLength(100)
    expect(await hot.shop.row(payer)).toMatchObject({ charged: top, top, free: [] })
  })

  test('and whose seller dies with it is resumed by another: no more is lost than was delivered in a second', {
    timeout: 40_000,
  }, async () => {
    verifies(['F9', 'F10', 'T21'])
    const [lease, checkpointEvery] = [1500, 1000]
    const hot = await openHot({ lease, checkpointEvery })
    const { redis, shop } = hot
    const { chain, facilitator } = ground
    const given = { chain, facilitator, database: database.url, rate: tokens, lease, checkpointEvery }
    const { url, child } = await startSellerProcess({ ...given, redis: redis.url, durability: 'fast' })
    ground.closing(() => child.kill('SIGKILL'))
    const payer = await shop.newPayer(100_000n)
    const response = await fetch(`${url}/live`, { headers: await shop.paying(payer.voucher(100n * token), 'B') })
    const sid = /sid="([-\w]+)"/.exec(response.headers.get('Payment-Stream') ?? '')?.[1] ?? ''
    const seen = { text: '' }
    const reading = drain(response, seen)
    const received = () => seen.text.split('data: token ').length - 1
    await vi.waitFor(() => expect(received()).toBeGreaterThan(60), 8000)
    const voucher = (await payer.voucher(180n * token)).payload.voucher
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(`${url}/live/tick`, { method: 'POST', headers, body: JSON.stringify({ sid, voucher }) })).status).toBe(200)
    await vi.waitFor(() => expect(received()).toBeGreaterThan(110), 8000)
    child.kill('SIGKILL')
    await redis.crash()
    await reading
    const arrived = received()

    // The payer is honest: he presents what he signed, and says what he has.
    expect((await shop.slide(sid, payer.voucher(180n * token))).status).toBe(200)
    const resumed = await shop.read({ 'Payment-Resume': `${sid}; from=${arrived}` })
    expect([resumed.status, resumed.sid]).toEqual([200, sid])
    await vi.waitFor(() => expect(arrived + resumed.items.length).toBeGreaterThanOrEqual(180), 8000)
    const { body } = await shop.post({ sid, op: 'close' })
    const consumed = BigInt(String(body.consumed))
    const delivered = BigInt(arrived + resumed.items.length) * token
    const second = 100n * token
    expect([consumed <= 180n * token, delivered - consumed <= second]).toEqual([true, true])
    expect(await shop.row(payer)).toMatchObject({ charged: consumed, top: 180n * token })
  })
})
