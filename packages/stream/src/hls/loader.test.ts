import { streamWallet } from '@flow402x/client'
import { verifies } from '@flow402x/testing/requirements'
import Hls, { type HlsConfig } from 'hls.js'
import { describe, expect, it } from 'vitest'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import {
  type HlsLoaded,
  type HlsPlan,
  loadHls,
  openHlsShop,
  perSecond,
  segmentBytes,
  segmentCount,
  segmentMs,
} from '../fixtures/hls-shop.ts'
import { hlsLoader } from './loader.ts'

const ground = useGround(channelFacilitator)

const segment = (BigInt(segmentMs) * perSecond) / 1000n
const window = 2n * perSecond

async function shopOf(plan: Pick<HlsPlan, 'way' | 'before' | 'streams' | 'clock'>) {
  const shop = await openHlsShop({ chain: ground.chain, facilitator: ground.facilitator, ...plan })
  ground.closing(() => shop.close())
  return shop
}

const numbers = Array.from({ length: segmentCount }, (_, at) => at)
const isSilence = ({ data }: HlsLoaded): boolean => data instanceof ArrayBuffer && Buffer.from(segmentBytes()).equals(Buffer.from(data))

it('fits hls.js in each of its places', () => {
  verifies('FS1-HLS-LOADER')
  const { client } = newBuyer(ground.chain)
  const loader = hlsLoader({ wallet: streamWallet(client), budget: '$1' })
  const hls = new Hls({ loader, maxBufferLength: 10 })
  const others: Pick<HlsConfig, 'fLoader' | 'pLoader'> = { fLoader: loader, pLoader: loader }
  expect([hls.config.loader, others.fLoader, new loader().context]).toEqual([loader, loader, null])
})

describe('a programme that is sold by its segments', () => {
  it('costs what was loaded of it, to the atomic unit, and is asked for when it is paid', async () => {
    verifies(['FS1-HLS-LOADER', 'M29'])
    const [shop, buyer] = [await shopOf({ way: 'origin' }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet })
    expect(await loadHls(loader, shop.playlist)).toMatchObject({ code: 200, data: expect.stringContaining('#EXTM3U') })
    for (const at of numbers) {
      const came = await loadHls(loader, `${shop.url}/segments/${at}.mp3`)
      expect([came.code, came.loaded, isSilence(came)]).toEqual([200, 19_200, true])
      const row = await rowOf(shop.store, 'receiver')
      expect((row?.top ?? 0n) - BigInt(at + 1) * segment <= window).toBe(true)
    }
    // Had once, had for good.
    expect((await loadHls(loader, `${shop.url}/segments/2.mp3`)).code).toBe(200)
    const bill = await loader.close()
    const [payer, seller] = [await buyer.payerRow(), await rowOf(shop.store, 'receiver')]
    const cost = BigInt(segmentCount) * segment
    expect([bill.consumed, payer?.charged, seller?.charged, payer?.top]).toEqual([cost, cost, cost, seller?.top])
    // Only what opened the lane was asked in vain.
    expect(shop.asked.filter((one) => one.endsWith(' 402'))).toEqual(['/segments/0.mp3 402', '/segments/0.mp3 402'])
    expect((await buyer.client.spent()).total).toMatchObject({ committed: '$0.072', reserved: '$0' })
  })

  it('is paid once by loaders that ask for it all at once', async () => {
    verifies('FS1-HLS-LOADER')
    const [shop, buyer] = [await shopOf({ way: 'origin' }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    const all = await Promise.all(numbers.map((at) => loadHls(loader, `${shop.url}/segments/${at}.mp3`)))
    expect(all.every(isSilence)).toBe(true)
    await loader.close()
    expect((await rowOf(shop.store, 'receiver'))?.charged).toBe(BigInt(segmentCount) * segment)
  })

  it('is paid window by window where no playlist was read here', async () => {
    verifies('FS1-HLS-LOADER')
    const [shop, buyer] = [await shopOf({ way: 'origin' }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet, window: '0.5' })
    for (const at of [0, 1, 2]) expect((await loadHls(loader, `${shop.url}/segments/${at}.mp3`)).code).toBe(200)
    await loader.close()
    expect([(await buyer.payerRow())?.charged, (await rowOf(shop.store, 'receiver'))?.charged]).toEqual([3n * segment, 3n * segment])
  })

  it('stops where the budget does, with what was paid delivered', async () => {
    verifies('FS1-CLIENT-BUDGET')
    const [shop, buyer] = [await shopOf({ way: 'origin' }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet, budget: '$0.03' })
    await loadHls(loader, shop.playlist)
    const codes = []
    for (const at of numbers) codes.push((await loadHls(loader, `${shop.url}/segments/${at}.mp3`)).code)
    expect(codes).toEqual([200, 200, 402, 402, 402, 402])
    await loader.close()
    expect([(await buyer.payerRow())?.charged, ((await buyer.payerRow())?.top ?? 0n) <= 30_000n]).toEqual([2n * segment, true])
  })
})

describe('a programme that is sold by its keys', () => {
  it('is read by anybody and opened by who pays, each key once', async () => {
    verifies(['FS1-HLS-LOADER', 'T5'])
    const [shop, buyer] = [await shopOf({ way: 'key' }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    for (const at of numbers) expect((await loadHls(loader, `${shop.url}/cache/${at}.mp3`)).code).toBe(200)
    expect(await rowOf(shop.store, 'receiver')).toBeUndefined()
    for (const period of [0, 1, 0]) expect((await loadHls(loader, `${shop.url}/keys/${period}`)).loaded).toBe(16)
    await loader.close()
    expect([(await buyer.payerRow())?.charged, (await rowOf(shop.store, 'receiver'))?.charged]).toEqual([4n * segment, 4n * segment])
  })
})

describe('a programme behind an edge', () => {
  it('is paid by windows of access, each shown until it is over and to nobody else', async () => {
    verifies(['FS1-HLS-LOADER', 'FS1-KEPT-PASSES'])
    const time = { now: Date.now() }
    const clock = () => time.now
    const [shop, buyer] = [await shopOf({ way: 'edge', clock }), newBuyer(ground.chain)]
    const loader = hlsLoader({ wallet: buyer.wallet, access: shop.access, now: clock, clock })
    expect((await loadHls(loader, shop.playlist)).code).toBe(200)
    expect((await loadHls(loader, `${shop.url}/edge/0.mp3`)).loaded).toBe(19_200)
    expect(shop.asked.filter((one) => one === '/access 200').length).toBe(1)
    time.now += 2100
    expect((await loadHls(loader, `${shop.url}/edge/1.mp3`)).loaded).toBe(19_200)
    expect(shop.asked.filter((one) => one === '/access 200').length).toBe(2)
    await loader.close()
    expect([(await buyer.payerRow())?.charged, (await rowOf(shop.store, 'receiver'))?.charged]).toEqual([2n * window, 2n * window])
  })
})
