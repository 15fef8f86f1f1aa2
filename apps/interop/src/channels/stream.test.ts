import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { httpFacilitator } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import { streamed as streamedExpress, ticks as ticksExpress } from '@flow402x/stream/express'
import { streamed as streamedHono, ticks as ticksHono } from '@flow402x/stream/hono'
import { createStreams } from '@flow402x/stream/server'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import { decodePaymentResponseHeader } from '@x402/core/http'
import { toClientEvmSigner } from '@x402/evm'
import { BatchSettlementEvmScheme } from '@x402/evm/batch-settlement/client'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import express from 'express'
import { Hono } from 'hono'
import { createPublicClient, erc20Abi, http, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { network } from '../chains/evm.ts'
import { leaveTable } from '../table.ts'
import type { Listening } from '../world.ts'
import { serveChannelFacilitator } from './official-shop.ts'

// The official client opens our streams and keeps them flowing, through the official facilitator.

let chain: EvmChain
let facilitator: Listening
const rows: (readonly string[])[] = []
const keys = [generatePrivateKey(), generatePrivateKey()]
beforeAll(async () => {
  const balances = keys.map((key) => ({ address: privateKeyToAccount(key).address, usdc: 20_000_000n, eth: parseEther('1') }))
  chain = await startEvmChain({ network, balances })
  facilitator = await serveChannelFacilitator(chain)
})
afterAll(async () => {
  leaveTable('5-streams', {
    title: 'x402 interop of streams: the official client over our server-sent events, through the official facilitator',
    head: ['', 'binding', 'windows bought', 'items', 'charged', 'claimed'],
    rows,
    total: `${rows.length} of 2 bindings green`,
  })
  await facilitator?.close()
  await chain?.stop()
})

// A cent a second, in windows of half a second.
const window = 5000n

/** A clock on a route of ours. */
async function openStream(binding: 'Express' | 'Hono') {
  const store = memoryStore()
  const { rpcUrl, seller } = chain
  const scheme = batchSettlementServer({ network, payTo: seller.address, rpcUrl, store, authorizer: privateKeySigner(seller.privateKey) })
  const through = httpFacilitator(facilitator.url)
  const streams = createStreams({ schemes: [scheme], facilitator: through, store })
  const route = streams.route({ rate: '0.01 USD/second', buy: 0.5, tickUrl: '/live/tick' })
  async function* times({ signal }: { readonly signal: AbortSignal }) {
    for (let index = 0; !signal.aborted; index += 1) {
      yield { index }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const listener = (): RequestListener => {
    if (binding === 'Hono') {
      const app = new Hono()
      app.get('/live', streamedHono(route, times))
      app.post('/live/tick', ticksHono(route))
      return getRequestListener(app.fetch)
    }
    const app = express().use(express.json())
    app.get('/live', streamedExpress(route, times))
    app.post('/live/tick', ticksExpress(route))
    return app
  }
  const server = createServer(listener()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  // Of a server that listens on a port it is the address.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = async (): Promise<void> => {
    await streams.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url, store, scheme, through, close }
}

it.each(['Express', 'Hono'] as const)('streams over %s as long as the official client buys windows', async (binding) => {
  verifies('T1')
  const key = keys[binding === 'Express' ? 0 : 1] ?? '0x'
  const { url, store, scheme, through, close } = await openStream(binding)
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  const client = new BatchSettlementEvmScheme(toClientEvmSigner(privateKeyToAccount(key), reader))
  const pay = wrapFetchWithPayment(fetch, new x402Client().register(network, client))
  const before = await reader.readContract({
    address: chain.usdc.address,
    abi: erc20Abi,
    functionName: 'balanceOf',
    args: [chain.seller.address],
  })

  const response = await pay(`${url}/live`)
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
  const opened = decodePaymentResponseHeader(response.headers.get('PAYMENT-RESPONSE') ?? '')
  expect(opened).toMatchObject({ success: true, transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/) })
  const sid = /sid="([-\w]+)"/.exec(response.headers.get('Payment-Stream') ?? '')?.[1] ?? ''
  const seen = { text: '', over: false }
  const reading = read(response, seen)
  const items = (): number => seen.text.split('data: {"index"').length - 1

  // It is read while it is open, and stops where the money does.
  await expect.poll(() => seen.text).toContain('"t":"gated"')
  for (let tick = 1; tick <= 3; tick += 1) {
    const paidFor = items()
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(items()).toBe(paidFor)
    const ticked = await pay(`${url}/live/tick?sid=${sid}`, { method: 'POST' })
    expect(ticked.status).toBe(204)
    expect(decodePaymentResponseHeader(ticked.headers.get('PAYMENT-RESPONSE') ?? '')).toMatchObject({
      success: true,
      extra: { chargedAmount: `${window}`, channelState: { chargedCumulativeAmount: `${window * BigInt(tick + 1)}` } },
    })
    await expect.poll(() => items()).toBeGreaterThan(paidFor)
    await expect.poll(() => seen.text.split('"t":"gated"').length).toBe(tick + 2)
  }
  const ended = await fetch(`${url}/live/tick`, {
    method: 'POST',
    body: JSON.stringify({ sid, op: 'close' }),
    headers: { 'content-type': 'application/json' },
  })
  expect(await ended.json()).toMatchObject({ state: 'ended', consumed: `${4n * window}` })
  await reading
  expect(seen.text).toContain(`"t":"receipt"`)

  // What flowed is what is claimed, with the official facilitator and by the vouchers that the official client signed.
  const runner = scheme.vouchers?.runner({ facilitator: through })
  expect(await runner?.round({ all: true })).toMatchObject({ claimed: 1 })
  const after = await reader.readContract({
    address: chain.usdc.address,
    abi: erc20Abi,
    functionName: 'balanceOf',
    args: [chain.seller.address],
  })
  expect(after - before).toBe(4n * window)
  await runner?.close()

  // A lane that was left half used gives the rest back: the next one begins below what was signed, after one correction.
  const second = await pay(`${url}/live`)
  expect(second.status).toBe(200)
  await second.body?.cancel()
  const name = /sid="([-\w]+)"/.exec(second.headers.get('Payment-Stream') ?? '')?.[1]
  await fetch(`${url}/live/tick`, {
    method: 'POST',
    body: JSON.stringify({ sid: name, op: 'close' }),
    headers: { 'content-type': 'application/json' },
  })
  const third = await pay(`${url}/live`)
  expect(third.status).toBe(200)
  await third.body?.cancel()
  for await (const { top, charged } of store.channels.list({ side: 'receiver' })) {
    expect(top).toBeLessThan(6n * window)
    expect(charged).toBeLessThan(5n * window)
  }
  rows.push(['green', binding, '6', `${items()}`, `${4n * window}`, `${after - before}`])
  await close()
})

async function read(response: Response, seen: { text: string; over: boolean }): Promise<void> {
  const stream = response.body?.getReader()
  const decoder = new TextDecoder()
  for (let next = await stream?.read(); next?.done === false; next = await stream?.read()) {
    seen.text += decoder.decode(next.value, { stream: true })
  }
  seen.over = true
}
