import { decodeServerFrame, encodeClientFrame, oneUnit, paymentStreamHeader, streamSubprotocol } from '@flow402x/core/stream'
import { postgresStore } from '@flow402x/store/postgres'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { useGround, usePostgres } from '../fixtures/ground.ts'
import { startSellerProcess } from '../fixtures/seller-process.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { oneToken } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)
const database = usePostgres()

const token = 10n
const rate = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }
const lease = 1500

async function open(plan: Omit<ShopPlan, 'chain' | 'facilitator'> = {}): Promise<StreamShop> {
  const store = await postgresStore(database.url, { connections: 4 })
  ground.closing(() => store.close())
  const streams = { lease, checkpointEvery: 200, ticksPerSecond: 100 }
  return await ground.open({ rate, store, streams, sells: { kind: 'parts', part: oneToken }, ...plan })
}

/** The same shop in a process of its own. */
async function another() {
  const seller = await startSellerProcess({
    chain: ground.chain,
    facilitator: ground.facilitator,
    database: database.url,
    rate,
    lease,
    checkpointEvery: 200,
    singly: true,
  })
  ground.closing(async () => seller.child.kill('SIGKILL'))
  return seller
}

/** A lane that was opened at one of them, and what its bearer shows. */
async function opened(url: string, headers: Record<string, string>) {
  const response = await fetch(`${url}/live`, { headers })
  const { sid = '' } = paymentStreamHeader.decode(response.headers.get('Payment-Stream') ?? '')
  return {
    status: response.status,
    first: await response.text(),
    sid,
    bearer: { 'Flow402x-Lane': response.headers.get('Flow402x-Lane') ?? '' },
  }
}

describe('a player whose requests come to two processes in turn', () => {
  test('goes on with one lane: nothing twice, nothing missing, and all of it charged', async () => {
    verifies('FS1-ATTACH')
    const [shop, { url }] = [await open(), await another()]
    const payer = await shop.newPayer(100_000n)
    const { status, first, sid, bearer } = await opened(url, await shop.paying(payer.voucher(20n * token), 'B'))
    const tokens = [first]
    const urls = [shop.url, url]
    for (let at = 0; at < 16; at += 1) tokens.push(await (await fetch(`${urls[at % 2]}/live`, { headers: bearer })).text())
    expect([status, tokens]).toEqual([200, Array.from({ length: 17 }, (_, index) => `${index}`)])
    // Ticks land where they land, and the one that has the lane by then goes on.
    for (const [at, one] of [url, shop.url, url].entries()) {
      const { payload } = await payer.voucher(BigInt(30 + 10 * at) * token)
      const body = JSON.stringify({ sid, voucher: payload.voucher })
      expect((await fetch(`${one}/live/tick`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })).status).toBe(200)
    }
    for (let at = 17; at < 50; at += 1) {
      const given = await fetch(`${urls[at % 2]}/live`, { headers: bearer })
      expect([given.status, await given.text()]).toEqual([200, `${at}`])
    }
    expect((await fetch(`${url}/live`, { headers: bearer })).status).toBe(402)
    expect((await shop.post({ sid, op: 'close' })).status).toBe(200)
    await vi.waitFor(async () => expect(await shop.row(payer)).toMatchObject({ charged: 50n * token, top: 50n * token }), 3000)
    expect((await shop.row(payer)).lanes).toBeUndefined()
  })

  test('both at once: a token is given by one of them, and paid once', async () => {
    verifies(['FS1-ATTACH', 'M25'])
    const [shop, { url }] = [await open(), await another()]
    const payer = await shop.newPayer(100_000n)
    const { sid, bearer } = await opened(url, await shop.paying(payer.voucher(40n * token), 'B'))
    const given: string[] = []
    for (let round = 0; round < 6; round += 1) {
      const answers = await Promise.all([url, shop.url, url, shop.url].map((one) => fetch(`${one}/live`, { headers: bearer })))
      for (const answer of answers) if (answer.status === 200) given.push(await answer.text())
    }
    expect(given.length).toBeGreaterThan(6)
    expect(new Set(given).size).toBe(given.length)
    await fetch(`${url}/live`, { headers: bearer }).then((one) => one.status === 200 && given.push('last'))
    await shop.post({ sid, op: 'close' })
    await vi.waitFor(async () => expect((await shop.row(payer)).lanes).toBeUndefined(), 3000)
    expect((await shop.row(payer)).charged).toBe(BigInt(given.length + 1) * token)
  })

  test('and one of them is killed: the other goes on once its lease is over', async () => {
    verifies(['FS1-ATTACH', 'T21'])
    const [shop, { url, child }] = [await open(), await another()]
    const payer = await shop.newPayer(100_000n)
    const { bearer } = await opened(url, await shop.paying(payer.voucher(20n * token), 'B'))
    for (let at = 1; at < 5; at += 1) expect(await (await fetch(`${url}/live`, { headers: bearer })).text()).toBe(`${at}`)
    const checkpoint = async () => shop.store.lanes.find((await shop.row(payer)).lanes?.[0]?.id ?? '')
    await expect.poll(checkpoint).toMatchObject({ units: 5n * oneUnit })
    child.kill('SIGKILL')
    const given = await fetch(`${shop.url}/live`, { headers: bearer })
    expect([given.status, await given.text()]).toEqual([200, '5'])
  })
})

test('a socket attaches to a lane that was opened at another process', async () => {
  verifies('FS1-ATTACH')
  const serve: ShopPlan['serve'] = async (socket) => {
    for await (const text of socket.messages) await socket.send(`heard ${text}`)
  }
  const [shop, { url }] = [await open({ serve, rate: { ...rate, ws: '/live/socket' } }), await another()]
  const payer = await shop.newPayer(100_000n)
  const paying = await shop.paying(payer.voucher(20n * token), 'B')
  const asked = await fetch(`${url}/live/tick`, { method: 'POST', headers: paying })
  const { sid = '' } = paymentStreamHeader.decode(asked.headers.get('Payment-Stream') ?? '')
  const socket = new WebSocket(`${shop.url.replace('http', 'ws')}/live/socket`, streamSubprotocol, { origin: 'http://page.example' })
  const heard: unknown[] = []
  socket.on('message', (data: Buffer, isBinary) => heard.push(isBinary ? decodeServerFrame(data)?.type : data.toString()))
  await new Promise((resolve) => socket.once('open', resolve))
  const { maxClaimableAmount, signature } = Object((await payer.voucher(30n * token)).payload.voucher)
  const bytes = Uint8Array.from(Buffer.from(String(signature).slice(2), 'hex'))
  socket.send(encodeClientFrame({ type: 'tick', family: 'evm', sid, max: BigInt(maxClaimableAmount), signature: bytes }))
  await vi.waitFor(() => expect(heard).toContain('ack'), 5000)
  socket.send('hello')
  await vi.waitFor(() => expect(heard).toContain('heard hello'), 3000)
  socket.close()
})

describe('a lane of another route', () => {
  test('draws on nothing here: neither by its bearer, nor resumed, nor ticked', async () => {
    verifies('FS1-ATTACH')
    const { url } = await another()
    const dear = await open({ rate: { ...rate, rate: '0.01 USD/token', tickUrl: '/dear/tick' } })
    const shop = await open()
    const payer = await shop.newPayer(100_000n)
    // One that another process has, and one that this one has.
    for (const where of [url, shop.url]) {
      const { sid, bearer } = await opened(where, await shop.paying(payer.voucher(where === url ? 20n * token : 40n * token), 'B'))
      expect((await fetch(`${dear.url}/live`, { headers: bearer })).status).toBe(402)
      expect((await fetch(`${dear.url}/live`, { headers: { 'Payment-Resume': `${sid}; from=0` } })).status).toBe(404)
      expect(await dear.route.attach(sid)).toBeUndefined()
      const { status } = await fetch(`${dear.url}/live/tick`, { method: 'POST', body: JSON.stringify({ sid, op: 'close' }) })
      expect(status).toBe(404)
      expect((await fetch(`${shop.url}/live`, { headers: bearer })).status).toBe(200)
    }
  })

  test('nor where one process has both', async () => {
    verifies('FS1-ATTACH')
    const shop = await open()
    const dear = shop.streams.route({ rate: '0.01 USD/token', tickUrl: '/dear/tick' })
    const payer = await shop.newPayer(100_000n)
    const { sid } = await opened(shop.url, await shop.paying(payer.voucher(20n * token), 'B'))
    expect(await dear.attach(sid)).toBeUndefined()
    const lane = await shop.route.attach(sid)
    expect(lane?.unit).toBe('token')
    lane?.release()
  })
})
