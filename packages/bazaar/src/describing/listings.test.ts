import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { bazaarDeclaration, judgeListing } from '@flow402x/core/bazaar'
import { createServer, type ServerEvent } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import * as mini from 'zod/mini'
import { createListings } from './listings.ts'
import { httpResource, mcpResource, type Resource } from './resource.ts'

const [, , seller, buyer] = developmentAccounts
const payTo = seller?.address ?? ''

const story = httpResource({
  method: 'POST',
  path: '/ai/generate',
  price: '$0.005',
  description: 'Writes a story from a prompt.',
  serviceName: 'Teller',
  category: 'ai.text-generation',
  tags: ['ai', 'stories'],
  body: z.object({ prompt: z.string().min(1).max(500), words: z.int().default(100) }),
  output: z.object({ text: z.string() }),
  example: { body: { prompt: 'a fox' }, output: { text: 'Once, a fox.' } },
})
const user = httpResource({
  method: 'GET',
  path: '/users/[id]',
  price: '0.01 USDC',
  description: 'One user.',
  params: mini.object({ id: mini.string() }),
  query: mini.object({ full: mini.optional(mini.boolean()) }),
  example: { params: { id: '42 a' }, query: { full: true } },
})
const radio = httpResource({
  method: 'GET',
  path: '/radio',
  description: 'Music by the second.',
  mimeType: 'audio/mpeg',
  stream: { rate: '0.01 USD/second', window: 2, transports: ['sse', 'ws'] },
})
const tool = mcpResource({
  path: '/mcp',
  tool: 'weather',
  price: '$0.002',
  description: 'The weather of a place.',
  input: z.object({ place: z.string() }),
  example: { input: { place: 'Lisbon' } },
})
const listings = createListings({ title: 'Goods', resources: [story, user, radio, tool], payTo: [payTo], receiptKeys: ['0xkey'] })

function open(resource: Resource, price = resource.terms.price) {
  const events: ServerEvent[] = []
  const scheme = exactEvmServer({ network: 'base-sepolia', payTo })
  const server = createServer({
    facilitator: answeringFacilitator(scheme),
    schemes: [scheme],
    store: memoryStore(),
    onEvent: (event) => events.push(event),
  })
  const charge = paid(server, { ...resource.terms, price }, () => Response.json({ text: 'Once.' }))
  const ask = (path: string, headers = {}) =>
    charge(new Request(`https://shop.example${path}`, { method: resource.method ?? 'POST', headers }))
  return {
    ask,
    events,
    required: async (path: string) => paymentRequiredHeader.decode((await ask(path)).headers.get('PAYMENT-REQUIRED') ?? ''),
  }
}

describe('a resource that its seller described', () => {
  it('is in its 402 as bazaars judge it', async () => {
    verifies(['H39', 'H27'])
    const shop = open(story)
    const required = await shop.required('/ai/generate')
    expect(required.resource).toMatchObject({
      description: 'Writes a story from a prompt.',
      serviceName: 'Teller',
      tags: ['ai', 'stories'],
    })
    expect(bazaarDeclaration.parse(required.extensions?.bazaar)).toMatchObject({
      info: {
        input: { type: 'http', method: 'POST', bodyType: 'json', body: { prompt: 'a fox' } },
        output: { type: 'json', example: { text: 'Once, a fox.' } },
      },
      schema: {
        properties: { input: { required: ['type', 'method', 'bodyType', 'body'], properties: { body: { required: ['prompt'] } } } },
      },
    })
    expect(judgeListing(required, { url: 'https://shop.example/ai/generate', method: 'POST' })).toMatchObject({
      facts: {
        key: 'POST https://shop.example/ai/generate',
        category: 'ai.text-generation',
        name: 'Teller',
        prices: [{ amount: '0.005' }],
      },
    })
    expect(shop.events.filter(({ type }) => type === 'warning')).toEqual([])
  })

  it('is paid for by who echoes all of it', async () => {
    const shop = open(story)
    const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
    const payment = await preparePayment(payer, { required: await shop.required('/ai/generate'), id: 'a_secret_of_the_payer_01' })
    expect(payment.extensions).toHaveProperty('bazaar')
    const answer = await shop.ask('/ai/generate', { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) })
    expect(answer.status).toBe(200)
  })

  it('is listed as the template that it is, by a path that answers', async () => {
    const required = await open(user).required('/users/42%20a')
    expect(judgeListing(required, { url: 'https://shop.example/users/42%20a', method: 'GET' })).toMatchObject({
      facts: { resource: 'https://shop.example/users/:id' },
      example: 'https://shop.example/users/42%20a',
    })
  })

  it('leaves its schemas at the well-known place where they are too long for a 402', async () => {
    verifies('H27')
    const wide = z.object(Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`field${index}`, z.string().optional()])))
    const large = httpResource({
      method: 'POST',
      path: '/large',
      price: '$0.01',
      description: 'Much to say.',
      body: wide,
      category: 'data.much',
    })
    const shop = open(large)
    expect(shop.events).toEqual([{ type: 'warning', message: expect.stringContaining('bazaar says of Much to say.') }])
    const required = await shop.required('/large')
    expect(required.extensions?.bazaar).toEqual({
      info: { input: { type: 'http', method: 'POST', bodyType: 'json' } },
      schema: { type: 'object' },
      describedBy: '/.well-known/x402',
      category: 'data.much',
    })
    expect(judgeListing(required, { url: 'https://shop.example/large', method: 'POST' })).toMatchObject({
      facts: { category: 'data.much' },
    })
    const [told] = createListings({ title: 'Goods', resources: [large], payTo: [payTo] }).wellKnown('https://shop.example').resources
    expect(told).toMatchObject({
      extensions: { bazaar: { schema: { properties: { input: { properties: { body: { properties: { field199: {} } } } } } } } },
    })
  })
})

describe('what an origin sells', () => {
  it('is all of it at the well-known place, with who may speak for the seller', () => {
    verifies('BAZAAR-STREAMS')
    const file = listings.wellKnown('https://shop.example')
    expect(file).toMatchObject({ version: 1, payTo: [payTo], receiptKeys: ['0xkey'], openapi: 'https://shop.example/openapi.json' })
    expect(file.resources).toMatchObject([
      { resource: 'https://shop.example/ai/generate', type: 'http', method: 'POST', price: '$0.005', category: 'ai.text-generation' },
      { resource: 'https://shop.example/users/:id', example: 'https://shop.example/users/42%20a' },
      { resource: 'https://shop.example/radio', stream: { rate: '0.01 USD/second', window: 2, transports: ['sse', 'ws'] } },
      { resource: 'https://shop.example/mcp', type: 'mcp', toolName: 'weather' },
    ])
  })

  it('is OpenAPI 3.1 with prices', () => {
    expect(listings.openApi('https://shop.example')).toMatchInlineSnapshot(`
      {
        "info": {
          "title": "Goods",
          "version": "1.0.0",
        },
        "openapi": "3.1.0",
        "paths": {
          "/ai/generate": {
            "post": {
              "description": "Writes a story from a prompt.",
              "requestBody": {
                "content": {
                  "application/json": {
                    "example": {
                      "prompt": "a fox",
                    },
                    "schema": {
                      "properties": {
                        "prompt": {
                          "maxLength": 500,
                          "minLength": 1,
                          "type": "string",
                        },
                        "words": {
                          "default": 100,
                          "maximum": 9007199254740991,
                          "minimum": -9007199254740991,
                          "type": "integer",
                        },
                      },
                      "required": [
                        "prompt",
                      ],
                      "type": "object",
                    },
                  },
                },
                "required": true,
              },
              "responses": {
                "200": {
                  "content": {
                    "application/json": {
                      "example": {
                        "text": "Once, a fox.",
                      },
                      "schema": {
                        "additionalProperties": false,
                        "properties": {
                          "text": {
                            "type": "string",
                          },
                        },
                        "required": [
                          "text",
                        ],
                        "type": "object",
                      },
                    },
                  },
                  "description": "What was paid for.",
                },
                "402": {
                  "description": "Payment required: the ways to pay are in PAYMENT-REQUIRED (x402).",
                  "headers": {
                    "PAYMENT-REQUIRED": {
                      "description": "Base64 of JSON.",
                      "schema": {
                        "type": "string",
                      },
                    },
                  },
                },
              },
              "summary": "Teller",
              "tags": [
                "ai",
                "stories",
              ],
              "x-category": "ai.text-generation",
              "x-payment-info": {
                "price": {
                  "amount": "0.005",
                  "currency": "USD",
                  "mode": "fixed",
                },
                "protocols": [
                  {
                    "x402": {},
                  },
                ],
              },
            },
          },
          "/radio": {
            "get": {
              "description": "Music by the second.",
              "responses": {
                "200": {
                  "content": {
                    "audio/mpeg": {},
                  },
                  "description": "What was paid for.",
                },
                "402": {
                  "description": "Payment required: the ways to pay are in PAYMENT-REQUIRED (x402).",
                  "headers": {
                    "PAYMENT-REQUIRED": {
                      "description": "Base64 of JSON.",
                      "schema": {
                        "type": "string",
                      },
                    },
                  },
                },
              },
              "summary": "Music by the second.",
              "x-payment-info": {
                "price": {
                  "amount": "0.01",
                  "currency": "USD",
                  "mode": "stream",
                  "unit": "second",
                },
                "protocols": [
                  {
                    "x402": {},
                  },
                ],
                "rate": "0.01 USD/second",
                "transports": [
                  "sse",
                  "ws",
                ],
                "window": 2,
              },
            },
          },
          "/users/{id}": {
            "get": {
              "description": "One user.",
              "parameters": [
                {
                  "example": "42 a",
                  "in": "path",
                  "name": "id",
                  "required": true,
                  "schema": {
                    "type": "string",
                  },
                },
                {
                  "example": true,
                  "in": "query",
                  "name": "full",
                  "required": false,
                  "schema": {
                    "type": "boolean",
                  },
                },
              ],
              "responses": {
                "200": {
                  "content": {
                    "application/json": {},
                  },
                  "description": "What was paid for.",
                },
                "402": {
                  "description": "Payment required: the ways to pay are in PAYMENT-REQUIRED (x402).",
                  "headers": {
                    "PAYMENT-REQUIRED": {
                      "description": "Base64 of JSON.",
                      "schema": {
                        "type": "string",
                      },
                    },
                  },
                },
              },
              "summary": "One user.",
              "x-payment-info": {
                "price": {
                  "amount": "0.01",
                  "currency": "USDC",
                  "mode": "fixed",
                },
                "protocols": [
                  {
                    "x402": {},
                  },
                ],
              },
            },
          },
        },
        "servers": [
          {
            "url": "https://shop.example",
          },
        ],
      }
    `)
  })

  it('keeps out what is not to be found', () => {
    const hidden = httpResource({ method: 'GET', path: '/x', price: '$0.01', description: 'X', discoverable: false })
    expect(createListings({ title: 'Goods', resources: [hidden], payTo: [payTo] }).wellKnown('https://a.example').resources).toEqual([])
  })

  it.each([
    [
      'an example that does not fit',
      () =>
        httpResource({
          method: 'POST',
          path: '/x',
          description: 'X',
          body: z.object({ a: z.string().max(1) }),
          example: { body: { a: 'ab' } },
        }),
      'config/bad-example',
    ],
    ['a template without an example', () => httpResource({ method: 'GET', path: '/x/:id', description: 'X' }), 'config/no-example'],
    ['the same twice', () => createListings({ title: 'T', resources: [story, story], payTo: [] }), 'config/duplicate-listing'],
    [
      'a price that is none',
      () =>
        createListings({
          title: 'T',
          payTo: [],
          resources: [httpResource({ method: 'GET', path: '/x', price: 'free', description: 'X' })],
        }),
      'config/bad-price',
    ],
    [
      'a path that no bazaar takes',
      () =>
        createListings({
          title: 'T',
          payTo: [],
          resources: [httpResource({ method: 'GET', path: '/../:x', description: 'X', example: { params: { x: '1' } } })],
        }),
      'config/bad-listing',
    ],
    [
      'a category that is none',
      () =>
        createListings({
          title: 'T',
          payTo: [],
          resources: [httpResource({ method: 'GET', path: '/x', category: 'A I', description: 'X' })],
        }),
      'config/bad-listing',
    ],
  ])('is an error at start with %s', (_, make, code) => {
    verifies('H39')
    expect(make).toThrowError(expect.objectContaining({ code }))
  })
})
