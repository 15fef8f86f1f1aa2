import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { formatDecimal, fromAtomic } from '@flow402x/core'
import { costOf, oneUnit } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import express from 'express'
import { expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { bytes, streamed, ticks } from '../express.ts'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator, useGround } from '../fixtures/ground.ts'
import type { ShopPlan, StreamShop } from '../fixtures/stream-shop.ts'
import { createStreams, sockets } from '../server.ts'
import { payDownload } from './download.ts'
import { type PayStreamOptions, payStream, type StreamChunk, type StreamEvent } from './pay-stream.ts'
import { payWebSocket } from './socket.ts'

const ground = useGround(channelFacilitator)

const rate = { numerator: 10_000n, denominator: 1n }

async function shopOf(plan: Partial<ShopPlan> = {}): Promise<StreamShop> {
  const scheme = { authorizer: privateKeySigner(ground.chain.seller.privateKey), ...plan.scheme }
  const shop = await ground.open({ ...plan, scheme })
  return shop
}

async function read(options: PayStreamOptions, most = Number.POSITIVE_INFINITY) {
  const events: StreamEvent[] = []
  const stream = await payStream({ ...options, onEvent: (event) => events.push(event) })
  const chunks: StreamChunk[] = []
  for await (const chunk of stream) if (chunks.push(chunk) >= most) break
  return { stream, chunks, events, receipt: await stream.receipt }
}

it('pays our own seller second by second, and both books and the budget end alike', async () => {
  verifies(['T2', 'M29'])
  const shop = await shopOf()
  const buyer = newBuyer(ground.chain)
  const { stream, events, receipt } = await read({ wallet: buyer.wallet, url: `${shop.url}/live`, units: '5' })
  expect(events.map(({ t }) => t)).toEqual(['low', 'gated'])
  expect(stream.grade).toBe('B')
  const [payer, seller] = [await buyer.payerRow(), await rowOf(shop.store, 'receiver')]
  expect([payer?.charged, payer?.top]).toEqual([seller?.charged, seller?.top])
  expect([receipt.consumed, receipt.consumed <= costOf(rate, 5n * oneUnit)]).toEqual([seller?.charged, true])
  expect((await buyer.client.spent()).total).toMatchObject({
    committed: `$${formatDecimal(fromAtomic(receipt.consumed, 6))}`,
    reserved: '$0',
  })
})

it('downloads a file that is sold by its bytes, part by part, and has every byte of it', async () => {
  verifies('T4')
  const file = crypto.getRandomValues(new Uint8Array(60_000))
  const shop = await byteShop(file)
  const buyer = newBuyer(ground.chain)
  const download = await payDownload({ wallet: buyer.wallet, url: `${shop.url}/file` })
  const parts: Uint8Array[] = []
  for await (const part of download) parts.push(part)
  expect([download.size, Buffer.concat(parts).equals(file)]).toEqual([60_000n, true])
  expect(shop.parts.length).toBeGreaterThan(3)
  const [payer, seller] = [await buyer.payerRow(), await rowOf(shop.store, 'receiver')]
  expect([payer?.charged, seller?.charged, payer?.top]).toEqual([60_000n, 60_000n, seller?.top])
})

it('pays for no more of a file than is read', async () => {
  verifies('T4')
  const shop = await byteShop(new Uint8Array(500_000))
  const buyer = newBuyer(ground.chain)
  let count = 0
  for await (const part of await payDownload({ wallet: buyer.wallet, url: `${shop.url}/file` })) {
    count += part.length
    if (count > 30_000) break
  }
  const row = await buyer.payerRow()
  expect((row?.top ?? 0n) <= BigInt(count) + 16_000n).toBe(true)
  expect(row?.charged).toBe((await rowOf(shop.store, 'receiver'))?.charged)
})

it('pays for a socket in the socket: a message each, and what both sides count is the same', async () => {
  verifies('FS1-CLIENT-SOCKET')
  const shop = await socketShop()
  const buyer = newBuyer(ground.chain)
  const connect = (url: string, protocol: string) => new WebSocket(url, protocol, { origin: 'http://page.example' })
  const socket = await payWebSocket({ wallet: buyer.wallet, url: `${shop.url}/talk`, connect })
  const heard: string[] = []
  socket.addEventListener('message', (event) => event instanceof MessageEvent && heard.push(String(event.data)))
  for (let at = 0; at < 30; at++) socket.send(`${at}`)
  await expect.poll(() => heard.length).toBe(30)
  socket.close()
  const consumed = await socket.consumed
  expect([heard[0], heard[29], socket.trouble()]).toEqual(['0', '29', undefined])
  const [payer, seller] = [await buyer.payerRow(), await rowOf(shop.store, 'receiver')]
  expect([consumed, payer?.charged, seller?.charged]).toEqual([30_000n, 30_000n, 30_000n])
})

/** Sells a socket that answers each message with itself, for a tenth of a cent. */
async function socketShop() {
  const store = memoryStore()
  const { network, rpcUrl } = ground.chain
  const authorizer = privateKeySigner(ground.chain.seller.privateKey)
  const scheme = batchSettlementServer({ network, payTo: ground.chain.seller.address, rpcUrl, store, authorizer })
  const streams = createStreams({ schemes: [scheme], facilitator: ground.facilitator, store, secret: 'x'.repeat(32), ticksPerSecond: 1000 })
  const numbers = { buy: 10, tick: 2, window: 6, windowMax: 20 }
  const route = streams.route({ rate: '0.001 USD/message', tickUrl: '/talk/tick', ws: '/talk/ws', ...numbers })
  const app = express()
  app.get(
    '/talk',
    streamed(route, async function* () {}),
  )
  app.post('/talk/tick', ticks(route))
  const server = createServer(app)
  const serve = async ({
    messages,
    send,
  }: {
    messages: AsyncIterable<string | Uint8Array>
    send(message: string | Uint8Array): Promise<boolean>
  }) => {
    for await (const message of messages) if (!(await send(message))) return
  }
  const upgrade = sockets(route, { sockets: new WebSocketServer({ noServer: true }), serve })
  server.on('upgrade', (request, socket, head) => void upgrade(request, socket, head))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ground.closing(async () => {
    await streams.close()
    server.closeAllConnections()
    server.close()
  })
  // Of a server that listens on a port it is the address.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, store }
}

/** Sells a file at one atomic unit a byte, 16,000 of them ahead. */
async function byteShop(file: Uint8Array) {
  const store = memoryStore()
  const { network, rpcUrl } = ground.chain
  const authorizer = privateKeySigner(ground.chain.seller.privateKey)
  const scheme = batchSettlementServer({ network, payTo: ground.chain.seller.address, rpcUrl, store, authorizer })
  const streams = createStreams({ schemes: [scheme], facilitator: ground.facilitator, store, secret: 'x'.repeat(32), ticksPerSecond: 1000 })
  const numbers = { buy: 32_000, tick: 8000, window: 16_000, windowMax: 32_000 }
  const route = streams.route({ rate: '0.000001 USD/byte', tickUrl: '/file/tick', ...numbers })
  const source = {
    size: file.length,
    etag: '"1"',
    async *read(from: number, to: number) {
      yield file.subarray(from, to)
    },
  }
  const app = express()
  const parts: string[] = []
  app.use((request, _, next) => {
    if (request.headers.range !== undefined) parts.push(request.headers.range)
    next()
  })
  app.get('/file', bytes(route, { find: () => ({ source }) }))
  app.post('/file/tick', ticks(route))
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  ground.closing(async () => {
    await streams.close()
    server.closeAllConnections()
    server.close()
  })
  // Of a server that listens on a port it is the address.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, store, parts }
}
