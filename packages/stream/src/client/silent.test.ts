import { setTimeout as wait } from 'node:timers/promises'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { paymentStreamHeader } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import { mounts } from '../fixtures/mounts.ts'
import type { ShopPlan } from '../fixtures/stream-shop.ts'
import type { PaidSocket, Source } from '../server.ts'
import { wallMeter } from '../transports/tap.ts'
import { type PayStreamOptions, payStream, type StreamChunk, type StreamEvent } from './pay-stream.ts'
import { payWebSocket } from './socket.ts'

const ground = useGround(channelFacilitator)

const perSecond = 10_000n
const rate = { tick: 0.3, window: 0.6, windowMax: 0.6, buy: 1 }
const [tick, window] = [(3n * perSecond) / 10n, (6n * perSecond) / 10n]
const quiet = 2000

const shopOf = (plan: Partial<ShopPlan>) =>
  ground.open({ rate, ...plan, scheme: { authorizer: privateKeySigner(ground.chain.seller.privateKey) } })

/** Says something, is silent, and says something again. */
const feed: Source = async function* ({ signal }) {
  yield 'before'
  await wait(quiet, undefined, { signal }).catch(() => {})
  yield 'after'
}

/** The same as a handler writes it, with pings meanwhile. */
async function* pieces() {
  yield Buffer.from('data: before\n\n')
  for (let passed = 0; passed < quiet; passed += 200) {
    await wait(200)
    yield Buffer.from(':\n\n')
  }
  yield Buffer.from('data: after\n\n')
}

/** Two sides count alike to a moment: who is not told what was charged goes by his own clock. */
function expectAlike(charged = 0n, consumed: bigint): void {
  const apart = charged - consumed
  expect(apart < 0n ? -apart : apart).toBeLessThan(tick / 2n)
}

const textOf = (chunk: StreamChunk): string =>
  chunk instanceof Uint8Array ? Buffer.from(chunk).toString() : typeof chunk === 'string' ? JSON.parse(chunk) : chunk.data

/** A network that remembers when a voucher went over it. */
function counting() {
  const ticks: number[] = []
  const send: typeof fetch = async (input, init) => {
    if (init?.method === 'POST' && typeof init.body === 'string' && init.body.includes('"voucher"')) ticks.push(performance.now())
    return await fetch(input, init)
  }
  return { fetch: send, ticks }
}

/** Reads all of a shop, and says what came, what was heard, and what it came to in both books. */
async function read(plan: Partial<ShopPlan>, options: Partial<PayStreamOptions> = {}) {
  const shop = await shopOf(plan)
  const { fetch, ticks } = counting()
  const buyer = newBuyer(ground.chain, { fetch })
  const events: StreamEvent[] = []
  const onEvent = (event: StreamEvent): void => void events.push(event)
  const stream = await payStream({ wallet: buyer.wallet, url: `${shop.url}/live`, onEvent, ...options })
  const [chunks, came]: [string[], number[]] = [[], []]
  for await (const chunk of stream) {
    chunks.push(textOf(chunk))
    came.push(performance.now())
  }
  const receipt = await stream.receipt
  const [sold, paid] = [await rowOf(shop.store, 'receiver'), await buyer.payerRow()]
  expect([paid?.charged, sold?.lanes]).toEqual([receipt.consumed, undefined])
  expectAlike(sold?.charged, receipt.consumed)
  const [first = 0, second = 0] = came
  // The one that may come pays for the tick that silence is worth.
  expect(ticks.filter((at) => at > first && at < second).length).toBeLessThanOrEqual(1)
  return { ...receipt, heard: events.map(({ t }) => t), chunks }
}

describe.each(Object.entries(mounts))('%s: a stream that is silent for longer than a tick and a window', (_, mount) => {
  it.each(['sse', 'ndjson'] as const)('goes on by itself as %s, and silence costs a tick', async (format) => {
    verifies('FS1-SILENCE')
    const { chunks, heard, consumed, signed } = await read({ mount, source: feed, pump: { format } })
    expect(chunks).toEqual(['before', 'after'])
    expect(heard).not.toContain('gated')
    expect(consumed).toBeLessThanOrEqual(2n * tick)
    expect(signed - consumed).toBeLessThanOrEqual(window + tick)
  })

  it('keeps time while its reader takes nothing, whatever its source has', async () => {
    verifies(['FS1-SILENCE', 'F20'])
    const clock = { now: 1000 }
    let asked = 0
    const source: Source = async function* () {
      for (; ; asked += 1) yield 'x'.repeat(1_000_000)
    }
    const streams = { monotonic: () => clock.now, lease: 3_600_000 }
    const shop = await shopOf({ mount, rate: { buy: 5, tick: 1, window: 2 }, source, streams })
    const payer = await shop.newPayer(10n * perSecond)
    const response = await shop.get(await shop.paying(payer.voucher(2n * perSecond), 'B'))
    const { sid = '' } = paymentStreamHeader.decode(response.headers.get('Payment-Stream') ?? '')
    const full = async (): Promise<boolean> => {
      const before = asked
      await wait(300)
      return asked === before
    }
    await expect.poll(full, { timeout: 10_000 }).toBe(true)
    clock.now += 60_000
    expect(await shop.post({ sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: `${2n * perSecond}` } })
    await response.body?.cancel()
  })

  it('goes on by itself as what a handler writes, and its pings are none of it', async () => {
    verifies('FS1-SILENCE')
    const headers = { 'Content-Type': 'text/event-stream' }
    const measure = () => ({ meterOf: async () => wallMeter, headers })
    const { chunks, consumed, signed } = await read({ mount, sells: { kind: 'gated', measure, pieces } })
    expect(chunks.join('').replaceAll(/data: |:?\n\n/g, '')).toBe('beforeafter')
    expect(consumed).toBeLessThanOrEqual(2n * tick)
    expect(signed - consumed).toBeLessThanOrEqual(window + tick)
  })
})

it('a socket that is silent goes on by itself, and silence costs a tick', async () => {
  verifies(['FS1-SILENCE', 'FS1-CLIENT-SOCKET'])
  const serve = async ({ send }: PaidSocket) => {
    for (const message of ['before', 'after', 'at last']) {
      if (!(await send(message))) return
      if (message !== 'at last') await wait(quiet)
    }
  }
  const shop = await shopOf({ serve })
  const buyer = newBuyer(ground.chain)
  const connect = (url: string, protocol: string) => new WebSocket(url, protocol, { origin: 'http://page.example' })
  const frames: string[] = []
  const onFrame = ({ type }: { readonly type: string }): void => void frames.push(type)
  const socket = await payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/live`, connect, onFrame })
  const messages: unknown[] = []
  socket.addEventListener('message', (event) => messages.push(event instanceof MessageEvent ? event.data : event))
  const consumed = await socket.consumed
  expect([messages, socket.trouble()]).toEqual([['before', 'after', 'at last'], undefined])
  expect(frames).not.toContain('gated')
  expect(consumed).toBeLessThanOrEqual(3n * tick)
  const [sold, paid] = [await rowOf(shop.store, 'receiver'), await buyer.payerRow()]
  expect([paid?.charged, (paid?.top ?? 0n) - consumed <= window + tick]).toEqual([consumed, true])
  expectAlike(sold?.charged, consumed)
})
