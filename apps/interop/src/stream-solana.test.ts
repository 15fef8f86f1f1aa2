import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exactSolanaFacilitator, solanaChain } from '@flow402x/adapters-solana/facilitator'
import { exactWindowsSolanaServer } from '@flow402x/adapters-solana/server'
import { paymentResponseHeader } from '@flow402x/core'
import { paymentStreamHeader } from '@flow402x/core/stream'
import { createFacilitator, type LocalFacilitator } from '@flow402x/facilitator'
import { memoryStore } from '@flow402x/store/memory'
import { streamed, ticks } from '@flow402x/stream/node'
import { createStreams, type Streams } from '@flow402x/stream/server'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { createKeyPairSignerFromBytes, getBase58Encoder } from '@solana/kit'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import { ExactSvmScheme } from '@x402/svm/exact/client'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'

let chain: SolanaChain
let facilitator: LocalFacilitator
let streams: Streams
let server: Server
let url = ''

beforeAll(async () => {
  chain = await startSolanaChain({ slotTime: 50 })
  const { network, rpcUrl } = chain
  const writer = solanaChain({ network, rpcUrl, signers: [chain.facilitator.privateKey] })
  facilitator = createFacilitator({ schemes: [exactSolanaFacilitator({ chain: writer })], confirmTimeout: 10_000 })
  const store = memoryStore()
  const scheme = exactWindowsSolanaServer({ network, rpcUrl, payTo: chain.seller.address, store })
  await scheme.start?.()
  streams = createStreams({ schemes: [scheme], facilitator, store, secret: 'x'.repeat(32) })
  const route = streams.route({ rate: '0.01 USD/second', tickUrl: '/live/tick', buy: 1 })
  const [live, tick] = [streamed(route, twenties), ticks(route)]
  server = createServer((request, response) => void (request.url?.startsWith('/live/tick') ? tick : live)(request, response)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  // Of a server that listens on a port it is the address.
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`
})
afterAll(async () => {
  await streams?.close()
  server?.closeAllConnections()
  server?.close()
  await facilitator?.close()
  await chain?.stop()
})

/** One item for each twentieth of a second. */
async function* twenties({ signal }: { readonly signal: AbortSignal }) {
  for (let index = 0; !signal.aborted; index += 1) {
    yield `${index}`
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

it('the official client reads a stream on Solana while it is open, and buys its windows one payment at a time', async () => {
  verifies('FS1-WINDOWS')
  const signer = await createKeyPairSignerFromBytes(getBase58Encoder().encode(chain.buyer.privateKey))
  // A CAIP-2 id, as its own type spells it.
  const client = new x402Client().register(chain.network as `${string}:${string}`, new ExactSvmScheme(signer, { rpcUrl: chain.rpcUrl }))
  const pay = wrapFetchWithPayment(fetch, client)
  const before = await chain.balanceOf(chain.seller.address)
  const stopped = new AbortController()
  const response = await pay(url, { signal: stopped.signal })
  expect(response.status).toBe(200)
  expect(paymentResponseHeader.decode(response.headers.get('PAYMENT-RESPONSE') ?? '')).toMatchObject({ success: true, amount: '10000' })
  const { sid } = paymentStreamHeader.decode(response.headers.get('Payment-Stream') ?? '')
  let text = ''
  const reading = (async () => {
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) text += next.value
  })().catch(() => undefined)
  const items = (): number => text.match(/^data: \d+$/gm)?.length ?? 0
  const gates = (): number => text.match(/"t":"gated"/g)?.length ?? 0
  await vi.waitFor(() => expect(gates()).toBe(1), 6000)
  const first = items()
  expect(first).toBeGreaterThan(5)
  const tick = await pay(`${url}/tick?sid=${sid}`, { method: 'POST' })
  expect(tick.status).toBe(204)
  await vi.waitFor(() => expect(gates()).toBe(2), 6000)
  expect(items()).toBeGreaterThan(first)
  expect((await chain.balanceOf(chain.seller.address)) - before).toBe(20_000n)
  stopped.abort()
  await reading
})
