import { createHash, randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { type PaymentPayload, type PaymentRequired, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import {
  decodeServerFrame,
  encodeClientFrame,
  paymentStreamHeader,
  type ServerFrame,
  streamKey,
  streamSubprotocol,
} from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type ChannelPayer, channelPayer, type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import * as onExpress from '../express.ts'
import * as onHono from '../hono.ts'
import {
  createHlsCounter,
  createHlsKeys,
  createStreams,
  parsePlaylist,
  type SoldBytes,
  type StreamRate,
  type StreamRoute,
  type StreamsOptions,
  sockets,
  type Take,
} from '../server.ts'
import type { PaidSocket } from '../transports/socket.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
const closing: (() => Promise<unknown> | unknown)[] = []
beforeAll(async () => {
  chain = await startEvmChain()
  facilitator = await escrowFacilitator(chain)
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => chain?.stop())

const content = randomBytes(50_001)
const sold: SoldBytes = {
  source: {
    size: content.length,
    type: 'video/mp4',
    etag: '"film"',
    async *read(from, to) {
      for (let at = from; at < to; at += 4096) yield content.subarray(at, Math.min(at + 4096, to))
    },
  },
}
// An atomic unit for each byte; any x402 client buys twenty thousand of them at once.
const perByte = { rate: '0.001 USD/KB', buy: 20, window: 10, windowMax: 40 }

const frameworks: Record<string, (route: StreamRoute) => RequestListener> = {
  Express: (route) =>
    express()
      .get('/film', onExpress.bytes(route, { find: () => sold }))
      .post('/tick', onExpress.ticks(route)),
  Hono: (route) => {
    const app = new Hono()
    app.get('/film', onHono.bytes(route, { find: () => sold }))
    app.post('/tick', onHono.ticks(route))
    return getRequestListener(app.fetch)
  },
}

describe.each(Object.entries(frameworks))('bytes on %s', (_, mount) => {
  it('are exactly as many as any x402 client pays for, until the whole is there', async () => {
    verifies('T4')
    const shop = await openShop({ rate: perByte, mount })
    const payer = await shop.newPayer(100_000n)
    const parts: Buffer[] = []
    for (const [paid, length] of [
      [20_000n, 20_000],
      [40_000n, 20_000],
      [60_000n, 10_001],
    ] as const) {
      const from = parts.reduce((sum, part) => sum + part.length, 0)
      const response = await shop.get({ range: `bytes=${from}-`, 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(paid)) })
      expect([response.status, response.headers.get('content-range')]).toEqual([
        206,
        `bytes ${from}-${from + length - 1}/${content.length}`,
      ])
      expect(response.headers.get('payment-remaining')).toBe(length === 20_000 ? '0' : '9.999')
      expect(response.headers.get('cache-control')).toBe('private, no-store, no-transform')
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(bytes.length).toBe(length)
      parts.push(bytes)
      await expect.poll(async () => (await shop.row(payer))?.lanes).toBeUndefined()
    }
    expect(sha256(Buffer.concat(parts))).toBe(sha256(content))
    expect((await shop.row(payer))?.charged).toBe(50_001n)
  })

  it('are asked for money without it, and what is not there costs nothing', async () => {
    const shop = await openShop({ rate: perByte, mount })
    const payer = await shop.newPayer(100_000n)
    const asked = await shop.get({ range: 'bytes=0-' })
    expect([asked.status, asked.headers.get('payment-rate'), asked.headers.get('access-control-allow-origin')]).toEqual([
      402,
      '0.001 USD/KB',
      '*',
    ])
    const beyond = await shop.get({ range: 'bytes=60000-', 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(20_000n)) })
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */50001'])
    expect(await shop.row(payer)).toBeUndefined()
  })

  it('come over one lane for who ticks, and end with its credit', async () => {
    verifies(['T4', 'FS1-LANE-BEARER'])
    const shop = await openShop({ rate: perByte, mount })
    const payer = await shop.newPayer(100_000n)
    const first = await shop.get({ range: 'bytes=0-', 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(5000n), 'B') })
    expect((await first.arrayBuffer()).byteLength).toBe(5000)
    const { sid = '' } = paymentStreamHeader.decode(first.headers.get('payment-stream') ?? '')
    const lane = { 'Flow402x-Lane': first.headers.get('flow402x-lane') ?? '' }
    const dry = await shop.get({ ...lane, range: 'bytes=5000-' })
    expect([dry.status, dry.headers.get('payment-remaining'), dry.headers.has('payment-required')]).toEqual([402, '0', true])
    expect(await shop.slide(sid, payer.voucher(12_000n))).toMatchObject({ status: 200, body: { accepted: '12000', consumed: '5000' } })
    const next = await shop.get({ ...lane, range: 'bytes=5000-' })
    expect(Buffer.from(await next.arrayBuffer()).equals(content.subarray(5000, 12_000))).toBe(true)
    const [, mac = ''] = lane['Flow402x-Lane'].split('.')
    const strangers = [
      `${sid}.${'A'.repeat(43)}`,
      `${'B'.repeat(21)}A.${mac}`,
      `${sid}.${mac.slice(1)}A`,
      sid,
      `${sid}.${mac.slice(0, 6)}`,
      '.',
    ]
    await shop.slide(sid, payer.voucher(13_000n))
    for (const bearer of strangers) expect((await shop.get({ 'Flow402x-Lane': bearer, range: 'bytes=0-' })).status).toBe(402)
    expect(await shop.say({ sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '12000' } })
    expect((await shop.row(payer))?.charged).toBe(12_000n)
  })

  it('flow whole as they are paid, and are reset where the lane ends before them', async () => {
    verifies('T4')
    const shop = await openShop({ rate: perByte, mount })
    const payer = await shop.newPayer(100_000n)
    const whole = await shop.get({ 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(6000n), 'B') })
    expect([whole.status, whole.headers.get('content-length')]).toEqual([200, '50001'])
    const { sid = '' } = paymentStreamHeader.decode(whole.headers.get('payment-stream') ?? '')
    const got = collect(whole)
    await expect.poll(() => got.length()).toBeGreaterThan(3000)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(got.length()).toBeLessThanOrEqual(6000)
    await shop.slide(sid, payer.voucher(30_000n))
    await expect.poll(() => got.length()).toBeGreaterThan(27_000)
    expect(got.length()).toBeLessThanOrEqual(30_000)
    await shop.say({ sid, op: 'close' })
    await expect(got.ended).rejects.toThrow()
    expect((await shop.row(payer))?.charged).toBe(BigInt(got.length()))
    expect(content.subarray(0, got.length()).equals(got.bytes())).toBe(true)
  })
})

const playlist = parsePlaylist('#EXTM3U\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST')
const hlsKeys = createHlsKeys({ secret: 'x'.repeat(32), programme: 'film', segmentsPerKey: 1 })
const sellsKeys = () => {
  const counter = createHlsCounter({ playlist, keys: hlsKeys })
  const take: Take = (lane, { url }) => counter.key(lane, Number(new URL(url).searchParams.get('period')))
  return take
}
const keyShops: Record<string, (route: StreamRoute) => RequestListener> = {
  Express: (route) => express().get('/film', onExpress.parts(route, sellsKeys())).post('/tick', onExpress.ticks(route)),
  Hono: (route) => {
    const app = new Hono()
    app.get('/film', onHono.parts(route, sellsKeys()))
    app.post('/tick', onHono.ticks(route))
    return getRequestListener(app.fetch)
  },
}

describe.each(Object.entries(keyShops))('keys of HLS on %s', (_, mount) => {
  it('answer 402 until they are paid, and the next one still does', async () => {
    verifies('T5')
    const shop = await openShop({ rate: { rate: '0.01 USD/second', clock: 'media', buy: 2 }, mount })
    const payer = await shop.newPayer(1_000_000n)
    const key = (period: number, headers: Record<string, string>) => shop.get(headers, `?period=${period}`)
    expect((await key(0, {})).status).toBe(402)
    const first = await key(0, { 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(20_000n), 'B') })
    expect([first.status, first.headers.get('cache-control')]).toEqual([200, 'private, no-store, no-transform'])
    expect(Buffer.from(await first.arrayBuffer()).equals(await hlsKeys.key(0))).toBe(true)
    const { sid = '' } = paymentStreamHeader.decode(first.headers.get('payment-stream') ?? '')
    const lane = { 'Flow402x-Lane': first.headers.get('flow402x-lane') ?? '' }
    expect((await key(1, lane)).status).toBe(402)
    expect((await key(0, lane)).status).toBe(200)
    await shop.slide(sid, payer.voucher(40_000n))
    expect((await key(1, lane)).status).toBe(200)
    expect([(await key(2, lane)).status, (await key(9, lane)).status]).toEqual([402, 404])
    expect(await shop.say({ sid, op: 'close' })).toMatchObject({ body: { consumed: '40000' } })
    // Any other x402 client buys the window of a key with each request.
    const stock = await shop.newPayer(1_000_000n)
    expect((await key(2, { 'PAYMENT-SIGNATURE': await shop.paying(stock.voucher(20_000n)) })).status).toBe(200)
    expect((await shop.row(stock))?.charged).toBe(20_000n)
  })
})

describe('what a handler writes in Express', () => {
  const mount = (route: StreamRoute) =>
    express()
      .post('/tick', onExpress.ticks(route))
      .get(
        '/film',
        onExpress.gated(route, () => ({
          meterOf: async () => ({ unitsOf: (bytes) => bytes * 1_000_000n, bytesFor: (units) => units / 1_000_000n }),
        })),
        (_, response) => {
          response.send(content)
        },
      )

  it('leaves as it is paid, and what was not used is given back', async () => {
    verifies('T20')
    const shop = await openShop({ rate: perByte, mount })
    const payer = await shop.newPayer(100_000n)
    const opened = await shop.get({ 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(90_000n), 'B') })
    expect(sha256(Buffer.from(await opened.arrayBuffer()))).toBe(sha256(content))
    await expect.poll(async () => (await shop.row(payer))?.lanes).toBeUndefined()
    expect((await shop.row(payer))?.charged).toBe(50_001n)
    expect((await shop.get({})).status).toBe(402)
  })
})

describe('a socket', () => {
  const echo = async (socket: PaidSocket) => {
    for await (const message of socket.messages) await socket.send(message)
  }
  const perSecond = { rate: '0.01 USD/second' }

  it('is paid by its upgrade and by frames of 98 bytes, and a pause of thirty seconds costs nothing', async () => {
    verifies('T6')
    const clock = { now: 1000 }
    const shop = await openShop({ rate: perSecond, serve: echo, streams: { monotonic: () => clock.now, lease: 3_600_000 } })
    const payer = await shop.newPayer(1_000_000n)
    const socket = await shop.connect({ 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(50_000n), 'B') })
    const { sid = '' } = paymentStreamHeader.decode(socket.headers['payment-stream'] ?? '')
    socket.send('one')
    await expect.poll(() => socket.texts).toEqual(['one'])
    clock.now += 1000
    expect(await shop.say({ sid, op: 'pause' })).toMatchObject({ status: 200, body: { state: 'paused', consumed: '10000' } })
    clock.now += 30_000
    expect(await shop.say({ sid, op: 'resume' })).toMatchObject({ status: 200, body: { state: 'flowing', consumed: '10000' } })
    clock.now += 500
    const tick = await shop.frame(sid, payer.voucher(60_000n))
    expect(tick.length).toBe(98)
    socket.send(tick)
    await expect.poll(() => socket.frames.at(-1)).toEqual({ type: 'ack', accepted: 60_000n, consumed: 15_000n, ttlMs: 4500 })
    socket.send('two')
    await expect.poll(() => socket.texts).toEqual(['one', 'two'])
    socket.send(await shop.frame(sid, payer.voucher(55_000n)))
    await expect.poll(() => socket.frames.at(-1)).toEqual({ type: 'error', error: 'stale' })
    socket.close(1000)
    await expect.poll(async () => (await shop.row(payer))?.lanes).toBeUndefined()
    expect((await shop.row(payer))?.charged).toBe(15_000n)
  })

  it('gets 402 without a payment, and one from a page waits for its first tick', async () => {
    const shop = await openShop({ rate: perSecond, serve: echo })
    const payer = await shop.newPayer(1_000_000n)
    await expect(shop.connect({})).rejects.toThrow('402')
    await expect(shop.connect({ origin: 'https://page.test' }, 'other')).rejects.toThrow('402')
    const opened = await shop.post({ headers: { 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(20_000n), 'B') } })
    expect(opened.status).toBe(204)
    const { sid = '' } = paymentStreamHeader.decode(opened.headers.get('payment-stream') ?? '')
    const socket = await shop.connect({ origin: 'https://page.test' })
    socket.send('nothing yet')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(socket.texts).toEqual([])
    socket.send(await shop.frame(sid, payer.voucher(30_000n)))
    await expect.poll(() => socket.texts).toEqual(['nothing yet'])
    expect(socket.frames).toMatchObject([{ type: 'ack', accepted: 30_000n }])
  })

  it('gives nothing after its credit, and closes who never ticks', async () => {
    verifies('FS1-SOCKET')
    const shop = await openShop({ rate: { rate: '0.01 USD/token', window: 2, windowMax: 4 }, serve: echo, firstTick: 50 })
    const payer = await shop.newPayer(1_000_000n)
    const socket = await shop.connect({ 'PAYMENT-SIGNATURE': await shop.paying(payer.voucher(20_000n), 'B') })
    for (const word of ['one', 'two', 'three']) socket.send(word)
    await expect.poll(() => socket.frames.map(({ type }) => type)).toContain('gated')
    expect(socket.texts).toEqual(['one', 'two'])
    const silent = await shop.connect({ origin: 'https://page.test' })
    expect(await silent.closed).toBe(1008)
  })
})

type Plan = {
  readonly rate: Omit<StreamRate, 'tickUrl'>
  readonly mount?: (route: StreamRoute) => RequestListener
  readonly serve?: (socket: PaidSocket) => Promise<void>
  readonly firstTick?: number
  readonly streams?: Partial<StreamsOptions>
}

let salts = 900n

async function openShop({
  rate,
  mount = (route) =>
    express()
      .get(
        '/film',
        onExpress.streamed(route, async function* () {}),
      )
      .post('/tick', onExpress.ticks(route)),
  serve,
  firstTick,
  streams: more,
}: Plan) {
  const { network, rpcUrl, seller } = chain
  const store = memoryStore()
  const scheme = batchSettlementServer({ network, payTo: seller.address, rpcUrl, store })
  const streams = createStreams({ schemes: [scheme], facilitator, store, secret: 'x'.repeat(32), ...more })
  const route = streams.route({ ...rate, tickUrl: '/tick', ...(serve && { ws: '/socket' }) })
  const http = createServer(mount(route))
  const server = new WebSocketServer({ noServer: true })
  if (serve !== undefined) {
    const upgrade = sockets(route, { sockets: server, serve, ...(firstTick && { firstTick }) })
    http.on('upgrade', (request, socket, head) => void upgrade(request, socket, head))
  }
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has such an address.
  const origin = `127.0.0.1:${(http.address() as AddressInfo).port}`
  closing.push(async () => {
    for (const client of server.clients) client.terminate()
    await streams.close()
    http.closeAllConnections()
    await new Promise((resolve) => http.close(resolve))
  })
  const get = (headers: Record<string, string>, query = '') => fetch(`http://${origin}/film${query}`, { headers })
  const post = (init: RequestInit) => fetch(`http://${origin}/tick`, { method: 'POST', ...init })
  const offer = async (): Promise<PaymentRequired> => paymentRequiredHeader.decode((await get({})).headers.get('PAYMENT-REQUIRED') ?? '')
  const say = async (body: unknown) => {
    const response = await post({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: response.status, body: await response.json() }
  }
  return {
    get,
    post,
    say,
    async newPayer(amount: bigint): Promise<ChannelPayer> {
      const [accepted] = (await offer()).accepts
      salts += 1n
      const payer = await channelPayer(chain, { key: chain.buyer.privateKey, accepted: accepted ?? Object.create(null), salt: salts })
      await payer.fill(amount, salts)
      return payer
    },
    async paying(payment: Promise<PaymentPayload>, grade: 'A' | 'B' = 'A'): Promise<string> {
      const { extensions } = await offer()
      const offered = extensions?.[streamKey]
      const info = typeof offered === 'object' && offered !== null && 'info' in offered ? offered.info : {}
      const echo = {
        ...extensions,
        [streamKey]: { info: { ...(typeof info === 'object' ? info : {}), ...(grade === 'B' ? { grade } : {}) } },
      }
      return paymentSignatureHeader.encode({ ...(await payment), extensions: echo })
    },
    slide: async (sid: string, payment: Promise<PaymentPayload>) => say({ sid, voucher: (await payment).payload.voucher }),
    async frame(sid: string, payment: Promise<PaymentPayload>): Promise<Uint8Array> {
      // The payer above writes them so.
      const { maxClaimableAmount, signature } = (await payment).payload.voucher as { maxClaimableAmount: string; signature: string }
      return encodeClientFrame({
        type: 'tick',
        family: 'evm',
        sid,
        max: BigInt(maxClaimableAmount),
        signature: Buffer.from(signature.slice(2), 'hex'),
      })
    },
    row: ({ id }: ChannelPayer) => store.channels.find({ side: 'receiver', id }),
    async connect(headers: Record<string, string>, protocol = streamSubprotocol) {
      const socket = new WebSocket(`ws://${origin}/socket`, protocol, { headers })
      const [texts, frames, said]: [string[], ServerFrame[], Record<string, string>] = [[], [], {}]
      socket.on('upgrade', (response) => Object.assign(said, response.headers))
      socket.on('message', (data: Buffer, isBinary) => {
        const frame = isBinary ? decodeServerFrame(data) : undefined
        if (frame === undefined) texts.push(data.toString())
        else frames.push(frame)
      })
      const closed = new Promise<number>((resolve) => socket.on('close', resolve))
      await new Promise<void>((resolve, reject) => socket.once('open', () => resolve()).once('error', reject))
      return {
        headers: said,
        texts,
        frames,
        closed,
        send: (data: string | Uint8Array) => socket.send(data),
        close: (code: number) => socket.close(code),
      }
    },
  }
}

function collect({ body }: Response) {
  const read: Uint8Array[] = []
  const reader = body?.getReader()
  const ended = (async () => {
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) read.push(next.value)
  })()
  ended.catch(() => {})
  const bytes = () => Buffer.concat(read)
  return { ended, bytes, length: () => bytes().length }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
