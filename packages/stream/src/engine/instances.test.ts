import { connect, createServer, type Server, type Socket } from 'node:net'
import { paymentSignatureHeader } from '@flow402x/core'
import { postgresStore } from '@flow402x/store/postgres'
import { hotStore } from '@flow402x/store/redis'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, startRedis } from '@flow402x/testing/servers'
import { describe, expect, test, vi } from 'vitest'
import { useGround, usePostgres } from '../fixtures/ground.ts'
import { drain, type SellerPlan, startSellerProcess } from '../fixtures/seller-process.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)
const database = usePostgres()

const token = 10n
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }

async function openStore(url = database.url) {
  const store = await postgresStore(url, { connections: 4 })
  ground.closing(() => store.close())
  return store
}

async function open(plan: Omit<ShopPlan, 'chain' | 'facilitator'> = {}, url = database.url): Promise<StreamShop> {
  return await ground.open({ rate: tokens, source: slowTokens, store: await openStore(url), ...plan })
}

/** What all items of the two readings are: none missing, none twice beyond `again`. */
function numbered(items: readonly string[]): number[] {
  return items.map((item) => Number(item.slice('token '.length)))
}

describe('two instances on one PostgreSQL', () => {
  test('hand a lane over: the first writes where it is before the second begins', async () => {
    verifies(['M25', 'FS1-RESUME'])
    const [first, second] = [await open(), await open()]
    const payer = await first.newPayer(100_000n)
    const reading = await first.open(payer.voucher(100n * token))
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(5))
    const resumed = await second.read({ 'Payment-Resume': `${reading.sid}; from=${reading.items.length}` })
    expect([resumed.status, resumed.sid]).toEqual([200, reading.sid])
    await reading.ended
    const delivered = reading.items.length
    await vi.waitFor(() => expect(resumed.items.length).toBeGreaterThan(5))
    // A tick lands at the one that no longer has it, and the other hears of it.
    await vi.waitFor(() => expect(resumed.controls.map(({ t }) => t)).toContain('need'), 5000)
    expect(await first.buy(reading.sid, payer.voucher(200n * token))).toMatchObject({ status: 204 })
    await vi.waitFor(() => expect(delivered + resumed.items.length).toBeGreaterThan(105), 5000)
    const { body } = await second.post({ sid: reading.sid, op: 'close' })
    await resumed.ended
    const all = numbered([...reading.items, ...resumed.items])
    // What was on its way when the first stopped may come twice, and was paid once.
    expect(new Set(all).size).toBe(Math.max(...all) + 1)
    expect(await first.row(payer)).toMatchObject({ charged: BigInt(String(body.consumed)) })
    expect(BigInt(String(body.consumed))).toBeLessThanOrEqual(BigInt(new Set(all).size + 1) * token)
    expect(first.events.map(({ type }) => type)).not.toContain('error')
  })

  test('an operation reaches the instance that has the lane', async () => {
    verifies('FS1-RESUME')
    const [first, second] = [await open(), await open()]
    const payer = await first.newPayer(100_000n)
    const reading = await first.open(payer.voucher(100n * token))
    expect((await second.post({ sid: reading.sid, op: 'close' })).status).toBe(200)
    await reading.ended
    expect(reading.controls.at(-1)).toMatchObject({ t: 'end', reason: 'closed' })
    await vi.waitFor(async () => expect((await first.row(payer)).lanes).toBeUndefined())
    expect((await second.post({ sid: reading.sid, op: 'pause' })).status).toBe(410)
  })
})

async function startSeller(options: Omit<SellerPlan, 'chain' | 'facilitator' | 'database' | 'rate'>) {
  const seller = await startSellerProcess({
    chain: ground.chain,
    facilitator: ground.facilitator,
    database: database.url,
    rate: tokens,
    ...options,
  })
  ground.closing(async () => seller.child.kill('SIGKILL'))
  return seller
}

describe('a seller that dies', () => {
  test('is replaced once its lease is over: nothing is billed twice, and nothing that arrived is forgotten', async () => {
    verifies(['T21', 'F10'])
    const lease = 1500
    const { url, child } = await startSeller({ lease, checkpointEvery: 200 })
    const heir = await open({ streams: { lease, checkpointEvery: 200 } })
    const payer = await heir.newPayer(100_000n)
    const said = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await payer.voucher(100n * token)) }
    const response = await fetch(`${url}/live`, { headers: said })
    expect(response.status).toBe(200)
    const sid = /sid="([-\w]+)"/.exec(response.headers.get('Payment-Stream') ?? '')?.[1] ?? ''
    const seen = { text: '' }
    const reading = drain(response, seen)
    const received = (): number => seen.text.split('data: token ').length - 1
    await vi.waitFor(() => expect(received()).toBeGreaterThan(40), 5000)
    child.kill('SIGKILL')
    await reading
    const died = performance.now()
    const arrived = received()
    const resumed = await heir.read({ 'Payment-Resume': `${sid}; from=${arrived}` })
    expect([resumed.status, resumed.sid]).toEqual([200, sid])
    expect(performance.now() - died).toBeLessThan(lease + 4000)
    await vi.waitFor(() => expect(resumed.items.length).toBeGreaterThan(5))
    const { body } = await heir.post({ sid, op: 'close' })
    await resumed.ended
    expect(numbered(resumed.items)[0]).toBe(arrived)
    const consumed = BigInt(String(body.consumed))
    const delivered = BigInt(arrived + resumed.items.length)
    expect(consumed).toBeGreaterThanOrEqual(delivered * token)
    expect(consumed).toBeLessThanOrEqual((delivered + 1n) * token)
    expect(await heir.row(payer)).toMatchObject({ charged: consumed, top: 100n * token })
  })

  test('and whose payer does not come back: what the last checkpoint knows is charged, the rest is his again', async () => {
    verifies(['F1', 'F10'])
    const lease = 600
    const { url, child } = await startSeller({ lease, checkpointEvery: 100 })
    const heir = await open({ streams: { lease, patience: { detached: 300 } } })
    const payer = await heir.newPayer(100_000n)
    const said = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await payer.voucher(100n * token)) }
    const response = await fetch(`${url}/live`, { headers: said })
    const seen = { text: '' }
    const reading = drain(response, seen)
    await vi.waitFor(() => expect(seen.text.split('data: token ').length).toBeGreaterThan(30), 5000)
    child.kill('SIGKILL')
    await reading
    const received = seen.text.split('data: token ').length - 1
    await vi.waitFor(
      async () => {
        await heir.streams.sweep()
        expect((await heir.row(payer)).lanes).toBeUndefined()
      },
      { timeout: 5000, interval: 100 },
    )
    const { charged, free } = await heir.row(payer)
    // In the payer's favour, and by no more than what a crash may cost: what came since the last checkpoint.
    expect(charged).toBeLessThanOrEqual(BigInt(received + 1) * token)
    expect(charged).toBeGreaterThan(0n)
    expect(free).toEqual([{ from: charged, to: 100n * token, spent: true }])
  })

  test('after it took a voucher and before it said so: the same voucher again is no second credit', async () => {
    verifies(['T22', 'F8'])
    const [first, second] = [await open(), await open()]
    const payer = await first.newPayer(100_000n)
    const reading = await first.open(payer.voucher(20n * token), 'B')
    const tick = await payer.voucher(60n * token)
    expect((await first.slide(reading.sid, tick)).status).toBe(200)
    // Its answer was lost, as far as the payer knows: he sends it again, here and elsewhere.
    const answers = await Promise.all([first.slide(reading.sid, tick), second.slide(reading.sid, tick), second.slide(reading.sid, tick)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    const row = await first.row(payer)
    expect(row.top).toBe(60n * token)
    const [lane] = row.lanes ?? []
    expect((lane?.used ?? 0n) + (lane?.credit ?? []).reduce((sum, { from, to }) => sum + to - from, 0n)).toBe(60n * token)
  })
})

describe.each([undefined, 'sync', 'fast'] as const)(
  'a seller that is killed between taking a voucher and saying so, with Redis %s',
  (durability) => {
    test.skipIf(durability !== undefined && !hasRedis())(
      'took it: the same voucher again is no second credit (skipped where there is no redis-server)',
      async () => {
        verifies('T22')
        const redis = durability === undefined ? undefined : await startRedis({ settings: { appendonly: 'no' } })
        if (redis !== undefined) ground.closing(() => redis.stop())
        const lease = 1500
        const hot = redis === undefined || durability === undefined ? {} : { redis: redis.url, durability }
        const { url, child } = await startSeller({ lease, checkpointEvery: 200, diesAt: `${60n * token}`, ...hot })
        const cold = await openStore()
        const store = redis === undefined || durability === undefined ? cold : await hotStore(redis.url, { store: cold, durability })
        if (store !== cold) ground.closing(() => store.close())
        const heir = await open({ store, streams: { lease, checkpointEvery: 200 } })
        const payer = await heir.newPayer(100_000n)
        const died = new Promise((resolve) => child.once('exit', resolve))
        const opened = await fetch(`${url}/live`, { headers: await heir.paying(payer.voucher(20n * token), 'B') })
        const sid = /sid="([-\w]+)"/.exec(opened.headers.get('Payment-Stream') ?? '')?.[1] ?? ''
        const seen = { text: '' }
        const reading = drain(opened, seen)
        await vi.waitFor(() => expect(seen.text).toContain('data: token 5'), 5000)
        const tick = await payer.voucher(60n * token)
        const body = JSON.stringify({ sid, voucher: tick.payload.voucher })
        // It is taken, and nobody ever says so.
        await expect(fetch(`${url}/live/tick`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).rejects.toThrow()
        await Promise.all([died, reading])
        expect((await heir.row(payer)).top).toBe(60n * token)
        expect((await heir.slide(sid, tick)).status).toBe(200)
        const arrived = seen.text.split('data: token ').length - 1
        const resumed = await heir.read({ 'Payment-Resume': `${sid}; from=${arrived}` })
        expect(resumed.status).toBe(200)
        await vi.waitFor(() => expect(arrived + resumed.items.length).toBe(60), 8000)
        const end = await heir.post({ sid, op: 'close' })
        expect(BigInt(String(end.body.consumed))).toBeGreaterThanOrEqual(60n * token)
        expect(await heir.row(payer)).toMatchObject({ charged: 60n * token, top: 60n * token, free: [] })
      },
    )
  },
)

test('a database that is away gates lanes within a window and leaks nothing; the same voucher goes on when it is back', async () => {
  verifies(['T24', 'F12'])
  const line = await breakable(new URL(database.url))
  const shop = await open({ rate: { ...tokens, window: 20, windowMax: 20 } }, line.url)
  const payer = await shop.newPayer(100_000n)
  const reading = await shop.open(payer.voucher(20n * token), 'B')
  await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(5))
  line.cut()
  const voucher = await payer.voucher(60n * token)
  expect(await shop.slide(reading.sid, voucher)).toMatchObject({ status: 503 })
  await vi.waitFor(() => expect(reading.items.length).toBe(20), 3000)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect(reading.items).toHaveLength(20)
  line.mend()
  await vi.waitFor(async () => expect((await shop.slide(reading.sid, voucher)).status).toBe(200), { interval: 300 })
  await vi.waitFor(() => expect(reading.items.length).toBe(60), 5000)
  const { body } = await shop.post({ sid: reading.sid, op: 'close' })
  expect(body).toMatchObject({ state: 'ended', consumed: `${60n * token}` })
  expect(await shop.row(payer)).toMatchObject({ charged: 60n * token, top: 60n * token })
})

/** A way to a server that can be cut and mended. */
async function breakable(to: URL): Promise<{ url: string; cut(): void; mend(): void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((socket) => {
    if (isCut) {
      socket.destroy()
      return
    }
    const far = connect(Number(to.port), to.hostname)
    for (const [one, other] of [
      [socket, far],
      [far, socket],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
    socket.pipe(far).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ground.closing(() => new Promise((resolve) => server.close(resolve)))
  const address = server.address()
  const url = new URL(to)
  url.port = String(typeof address === 'object' ? address?.port : '')
  return {
    url: url.href,
    cut() {
      isCut = true
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    mend() {
      isCut = false
    },
  }
}
