import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { buyers } from '../fixtures/buyers.ts'
import { type ChannelStage, channelBuyer, channelStage } from '../fixtures/channel-stage.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-payers-'))
const children = buyers()
let stage: ChannelStage
beforeAll(async () => {
  stage = await channelStage()
})
afterEach(() => children.end())
afterAll(async () => {
  await stage?.close()
  rmSync(folder, { recursive: true })
})

const price = 1000n

/** A real process that pays over channels from the books in `place`. */
function startBuyer(place: string, account: number) {
  const { accounts, network, rpcUrl } = stage.chain
  return children.start(new URL('../fixtures/channel-process.ts', import.meta.url), {
    place,
    key: accounts[account]?.privateKey,
    network,
    rpcUrl,
  })
}

it('two processes of one file fill a channel once and sign no stretch twice', async () => {
  verifies(['H15', 'M20'])
  const place = join(folder, 'shared.db')
  const shop = await stage.openShop({ minDeposit: '$0.02' })
  const two = await Promise.all([startBuyer(place, 3), startBuyer(place, 3)])
  const results = await Promise.all(two.flatMap(({ call }) => Array.from({ length: 25 }, () => call(shop.url))))
  expect(new Set(results)).toEqual(new Set(['200']))
  const store = sqliteStore(place)
  const buyer = channelBuyer(stage, { store })
  const [payer, seller] = [await buyer.row(), await shop.row()]
  expect([shop.runs(), payer.charged, seller.charged, payer.top, payer.held]).toEqual([50, 50n * price, 50n * price, 50n * price, []])
  expect(payer.funds.balance).toBe(seller.funds.balance)
  await shop.server.collect()
  await vi.waitFor(async () => expect(await stage.earned()).toBe(50n * price))
  await store.close()
})

it('kill -9 between signing and answer loses no money, and the next process signs above what may have been spent', async () => {
  verifies(['H15', 'H2', 'H21'])
  const place = join(folder, 'killed.db')
  let [isOpen, hanging] = [true, 0]
  const shop = await stage.openShop({
    minDeposit: '$0.1',
    handler: async ({ url }) => {
      hanging += url?.startsWith('/held') ? 1 : 0
      await vi.waitFor(() => expect(isOpen || !url?.startsWith('/held')).toBe(true), { timeout: 30_000, interval: 20 })
      return 200
    },
  })
  const victim = await startBuyer(place, 4)
  expect(await victim.call(shop.url)).toBe('200')
  isOpen = false
  for (let order = 0; order < 5; order += 1) void victim.call(`${shop.url}/held/${order}`, `order-${order}`)
  await vi.waitFor(() => expect(hanging).toBe(5))
  await victim.kill()
  const heir = await startBuyer(place, 4)
  expect(await heir.call(shop.url)).toBe('200')
  isOpen = true
  // What the victim had signed is charged to nobody but the calls it was signed for: the very same payments bring their goods.
  await vi.waitFor(async () => expect((await shop.row()).held.filter(({ used }) => used === undefined)).toEqual([]))
  const orders = await Promise.all([0, 1, 2, 3, 4].map((order) => heir.call(`${shop.url}/held/${order}`, `order-${order}`)))
  expect(orders).toEqual(orders.map(() => '200'))
  const store = sqliteStore(place)
  const buyer = channelBuyer(stage, { store, account: 4 })
  expect([(await buyer.row()).top, (await shop.row()).charged]).toEqual([7n * price, 7n * price])
  expect(await buyer.row()).toMatchObject({ charged: 7n * price, held: [] })
  await shop.server.collect()
  await vi.waitFor(async () => expect(await stage.earned()).toBe(7n * price))
  await store.close()
})
