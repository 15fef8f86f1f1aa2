import type { PaymentPayload } from '@flow402x/core'
import { decodeServerFrame, encodeClientFrame, paymentStreamHeader, type ServerFrame, streamSubprotocol } from '@flow402x/core/stream'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { useGround } from '../fixtures/ground.ts'
import { mounts } from '../fixtures/mounts.ts'
import type { StreamShop } from '../fixtures/stream-shop.ts'
import type { PaidSocket } from '../server.ts'

const ground = useGround(escrowFacilitator)

const { open } = ground
const echo = async (socket: PaidSocket) => {
  for await (const message of socket.messages) await socket.send(message)
}
const perSecond = { rate: '0.01 USD/second' }

describe('a socket', () => {
  it.each(Object.entries(mounts))('is sold beside what is sold on %s', async (_, mount) => {
    verifies('FS1-BINDINGS')
    const shop = await open({ rate: perSecond, serve: echo, mount })
    await expect(connect(shop, {})).rejects.toThrow('402')
    const payer = await shop.newPayer(1_000_000n)
    const socket = await connect(shop, await shop.paying(payer.voucher(50_000n), 'B'))
    socket.send('one')
    await expect.poll(() => socket.texts).toEqual(['one'])
    socket.close(1000)
    await expect.poll(async () => (await shop.row(payer)).lanes).toBeUndefined()
  })

  it('is paid by its upgrade and by frames of 98 bytes, and a pause of thirty seconds costs nothing', async () => {
    verifies('T6')
    const clock = { now: 1000 }
    const shop = await open({ rate: perSecond, serve: echo, streams: { monotonic: () => clock.now, lease: 3_600_000 } })
    const payer = await shop.newPayer(1_000_000n)
    const socket = await connect(shop, await shop.paying(payer.voucher(50_000n), 'B'))
    const { sid = '' } = paymentStreamHeader.decode(socket.headers['payment-stream'] ?? '')
    socket.send('one')
    await expect.poll(() => socket.texts).toEqual(['one'])
    clock.now += 1000
    expect(await shop.post({ sid, op: 'pause' })).toMatchObject({ status: 200, body: { state: 'paused', consumed: '10000' } })
    clock.now += 30_000
    expect(await shop.post({ sid, op: 'resume' })).toMatchObject({ status: 200, body: { state: 'flowing', consumed: '10000' } })
    // Nothing was sent yet, and nothing passes before it is.
    clock.now += 5000
    socket.send('two')
    await expect.poll(() => socket.texts).toEqual(['one', 'two'])
    clock.now += 500
    const tick = await frame(sid, payer.voucher(60_000n))
    expect(tick.length).toBe(98)
    socket.send(tick)
    await expect.poll(() => socket.frames.at(-1)).toEqual({ type: 'ack', accepted: 60_000n, consumed: 15_000n, ttlMs: 4500 })
    socket.send(await frame(sid, payer.voucher(55_000n)))
    await expect.poll(() => socket.frames.at(-1)).toEqual({ type: 'error', error: 'stale' })
    socket.close(1000)
    await expect.poll(async () => (await shop.row(payer)).lanes).toBeUndefined()
    expect((await shop.row(payer)).charged).toBe(15_000n)
  })

  it('gets 402 without a payment, and one from a page waits for its first tick', async () => {
    const shop = await open({ rate: perSecond, serve: echo })
    const payer = await shop.newPayer(1_000_000n)
    await expect(connect(shop, {})).rejects.toThrow('402')
    await expect(connect(shop, { origin: 'https://page.test' }, 'other')).rejects.toThrow('402')
    const opened = await shop.post(undefined, await shop.paying(payer.voucher(20_000n), 'B'))
    expect(opened.status).toBe(204)
    const { sid = '' } = paymentStreamHeader.decode(opened.headers.get('payment-stream') ?? '')
    const socket = await connect(shop, { origin: 'https://page.test' })
    socket.send('nothing yet')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(socket.texts).toEqual([])
    socket.send(await frame(sid, payer.voucher(30_000n)))
    await expect.poll(() => socket.texts).toEqual(['nothing yet'])
    expect(socket.frames).toMatchObject([{ type: 'ack', accepted: 30_000n }])
  })

  it('gives nothing after its credit, and closes who never ticks, or no longer', async () => {
    verifies('FS1-SOCKET')
    const streams = { patience: { gated: 500 } }
    const shop = await open({ rate: { rate: '0.01 USD/token', window: 2, windowMax: 4 }, serve: echo, firstTick: 50, streams })
    const payer = await shop.newPayer(1_000_000n)
    const socket = await connect(shop, await shop.paying(payer.voucher(20_000n), 'B'))
    for (const word of ['one', 'two', 'three']) socket.send(word)
    await expect.poll(() => socket.frames.map(({ type }) => type)).toContain('gated')
    expect(socket.texts).toEqual(['one', 'two'])
    const silent = await connect(shop, { origin: 'https://page.test' })
    expect([await silent.closed, await socket.closed]).toEqual([1008, 4402])
  })
})

describe('a socket of somebody who means ill', () => {
  it('has no memory for frames that are longer than what may wait, from who paid or from a page that did not', async () => {
    verifies('FS1-SOCKET')
    const shop = await open({ rate: perSecond, serve: echo })
    const payer = await shop.newPayer(1_000_000n)
    const paid = await connect(shop, await shop.paying(payer.voucher(50_000n), 'B'))
    const page = await connect(shop, { origin: 'https://page.test' })
    for (const [socket, long] of [
      [paid, 'x'.repeat(1_048_577)],
      [page, encodeClientFrame({ type: 'data', bytes: new Uint8Array(8_000_000) })],
    ] as const) {
      socket.send(long)
      // By who reads frames, before one is whole: a message that is too long for what waits would end with 1008.
      expect([1006, 1009]).toContain(await socket.closed)
    }
    await shop.streams.close()
    expect(await shop.row(payer)).toMatchObject({ top: 50_000n })
  })

  it('ticks no lane but its own, and pays nothing once it is closed', async () => {
    verifies('FS1-SOCKET')
    const shop = await open({ rate: perSecond, serve: echo })
    const [payer, other] = [await shop.newPayer(1_000_000n), await shop.newPayer(1_000_000n, ground.chain.accounts[5]?.privateKey)]
    const socket = await connect(shop, await shop.paying(payer.voucher(50_000n), 'B'))
    const second = await connect(shop, await shop.paying(other.voucher(50_000n), 'B'))
    const { sid: mine = '' } = paymentStreamHeader.decode(socket.headers['payment-stream'] ?? '')
    const { sid: theirs = '' } = paymentStreamHeader.decode(second.headers['payment-stream'] ?? '')
    // Another's lane with one's own money, and one's own lane with another's.
    for (const [sid, by, error] of [
      [theirs, payer, 'malformed'],
      [mine, other, 'signature'],
    ] as const) {
      socket.send(await frame(sid, by.voucher(90_000n)))
      await expect.poll(() => socket.frames.at(-1)).toEqual({ type: 'error', error })
    }
    socket.close(1000)
    await socket.closed
    await expect.poll(async () => (await shop.row(payer)).lanes).toBeUndefined()
    // His lane is over: its name opens nothing to a page that ticks with it.
    const late = await connect(shop, { origin: 'https://page.test' })
    late.send(await frame(mine, payer.voucher(95_000n)))
    await expect.poll(() => late.frames.map(({ type }) => type)).toEqual(['error'])
    const [row, untouched] = [await shop.row(payer), await shop.row(other)]
    expect([row.top, row.lanes, untouched.top]).toEqual([50_000n, undefined, 50_000n])
    late.close(1000)
    second.close(1000)
  })
})

async function frame(sid: string, payment: Promise<PaymentPayload>): Promise<Uint8Array> {
  // The payer above writes them so.
  const { maxClaimableAmount, signature } = (await payment).payload.voucher as { maxClaimableAmount: string; signature: string }
  return encodeClientFrame({
    type: 'tick',
    family: 'evm',
    sid,
    max: BigInt(maxClaimableAmount),
    signature: Buffer.from(signature.slice(2), 'hex'),
  })
}

async function connect({ url }: StreamShop, headers: Record<string, string>, protocol = streamSubprotocol) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/live/socket`, protocol, { headers })
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
}
