import { pause } from '@flow402x/core'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import { receiptIn } from '../fixtures/stream-shop.ts'
import type { Source } from '../transports/pump.ts'

const ground = useGround(escrowFacilitator)
const { open } = ground

const second = 10_000n

describe('windows (grade A)', () => {
  test('are offered in the header and beside it', async () => {
    const { offer, read } = await open()
    const { status, headers } = await read({})
    expect(status).toBe(402)
    expect(
      Object.fromEntries(['payment-rate', 'network', 'payment-stream', 'cache-control'].map((name) => [name, headers.get(name)])),
    ).toEqual({
      'payment-rate': '0.01 USD/second',
      network: ground.chain.network,
      'payment-stream': 'v=1; clock=wall; buy=5; tick=1; window=2; max-window=30; tick-url="/live/tick"; refundable=1',
      'cache-control': 'private, no-store, no-transform',
    })
    const { accepts, extensions } = await offer()
    expect(accepts).toMatchObject([{ scheme: 'batch-settlement', amount: `${5n * second}`, extra: { minDeposit: `${600n * second}` } }])
    expect(extensions).toEqual({
      'flow402x-stream': {
        info: { v: '1', unit: 'second', clock: 'wall', rate: '10000/1', buy: 5, tick: 1, window: 2, windowMax: 30, tickUrl: '/live/tick' },
      },
    })
  })

  test('flow as long as they are paid, and not a chunk longer', async () => {
    verifies('T20')
    const shop = await open({ rate: { buy: 0.5 } })
    const payer = await shop.newPayer(100n * second)
    const half = second / 2n
    const reading = await shop.open(payer.voucher(half))
    expect(reading.status).toBe(200)
    expect(receiptIn(reading.headers)).toMatchObject({ success: true, transaction: '', extra: { chargedAmount: `${half}` } })
    await vi.waitFor(() => expect(reading.controls.map(({ t }) => t)).toContain('gated'), 3000)
    const paidFor = reading.items.length
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reading.items).toHaveLength(paidFor)
    const tick = await shop.buy(reading.sid, payer.voucher(2n * half))
    expect(tick.status).toBe(204)
    expect(receiptIn(tick.headers)).toMatchObject({ extra: { channelState: { chargedCumulativeAmount: `${2n * half}` } } })
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(paidFor), 3000)
    const closed = await shop.post({ sid: reading.sid, op: 'close' })
    expect(closed).toMatchObject({ status: 200, body: { state: 'ended' } })
    await reading.ended
    const receipt = reading.controls.find(({ t }) => t === 'receipt')
    const row = await shop.row(payer)
    expect(row.charged).toBe(receipt?.consumed)
    expect(row.charged).toBeGreaterThan(half)
    expect(row.charged).toBeLessThanOrEqual(2n * half)
    expect(row.lanes).toBeUndefined()
  })
})

describe('what is counted', () => {
  /** Tokens without an end; how many were made, and whether the source was closed. */
  function tokens(most = Number.POSITIVE_INFINITY) {
    const seen = { made: 0, closed: false }
    async function* source() {
      try {
        for (; seen.made < most; ) {
          seen.made += 1
          yield `token ${seen.made}`
        }
      } finally {
        seen.closed = true
      }
    }
    return { seen, source }
  }

  test('stops at the last unit that is paid, and the source is not asked for more', async () => {
    verifies(['T11', 'FS1-GATE'])
    const { seen, source } = tokens()
    const shop = await open({ rate: { rate: '0.00001 USD/token', buy: 5 }, source, streams: { patience: { gated: 3000 } } })
    const payer = await shop.newPayer(1000n)
    const reading = await shop.open(payer.voucher(50n))
    await vi.waitFor(() => expect(reading.controls.at(-1)?.t).toBe('need'), 3000)
    expect([reading.items.length, seen.made]).toEqual([5, 5])
    expect(reading.controls.at(-1)).toMatchObject({ t: 'need', need: 100n, consumed: 50n, charged: 50n })
    expect((await shop.buy(reading.sid, payer.voucher(100n))).status).toBe(204)
    await vi.waitFor(() => expect(reading.items).toHaveLength(10))
    // Nobody pays: nothing flows, and in time the source is let go.
    await vi.waitFor(() => expect(seen.closed).toBe(true), 3000)
    await reading.ended
    expect([reading.items.length, seen.made]).toEqual([10, 10])
    expect((await shop.row(payer)).lanes).toMatchObject([{ granted: 100n }])
  })

  test('adds up exactly below one atomic unit, and ends with a receipt', async () => {
    verifies('T3')
    const { source } = tokens(10_000)
    const shop = await open({ rate: { rate: '0.0000001 USD/token', buy: 20_000 }, source })
    const payer = await shop.newPayer(5000n)
    const reading = await shop.open(payer.voucher(2000n))
    await reading.ended
    expect(reading.items).toHaveLength(10_000)
    expect(reading.controls.slice(-2)).toMatchObject([{ t: 'receipt', consumed: 1000n, units: 10_000n * 10n ** 9n }, { t: 'end' }])
    expect(await shop.row(payer)).toMatchObject({ charged: 1000n, top: 2000n, free: [{ from: 1000n, to: 2000n, spent: true }] })
    // What was not used is sold again, from below: who signs above it is told from where.
    const above = await shop.open(payer.voucher(4000n))
    expect(above.status).toBe(402)
    const again = await shop.open(payer.voucher(3000n))
    await again.ended
    expect(await shop.row(payer)).toMatchObject({ charged: 1000n, top: 3000n })
  })

  test('lets go of a source whose reader is gone, and the reader goes on from where he was', async () => {
    verifies(['F1', 'M25', 'FS1-RESUME'])
    const { seen, source } = tokens()
    const slow = async function* () {
      for await (const token of source()) {
        yield token
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    const shop = await open({ rate: { rate: '0.00001 USD/token', buy: 100 }, source: slow })
    const payer = await shop.newPayer(10_000n)
    const reading = await shop.open(payer.voucher(1000n))
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(3))
    reading.stop()
    await vi.waitFor(() => expect(seen.closed).toBe(true))
    const [made] = [seen.made]
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(seen.made).toBe(made)
    expect(
      await shop.read({ 'Payment-Resume': `${reading.sid.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}; from=0` }),
    ).toMatchObject({ status: 404 })
    const resumed = await shop.read({ 'Payment-Resume': `${reading.sid}; from=${reading.items.length}` })
    expect([resumed.status, resumed.sid]).toEqual([200, reading.sid])
    await vi.waitFor(() => expect(resumed.items.length).toBeGreaterThan(0))
    const { body } = await shop.post({ sid: reading.sid, op: 'close' })
    await resumed.ended
    const row = await shop.row(payer)
    // A piece on its way to who was gone is his loss, and no more than that.
    expect(row.charged).toBe(BigInt(String(body.consumed)))
    expect(row.charged).toBeLessThanOrEqual(BigInt(reading.items.length + resumed.items.length + 1) * 10n)
    expect(row.lanes).toBeUndefined()
  })
})

describe('sliding vouchers (grade B)', () => {
  test('slide with what was delivered, and are refused when they are old', async () => {
    verifies(['T12', 'F3'])
    const shop = await open({ rate: { window: 0.4, windowMax: 0.6, tick: 0.2 }, streams: { ticksPerSecond: 1000 } })
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(4000n), 'B')
    expect(reading.status).toBe(200)
    const tick = await shop.slide(reading.sid, payer.voucher(6000n))
    expect(tick).toMatchObject({ status: 200, body: { accepted: '6000', channel: { balance: `${100n * second}`, claimed: '0' } } })
    expect(await shop.slide(reading.sid, payer.voucher(5000n))).toMatchObject({ status: 409, body: { accepted: '6000' } })
    expect(await shop.slide(reading.sid, payer.voucher(4000n))).toMatchObject({ status: 409, body: { accepted: '6000' } })
    expect((await shop.slide(reading.sid, payer.voucher(6000n))).status).toBe(200)
    await vi.waitFor(() => expect(reading.controls.map(({ t }) => t)).toContain('gated'), 3000)
    const { charged, top } = await shop.row(payer)
    expect(charged <= top).toBe(true)
    // Much is signed, and no more than the largest window is granted ahead of what was used.
    await shop.slide(reading.sid, payer.voucher(50_000n))
    const [lane] = (await shop.row(payer)).lanes ?? []
    expect(lane && lane.granted - lane.used).toBe(6000n)
    const { body } = await shop.post({ sid: reading.sid, op: 'close' })
    expect(body).toMatchObject({ state: 'ended', reason: 'closed' })
    expect((await shop.row(payer)).charged).toBe(BigInt(String(body.consumed)))
    expect(await shop.slide(reading.sid, payer.voucher(60_000n))).toMatchObject({ status: 410 })
  })

  test('end with a last voucher, which changes nothing where what was used is claimed', async () => {
    verifies('FS1-FINAL')
    const shop = await open()
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(2n * second), 'B')
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(2))
    const { voucher: final } = (await payer.voucher(1000n)).payload
    const closed = await shop.post({ sid: reading.sid, op: 'close', final })
    expect(closed).toMatchObject({ status: 200, body: { state: 'ended', reason: 'closed' } })
    const row = await shop.row(payer)
    expect(row).toMatchObject({ charged: BigInt(String(closed.body.consumed)), top: 2n * second, voucher: { max: 2n * second } })
    // Once more after its end, and forged.
    const forged = { ...Object(final), signature: `0x${'11'.repeat(65)}` }
    for (const one of [final, forged])
      expect(await shop.post({ sid: reading.sid, op: 'close', final: one })).toMatchObject({ status: 200, body: { state: 'ended' } })
    expect(await shop.row(payer)).toEqual(row)
    for (const op of ['close', 'pause']) expect(await shop.post({ sid: reading.sid, op })).toMatchObject({ status: 410 })
  })

  test('time is not charged while it is paused or gated', async () => {
    verifies(['FS1-GATE', 'F22'])
    const [wall, clock] = [{ now: Date.now() }, { now: 1000 }]
    const streams = { clock: () => wall.now, monotonic: () => clock.now, lease: 7_200_000 }
    const shop = await open({ rate: { window: 1, windowMax: 1, tick: 0.1 }, streams })
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(5000n), 'B')
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(2))
    clock.now += 100
    expect(await shop.post({ sid: reading.sid, op: 'pause' })).toMatchObject({ status: 200, body: { state: 'paused', consumed: '1000' } })
    // The clock on the wall jumps by an hour: nobody pays for that, nor for what passes meanwhile.
    wall.now += 3_600_000
    clock.now += 30_000
    await pause(100)
    const items = reading.items.length
    await pause(200)
    expect(reading.items).toHaveLength(items)
    expect(await shop.post({ sid: reading.sid, op: 'resume' })).toMatchObject({ status: 200, body: { state: 'flowing', consumed: '1000' } })
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(items + 1))
    await vi.waitFor(() => {
      clock.now += 50
      expect(reading.controls.map(({ t }) => t)).toContain('gated')
    })
    clock.now += 10_000
    expect(await shop.post({ sid: reading.sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '5000' } })
  })

  test('an hour of silence costs a tick, and what comes next flows at once by what is left', async () => {
    verifies('FS1-SILENCE')
    const clock = { now: 1000 }
    const { source, speak } = spoken()
    const shop = await open({ source, streams: { monotonic: () => clock.now, lease: 72_000_000 } })
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(3n * second), 'B')
    for (const [said, hour] of [0, 1, 2].entries()) {
      await vi.waitFor(() => expect(reading.items).toHaveLength(said + 1))
      clock.now += hour === 2 ? 500 : 3_600_000
      if (hour < 2) speak()
    }
    // Each time it goes on its payer hears from where, before the next.
    expect(reading.controls.map(({ t, consumed }) => [t, consumed])).toEqual([
      ['open', second],
      ['open', 2n * second],
    ])
    expect(await shop.post({ sid: reading.sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '25000' } })
    expect((await shop.row(payer)).charged).toBe(25_000n)
  })

  test('what comes a little late is not taken for silence, and counts whole', async () => {
    verifies('FS1-SILENCE')
    const clock = { now: 1000 }
    const { source, speak } = spoken()
    const shop = await open({ source, streams: { monotonic: () => clock.now, lease: 7_200_000 } })
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(5n * second), 'B')
    for (const said of [1, 2, 3]) {
      await vi.waitFor(() => expect(reading.items).toHaveLength(said))
      clock.now += 1200
      speak()
    }
    await vi.waitFor(() => expect(reading.items).toHaveLength(4))
    expect(reading.controls).toEqual([])
    expect(await shop.post({ sid: reading.sid, op: 'close' })).toMatchObject({ status: 200, body: { consumed: '36000' } })
  })

  test('opens the gate at once when a voucher comes', async () => {
    verifies('FS1-GATE')
    const shop = await open({ rate: { window: 0.1, windowMax: 0.1, tick: 0.05 }, streams: { ticksPerSecond: 1000 } })
    const payer = await shop.newPayer(100n * second)
    const reading = await shop.open(payer.voucher(1000n), 'B')
    const delays: number[] = []
    for (let max = 2000n; max < 12_000n; max += 1000n) {
      const opens = reading.controls.filter(({ t }) => t === 'open').length
      await vi.waitFor(() => expect(reading.controls.at(-1)?.t).toBe('need'), { interval: 5 })
      const voucher = await payer.voucher(max)
      const began = performance.now()
      await shop.slide(reading.sid, voucher)
      await vi.waitFor(() => expect(reading.controls.filter(({ t }) => t === 'open').length).toBeGreaterThan(opens), { interval: 1 })
      delays.push(performance.now() - began)
    }
    // Without a poll and without a turn of any timer: what a tick over HTTP takes, and no more.
    expect(Math.min(...delays)).toBeLessThan(50)
  })
})

/** A source that says something once, and then each time it is told to. */
function spoken() {
  let go = (): void => {}
  const source: Source = async function* ({ signal }) {
    for (let at = 0; !signal.aborted; at += 1) {
      yield `${at}`
      await new Promise<void>((resolve) => {
        go = resolve
        signal.addEventListener('abort', () => resolve())
      })
    }
  }
  return { source, speak: () => go() }
}
