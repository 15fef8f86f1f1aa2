import { createClient, streamWallet } from '@flow402x/client'
import type { ServerScheme, Store } from '@flow402x/core'
import { writeMessage } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { postgresStore } from '@flow402x/store/postgres'
import { hotStore } from '@flow402x/store/redis'
import { payStream } from '@flow402x/stream/client'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, startPostgres, startRedis, type TestServer } from '@flow402x/testing/servers'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { secretKeySender } from '../crypto/signer.ts'
import { exactSolanaClient } from '../exact/client.ts'
import { exactWindowsSolanaServer } from '../exact-windows/server.ts'
import { exactSolanaFacilitator, nonceVoucherFacilitator, solanaChain } from '../facilitator.ts'
import { openShop } from '../fixtures/streams.ts'
import { nonceVoucherClient } from './payer/client.ts'
import { nonceVoucherServer } from './server.ts'

let local: SolanaChain
let database: TestServer
let redis: TestServer | undefined
const open: { close(): Promise<unknown> }[] = []
beforeAll(async () => {
  ;[local, database, redis] = await Promise.all([
    startSolanaChain({ slotTime: 20 }),
    startPostgres(),
    hasRedis() ? startRedis({ settings: { appendonly: 'no' } }) : undefined,
  ])
})
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
afterAll(async () => {
  await local?.stop()
  await database?.stop()
  await redis?.stop()
})

// What is synchronous is on disk as well before it is answered: the tests of EVM and of the store see to that.
type Durability = 'fast'

/** One of several instances of a seller, with a connection of its own to the books that all share. */
async function instance(
  schemeOf: (store: Store) => ServerScheme,
  { durability, ...options }: { readonly buy?: number; readonly durability?: Durability | undefined } = {},
) {
  const cold = await postgresStore(database.url, { connections: 4 })
  open.push(cold)
  const store = durability === undefined ? cold : await hotStore(redis?.url ?? '', { store: cold, durability })
  if (store !== cold) open.push(store)
  const { network, rpcUrl } = local
  const chain = solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const schemes = [nonceVoucherFacilitator({ chain }), exactSolanaFacilitator({ chain })]
  const facilitator = createFacilitator({ schemes, store, confirmTimeout: 10_000 })
  open.push(facilitator)
  const scheme = schemeOf(store)
  const runner = scheme.vouchers?.runner({ facilitator })
  if (runner !== undefined) open.push(runner)
  const shop = await openShop([scheme], { facilitator, store, ...options })
  open.push(shop)
  return { shop, runner }
}

const byNonces = (store: Store) => {
  const { network, rpcUrl } = local
  return nonceVoucherServer({ network, rpcUrl, payTo: local.seller.address, store })
}
const byWindows = (store: Store) => {
  const { network, rpcUrl } = local
  return exactWindowsSolanaServer({ network, rpcUrl, payTo: local.seller.address, store })
}
const earned = () => local.balanceOf(local.seller.address)

const missing = hasRedis() ? '' : ' (skipped: there is no redis-server here)'
const where: [name: string, durability: Durability | undefined][] = [
  ['one PostgreSQL', undefined],
  [`one Redis, fast${missing}`, 'fast'],
]

describe.each(where)('two instances on %s', (_, durability) => {
  const isSkipped = durability !== undefined && missing !== ''
  it.skipIf(isSkipped)('take ticks and last words for each other’s lanes, and one of them settles all of it', async () => {
    verifies(['FS1-RESUME', 'FS1-FINAL', 'F4'])
    const [first, second] = [await instance(byNonces, { durability }), await instance(byNonces, { durability })]
    const { network, rpcUrl } = local
    const client = nonceVoucherClient({ network, rpcUrl, signer: local.buyer.privateKey })
    const [requirements] = (await first.shop.offer()).accepts
    if (requirements === undefined) throw new Error('nothing is offered')
    const before = await earned()
    const window = 10_000n
    const account = await client.lanes?.open(requirements, window, { now: Date.now() / 1000, maxTimeoutSeconds: 60 })
    if (account === undefined) throw new Error('no lanes')
    const reading = await first.shop.open(account.payment())
    expect(reading.status).toBe(200)
    const gated = (times: number) => vi.waitFor(() => expect(reading.controls.filter(({ t }) => t === 'gated')).toHaveLength(times), 8000)
    await gated(1)
    // The same voucher at both, and a new one at the one that does not have the lane.
    const tick = await account.slide({ used: window, window, least: 1n })
    if (tick === undefined) throw new Error('nothing to sign')
    const answers = await Promise.all([first, second].map(({ shop }) => shop.slide(reading.sid, tick)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    await gated(2)
    expect(await second.shop.end(reading.sid)).toBe(200)
    await vi.waitFor(() => expect(reading.controls.some(({ t }) => t === 'end')).toBe(true), 8000)
    const consumed = reading.controls.findLast(({ t }) => t === 'receipt')?.consumed ?? 0n
    expect(consumed).toBe(2n * window)
    await account.close(consumed)
    const final = await account.final?.({ received: consumed })
    const closed = await fetch(`${second.shop.url}/live/tick`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: writeMessage({ sid: reading.sid, op: 'close', ...(final && { final }) }),
    })
    expect([closed.status, await closed.json()]).toMatchObject([200, { state: 'ended', consumed: `${consumed}` }])
    const rounds = await Promise.all([first, second].map(({ runner }) => runner?.round({ all: true })))
    expect(rounds.filter((round) => round?.led)).toHaveLength(1)
    expect((await earned()) - before).toBe(consumed)
  })

  it.skipIf(isSkipped)('serve a reader who pays as he reads, to the last atomic unit', async () => {
    verifies(['T25', 'FS1-FINAL'])
    const { shop, runner } = await instance(byNonces, { durability })
    const buyer = local.accounts.findLast(({ role }) => role === 'buyer')
    if (buyer === undefined) throw new Error('no buyer')
    const before = await earned()
    const { network, rpcUrl } = local
    const scheme = nonceVoucherClient({ network, rpcUrl, signer: buyer.privateKey })
    const wallet = streamWallet(createClient({ schemes: [scheme], budget: { perPayment: '$1', total: '$2' } }))
    const stream = await payStream({ wallet, url: `${shop.url}/live`, units: '10' })
    let chunks = 0
    for await (const _ of stream) {
      chunks += 1
      if (chunks === 25) await runner?.round({ all: true })
      if (chunks === 60) break
    }
    const { consumed } = await stream.receipt
    await runner?.round({ all: true })
    expect((await earned()) - before).toBe(consumed)
  })

  it.skipIf(isSkipped)('sell a window once between them', async () => {
    verifies(['FS1-WINDOWS', 'F4'])
    const [first, second] = [await instance(byWindows, { buy: 1, durability }), await instance(byWindows, { buy: 1, durability })]
    const [requirements] = (await first.shop.offer()).accepts
    if (requirements === undefined) throw new Error('nothing is offered')
    const client = exactSolanaClient({ signer: secretKeySender(local.buyer.privateKey) })
    const paid = await client.prepare(requirements, { now: Date.now() / 1000, maxTimeoutSeconds: 60 })
    const before = await earned()
    const readings = await Promise.all([first, second].map(({ shop }) => shop.open(paid, 'A')))
    const served = readings.filter(({ status }) => status === 200)
    // Who asked while the other settled may have been told to wait; nobody is served besides.
    expect(served.length).toBeLessThanOrEqual(1)
    if (served.length === 0) await vi.waitFor(async () => expect((await second.shop.open(paid, 'A')).status).toBe(200), 8000)
    for (const { shop } of [first, second]) expect((await shop.open(paid, 'A')).status).toBe(402)
    expect((await earned()) - before).toBe(10_000n)
  })
})
