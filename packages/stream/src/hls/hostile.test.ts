import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifies } from '@flow402x/testing/requirements'
import type { RequestHandler } from 'express'
import { describe, expect, it } from 'vitest'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import { type HlsPlan, hlsPatience, loadHls, openHlsShop, perSecond, segmentMs } from '../fixtures/hls-shop.ts'
import { hlsLoader } from './loader.ts'

const ground = useGround(channelFacilitator)

const segment = (BigInt(segmentMs) * perSecond) / 1000n
const window = 2n * perSecond

/** A playlist whose segments are said to be so long. */
function saying(seconds: string, uriOf: (at: number) => string): string {
  const segments = Array.from({ length: 6 }, (_, at) => `#EXTINF:${seconds},\n${uriOf(at)}`)
  return ['#EXTM3U', '#EXT-X-VERSION:3', '#EXT-X-TARGETDURATION:2', ...segments, '#EXT-X-ENDLIST', ''].join('\n')
}

async function shopOf(plan: Pick<HlsPlan, 'way' | 'before'>) {
  const shop = await openHlsShop({ chain: ground.chain, facilitator: ground.facilitator, ...plan })
  ground.closing(() => shop.close())
  const buyer = newBuyer(ground.chain)
  return { shop, buyer, part: (at: number) => `${shop.url}/segments/${at}.mp3` }
}

describe('a seller of parts who cheats', () => {
  it('gets one window where no payment ever buys a part', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    const before: RequestHandler = (request, response, next) =>
      request.path.startsWith('/segments/') && request.headers['flow402x-lane'] !== undefined
        ? void response.status(402).set('Payment-Remaining', '0').end()
        : next()
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    for (let tries = 0; tries < 5; tries++) expect((await loadHls(loader, part(0))).code).toBe(402)
    await loader.close()
    // Each lane opens above whatever was signed before.
    expect((await buyer.payerRow())?.top).toBe(window + 4n)
  })

  it('gets one window where it ends every lane before it gave anything', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    const before: RequestHandler = (request, response, next) =>
      request.headers['flow402x-lane'] === undefined ? next() : void response.status(402).end()
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    for (let tries = 0; tries < 5; tries++) expect((await loadHls(loader, part(tries))).code).toBe(402)
    await loader.close()
    expect((await buyer.payerRow())?.top).toBe(window + 4n)
  })

  it('gets two windows in all where it counts more than it gave, lane after lane', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    let [given, isClosing] = [0, false]
    const before: RequestHandler = (request, response, next) => {
      if (request.path === '/tick' && request.headers['payment-signature'] === undefined) {
        isClosing = true
        // It used all that was signed, says this seller, whatever that was.
        const said = { state: 'ended', consumed: `${BigInt(given) * segment + window - segment}` }
        given = 0
        response.json(said)
      } else if (request.headers['flow402x-lane'] !== undefined && given > 0) response.status(402).end()
      else {
        if (request.headers['flow402x-lane'] !== undefined) given += 1
        next()
      }
    }
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    let came = 0n
    for (let at = 0; at < 6; at++) if ((await loadHls(loader, part(at))).code === 200) came += 1n
    await loader.close().catch(() => {})
    const { top = 0n } = (await buyer.payerRow()) ?? {}
    expect([isClosing, came > 0n, top <= came * segment + 2n * window + segment]).toEqual([true, true, true])
  })

  it('gets nothing for a segment that is said to be longer than its largest window, nor more than that says for any', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    for (const [said, most] of [
      // Each of its segments lasts 1.2 seconds.
      ['13', 0n],
      ['600', 0n],
      ['0.001', 6n * segment + window],
    ] as const) {
      const before: RequestHandler = (request, response, next) =>
        request.path.endsWith('.m3u8') ? void response.send(saying(said, (at) => `/segments/${at}.mp3`)) : next()
      const { shop, buyer, part } = await shopOf({ way: 'origin', before })
      const loader = hlsLoader({ wallet: buyer.wallet })
      await loadHls(loader, shop.playlist)
      for (let at = 0; at < 6; at++) await loadHls(loader, part(at))
      await loader.close()
      expect([said, ((await buyer.payerRow())?.top ?? 0n) <= most]).toEqual([said, true])
    }
  })

  it('is paid no faster than time passes for segments that it says are five times as long, where its payer says so', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    // It takes whatever it says, and gives a little noise for it.
    const before: RequestHandler = (request, response, next) => {
      if (request.path.endsWith('.m3u8')) response.send(saying('6', (at) => `/segments/${at}.mp3`))
      else if (request.path.startsWith('/segments/') && request.headers['flow402x-lane'] !== undefined) response.send('a little noise')
      else next()
    }
    const listen = async (options: { readonly speed?: number }) => {
      const { shop, buyer, part } = await shopOf({ way: 'origin', before })
      const loader = hlsLoader({ wallet: buyer.wallet, ...options })
      await loadHls(loader, shop.playlist)
      const began = performance.now()
      for (let at = 0; at < 3; at++) expect((await loadHls(loader, part(at))).code).toBe(200)
      const took = BigInt(Math.ceil(performance.now() - began))
      await loader.close().catch(() => {})
      // What time brings, beyond its largest window of twelve seconds, and a window ahead.
      return { top: (await buyer.payerRow())?.top ?? 0n, most: 12n * perSecond + window + (took * perSecond) / 1000n }
    }
    const [free, paced] = [await listen({}), await listen({ speed: 1 })]
    expect([free.top >= 18n * perSecond, free.top > free.most, paced.top <= paced.most]).toEqual([true, true, true])
  })

  it('gets one window of access where its edge lets nobody in', async () => {
    verifies(['FS1-HLS-LOADER', 'T17'])
    const before: RequestHandler = (request, response, next) =>
      request.path.startsWith('/edge/') ? void response.status(402).end() : next()
    const { shop, buyer } = await shopOf({ way: 'edge', before })
    const loader = hlsLoader({ wallet: buyer.wallet, access: shop.access, window: '20' })
    for (let tries = 0; tries < 4; tries++) expect((await loadHls(loader, shop.playlist)).code).toBe(402)
    await loader.close()
    expect((await rowOf(shop.store, 'receiver'))?.charged).toBe(window)
  })

  it('learns nothing of a lane by sending its payer elsewhere', async () => {
    verifies('FS1-HLS-LOADER')
    const seen: string[] = []
    const elsewhere = createServer((request, response) => {
      seen.push(`${request.headers['flow402x-lane']} ${request.headers['payment-signature']}`)
      response.end('elsewhere')
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => elsewhere.once('listening', resolve))
    ground.closing(() => elsewhere.close())
    // Of a server that listens on a port it is the address.
    const away = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`
    const before: RequestHandler = (request, response, next) =>
      request.headers['flow402x-lane'] === undefined ? next() : response.redirect(307, away)
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    expect(await loadHls(loader, part(0))).toMatchObject({ code: 0 })
    expect(seen).toEqual([])
  })
})

describe('a lane of parts', () => {
  it('that ended while nobody looked is opened anew, and both books end alike', async () => {
    verifies('FS1-HLS-LOADER')
    let sid = ''
    const before: RequestHandler = (request, _, next) => {
      sid = String(request.headers['flow402x-lane'] ?? sid).split('.')[0] ?? ''
      next()
    }
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    expect((await loadHls(loader, part(0))).code).toBe(200)
    const body = JSON.stringify({ sid, op: 'close' })
    await fetch(`${shop.url}/tick`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    expect((await loadHls(loader, part(1))).code).toBe(200)
    const bill = await loader.close()
    const [payer, seller] = [await buyer.payerRow(), await rowOf(shop.store, 'receiver')]
    expect([bill.consumed, payer?.charged, seller?.charged, payer?.top]).toEqual([2n * segment, 2n * segment, 2n * segment, seller?.top])
  })

  it('pays for a part that its player breaks off, since it may have been sent, and has it again for nothing', async () => {
    verifies('FS1-HLS-LOADER')
    let [isHeld, release] = [false, () => {}]
    const before: RequestHandler = (request, _, next) => {
      if (isHeld || request.headers['flow402x-lane'] === undefined) return next()
      isHeld = true
      release = next
    }
    const { shop, buyer, part } = await shopOf({ way: 'origin', before })
    const loader = hlsLoader({ wallet: buyer.wallet })
    await loadHls(loader, shop.playlist)
    const one = new loader()
    const aborted = new Promise((resolve) =>
      one.load({ url: part(0), responseType: 'arraybuffer' }, hlsPatience, {
        onSuccess: () => resolve('came'),
        onError: () => resolve('failed'),
        onTimeout: () => resolve('late'),
        onAbort: () => resolve('aborted'),
      }),
    )
    await expect.poll(() => isHeld).toBe(true)
    one.abort()
    expect([await aborted, one.stats.aborted]).toEqual(['aborted', true])
    release()
    for (const at of [0, 1]) expect((await loadHls(loader, part(at))).code).toBe(200)
    await loader.close()
    expect([(await buyer.payerRow())?.charged, (await rowOf(shop.store, 'receiver'))?.charged]).toEqual([2n * segment, 2n * segment])
  })

  it('tells a player that a part is late, and tries again as that wants', async () => {
    verifies('FS1-HLS-LOADER')
    const never: RequestHandler = (request, _, next) => (request.path.startsWith('/segments/') ? undefined : next())
    const { buyer, part } = await shopOf({ way: 'origin', before: never })
    const retry = { maxNumRetry: 1, retryDelayMs: 1, maxRetryDelayMs: 1 }
    const { loadPolicy } = hlsPatience
    const given = { loadPolicy: { ...loadPolicy, maxLoadTimeMs: 150, timeoutRetry: retry } }
    expect(await loadHls(hlsLoader({ wallet: buyer.wallet }), part(0), given)).toMatchObject({ code: -1, retries: 1 })
    let tries = 0
    const failing: RequestHandler = (_, response, next) => {
      tries += 1
      if (tries < 3) response.status(503).end()
      else next()
    }
    const { shop } = await shopOf({ way: 'origin', before: failing })
    const patient = { loadPolicy: { ...loadPolicy, errorRetry: { ...retry, maxNumRetry: 2 } } }
    expect(await loadHls(hlsLoader({ wallet: buyer.wallet }), shop.playlist, patient)).toMatchObject({ code: 200, retries: 2 })
    expect(await buyer.payerRow()).toBeUndefined()
  })
})
