import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { costOf, encodeServerFrame, oneUnit, type Units } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import type { PaidSocket } from '../server.ts'
import { type PayWebSocketOptions, payWebSocket } from './socket.ts'

const ground = useGround(channelFacilitator)

const rate = { numerator: 10_000n, denominator: 1n }
const perSecond = { rate: '0.01 USD/second', tick: 0.3, window: 0.6 }
const perToken = { rate: '0.01 USD/token', window: 5, windowMax: 20, buy: 5, tick: 1 }
const [window, tick] = [(6n * oneUnit) / 10n, (3n * oneUnit) / 10n]
const echo = async ({ messages, send }: PaidSocket) => {
  for await (const message of messages) if (!(await send(message))) return
}

async function shopOf(plan: Partial<ShopPlan>): Promise<StreamShop> {
  return await ground.open({ serve: echo, ...plan, scheme: { authorizer: privateKeySigner(ground.chain.seller.privateKey) } })
}

/** A seller whose lanes are opened as they should be, and whose socket says whatever it likes, paid or not. */
async function openLiar(say: (raw: WebSocket) => unknown) {
  const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: ([first]) => first ?? false })
  const heard: Buffer[] = []
  const closed: number[] = []
  sockets.on('connection', (raw) => {
    raw.on('message', (data: Buffer) => heard.push(data))
    raw.on('close', (code) => closed.push(code))
    const timer = setInterval(() => say(raw), 20)
    raw.on('close', () => clearInterval(timer))
  })
  await once(sockets, 'listening')
  ground.closing(() => sockets.close())
  // Of a server that listens on a port it is the address.
  const url = `ws://127.0.0.1:${(sockets.address() as AddressInfo).port}/`
  return { heard, closed, connect: (_: string, protocol: string) => new WebSocket(url, protocol) }
}

type Listening = Partial<PayWebSocketOptions> & { readonly plan: Partial<ShopPlan>; readonly say: (raw: WebSocket) => unknown; ms?: number }

/** Listens for a while, and says what came, how long it took (10⁻⁹ s), and what was signed and counted. */
async function listen({ plan, say, ms = 1500, ...options }: Listening) {
  const shop = await shopOf(plan)
  const buyer = newBuyer(ground.chain)
  const { connect, ...liar } = await openLiar(say)
  const began = performance.now()
  let [bytes, messages] = [0n, 0n]
  const socket = await payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/live`, connect, ...options })
  socket.addEventListener('message', (event) => {
    if (!(event instanceof MessageEvent)) return
    messages += 1n
    bytes += BigInt(event.data.length)
  })
  await new Promise((resolve) => setTimeout(resolve, ms))
  socket.close()
  const consumed = await socket.consumed
  const took: Units = BigInt(Math.ceil((performance.now() - began) * 1e6))
  const row = await buyer.payerRow()
  return { ...liar, bytes, messages, took, consumed, socket, top: row?.top ?? 0n, charged: row?.charged }
}

const fromPage = (url: string, protocol: string) => new WebSocket(url, protocol, { origin: 'http://page.example' })
const drip = (raw: WebSocket) => raw.send('')

describe('a seller whose socket brings next to nothing', () => {
  it('is paid by time where nobody said what a second brings, and no more than what came where somebody did', async () => {
    verifies(['FS1-CLIENT-SOCKET', 'T17'])
    const plan = { rate: perSecond }
    const trusted = await listen({ plan, say: drip })
    expect([trusted.top > costOf(rate, oneUnit), trusted.top <= costOf(rate, trusted.took + window + tick)]).toEqual([true, true])
    const { bytes, top, charged } = await listen({ plan, say: (raw) => raw.send('xx'), leastBytes: 10_000 })
    expect([bytes > 20n, top <= costOf(rate, (bytes * oneUnit) / 10_000n + window), (charged ?? 0n) <= top]).toEqual([true, true, true])
  })

  it('is paid for what its payer’s player holds and a window', async () => {
    verifies('FS1-CLIENT-SOCKET')
    const { messages, top } = await listen({ plan: { rate: perSecond }, say: drip, count: () => 0.1 })
    expect([messages > 20n, top <= costOf(rate, oneUnit / 10n + window)]).toEqual([true, true])
  })
})

describe('a seller whose socket brings too much', () => {
  it('is paid for what its payer counts of it, whatever messages come', async () => {
    verifies('FS1-CLIENT-SOCKET')
    const flood = (raw: WebSocket) => {
      for (let at = 0; at < 20; at++) raw.send('x')
    }
    const counted = await listen({ plan: { rate: perToken }, say: flood, count: () => 3, ms: 500 })
    expect([counted.messages > 100n, counted.top <= costOf(rate, 8n * oneUnit)]).toEqual([true, true])
    const bounded = await listen({ plan: { rate: perToken }, say: flood, units: '7', ms: 500 })
    expect([bounded.messages > 100n, bounded.top <= costOf(rate, 7n * oneUnit)]).toEqual([true, true])
  })

  it('is paid for a recording no faster than it plays, or as much faster as its payer said', async () => {
    verifies('FS1-CLIENT-SOCKET')
    // Each message would be a second.
    const burst = (raw: WebSocket) => raw.send('x'.repeat(1000))
    const plan = { rate: { ...perSecond, clock: 'media' as const } }
    const slow = await listen({ plan, say: burst })
    expect([slow.messages > 20n, slow.top <= costOf(rate, slow.took + 2n * window)]).toEqual([true, true])
    const fast = await listen({ plan, say: burst, speed: 8 })
    expect([fast.top > costOf(rate, slow.took + 2n * window), fast.top <= costOf(rate, 8n * fast.took + 2n * window)]).toEqual([true, true])
  })
})

it('refuses options that bound nothing before anything is sent', async () => {
  verifies('FS1-CLIENT-SOCKET')
  const shop = await shopOf({ rate: perSecond })
  const buyer = newBuyer(ground.chain)
  for (const bad of [{ leastBytes: -1 }, { leastBytes: Number.NaN }, { speed: 0 }, { window: '0' }])
    await expect(payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/live`, ...bad })).rejects.toMatchObject({
      code: 'stream/bad-option',
    })
  expect(await buyer.payerRow()).toBeUndefined()
})

it('goes on with an honest seller whose player is late by less than a window, and pays when the time has come', async () => {
  verifies('FS1-CLIENT-SOCKET')
  const serve = async ({ send, signal }: PaidSocket) => {
    for (let at = 0; !signal.aborted && (await send(`${at}`.padEnd(1000))); at++) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const shop = await shopOf({ rate: perSecond, serve })
  const buyer = newBuyer(ground.chain)
  const began = performance.now()
  const count = () => Math.max(0, (performance.now() - began) / 1000 - 0.2)
  const socket = await payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/live`, connect: fromPage, count, leastBytes: 1000 })
  let messages = 0
  socket.addEventListener('message', () => {
    messages += 1
  })
  await expect.poll(() => messages, { timeout: 20_000 }).toBeGreaterThan(60)
  socket.close()
  const consumed = await socket.consumed
  expect([socket.trouble(), consumed > 0n]).toEqual([undefined, true])
  expect((await buyer.payerRow())?.charged).toBe(consumed)
})

it('leaves no lane behind where no socket can be made', async () => {
  verifies('FS1-CLIENT-SOCKET')
  const shop = await shopOf({ rate: perToken })
  const buyer = newBuyer(ground.chain)
  const stopped = new AbortController()
  const never = () => {
    throw new RangeError('there are no sockets here')
  }
  const late = (url: string, protocol: string) => {
    queueMicrotask(() => stopped.abort())
    return fromPage(url, protocol)
  }
  for (const { connect, signal } of [{ connect: never }, { connect: late, signal: stopped.signal }])
    await expect(payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/live`, connect, ...(signal && { signal }) })).rejects.toThrow()
  await expect.poll(async () => (await buyer.payerRow())?.lanes).toBeUndefined()
  expect((await buyer.payerRow())?.charged).toBe(0n)
  await expect.poll(async () => (await rowOf(shop.store, 'receiver'))?.lanes).toBeUndefined()
})

describe('a seller whose socket says what no seller says', () => {
  it.each<[string, (raw: WebSocket) => unknown, number]>([
    ['reserved bytes', (raw) => raw.send(Uint8Array.of(0x0f, 1, 2)), 1002],
    ['a frame that is cut short', (raw) => raw.send(Uint8Array.of(0x12, 1)), 1002],
    ['a tick', (raw) => raw.send(new Uint8Array(98).fill(1)), 1002],
    ['an empty frame', (raw) => raw.send(new Uint8Array()), 1002],
  ])('%s: is left, and has one window', async (_, say, code) => {
    verifies('FS1-CLIENT-SOCKET')
    const { closed, top, consumed } = await listen({ plan: { rate: perToken }, say, ms: 400 })
    expect([closed, top, consumed]).toEqual([[code], 50_000n, 0n])
  })

  it('is believed in nothing it says of money: needs, receipts and acknowledgements raise no voucher', async () => {
    verifies(['FS1-CLIENT-SOCKET', 'T17'])
    const most = (1n << 128n) - 1n
    const lies = [
      encodeServerFrame({ type: 'need', need: most, ttlMs: 1 }),
      encodeServerFrame({ type: 'ack', accepted: most, consumed: most, ttlMs: 1 }),
      encodeServerFrame({ type: 'receipt', consumed: most, charged: most }),
      encodeServerFrame({ type: 'gated', reason: 'credit' }),
    ]
    const say = (raw: WebSocket) => {
      for (const lie of lies) raw.send(lie)
    }
    const { heard, top, charged } = await listen({ plan: { rate: perToken }, say, ms: 500 })
    expect([top, charged, new Set(heard.map((frame) => frame.toString('hex'))).size]).toEqual([50_000n, 0n, 1])
  })
})
