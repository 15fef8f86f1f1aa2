import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBazaarClient } from '@flow402x/bazaar/client'
import { httpResource, mcpResource, type Resource } from '@flow402x/bazaar/seller'
import { createBazaar, serveBazaar } from '@flow402x/bazaar/server'
import { judgeListing } from '@flow402x/core/bazaar'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import { sqliteStore } from '@flow402x/store/sqlite'
import type { EvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import { decodePaymentRequiredHeader, decodePaymentSignatureHeader } from '@x402/core/http'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import {
  bazaarResourceServerExtension,
  declareDiscoveryExtension,
  extractDiscoveryInfo,
  validateDiscoveryExtension,
  validateDiscoveryExtensionSpec,
  withBazaar,
} from '@x402/extensions/bazaar'
import { wrapFetchWithPayment } from '@x402/fetch'
import express from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { network, startEvmWorld } from './chains/evm.ts'
import { type Listening, listen, type World } from './world.ts'

// What sellers of one house say of their resources, read by the other (wire.md §16.1).

let world: World<EvmChain>
const open: Listening[] = []

beforeAll(async () => {
  world = await startEvmWorld()
})
afterAll(async () => {
  await Promise.all(open.map((shop) => shop.close()))
  await world?.close()
})

const story = httpResource({
  method: 'POST',
  path: '/goods',
  price: '$0.01',
  description: 'Writes a story.',
  serviceName: 'Teller',
  category: 'ai.text-generation',
  tags: ['ai'],
  body: z.object({ prompt: z.string().max(500) }),
  output: z.object({ text: z.string() }),
  example: { body: { prompt: 'a fox' }, output: { text: 'Once, a fox.' } },
})
const others: readonly Resource[] = [
  httpResource({ method: 'GET', path: '/plain', description: 'Nothing more to say.' }),
  httpResource({ method: 'PUT', path: '/bare', description: 'A body without an example.', body: z.object({ a: z.string() }) }),
  httpResource({
    method: 'GET',
    path: '/users/:id',
    description: 'A template.',
    params: z.object({ id: z.string() }),
    query: z.object({ full: z.boolean().optional() }),
    example: { params: { id: '1' }, query: { full: true } },
  }),
  mcpResource({
    path: '/mcp',
    tool: 'weather',
    description: 'A tool.',
    input: z.object({ place: z.string() }),
    example: { input: { place: 'Lisbon' } },
  }),
]

describe('what our sellers say', () => {
  it.each([story, ...others].map((resource) => [resource.facts.description, resource] as const))(
    '%s is valid to the official checks',
    (_, resource) => {
      verifies('H39')
      for (const say of [resource.terms.extensions[0]?.declare, resource.terms.extensions[0]?.brief]) {
        const extension = { ...say?.() }
        expect(validateDiscoveryExtensionSpec(extension)).toEqual({ valid: true })
        // The official type names the members of each kind; that they are there was just checked.
        expect(validateDiscoveryExtension(extension as never)).toEqual({ valid: true })
      }
    },
  )

  it('reaches an official facilitator with the payment of an official client', async () => {
    verifies('H12')
    const facilitator = world.facilitators['ours, HTTP']
    const server = createServer({
      facilitator: facilitator.value,
      store: memoryStore({ force: true }),
      schemes: [world.schemes.ourServer(world.chain.seller.address, facilitator)],
    })
    const shop = await listen(getRequestListener(paid(server, story.terms, () => Response.json({ text: 'Once.' }))))
    open.push(shop)
    const sent: string[] = []
    const watching: typeof fetch = (input, init) => {
      const headers = typeof input === 'object' && 'headers' in input ? input.headers : new Headers(init?.headers)
      sent.push(...[headers.get('PAYMENT-SIGNATURE') ?? []].flat())
      return fetch(input, init)
    }
    const pay = wrapFetchWithPayment(watching, await world.schemes.officialClient(world.chain.buyer.privateKey))
    const response = await pay(`${shop.url}/goods`, { method: 'POST', body: JSON.stringify({ prompt: 'a fox' }) })
    expect(response.status).toBe(200)
    const payment = decodePaymentSignatureHeader(sent[0] ?? '')
    expect(extractDiscoveryInfo(payment, payment.accepted)).toMatchObject({
      resourceUrl: `${shop.url}/goods`,
      method: 'POST',
      description: 'Writes a story.',
      discoveryInfo: {
        input: { type: 'http', bodyType: 'json', body: { prompt: 'a fox' } },
        output: { example: { text: 'Once, a fox.' } },
      },
    })
  })
})

describe('a bazaar of ours', () => {
  it('is listed and searched by the official client, page by page', async () => {
    verifies('BAZAAR-CLIENT')
    const folder = mkdtempSync(join(tmpdir(), 'flow402x-interop-'))
    const store = sqliteStore(join(folder, 'bazaar.db'))
    const bazaar = createBazaar({ store, fetching: { allowLoopback: true }, resolveText: async () => [] })
    const served = await serveBazaar(bazaar)
    try {
      const facilitator = world.facilitators['ours, HTTP']
      const server = createServer({
        facilitator: facilitator.value,
        store: memoryStore({ force: true }),
        schemes: [world.schemes.ourServer(world.chain.seller.address, facilitator)],
      })
      const shop = await listen(getRequestListener(paid(server, story.terms, () => Response.json({ text: 'Once.' }))))
      open.push(shop)
      for (const page of ['a', 'b', 'c'])
        expect(await createBazaarClient({ url: served.url }).register({ url: `${shop.url}/${page}`, method: 'POST' })).toMatchObject({
          state: 'listed',
        })
      const official = withBazaar(new HTTPFacilitatorClient({ url: served.url })).extensions.bazaar
      const listed = await official.listResources({ type: 'http', network, limit: 2, offset: 1 })
      expect(listed).toMatchObject({ x402Version: 2, pagination: { limit: 2, offset: 1, total: 3 } })
      expect(listed.items).toHaveLength(2)
      const found = await official.search({ query: 'story', limit: 10 })
      expect(found.resources).toHaveLength(3)
      expect(found.resources[0]).toMatchObject({ type: 'http', accepts: [{ network, amount: '10000' }], serviceName: 'Teller' })
      // And ours reads the same.
      const ours: string[] = []
      for await (const { key } of createBazaarClient({ url: served.url }).search({ query: 'story' })) ours.push(key)
      expect(ours.toSorted()).toEqual(['a', 'b', 'c'].map((page) => `POST ${shop.url}/${page}`))
    } finally {
      await bazaar.close()
      await served.close()
      await store.close()
      rmSync(folder, { recursive: true })
    }
  })
})

describe('what official sellers say', () => {
  it('is judged by us as it is meant', async () => {
    verifies('H39')
    const { url } = world.facilitators['ours, HTTP']
    const server = world.schemes.officialServer(new x402ResourceServer(new HTTPFacilitatorClient({ url })))
    server.registerExtension(bazaarResourceServerExtension)
    const accepts = { scheme: 'exact', network, price: '$0.01', payTo: world.chain.seller.address } as const
    const extensions = declareDiscoveryExtension({
      input: { prompt: 'a fox' },
      inputSchema: { properties: { prompt: { type: 'string' } }, required: ['prompt'] },
      bodyType: 'json',
      output: { example: { text: 'Once.' } },
    })
    const app = express()
    app.use(paymentMiddleware({ 'POST /tell/:tone': { accepts, extensions, description: 'Tells.' } }, server))
    const shop = await listen(app)
    open.push(shop)
    const asked = await fetch(`${shop.url}/tell/sad`, { method: 'POST' })
    // The official type of a 402 is ours but for what may be null in it.
    const required = decodePaymentRequiredHeader(asked.headers.get('PAYMENT-REQUIRED') ?? '') as Parameters<typeof judgeListing>[0]
    expect(judgeListing(required, { url: `${shop.url}/tell/sad`, method: 'POST' })).toMatchObject({
      facts: { key: `POST ${shop.url}/tell/:tone`, description: 'Tells.', prices: [{ amount: '0.01', unit: 'request' }] },
    })
  })
})
