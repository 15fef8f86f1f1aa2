import { once } from 'node:events'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { answeringFacilitator, type BindingStage, preparePayment, testBinding } from '@flow402x/testing/suites'
import { serve } from '@hono/node-server'
import { describe, expect, it } from 'vitest'
import { createServer } from '../index.ts'
import { paid as paidFetch } from './fetch.ts'
import { paid as paidNext } from './next.ts'

const [, , seller, buyer] = developmentAccounts
const parties = {
  scheme: exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' }),
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
}

testBinding({
  name: 'fetch',
  ...parties,
  mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    return mount(stage, ({ path, options }) => paidFetch(server, options, (request) => behave(stage, path, request)))
  },
})

testBinding({
  name: 'Next route handlers (called as the router calls them, without a Next application around)',
  ...parties,
  mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    return mount(stage, ({ path, options }) => {
      const handler = paidNext<Request, { params: Promise<object> }>(server, options, (request) => behave(stage, path, request))
      return (request) => handler(request, { params: Promise.resolve({}) })
    })
  },
})

async function mount(stage: BindingStage, charge: (route: BindingStage['routes'][number]) => (request: Request) => Promise<Response>) {
  const handlers = new Map(stage.routes.map((route) => [`${route.method} ${route.path}`, charge(route)]))
  const http = serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const method = request.method === 'HEAD' ? 'GET' : request.method
      const handler = handlers.get(`${method} ${new URL(request.url).pathname}`)
      return handler === undefined ? new Response(null, { status: 404 }) : handler(request)
    },
  })
  await once(http, 'listening')
  const address = http.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    async close() {
      if ('closeAllConnections' in http) http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

function behave({ enter, gate, goods }: BindingStage, path: string, request: Request): Response | Promise<Response> {
  const behaviours = {
    json: () => Response.json(goods.json),
    empty: () => new Response(null, { status: 204 }),
    redirect: () => new Response(null, { status: 302, headers: { Location: '/elsewhere' } }),
    notModified: () => new Response(null, { status: 304, headers: { ETag: '"goods"' } }),
    notFound: () => Response.json(goods.json, { status: 404 }),
    broken: () => Response.json(goods.json, { status: 500 }),
    throws: () => {
      throw new TypeError('a bug of the seller')
    },
    rejects: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      throw new TypeError('a bug of the seller')
    },
    hangs: () => new Promise<Response>(() => {}),
    streams: () => new Response(streamOf(pieces(goods.chunks, gate))),
    large: () => new Response(streamOf(slices(goods.large))),
    cookies: () => {
      const response = Response.json(goods.json, { headers: { 'X-Goods': 'secret', 'Settlement-Overrides': '{"amount":"1"}' } })
      for (const cookie of ['a=1', 'b=2']) response.headers.append('Set-Cookie', cookie)
      return response
    },
    early: () => Response.json(goods.json),
    echo: async () => new Response(await request.arrayBuffer()),
  }
  return behaviours[enter(path)]()
}

async function* slices(bytes: Uint8Array) {
  for (let start = 0; start < bytes.length; start += 400_000) yield bytes.subarray(start, start + 400_000)
}

function streamOf(source: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
  })
}

async function* pieces(chunks: readonly string[], gate: () => Promise<void>) {
  for (const [index, chunk] of chunks.entries()) {
    if (index === 1) await gate()
    yield new TextEncoder().encode(chunk)
  }
}

describe('what a Next route handler is given', () => {
  // As NextRequest is made: by a constructor of its own, from what Request's takes, with facts of its own.
  function Own(input: string | Request, init?: RequestInit) {
    const request = new Request(input, init)
    return Object.assign(request, { constructor: Own, path: new URL(request.url).pathname })
  }

  it('its own kind of request with the body unread, its context, and who paid', async () => {
    const server = createServer({ facilitator: answeringFacilitator(parties.scheme), schemes: [parties.scheme], store: memoryStore() })
    const context = { params: Promise.resolve({ city: 'bern' }) }
    const handler = paidNext<ReturnType<typeof Own>, typeof context>(server, { price: '$0.01' }, async (request, { params, payment }) =>
      Response.json({ path: request.path, body: await request.text(), params: await params, payer: payment.payer }),
    )
    const post = (headers: HeadersInit = {}) =>
      handler(Own('http://shop.test/weather', { method: 'POST', body: 'tomorrow', headers }), context)
    const required = paymentRequiredHeader.decode((await post()).headers.get('PAYMENT-REQUIRED') ?? '')
    const answer = await post({ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await preparePayment(parties.payer, { required })) })
    expect(await answer.json()).toEqual({
      path: '/weather',
      body: 'tomorrow',
      params: { city: 'bern' },
      payer: buyer?.address.toLowerCase(),
    })
  })
})
