import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { parsePrice, toAtomic } from '@flow402x/core'
import { costOf, oneUnit, paymentStreamHeader, type StreamTerms } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytes, gated, ticks } from '../express.ts'
import { newBuyer } from '../fixtures/buyer.ts'
import { type Misdeeds, quickTerms, streamStage } from '../fixtures/rail-seller.ts'
import { byteMeter, createStreams } from '../server.ts'
import { payDownload } from './download.ts'
import { createMeter, recordingIn, sizeIn } from './meter.ts'
import { type PayStreamOptions, payStream } from './pay-stream.ts'

let stage: Awaited<ReturnType<typeof streamStage>>
const open: (() => Promise<void>)[] = []
beforeAll(async () => {
  stage = await streamStage()
})
afterAll(async () => {
  await Promise.all(open.map((close) => close()))
  await stage?.close()
})

const media: StreamTerms = { ...quickTerms, clock: 'media' }
const { rate, window, tick } = media

type Trickled = Pick<PayStreamOptions, 'leastBytes' | 'speed' | 'count' | 'budget'> & {
  readonly account: number
  readonly terms?: StreamTerms
}

// Ten thousand bytes last a second, and a thousand of them come in one.
const honest = { bytes: 1_000_000n * oneUnit, length: 100n * oneUnit }

/** Reads for about two seconds, and says how much was signed, how much came (10⁻⁹ s of content) and how long it took. */
async function trickled(trickles: NonNullable<Misdeeds['trickles']>, { account, terms = media, ...options }: Trickled) {
  const seller = await stage.openSeller(terms, { trickles })
  const buyer = stage.openBuyer({ account })
  const stream = await payStream({ wallet: buyer.wallet, url: seller.url, ...options })
  const began = performance.now()
  let came = 0n
  for await (const chunk of stream) {
    if (chunk instanceof Uint8Array) came += BigInt(chunk.length)
    if (performance.now() - began > 2000) break
  }
  const took = BigInt(Math.ceil(performance.now() - began)) * 1_000_000n
  const { top, charged } = await buyer.row()
  return { came, took, top, charged, spent: (await buyer.client.spent()).total }
}

describe('a server that trickles a recording', () => {
  it('is signed for the seconds whose bytes came and one window, and not for the time it takes', async () => {
    verifies(['FS1-CLIENT-MEDIA', 'T17'])
    const { came, took, top } = await trickled({ bytes: 50, says: honest }, { account: 3 })
    const seconds = (came * honest.length) / (honest.bytes / oneUnit)
    expect([came > 0n, seconds < took / 3n]).toEqual([true, true])
    expect(top <= costOf(rate, seconds + window)).toBe(true)
  })

  it('is paid by time where it says that a byte lasts a second, and where it says nothing', async () => {
    verifies('FS1-CLIENT-MEDIA')
    const greedy = { bytes: 1000n * oneUnit, length: 1_000_000n * oneUnit }
    for (const trickles of [{ bytes: 50, says: greedy }, { bytes: 50 }]) {
      const { took, top } = await trickled(trickles, { account: 4 })
      expect(top <= costOf(rate, took + window + tick)).toBe(true)
    }
  })
})

describe('who sets nothing', () => {
  it('pays a seller who announces nothing for the time he listens, a tick and a window, and for no more than his budget', async () => {
    verifies(['FS1-CLIENT-MEDIA', 'T17'])
    for (const terms of [media, quickTerms]) {
      const { came, took, top, charged, spent } = await trickled({ bytes: 50 }, { account: 8, terms })
      const most = costOf(rate, took + tick + window)
      expect([came > 0n, charged <= top, top <= most]).toEqual([true, true, true])
      // What he signed is all that he can lose, and his budget knows of every unit of it that may be claimed.
      expect([spent.reserved, toAtomic(parsePrice(spent.committed).amount, 6) <= top]).toEqual(['$0', true])
    }
    const bounded = await trickled({ bytes: 50 }, { account: 9, budget: '$0.08' })
    expect(bounded.top <= 80_000n).toBe(true)
  })

  it('holds a seller who announces a size to what brings that in a day', async () => {
    verifies('FS1-CLIENT-MEDIA')
    // 50 bytes in each twentieth of a second are a thousandth of the gigabytes that were announced.
    const { came, took, top } = await trickled({ bytes: 50, size: 100_000_000_000 }, { account: 10 })
    expect([took > oneUnit, top <= costOf(rate, (came * oneUnit) / 1_157_407n + window)]).toEqual([true, true])
    // A size that says that little comes is soon over.
    const short = await trickled({ bytes: 50, size: 500 }, { account: 10 })
    expect([short.came, short.top <= costOf(rate, (500n * oneUnit) / 64n + window)]).toEqual([500n, true])
  })
})

describe('a server that says too much of a recording', () => {
  // Each chunk of 20,000 bytes would be five minutes.
  const boast = { bytes: 20_000, says: { bytes: 64_000n * oneUnit, length: 1000n * oneUnit } }

  it('is paid for no more than could be played by now and two windows, however fast its bytes come', async () => {
    verifies('FS1-CLIENT-MEDIA')
    const { came, took, top } = await trickled(boast, { account: 5 })
    expect(came > 64_000n).toBe(true)
    expect(top <= costOf(rate, took + 2n * window)).toBe(true)
  })

  it('is paid for what its payer’s player holds and a window', async () => {
    verifies('FS1-CLIENT-MEDIA')
    const { came, top } = await trickled(boast, { account: 6, count: () => 0.1 })
    expect([came > 64_000n, top <= costOf(rate, oneUnit / 10n + window)]).toEqual([true, true])
  })

  it('is not believed below what a second of it must bring, and paid as slowly as that comes', async () => {
    verifies('FS1-CLIENT-MEDIA')
    for (const trickles of [{ ...boast, bytes: 50 }, { bytes: 50 }]) {
      const { came, took, top } = await trickled(trickles, { account: 7, leastBytes: 10_000 })
      const seconds = (came * oneUnit) / 10_000n
      expect([seconds < took / 3n, top <= costOf(rate, seconds + window)]).toEqual([true, true])
    }
  })
})

describe('the meter of a recording', () => {
  const answer = (said: string) => new Response(null, { headers: { 'Payment-Stream': said } })

  it('counts bytes alone: no time that passes, and no word of its server', () => {
    verifies('FS1-CLIENT-MEDIA')
    let now = 0
    const meter = createMeter(media, { now: () => now, recording: recordingIn(answer('v=1; bytes=3000; length=10')) })
    meter.received(1000)
    now += 60_000
    meter.said(1_000_000n)
    meter.received(0)
    expect([meter.units(10_000_000n), meter.units(100_000n), meter.most(10_000_000n)]).toEqual([3_333_333_333n, oneUnit, 3_333_333_333n])
  })

  it('pays a server that begins well and then trickles for half a minute, and then as slowly as it delivers', () => {
    verifies('FS1-CLIENT-MEDIA')
    let now = 0
    const meter = createMeter(media, { now: () => now })
    const flow = (bytes: number, seconds: number) => {
      for (let steps = 0; steps < seconds * 10; steps += 1) {
        now += 100
        meter.received(bytes / 10)
      }
      return Number(meter.units(1n << 100n)) / 1e9
    }
    expect(flow(100_000, 60)).toBeCloseTo(60, 3)
    // An eighth is what parts of a recording may be below what is usual.
    expect(flow(13_000, 600)).toBeCloseTo(660, 3)
    expect(flow(100, 3600)).toBeLessThan(660 + 30 + 3600 / 125 + 1)
  })

  it('lets no recording last longer than a day, unless its payer says what a second brings', () => {
    verifies('FS1-CLIENT-MEDIA')
    const film = 1_000_000_000n
    const paid = (options: { readonly size?: bigint | undefined; readonly leastBytes?: number }) => {
      let now = 0
      const meter = createMeter(media, { now: () => now, ...options })
      for (; now < 1_000_000; now += 1000) meter.received(1000)
      return Number(meter.units(1n << 100n)) / 1e9
    }
    expect(paid({ size: film })).toBeCloseTo(1_000_000 / 11_574, 0)
    expect([paid({}), paid({ size: 1_000_000n }), paid({ size: film, leastBytes: 64 })].map(Math.floor)).toEqual([999, 999, 999])
    const sizes = [
      { 'Content-Range': 'bytes 0-9/70' },
      { 'Content-Length': '10' },
      { 'Content-Range': 'bytes 0-9/*', 'Content-Length': '10' },
      {},
    ]
    expect(sizes.map((headers) => sizeIn(new Response(null, { headers })))).toEqual([70n, 10n, 10n, undefined])
  })

  it('believes no server that it was faster, beyond what its bytes can stand for', () => {
    verifies('FS1-CLIENT-MEDIA')
    const meter = createMeter(media, { now: () => 0 })
    meter.received(640)
    meter.said(costOf(rate, 3n * oneUnit))
    expect(meter.units(1n << 100n)).toBe(3n * oneUnit)
    meter.said(1n << 90n)
    expect(meter.units(1n << 100n)).toBe(10n * oneUnit)
  })

  it('takes no length that gives a second away for a few bytes, and none of what is no recording', () => {
    verifies('FS1-CLIENT-MEDIA')
    const odd = ['v=1; bytes=63; length=1', 'v=1; bytes=64', 'v=1; length=1', 'v=1; bytes=100; length=0', 'v=1; bytes=0; length=0', 'v=1']
    expect(odd.map((said) => recordingIn(answer(said)))).toEqual(odd.map(() => undefined))
    expect(recordingIn(answer('v=1; bytes=64; length=1'))).toEqual({ bytes: 64n, length: oneUnit })
    let now = 0
    const live = createMeter(quickTerms, { now: () => now, recording: recordingIn(answer('v=1; bytes=6400; length=100')) })
    now += 100
    live.received(6400)
    expect(live.units(10_000_000n)).toBe(oneUnit / 10n)
  })
})

describe('our own seller of a recording', () => {
  const film = crypto.getRandomValues(new Uint8Array(30_000))
  const length = 3n * oneUnit

  async function openShop() {
    const { network, rpcUrl, seller, facilitator: keys } = stage.chain
    const facilitator = createFacilitator({
      schemes: [batchSettlementFacilitator({ chain: evmChain({ network, rpcUrl, signers: [keys.privateKey] }) })],
    })
    await facilitator.start()
    const store = memoryStore()
    const authorizer = privateKeySigner(seller.privateKey)
    const scheme = batchSettlementServer({ network, payTo: seller.address, rpcUrl, store, authorizer })
    const streams = createStreams({ schemes: [scheme], facilitator, store, secret: 'x'.repeat(32), ticksPerSecond: 1000 })
    const route = streams.route({ rate: '0.1 USD/second', clock: 'media', tickUrl: '/tick', tick: 0.25, window: 1 })
    const source = {
      size: film.length,
      etag: '"film"',
      async *read(from: number, to: number) {
        yield film.subarray(from, to)
      },
    }
    const app = express()
    app.post('/tick', ticks(route))
    app.get('/film', bytes(route, { find: () => ({ source, length }) }))
    const measure = () => ({ meterOf: async () => byteMeter('second', { size: BigInt(film.length), length }), pace: 'real' as const })
    app.get('/gated', gated(route, measure), (_, response) => void response.send(Buffer.from(film)))
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push(async () => {
      await streams.close()
      server.closeAllConnections()
      server.close()
      await facilitator.close()
    })
    // Of a server that listens on a port it is the address.
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, store }
  }

  it('says how long it is, and is paid for exactly that, by its time or as fast as it comes', async () => {
    verifies(['FS1-CLIENT-MEDIA', 'T4'])
    const shop = await openShop()
    const whole = costOf(rate, length)
    for (const [index, path] of ['/film', '/gated'].entries()) {
      const buyer = newBuyer(stage.chain)
      const stream = await payStream({ wallet: buyer.wallet, url: `${shop.url}${path}` })
      expect(paymentStreamHeader.decode(stream.response.headers.get('Payment-Stream') ?? '')).toMatchObject({
        bytes: 30_000n * oneUnit,
        length,
      })
      const came: Uint8Array[] = []
      for await (const chunk of stream) if (chunk instanceof Uint8Array) came.push(chunk)
      const { consumed } = await stream.receipt
      expect([path, Buffer.concat(came).equals(film), consumed, (await buyer.payerRow())?.charged]).toEqual([path, true, whole, whole])
      expect(await chargedIn(shop)).toBe(whole * BigInt(index + 1))
    }
    const buyer = newBuyer(stage.chain)
    const came: Uint8Array[] = []
    for await (const part of await payDownload({ wallet: buyer.wallet, url: `${shop.url}/film` })) came.push(part)
    expect([Buffer.concat(came).equals(film), (await buyer.payerRow())?.charged, await chargedIn(shop)]).toEqual([true, whole, 3n * whole])
  })

  /** What the seller has charged in all. */
  async function chargedIn({ store }: { readonly store: ReturnType<typeof memoryStore> }): Promise<bigint> {
    let charged = 0n
    for await (const row of store.channels.list({ side: 'receiver' })) charged += row.charged
    return charged
  }
})
