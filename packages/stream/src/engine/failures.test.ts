import { connect } from 'node:net'
import type { Facilitator } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { slowTokens } from '../fixtures/tokens.ts'
import type { Source } from '../server.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }

const open = (plan: Partial<ShopPlan> = {}) => ground.open({ rate: tokens, source: slowTokens, streams: { ticksPerSecond: 100 }, ...plan })

test('a reader who does not read stops the source, and pays for what was made alone', async () => {
  verifies('F20')
  const size = 64 * 1024
  let made = 0
  const source: Source = async function* ({ signal }) {
    for (; !signal.aborted; made += 1) yield 'x'.repeat(size)
  }
  const shop = await open({ rate: { ...tokens, buy: 1000 }, source })
  const payer = await shop.newPayer(100_000n)
  const [name, value] = Object.entries(await shop.paying(payer.voucher(1000n * token)))[0] ?? []
  const socket = connect(Number(new URL(shop.url).port), '127.0.0.1')
  socket.pause().write(`GET /live HTTP/1.1\r\nHost: shop.test\r\n${name}: ${value}\r\n\r\n`)
  await vi.waitFor(() => expect(made).toBeGreaterThan(0), 5000)
  let before = -1
  await vi.waitFor(
    () => {
      const still = made === before
      before = made
      expect(still).toBe(true)
    },
    { timeout: 10_000, interval: 500 },
  )
  // There is credit for 64 MB. What was made lies with the kernel, and a piece with us.
  expect(made * size).toBeLessThan(16 * 1024 * 1024)
  socket.destroy()
  await vi.waitFor(() => expect(shop.events.map(({ type }) => type)).not.toContain('error'))
  await shop.streams.close()
  const { charged, free } = await shop.row(payer)
  expect([charged <= BigInt(made + 1) * token, charged < 1000n * token]).toEqual([true, true])
  expect(free).toEqual([{ from: charged, to: 1000n * token, spent: true }])
})

test('a facilitator that is down is not missed by ticks, and a deposit waits for it', async () => {
  verifies('F16')
  let isDown = false
  const asked = <Answer>(ask: () => Promise<Answer>): Promise<Answer> => (isDown ? Promise.reject(new TypeError('fetch failed')) : ask())
  const shaky: Facilitator = {
    supported: () => asked(() => ground.facilitator.supported()),
    verify: (...input) => asked(() => ground.facilitator.verify(...input)),
    settle: (...input) => asked(() => ground.facilitator.settle(...input)),
  }
  const shop = await open({ facilitator: shaky })
  const payer = await shop.newPayer(60n * token)
  const reading = await shop.open(payer.voucher(20n * token), 'B')
  isDown = true
  expect((await shop.slide(reading.sid, payer.voucher(60n * token))).status).toBe(200)
  await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(30), 5000)
  const topUp = await shop.paying(payer.deposit(80n * token, { amount: 100n * token, salt: 77n }), 'B')
  const brought = async () => (await shop.post(undefined, topUp, `?sid=${reading.sid}`)).status
  expect(await brought()).toBe(503)
  expect((await shop.row(payer)).funds.balance).toBe(60n * token)
  isDown = false
  // The same deposit, once there is somebody to bring it in.
  await vi.waitFor(async () => expect(await brought()).toBe(204), { interval: 500 })
  expect(await shop.row(payer)).toMatchObject({ funds: { balance: 160n * token }, top: 80n * token })
})

test('a store from an old backup is raised to the chain, and goes on with the newest voucher of an honest payer', async () => {
  verifies('F13')
  const shop = await open()
  const payer = await shop.newPayer(1000n * token)
  const first = await shop.open(payer.voucher(20n * token), 'B')
  await vi.waitFor(() => expect(first.items.length).toBe(20), 5000)
  await shop.post({ sid: first.sid, op: 'close' })
  const backup = await shop.row(payer)
  const second = await shop.open(payer.voucher(60n * token), 'B')
  await vi.waitFor(() => expect(second.items.length).toBe(40), 5000)
  await shop.post({ sid: second.sid, op: 'close' })
  const runner = await runnerOf(shop)
  await runner.round({ all: true })
  expect((await shop.row(payer)).funds.claimed).toBe(60n * token)
  const third = await shop.open(payer.voucher(100n * token), 'B')
  await vi.waitFor(() => expect(third.items.length).toBe(40), 5000)
  await shop.post({ sid: third.sid, op: 'close' })
  await runner.close()

  const store = memoryStore()
  await store.channels.open({ ...backup, epoch: 1 })
  const restored = await open({ store })
  const learning = await runnerOf(restored)
  await learning.round({ all: false })
  const known = await restored.row(payer)
  expect([known.funds.claimed, known.charged >= 60n * token, known.top >= 60n * token]).toEqual([60n * token, true, true])
  // What was claimed is public: it opens nothing.
  expect((await restored.open(payer.voucher(60n * token), 'B')).status).toBe(402)
  expect((await restored.open(payer.voucher(120n * token), 'B')).status).toBe(200)
  const row = await restored.row(payer)
  // What a payer who says nothing may get twice is what was sold since the backup and not claimed: 40 tokens.
  expect(row).toMatchObject({ top: 120n * token })
  expect(row.charged).toBeGreaterThanOrEqual(60n * token)
  await learning.close()
})

test('a seller who claims all that was signed gets no more than a window beyond what he gave, and his payer takes out the rest', async () => {
  verifies('F7')
  const window = 40n * token
  const shop = await open()
  const payer = await shop.newPayer(1000n * token)
  const reading = await shop.open(payer.voucher(window), 'B')
  await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(4), 5000)
  const { body } = await shop.post({ sid: reading.sid, op: 'close' })
  const consumed = BigInt(String(body.consumed))
  const row = await shop.row(payer)
  // His books lie: all that was signed was delivered.
  await shop.store.channels.update(row, { ...row, charged: row.top, free: [], owedSince: 1 })
  const runner = await runnerOf(shop)
  await runner.round({ all: true })
  const { funds } = await shop.row(payer)
  expect([funds.claimed, funds.claimed - consumed <= window, consumed < window]).toEqual([window, true, true])
  // The payer sees it on the chain, signs no more, and asks for everything else.
  expect(await payer.withdraw(1000n * token - window)).toBe('done')
  await runner.round({ all: false })
  expect((await shop.open(payer.voucher(2n * window), 'B')).status).toBe(423)
  await runner.close()
})

async function runnerOf({ scheme }: StreamShop) {
  await scheme.start?.()
  const runner = scheme.vouchers?.runner({ facilitator: ground.facilitator })
  if (runner === undefined) throw new RangeError('no runner')
  return runner
}
