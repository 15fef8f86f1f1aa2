import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createClient, streamWallet } from '@flow402x/client'
import type { ServerFrame } from '@flow402x/core/stream'
import { createFacilitator } from '@flow402x/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { payWebSocket } from '@flow402x/stream/client'
import { streamed, ticks } from '@flow402x/stream/node'
import { createStreams, sockets } from '@flow402x/stream/server'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { nonceVoucherFacilitator, solanaChain } from '../facilitator.ts'
import { nonceVoucherClient } from './payer/client.ts'
import { nonceVoucherServer } from './server.ts'

let local: SolanaChain
const open: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 20 })
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
afterAll(() => local?.stop())

type Talk = { messages: AsyncIterable<string | Uint8Array>; send(message: string | Uint8Array): Promise<boolean> }

/** Sells a socket that answers each message with itself, for a tenth of a cent. */
async function openTalk(minDeposit: string) {
  const { network, rpcUrl } = local
  const store = memoryStore()
  const scheme = nonceVoucherServer({ network, rpcUrl, payTo: local.seller.address, store, minDeposit })
  const chain = solanaChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [nonceVoucherFacilitator({ chain })], store, confirmTimeout: 10_000 })
  const runner = scheme.vouchers?.runner({ facilitator })
  if (runner === undefined) throw new TypeError('no runner')
  const streams = createStreams({ schemes: [scheme], facilitator, store, secret: 'x'.repeat(32), ticksPerSecond: 1000 })
  const numbers = { buy: 10, tick: 2, window: 6, windowMax: 20 }
  const route = streams.route({ rate: '0.001 USD/message', tickUrl: '/talk/tick', ws: '/talk/ws', ...numbers })
  const [talk, tick] = [streamed(route, async function* () {}), ticks(route)]
  const server = createServer((request, response) => void (request.url?.startsWith('/talk/tick') ? tick : talk)(request, response))
  const serve = async ({ messages, send }: Talk) => {
    for await (const message of messages) if (!(await send(message))) return
  }
  const upgrade = sockets(route, { sockets: new WebSocketServer({ noServer: true }), serve })
  server.on('upgrade', (request, socket, head) => void upgrade(request, socket, head))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(async () => {
    await streams.close()
    server.closeAllConnections()
    server.close()
    await runner.close()
    await facilitator.close()
  })
  // Of a server that listens on a port it is the address.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/talk`, runner }
}

// Who fills his channel on the way sees on the chain that a settlement has ended what he signed; who has enough in it is told.
it.each([
  ['sees for himself', '$0.05', 1],
  ['is told of', '$2', 2],
] as const)(
  'a socket is paid by frames of 89 bytes, over a settlement that its payer %s, to the last atomic unit',
  async (how, minDeposit, buyer) => {
    verifies(['FS1-CLIENT-SOCKET', 'FS1-FRAMES', 'FS1-FINAL'])
    const { network, rpcUrl } = local
    const talk = await openTalk(minDeposit)
    const signer = local.accounts.filter(({ role }) => role === 'buyer')[buyer]?.privateKey ?? local.buyer.privateKey
    const before = await local.balanceOf(local.seller.address)
    const scheme = nonceVoucherClient({ network, rpcUrl, signer })
    const wallet = streamWallet(createClient({ schemes: [scheme], budget: { perPayment: '$1', total: '$2' } }))
    const frames: ServerFrame[] = []
    const heard: string[] = []
    const sizes = new Set<number>()
    const connect = (url: string, protocol: string) => {
      const socket = new WebSocket(url, protocol, { origin: 'http://page.example' })
      const send = socket.send.bind(socket)
      return Object.assign(socket, {
        send(data: string | Uint8Array) {
          if (typeof data !== 'string') sizes.add(data.length)
          send(data)
        },
      })
    }
    const socket = await payWebSocket({ wallet, url: talk.url, connect, onFrame: (frame) => frames.push(frame) })
    socket.addEventListener('message', (event) => event instanceof MessageEvent && heard.push(String(event.data)))
    const say = async (count: number) => {
      const all = heard.length + count
      for (let at = heard.length; at < all; at++) socket.send(`${at}`)
      await expect.poll(() => heard.length).toBe(all)
    }
    await say(12)
    // What is settled ends what was signed, and all of it is signed anew.
    expect((await talk.runner.round({ all: true })).settled).toBeGreaterThan(0n)
    await say(18)
    const acks = frames.flatMap((frame) => (frame.type === 'ack' ? [frame.accepted] : []))
    expect(acks).toEqual(acks.toSorted((a, b) => Number(a - b)))
    expect(frames.some((frame) => frame.type === 'error' && frame.error === 'over')).toBe(how === 'is told of')
    expect([heard[0], heard[29], socket.trouble(), [...sizes]]).toEqual(['0', '29', undefined, [89]])
    socket.close()
    expect(await socket.consumed).toBe(30_000n)
    await talk.runner.round({ all: true })
    expect((await local.balanceOf(local.seller.address)) - before).toBe(30_000n)
  },
)
