import { createServer as createHttp, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createFacilitator } from '@flow402x/facilitator'
import { createServer, type PaidOptions } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { receiptOf } from '../http/receipt.ts'
import { createClient } from './client.ts'

/** The whole way: this client, our server and facilitator, and the real USDC contract. */
let chain: EvmChain
let serve: (options: PaidOptions, handler: Parameters<typeof paid>[2]) => Promise<string>
const listening: HttpServer[] = []

beforeAll(async () => {
  chain = await startEvmChain()
  const writer = evmChain({ network: chain.network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [exactEvmFacilitator({ chain: writer })] })
  const schemes = [exactEvmServer({ network: chain.network, payTo: chain.seller.address })]
  const server = createServer({ facilitator, store: memoryStore(), schemes })
  await server.start()
  serve = async (options, handler) => {
    const http = createHttp(paid(server, options, handler))
    listening.push(http)
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    // A server that listens on a port has an AddressInfo.
    return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  }
})
afterAll(async () => {
  for (const http of listening) http.closeAllConnections()
  await chain.stop()
})

const pay = (options = {}) => createClient({ schemes: [exactEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })], ...options })

describe('with real money', () => {
  it('moves exactly the price, once, and brings the goods', async () => {
    const url = await serve({ price: '$0.01' }, async (request, response) => {
      const chunks = []
      for await (const chunk of request) chunks.push(chunk)
      response.end(`you said ${Buffer.concat(chunks)}`)
    })
    const client = pay()
    const before = await chain.balanceOf(chain.seller.address)
    const quote = await client.quote(url, { method: 'POST', body: 'hello' })
    expect(quote).toMatchObject({ kind: 'payable', terms: { price: '0.01 USDC', amount: 10_000n } })
    const response = await client.fetch(url, { method: 'POST', body: 'hello' })
    expect([response.status, await response.text()]).toEqual([200, 'you said hello'])
    expect(receiptOf(response)).toMatchObject({
      success: true,
      transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/),
      network: chain.network,
    })
    expect((await chain.balanceOf(chain.seller.address)) - before).toBe(10_000n)
    expect((await client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })

  it('H35: 36 parallel calls are 36 answers and 36 debits', async () => {
    const url = await serve({ price: '$0.01' }, (_, response) => {
      response.end('goods')
    })
    const client = pay()
    const before = await chain.balanceOf(chain.buyer.address)
    const responses = await Promise.all(Array.from({ length: 36 }, () => client.fetch(url)))
    expect(responses.map(({ status }) => status)).toEqual(Array(36).fill(200))
    expect(before - (await chain.balanceOf(chain.buyer.address))).toBe(360_000n)
    // A facilitator may settle several of them in one transaction.
    expect(responses.map((response) => receiptOf(response)?.success)).toEqual(Array(36).fill(true))
  })

  it('H2: an answer lost on the way is fetched again with the same payment, and the handler runs once', async () => {
    let runs = 0
    const url = await serve({ price: '$0.01' }, (_, response) => {
      runs++
      response.end('goods')
    })
    let lost = 0
    const lossy: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (!new Headers(init?.headers).has('PAYMENT-SIGNATURE') || ++lost > 2) return response
      await response.arrayBuffer()
      throw new TypeError('the connection broke')
    }
    const before = await chain.balanceOf(chain.buyer.address)
    const response = await pay({ fetch: lossy, retry: { firstDelayMs: 5 } }).fetch(url)
    expect([response.status, await response.text(), receiptOf(response)?.success, runs]).toEqual([200, 'goods', true, 1])
    expect(before - (await chain.balanceOf(chain.buyer.address))).toBe(10_000n)
  })

  it('keeps the amount of a handler that failed reserved, and resumes the same payment', async () => {
    let broken = true
    const url = await serve({ price: '$0.01' }, (_, response) => {
      response.writeHead(broken ? 500 : 200).end(broken ? 'broken' : 'goods')
    })
    const client = pay()
    const before = await chain.balanceOf(chain.buyer.address)
    const first = await client.fetch(url)
    expect([first.status, receiptOf(first)]).toMatchObject([500, { success: false, errorReason: 'handler_failed' }])
    expect((await client.spent()).total.reserved).toBe('$0.01')
    broken = false
    const second = await client.resume(first)
    expect([second.status, await second.text()]).toEqual([200, 'goods'])
    expect(before - (await chain.balanceOf(chain.buyer.address))).toBe(10_000n)
    expect((await client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })
})
