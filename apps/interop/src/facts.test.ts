import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createClient } from '@flow402x/client'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { memoryStore } from '@flow402x/store/memory'
import type { EvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { decodePaymentRequiredHeader, decodePaymentSignatureHeader, HTTPFacilitatorClient } from '@x402/core/http'
import { PaymentRequiredV2Schema } from '@x402/core/schemas'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import { ExactEvmScheme as ExactEvmServerScheme } from '@x402/evm/exact/server'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import {
  appendPaymentIdentifierToExtensions,
  declarePaymentIdentifierExtension,
  extractAndValidatePaymentIdentifier,
  PAYMENT_IDENTIFIER,
} from '@x402/extensions/payment-identifier'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import express from 'express'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { network, networkV1, startEvmWorld } from './chains/evm.ts'
import { legacy, official, ours } from './clients.ts'
import { middleman } from './middleman.ts'
import { expectPurchase, receiptIn, watch } from './purchase.ts'
import { ourServers, price, type Sale, type Shop } from './servers.ts'
import { listen, type World } from './world.ts'

// What wire.md §1 and §22 say of the official packages, as far as it decides how ours must behave.

let world: World<EvmChain>

beforeAll(async () => {
  world = await startEvmWorld()
})

afterAll(() => world?.close())

const [ourExpress] = ourServers

async function inShop(visit: (shop: Shop) => Promise<void>, sale: Partial<Sale> = {}): Promise<void> {
  const shop = await ourExpress?.open(world, {
    payTo: world.chain.seller.address,
    facilitator: world.facilitators['ours, in process'],
    ...sale,
  })
  if (shop === undefined) return expect.unreachable('there is no shop')
  try {
    await visit(shop)
  } finally {
    await shop.close()
  }
}

describe('one 402 for everyone', () => {
  it('carries a v2 header and a v1 body with members that neither knows', async () => {
    verifies(['HTTP-REQUIRED', 'V1-BODY'])
    await inShop(async ({ url }) => {
      const response = await fetch(`${url}/goods`)
      const offer = {
        scheme: 'exact',
        payTo: world.chain.seller.address,
        asset: world.chain.usdc.address,
        maxTimeoutSeconds: 300,
        extra: { name: 'USDC', version: '2' },
      }
      const required = decodePaymentRequiredHeader(response.headers.get('payment-required') ?? '')
      expect(PaymentRequiredV2Schema.safeParse(required).error).toBeUndefined()
      expect(required).toEqual({
        x402Version: 2,
        error: 'Payment required',
        resource: { url: `${url}/goods`, description: 'Goods', mimeType: 'application/json' },
        accepts: [{ ...offer, network, amount: '10000' }],
        extensions: { 'payment-identifier': expect.objectContaining({ info: { required: false } }) },
      })
      expect([response.status, response.headers.get('cache-control')]).toEqual([402, 'no-store'])
      expect(await response.json()).toEqual({
        type: 'urn:flow402x:payment-required',
        title: 'Payment Required',
        status: 402,
        detail: expect.stringContaining('0.01'),
        x402Version: 1,
        error: 'Payment required',
        accepts: [
          {
            ...offer,
            network: networkV1,
            maxAmountRequired: '10000',
            resource: `${url}/goods`,
            description: 'Goods',
            mimeType: 'application/json',
            price: expect.stringMatching(/0\.01/),
          },
        ],
      })
    })
  })

  it('is paid from the body by the v1 client, which reads every member strictly', async () => {
    await inShop(async (shop) => {
      const { buyer } = world.chain
      const { fetch, sent } = middleman()
      const pay = legacy.connect(world, { privateKey: buyer.privateKey, fetch })
      await expectPurchase(world, { shop, pay, version: 1, buyer, init: { method: 'GET' } })
      expect(sent.map(({ name }) => name)).toEqual(['X-PAYMENT'])
    })
  })

  it('lets a browser send what the official client sends across origins', async () => {
    verifies('HTTP-CORS')
    await inShop(async ({ url }) => {
      const asked = 'payment-signature,access-control-expose-headers,content-type'
      const headers = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': asked }
      const response = await fetch(`${url}/goods`, { method: 'OPTIONS', headers })
      const allowed = response.headers.get('access-control-allow-headers')?.toLowerCase().split(/, */)
      expect(response.status).toBe(204)
      expect(allowed).toEqual(expect.arrayContaining(asked.split(',')))
    })
  })
})

describe('the official client and payment identifiers', () => {
  it('echoes the declaration and the offer unchanged, and is accepted', async () => {
    await inShop(async (shop) => {
      const { buyer } = world.chain
      const { fetch: send, sent } = middleman()
      const unpaid = await fetch(`${shop.url}/goods`)
      const required = decodePaymentRequiredHeader(unpaid.headers.get('payment-required') ?? '')
      const pay = official.connect(world, { privateKey: buyer.privateKey, fetch: send })
      await expectPurchase(world, { shop, pay, version: 2, buyer, init: { method: 'GET' } })
      expect(sent.map(({ name }) => name)).toEqual(['PAYMENT-SIGNATURE'])
      const payment = decodePaymentSignatureHeader(sent[0]?.value ?? '')
      expect(payment).toMatchObject({
        x402Version: 2,
        accepted: required.accepts[0],
        resource: required.resource,
        extensions: required.extensions,
      })
    })
  })

  it('gets the same bytes again for the same payment with an identifier, and pays once', async () => {
    await inShop(async (shop) => {
      const { buyer } = world.chain
      const { fetch: send, sent } = middleman()
      const client = new x402Client().register(network, new ExactEvmScheme(privateKeyToAccount(buyer.privateKey)))
      client.onBeforePaymentCreation(async ({ paymentRequired }) => {
        appendPaymentIdentifierToExtensions(paymentRequired.extensions ?? {})
      })
      const pay = wrapFetchWithPayment(send, client)
      await expectPurchase(world, { shop, pay, version: 2, buyer, init: { method: 'POST', body: 'once' } })
      const [payment] = sent
      const { id, validation } = extractAndValidatePaymentIdentifier(decodePaymentSignatureHeader(payment?.value ?? ''))
      expect({ id, validation }).toEqual({ id: expect.stringMatching(/^[\w-]{16,128}$/), validation: { valid: true } })
      const headers = { [payment?.name ?? '']: payment?.value ?? '', 'content-type': 'text/plain;charset=UTF-8' }
      const { result, movement } = await watch(world, buyer, () => fetch(`${shop.url}/goods`, { method: 'POST', body: 'once', headers }))
      expect([result.status, await result.text()]).toEqual([200, '{"method":"POST","body":"once"}'])
      expect([receiptIn(result.headers)?.success, shop.runs(), movement]).toEqual([true, 1, { buyer: 0n, seller: 0n }])
    })
  })

  it('are given by our client where an official server declares them', async () => {
    const { buyer, seller } = world.chain
    const facilitator = new HTTPFacilitatorClient({ url: world.facilitators['ours, HTTP'].url })
    const resources = new x402ResourceServer(facilitator).register(network, new ExactEvmServerScheme())
    const accepts = { scheme: 'exact', network, price: '$0.01', payTo: seller.address } as const
    const extensions = { [PAYMENT_IDENTIFIER]: declarePaymentIdentifierExtension(true) }
    const app = express()
    app.use(paymentMiddleware({ 'GET /goods': { accepts, extensions } }, resources))
    app.get('/goods', (_, response) => void response.send('goods'))
    const shop = await listen(app)
    try {
      const { fetch, sent } = middleman()
      const pay = ours.connect(world, { privateKey: buyer.privateKey, fetch })
      const { result, movement } = await watch(world, buyer, () => pay(`${shop.url}/goods`))
      expect([result.status, await result.text(), movement]).toEqual([200, 'goods', { buyer: -price, seller: price }])
      const { id, validation } = extractAndValidatePaymentIdentifier(decodePaymentSignatureHeader(sent[0]?.value ?? ''))
      expect({ id, validation }).toEqual({ id: expect.stringMatching(/^[\w-]{16,128}$/), validation: { valid: true } })
    } finally {
      await shop.close()
    }
  })
})

describe('one payment of the official client at our server', () => {
  it('runs the handler once for twenty copies at the same time', async () => {
    const { buyer } = world.chain
    const payment = await heldPayment()
    await inShop(async (shop) => {
      const held = await payment(shop.url)
      const { result, movement } = await watch(world, buyer, () =>
        Promise.all(Array.from({ length: 20 }, () => fetch(`${shop.url}/goods`, { headers: held }))),
      )
      const statuses = result.map(({ status }) => status)
      expect(statuses.filter((status) => status === 200)).toEqual([200])
      // While the first is at work, while it is being settled, and after that: never an offer to pay once more.
      expect(statuses.filter((status) => ![200, 409, 503, 402].includes(status))).toEqual([])
      expect(result.filter(({ headers }) => headers.has('payment-required'))).toEqual([])
      expect([shop.runs(), movement]).toEqual([1, { buyer: -price, seller: price }])
    })
  })

  it('asks no copy to pay again that the first overtook', async () => {
    const { buyer } = world.chain
    const payment = await heldPayment()
    const { value, ...peer } = world.facilitators['@x402/core, HTTP']
    let overtake = () => {}
    const overtaken = new Promise<void>((resolve) => {
      overtake = resolve
    })
    let asked = 0
    const verify: typeof value.verify = async (submission, options) => {
      asked += 1
      if (asked === 2) await overtaken
      return value.verify(submission, options)
    }
    await inShop(
      async (shop) => {
        const headers = await payment(shop.url)
        const buy = () => fetch(`${shop.url}/goods`, { headers })
        const { result, movement } = await watch(world, buyer, async () => {
          const both = [buy(), buy()]
          const first = await Promise.race(both)
          overtake()
          return { first, all: await Promise.all(both) }
        })
        const second = result.all.find((response) => response !== result.first)
        expect([result.first.status, second?.status, shop.runs(), movement]).toEqual([200, 402, 1, { buyer: -price, seller: price }])
        expect(receiptIn(second?.headers ?? new Headers())?.errorReason).toBe('duplicate_settlement')
        expect(second?.headers.has('payment-required')).toBe(false)
      },
      { facilitator: { ...peer, value: { ...value, verify } } },
    )
  })

  it('is read from X-PAYMENT as well', async () => {
    const { buyer } = world.chain
    const payment = await heldPayment()
    await inShop(async (shop) => {
      const held = await payment(shop.url)
      const pay = (url: string) => fetch(url, { headers: { 'x-payment': held['payment-signature'] ?? '' } })
      await expectPurchase(world, { shop, pay, version: 2, buyer, init: { method: 'GET' } })
    })
  })

  it('costs nothing while the handler fails, and pays when it succeeds', async () => {
    const { buyer } = world.chain
    const payment = await heldPayment()
    let failures = 0
    const during = async () => {
      failures += 1
      if (failures === 1) throw new TypeError('the shelf is empty')
    }
    await inShop(
      async (shop) => {
        const headers = await payment(shop.url)
        const first = await watch(world, buyer, () => fetch(`${shop.url}/goods`, { headers }))
        expect([first.result.status, receiptIn(first.result.headers)?.errorReason]).toEqual([500, 'handler_failed'])
        const second = await watch(world, buyer, () => fetch(`${shop.url}/goods`, { headers }))
        expect([second.result.status, receiptIn(second.result.headers)?.success]).toEqual([200, true])
        expect([first.movement.seller, second.movement.seller]).toEqual([0n, price])
      },
      { during },
    )
  })
})

describe('streaming', () => {
  it.each([
    ['@x402/fetch', official],
    ['x402-fetch', legacy],
    ['ours', ours],
  ] as const)('an upfront answer reaches %s while the handler is still writing', async (_, client) => {
    const { buyer, seller } = world.chain
    const server = createServer({
      facilitator: world.facilitators['ours, in process'].value,
      store: memoryStore({ force: true }),
      schemes: [exactEvmServer({ network, payTo: seller.address })],
    })
    let goOn = () => {}
    const read = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const app = express()
    app.get('/stream', paid(server, { price: '$0.01', flow: 'upfront' }), async (_, response) => {
      response.type('text/plain').write('first')
      await read
      response.end('second')
    })
    const shop = await listen(app)
    try {
      const response = await client.connect(world, { privateKey: buyer.privateKey })(`${shop.url}/stream`)
      const reader = response.body?.getReader()
      const first = await reader?.read()
      // Only now may the handler write the rest: a buffering server would never get here.
      goOn()
      const second = await reader?.read()
      expect([first, second].map((part) => new TextDecoder().decode(part?.value))).toEqual(['first', 'second'])
      expect(receiptIn(response.headers)?.success).toBe(true)
    } finally {
      goOn()
      await shop.close()
    }
  })
})

describe('networks', () => {
  it('that a client was not set up for are not paid, by neither house', async () => {
    const { buyer } = world.chain
    await inShop(async (shop) => {
      const { fetch: send, sent } = middleman()
      const theirs = new x402Client().register('eip155:8453', new ExactEvmScheme(privateKeyToAccount(buyer.privateKey)))
      await expect(wrapFetchWithPayment(send, theirs)(`${shop.url}/goods`)).rejects.toThrow(/network/i)
      const scheme = exactEvmClient({ signer: privateKeySigner(buyer.privateKey), networks: ['eip155:8453'] })
      const mine = createClient({ schemes: [scheme], fetch: send })
      await expect(mine.fetch(`${shop.url}/goods`)).rejects.toMatchObject({ moneyMoved: 'no' })
      expect([sent, shop.runs()]).toEqual([[], 0])
    })
  })
})

describe('/supported', () => {
  it('says to the official client what the official facilitator says, always in the same words', async () => {
    verifies('FAC-SUPPORTED')
    const supported = async (name: 'ours, HTTP' | '@x402/core, HTTP') =>
      new HTTPFacilitatorClient({ url: world.facilitators[name].url }).getSupported()
    const [mine, again, theirs] = [await supported('ours, HTTP'), await supported('ours, HTTP'), await supported('@x402/core, HTTP')]
    const here = mine.kinds.map(({ x402Version, scheme, network: where }) => ({ x402Version, scheme, network: where }))
    expect(here).toEqual([
      { x402Version: 2, scheme: 'exact', network },
      { x402Version: 1, scheme: 'exact', network: networkV1 },
    ])
    expect(theirs.kinds).toEqual(expect.arrayContaining(here))
    expect(again).toEqual(mine)
    expect(mine.signers).toEqual({ 'eip155:*': [world.chain.facilitator.address] })
  })
})

/** A payment that the official client signed for a shop, kept from leaving. */
async function heldPayment() {
  const { buyer } = world.chain
  return async (url: string): Promise<Record<string, string>> => {
    let kept: Record<string, string> = {}
    const keep: typeof fetch = async (input, init) => {
      const request = new Request(input, init)
      const value = request.headers.get('payment-signature')
      if (value === null) return fetch(request)
      kept = { 'payment-signature': value }
      return new Response(null, { status: 204 })
    }
    await official.connect(world, { privateKey: buyer.privateKey, fetch: keep })(`${url}/goods`)
    return kept
  }
}
