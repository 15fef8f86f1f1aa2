import { createHash, randomBytes } from 'node:crypto'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentStreamHeader, type ViewKey } from '@flow402x/core/stream'
import { createServer } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, sendPaid, signPayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import { mounts, type Sells } from '../fixtures/mounts.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { createHlsCounter, createHlsKeys, createViews, createWindows, parsePlaylist, type SoldBytes, windowed } from '../server.ts'

const ground = useGround(escrowFacilitator)

const secret = 'x'.repeat(32)
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
const film: Sells = { kind: 'bytes', options: { find: () => sold } }
// An atomic unit for each byte; any x402 client buys twenty thousand of them at once.
const perByte = { rate: '0.001 USD/KB', buy: 20, window: 10, windowMax: 40 }
const perToken = { rate: '0.01 USD/token', buy: 2, window: 2, windowMax: 4 }

describe.each(Object.entries(mounts))('%s', (_, mount) => {
  const open = (plan: Partial<ShopPlan>) => ground.open({ mount, ...plan })
  /** Whether a payer's lanes are all over, and what they came to. */
  const charged = async (shop: StreamShop, payer: Awaited<ReturnType<StreamShop['newPayer']>>): Promise<bigint> => {
    await expect.poll(async () => (await shop.row(payer)).lanes).toBeUndefined()
    return (await shop.row(payer)).charged
  }

  describe('a source', () => {
    it('flows as events while it is paid, and is closed with its receipt', async () => {
      verifies('FS1-BINDINGS')
      const shop = await open({
        rate: perToken,
        async *source() {
          for (const word of ['when', 'the', 'money', 'flows']) yield word
        },
      })
      expect((await shop.read({})).status).toBe(402)
      const payer = await shop.newPayer(1_000_000n)
      const reading = await shop.open(payer.voucher(20_000n), 'B')
      expect([reading.headers.get('content-type'), reading.headers.get('x-accel-buffering')]).toEqual([
        'text/event-stream; charset=utf-8',
        'no',
      ])
      await expect.poll(() => reading.items).toEqual(['when', 'the'])
      await expect.poll(() => reading.controls.map(({ t }) => t)).toContain('gated')
      expect(await shop.slide(reading.sid, payer.voucher(60_000n))).toMatchObject({ status: 200, body: { accepted: '60000' } })
      await reading.ended
      expect(reading.items).toEqual(['when', 'the', 'money', 'flows'])
      expect(reading.controls.slice(-2)).toMatchObject([{ t: 'receipt', consumed: 40_000n }, { t: 'end' }])
      expect(await charged(shop, payer)).toBe(40_000n)
    })

    it('flows as lines', async () => {
      const shop = await open({
        rate: perToken,
        pump: { format: 'ndjson' },
        async *source() {
          yield { word: 'flows' }
        },
      })
      const payer = await shop.newPayer(1_000_000n)
      const response = await shop.get(await shop.paying(payer.voucher(20_000n)))
      expect(response.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
      const lines = (await response.text()).trimEnd().split('\n')
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { word: 'flows' },
        { $flow402x: { t: 'receipt', consumed: '10000' } },
        { $flow402x: { t: 'end' } },
      ])
    })

    it('is kept alive while it is gated, and not written to where something flows', async () => {
      verifies('FS1-PING')
      const beats = new Set<() => void>()
      const shop = await open({
        rate: perToken,
        pump: {
          beats: (beat) => {
            beats.add(beat)
            return () => beats.delete(beat)
          },
        },
        async *source() {
          for (let token = 0; ; token += 1) yield `${token}`
        },
      })
      const beat = (): void => {
        for (const one of beats) one()
      }
      const payer = await shop.newPayer(1_000_000n)
      const response = await shop.get(await shop.paying(payer.voucher(20_000n), 'B'))
      const { sid = '' } = paymentStreamHeader.decode(response.headers.get('payment-stream') ?? '')
      const seen = collect(response)
      const text = () => seen.bytes().toString()
      await expect.poll(text).toContain('"gated"')
      const pings = () => text().match(/^:\n\n/gm)?.length ?? 0
      // The first beat finds what was written since the one before.
      beat()
      for (const count of [1, 2, 3]) {
        beat()
        await expect.poll(pings).toBe(count)
      }
      await shop.slide(sid, payer.voucher(40_000n))
      await expect.poll(text).toContain('data: 3\n')
      beat()
      await shop.post({ sid, op: 'close' })
      await seen.ended
      expect([pings(), beats.size]).toEqual([3, 0])
    })

    it.each(['flows', 'is gated', 'is silent'])('is aborted when its reader vanishes while it %s, and costs nothing more', async (when) => {
      verifies('FS1-VANISHED')
      // No tick is ever due and no patience ends: time passes only as it is told to.
      const clock = { now: 1000 }
      const seen = { asked: 0, isAborted: false, isClosed: false }
      const shop = await open({
        rate: { rate: '0.01 USD/second' },
        streams: { monotonic: () => clock.now, lease: 3_600_000 },
        async *source({ signal }) {
          signal.addEventListener('abort', () => {
            seen.isAborted = true
          })
          try {
            for (; ; seen.asked += 1) {
              yield `${seen.asked}`
              if (when === 'is silent') await new Promise((resolve) => signal.addEventListener('abort', resolve))
              else await new Promise((resolve) => setTimeout(resolve, 10))
            }
          } finally {
            seen.isClosed = true
          }
        },
      })
      const payer = await shop.newPayer(1_000_000n)
      const reading = await shop.open(payer.voucher(50_000n))
      await expect.poll(() => reading.items.length).toBeGreaterThan(0)
      const pass = (ms: number) => {
        clock.now += ms
        return reading.controls.map(({ t }) => t)
      }
      if (when === 'is gated') await expect.poll(() => pass(500)).toContain('gated')
      // However long it is silent, a tick of it is time.
      else pass(when === 'is silent' ? 3_000_000 : 1000)
      reading.stop()
      await expect.poll(() => seen).toMatchObject({ isAborted: true, isClosed: true })
      const { asked } = seen
      clock.now += 30_000
      const consumed = when === 'is gated' ? 50_000n : 10_000n
      expect(await shop.post({ sid: reading.sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: `${consumed}` } })
      expect(await charged(shop, payer)).toBe(consumed)
      expect(seen.asked).toBe(asked)
    })
  })

  describe('bytes', () => {
    it('are exactly as many as any x402 client pays for, until the whole is there', async () => {
      verifies(['T4', 'FS1-BINDINGS'])
      const shop = await open({ rate: perByte, sells: film })
      const payer = await shop.newPayer(100_000n)
      const parts: Buffer[] = []
      for (const [paid, length] of [
        [20_000n, 20_000],
        [40_000n, 20_000],
        [60_000n, 10_001],
      ] as const) {
        const from = parts.reduce((sum, part) => sum + part.length, 0)
        const response = await shop.get({ range: `bytes=${from}-`, ...(await shop.paying(payer.voucher(paid))) })
        expect([response.status, response.headers.get('content-range')]).toEqual([
          206,
          `bytes ${from}-${from + length - 1}/${content.length}`,
        ])
        expect(response.headers.get('payment-remaining')).toBe(length === 20_000 ? '0' : '9.999')
        expect(response.headers.get('cache-control')).toBe('private, no-store, no-transform')
        const bytes = Buffer.from(await response.arrayBuffer())
        expect(bytes.length).toBe(length)
        parts.push(bytes)
        await charged(shop, payer)
      }
      expect(sha256(Buffer.concat(parts))).toBe(sha256(content))
      expect(await charged(shop, payer)).toBe(50_001n)
    })

    it('are asked for money without it, and what is not there costs nothing', async () => {
      const shop = await open({ rate: perByte, sells: film })
      const payer = await shop.newPayer(100_000n)
      const asked = await shop.get({ range: 'bytes=0-' })
      expect([asked.status, asked.headers.get('payment-rate'), asked.headers.get('access-control-allow-origin')]).toEqual([
        402,
        '0.001 USD/KB',
        '*',
      ])
      const beyond = await shop.get({ range: 'bytes=60000-', ...(await shop.paying(payer.voucher(20_000n))) })
      expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */50001'])
      await expect(shop.row(payer)).rejects.toThrow('no such channel')
    })

    it('come over one lane for who ticks, and end with its credit', async () => {
      verifies(['T4', 'FS1-LANE-BEARER'])
      const shop = await open({ rate: perByte, sells: film })
      const payer = await shop.newPayer(100_000n)
      const first = await shop.get({ range: 'bytes=0-', ...(await shop.paying(payer.voucher(5000n), 'B')) })
      expect((await first.arrayBuffer()).byteLength).toBe(5000)
      const { sid, lane } = laneOf(first)
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
      expect(await shop.post({ sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '12000' } })
      expect((await shop.row(payer)).charged).toBe(12_000n)
    })

    it('that came may be asked for again, and others are not had for what is said of those', async () => {
      verifies(['M25', 'T4'])
      const shop = await open({ rate: perByte, sells: film })
      const payer = await shop.newPayer(100_000n)
      const first = await shop.get({ range: 'bytes=0-', ...(await shop.paying(payer.voucher(5000n), 'B')) })
      expect((await first.arrayBuffer()).byteLength).toBe(5000)
      const { sid } = laneOf(first)
      const again = (range: string) => shop.get({ 'Payment-Resume': `${sid}; from=0`, range: `bytes=${range}` })
      // He has all of them, says that he has none, and asks for the next.
      expect((await again('5000-9999')).status).toBe(402)
      const partly = await again('4000-9998')
      expect([partly.status, Buffer.from(await partly.arrayBuffer()).equals(content.subarray(4000, 5000))]).toEqual([206, true])
      const missed = await again('1000-4999')
      expect([missed.status, Buffer.from(await missed.arrayBuffer()).equals(content.subarray(1000, 5000))]).toEqual([206, true])
      expect(await shop.post({ sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '5000' } })
    })

    it('flow whole as they are paid, and are reset where the lane ends before them', async () => {
      verifies('T4')
      const shop = await open({ rate: perByte, sells: film })
      const payer = await shop.newPayer(100_000n)
      const whole = await shop.get(await shop.paying(payer.voucher(6000n), 'B'))
      expect([whole.status, whole.headers.get('content-length')]).toEqual([200, '50001'])
      await flowsAsPaid(shop, payer, whole)
    })
  })

  describe('what a handler answers', () => {
    const meter = { unitsOf: (bytes: bigint) => bytes * 1_000_000n, bytesFor: (units: bigint) => units / 1_000_000n }
    const gated = (whenClosed = () => {}): Sells => ({
      kind: 'gated',
      measure: () => ({ meterOf: async () => meter, headers: { 'Payment-Token': 'USDC' } }),
      async *pieces() {
        try {
          for (let at = 0; at < content.length; at += 4096) yield content.subarray(at, at + 4096)
        } finally {
          whenClosed()
        }
      },
    })

    it('leaves as it is paid, and what was not used is given back', async () => {
      verifies(['T20', 'FS1-BINDINGS'])
      const shop = await open({ rate: perByte, sells: gated() })
      const asked = await shop.get({})
      expect([asked.status, asked.headers.get('payment-token')]).toEqual([402, 'USDC'])
      const payer = await shop.newPayer(100_000n)
      const opened = await shop.get(await shop.paying(payer.voucher(90_000n), 'B'))
      expect([opened.headers.get('payment-token'), opened.headers.get('cache-control')]).toEqual([
        'USDC',
        'private, no-store, no-transform',
      ])
      expect(sha256(Buffer.from(await opened.arrayBuffer()))).toBe(sha256(content))
      expect(await charged(shop, payer)).toBe(50_001n)
    })

    it('waits for money, and is reset where its lane ends before it', async () => {
      verifies('T11')
      let isClosed = false
      const shop = await open({
        rate: perByte,
        sells: gated(() => {
          isClosed = true
        }),
      })
      const payer = await shop.newPayer(100_000n)
      await flowsAsPaid(shop, payer, await shop.get(await shop.paying(payer.voucher(6000n), 'B')))
      await expect.poll(() => isClosed).toBe(true)
    })
  })

  describe('what is sold as a whole', () => {
    const playlist = parsePlaylist('#EXTM3U\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST')
    const keys = createHlsKeys({ secret, programme: 'film', segmentsPerKey: 1 })
    const perSecond = { rate: '0.01 USD/second', clock: 'media', buy: 2 } as const

    it('is a key of HLS: 402 until it is paid, and the next one still is', async () => {
      verifies(['T5', 'FS1-BINDINGS'])
      const counter = createHlsCounter({ playlist, keys })
      const part: (Sells & { kind: 'parts' })['part'] = (lane, { url }) =>
        counter.key(lane, Number(new URL(url).searchParams.get('period')))
      const shop = await open({ rate: perSecond, sells: { kind: 'parts', part } })
      const payer = await shop.newPayer(1_000_000n)
      const key = (period: number, headers: Record<string, string>) => shop.get(headers, `?period=${period}`)
      expect((await key(0, {})).status).toBe(402)
      const first = await key(0, await shop.paying(payer.voucher(20_000n), 'B'))
      expect([first.status, first.headers.get('cache-control')]).toEqual([200, 'private, no-store, no-transform'])
      expect(Buffer.from(await first.arrayBuffer()).equals(await keys.key(0))).toBe(true)
      const { sid, lane } = laneOf(first)
      expect((await key(1, lane)).status).toBe(402)
      expect((await key(0, lane)).status).toBe(200)
      await shop.slide(sid, payer.voucher(40_000n))
      expect((await key(1, lane)).status).toBe(200)
      expect([(await key(2, lane)).status, (await key(9, lane)).status]).toEqual([402, 404])
      expect(await shop.post({ sid, op: 'close' })).toMatchObject({ body: { consumed: '40000' } })
      // Any other x402 client buys the window of a key with each request.
      const stock = await shop.newPayer(1_000_000n)
      expect((await key(2, await shop.paying(stock.voucher(20_000n)))).status).toBe(200)
      expect((await shop.row(stock)).charged).toBe(20_000n)
    })

    it('is a segment of HLS', async () => {
      const counter = createHlsCounter({ playlist })
      const segment = (at: number) =>
        new Response(content.subarray(at * 100, at * 100 + 100), { headers: { 'Content-Type': 'video/mp2t' } })
      const part: (Sells & { kind: 'parts' })['part'] = async (lane, { url }) => {
        const at = Number(new URL(url).searchParams.get('segment'))
        const bought = await counter.segment(lane, at)
        return bought === true ? segment(at) : bought === undefined ? undefined : 'unpaid'
      }
      const shop = await open({ rate: perSecond, sells: { kind: 'parts', part } })
      const payer = await shop.newPayer(1_000_000n)
      const first = await shop.get(await shop.paying(payer.voucher(20_000n), 'B'), '?segment=0')
      expect([first.status, first.headers.get('content-type')]).toEqual([200, 'video/mp2t'])
      expect(Buffer.from(await first.arrayBuffer()).equals(content.subarray(0, 100))).toBe(true)
      const { sid, lane } = laneOf(first)
      expect((await shop.get(lane, '?segment=1')).status).toBe(402)
      // Nor for who says that he never had the first.
      verifies('M25')
      expect((await shop.get({ 'Payment-Resume': `${sid}; from=0` }, '?segment=1')).status).toBe(402)
    })

    it('is not sold by the clock on the wall, by which it would cost a moment', async () => {
      verifies(['M25', 'FS1-BINDINGS'])
      const part = async () => new Response('today')
      await expect(open({ rate: { ...perSecond, clock: 'wall' }, sells: { kind: 'parts', part } })).rejects.toMatchObject({
        code: 'config/bad-stream',
      })
    })

    it('is access for a time: who shows his pass pays nothing until it ends, and 402 a millisecond later', async () => {
      verifies(['T7', 'FS1-BINDINGS'])
      const clock = { now: 1_800_000_000_000 }
      const windows = createWindows({ secret, clock: () => clock.now })
      const part = windowed(windows, { seconds: 2, serve: () => new Response('today', { headers: { Vary: 'Accept' } }) })
      const shop = await open({ rate: perSecond, sells: { kind: 'parts', part } })
      const payer = await shop.newPayer(1_000_000n)
      const bought = await shop.get(await shop.paying(payer.voucher(20_000n)))
      expect([bought.status, await bought.text()]).toEqual([200, 'today'])
      const pass = { 'Payment-Pass': bought.headers.get('payment-pass') ?? '' }
      expect(await charged(shop, payer)).toBe(20_000n)
      clock.now += 2000
      const again = await shop.get(pass)
      expect([again.status, await again.text(), again.headers.get('cache-control')]).toEqual([
        200,
        'today',
        'private, no-store, no-transform',
      ])
      clock.now += 1
      expect((await shop.get(pass)).status).toBe(402)
      expect((await shop.get({ 'Payment-Pass': `${pass['Payment-Pass'].slice(0, -2)}AA` })).status).toBe(402)
      expect((await shop.row(payer)).charged).toBe(20_000n)
    })
  })

  it('shows a view again to who paid it, and asks everybody else for money', async () => {
    verifies(['T8', 'FS1-BINDINGS'])
    const [, , seller, buyer] = developmentAccounts
    const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
    const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
    const settling = answeringFacilitator(scheme)
    const server = createServer({ facilitator: settling, schemes: [scheme], store: memoryStore(), unpaidWork: { most: 10 } })
    const books = memoryStore().views
    let isDown = false
    const store = {
      views: { ...books, find: (key: ViewKey) => (isDown ? Promise.reject(new RangeError('no database')) : books.find(key)) },
    }
    const views = createViews({ secret, kept: { store, origin: 'https://shop.test', views: 2 } })
    const shop = await open({ sells: { kind: 'viewed', views, server } })
    const url = `${shop.url}/live`
    const paid = await sendPaid(url, await signPayment(payer, { url }))
    expect([paid.status, `${paid.body}`, settling.settled.length]).toEqual([200, 'the film', 1])
    const pass = paid.headers['payment-pass']?.[0] ?? ''
    const cookie = paid.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
    for (const headers of [{ 'Payment-Pass': pass }, { cookie }]) {
      const again = await shop.get(headers)
      expect([again.status, await again.text(), again.headers.get('cache-control')]).toEqual([
        200,
        'the film',
        'private, no-store, no-transform',
      ])
    }
    expect([(await shop.get({})).status, (await shop.get({ 'Payment-Pass': `A${pass}` })).status]).toEqual([402, 402])
    // Who may have paid is not asked again because our books cannot be read.
    isDown = true
    expect((await shop.get({ 'Payment-Pass': pass })).status).toBe(503)
    expect(settling.settled.length).toBe(1)
  })
})

function laneOf({ headers }: Response) {
  const { sid = '' } = paymentStreamHeader.decode(headers.get('payment-stream') ?? '')
  return { sid, lane: { 'Flow402x-Lane': headers.get('flow402x-lane') ?? '' } }
}

/** Reads an answer that was opened with 6,000 units: so many bytes and no more, more for more money, and no clean end before the content's. */
async function flowsAsPaid(shop: StreamShop, payer: Awaited<ReturnType<StreamShop['newPayer']>>, answer: Response): Promise<void> {
  const { sid } = laneOf(answer)
  const got = collect(answer)
  await expect.poll(() => got.bytes().length).toBeGreaterThan(3000)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(got.bytes().length).toBeLessThanOrEqual(6000)
  await shop.slide(sid, payer.voucher(30_000n))
  await expect.poll(() => got.bytes().length).toBeGreaterThan(27_000)
  expect(got.bytes().length).toBeLessThanOrEqual(30_000)
  await shop.post({ sid, op: 'close' })
  await expect(got.ended).rejects.toThrow()
  expect((await shop.row(payer)).charged).toBe(BigInt(got.bytes().length))
  expect(content.subarray(0, got.bytes().length).equals(got.bytes())).toBe(true)
}

function collect({ body }: Response) {
  const read: Uint8Array[] = []
  const reader = body?.getReader()
  const ended = (async () => {
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) read.push(next.value)
  })()
  ended.catch(() => {})
  return { ended, bytes: () => Buffer.concat(read) }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
