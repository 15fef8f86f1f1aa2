import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createRelay, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { costOf, oneUnit, paymentStreamHeader } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { afterAll, describe, expect, it } from 'vitest'
import { bytes, gated, ticks } from '../express.ts'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import { byteMeter, createStreams } from '../server.ts'
import { payStream } from './pay-stream.ts'

const ground = useGround(channelFacilitator)
const folder = mkdtempSync(join(tmpdir(), 'flow402x-film-'))
afterAll(() => rmSync(folder, { recursive: true }))

const film = crypto.getRandomValues(new Uint8Array(30_000))
const place = join(folder, 'film.bin')
writeFileSync(place, film)
const [length, rate] = [3n * oneUnit, { numerator: 100_000n, denominator: 1n }]
const whole = costOf(rate, length)
const window = costOf(rate, oneUnit)

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A network before a server that cuts the first connection which has brought so many bytes. */
async function relay(port: number, after: number) {
  let hasCut = false
  const server = createRelay((near) => {
    const far = connect(port, '127.0.0.1')
    let brought = 0
    for (const one of [near, far]) one.on('error', () => {})
    near.pipe(far)
    far.on('data', (data) => {
      brought += data.length
      if (hasCut || brought <= after) return void near.write(data)
      hasCut = true
      near.destroy()
    })
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  ground.closing(() => server.close())
  return { port: portOf(server), hasCut: () => hasCut }
}

/** Sells a film of three seconds: by its bytes, by what `sendFile` writes, and by a handler that knows no parts. */
async function openShop() {
  const { network, rpcUrl, seller } = ground.chain
  const store = memoryStore()
  const scheme = batchSettlementServer({ network, payTo: seller.address, rpcUrl, store, authorizer: privateKeySigner(seller.privateKey) })
  const streams = createStreams({ schemes: [scheme], facilitator: ground.facilitator, store, secret: 'x'.repeat(32), ticksPerSecond: 1000 })
  const route = streams.route({ rate: '0.1 USD/second', clock: 'media', tickUrl: '/tick', tick: 0.25, window: 1 })
  const source = {
    size: film.length,
    etag: '"film"',
    async *read(from: number, to: number) {
      yield film.subarray(from, to)
    },
  }
  const app = express()
  app.post('/tick', ticks(route))
  app.get('/bytes', bytes(route, { find: () => ({ source, length }) }))
  const measure = () => ({ meterOf: async () => byteMeter('second', { size: BigInt(film.length), length }), pace: 'real' as const })
  app.get('/file', gated(route, measure), (_, response) => response.sendFile(place))
  app.get('/plain', gated(route, measure), (_, response) => void response.send(Buffer.from(film)))
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  ground.closing(async () => {
    await streams.close()
    server.closeAllConnections()
    server.close()
  })
  return { port: portOf(server), store }
}

async function read(stream: Awaited<ReturnType<typeof payStream>>): Promise<Buffer> {
  const came: Uint8Array[] = []
  for await (const chunk of stream) if (chunk instanceof Uint8Array) came.push(chunk)
  return Buffer.concat(came)
}

describe('a film that breaks off', () => {
  it.each(['bytes', 'file'])('goes on at the byte where it did, is whole, and is paid once: %s', async (path) => {
    verifies('FS1-CLIENT-WHOLE')
    const shop = await openShop()
    const line = await relay(shop.port, 15_000)
    const buyer = newBuyer(ground.chain)
    const stream = await payStream({ wallet: buyer.wallet, url: `http://127.0.0.1:${line.port}/${path}` })
    const came = await read(stream)
    const { consumed } = await stream.receipt
    expect([line.hasCut(), came.equals(film)]).toEqual([true, true])
    await expect.poll(async () => (await rowOf(shop.store, 'receiver'))?.lanes).toBeUndefined()
    const [sold, paid] = [await rowOf(shop.store, 'receiver'), await buyer.payerRow()]
    expect([sold?.charged, paid?.charged]).toEqual([consumed, consumed])
    // Where nobody said how long it is its payer cannot say to the second where he stood: what he missed costs nothing again, a window at most.
    if (path === 'bytes') expect(consumed).toBe(whole)
    else expect([consumed <= whole, consumed >= whole - window]).toEqual([true, true])
  })

  it('and could only begin anew is left, and what came is paid with a window at most', async () => {
    verifies('FS1-CLIENT-WHOLE')
    const shop = await openShop()
    const line = await relay(shop.port, 15_000)
    const buyer = newBuyer(ground.chain)
    const stream = await payStream({ wallet: buyer.wallet, url: `http://127.0.0.1:${line.port}/plain` })
    let came = 0n
    const reading = async () => {
      for await (const chunk of stream) if (chunk instanceof Uint8Array) came += BigInt(chunk.length)
    }
    await expect(reading()).rejects.toMatchObject({ code: 'stream/not-open', message: expect.stringContaining('where it broke off') })
    expect([line.hasCut(), came > 0n, came < 30_000n]).toEqual([true, true, true])
    const { top = 0n } = (await buyer.payerRow()) ?? {}
    expect(top <= costOf(rate, (came * length) / 30_000n) + window).toBe(true)
  })
})

describe('a film that is over', () => {
  it('begins anew for who pays anew, and for nobody else', async () => {
    verifies('FS1-CLIENT-WHOLE')
    const shop = await openShop()
    const buyer = newBuyer(ground.chain)
    const url = `http://127.0.0.1:${shop.port}/bytes`
    const sids: string[] = []
    for (const times of [1n, 2n]) {
      const stream = await payStream({ wallet: buyer.wallet, url })
      sids.push(paymentStreamHeader.decode(stream.response.headers.get('Payment-Stream') ?? '').sid ?? '')
      expect([stream.response.status, (await read(stream)).equals(film)]).toEqual([200, true])
      expect((await buyer.payerRow())?.charged).toBe(times * whole)
    }
    // Its lane is over: who names it gets nothing, from whatever place; and behind its end there is nothing to pay for.
    for (const from of ['0', '1.5', '3', '4']) {
      const again = await fetch(url, { headers: { 'Payment-Resume': `${sids[1]}; from=${from}` } })
      expect(again.status).toBe(410)
      await again.body?.cancel()
    }
    expect((await fetch(url, { headers: { Range: 'bytes=30000-' } })).status).toBe(416)
    expect((await rowOf(shop.store, 'receiver'))?.charged).toBe(2n * whole)
  })
})
