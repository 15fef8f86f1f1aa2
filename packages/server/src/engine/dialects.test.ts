import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from '@flow402x/core'
import { paymentRequiredV1, paymentToV1, xPaymentHeader, xPaymentResponseHeader } from '@flow402x/core/v1'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type PaidOptions, type ServerOptions } from '../index.ts'

const [, , seller, buyer, spare] = developmentAccounts
const payTo = seller?.address ?? ''
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

function open({ server: given, route, network = 'base-sepolia' }: Options = {}) {
  const scheme = exactEvmServer({ network, payTo })
  const facilitator = answeringFacilitator(scheme)
  let runs = 0
  const server = createServer({ facilitator, schemes: [scheme], store: memoryStore(), ...given })
  const charge = paid(server, { price: '$0.01', ...route }, () => {
    runs += 1
    return Response.json({ weather: 'fair' }, { headers: { 'Cache-Control': 'max-age=60', Vary: 'Accept' } })
  })
  const ask = (headers: HeadersInit = {}, url = 'http://shop.test/weather') => charge(new Request(url, { headers }))
  const prepare = async (url?: string) => {
    const required = paymentRequiredHeader.decode((await ask({}, url)).headers.get('PAYMENT-REQUIRED') ?? '')
    return preparePayment(payer, { required })
  }
  return { facilitator, charge, ask, prepare, runs: () => runs }
}

type Options = { readonly server?: Partial<ServerOptions>; readonly route?: Partial<PaidOptions>; readonly network?: string }

describe('one 402 for everyone (DESIGN §8.4)', () => {
  it('names the URL that was asked, however many others were asked before and however often', async () => {
    const { ask } = open()
    const urls = Array.from({ length: 200 }, (_, index) => `http://shop.test/weather?place=${index % 100}`)
    for (const url of [...urls, `http://shop.test/weather?place=${'x'.repeat(2500)}`]) {
      const answer = await ask({}, url)
      const required = paymentRequiredHeader.decode(answer.headers.get('PAYMENT-REQUIRED') ?? '')
      const body = paymentRequiredV1.parse(await answer.json())
      expect([required.resource.url, body.accepts[0]?.resource, required.error]).toEqual([url, url, 'Payment required'])
    }
    const unmatched = xPaymentHeader.encode({ x402Version: 1, scheme: 'exact', network: 'base', payload: {} })
    const refused = await ask({ 'X-PAYMENT': unmatched }, urls[0])
    expect(await refused.json()).toMatchObject({ error: 'No matching payment requirements' })
  })

  it('speaks version 2 in its header', async () => {
    verifies('HTTP-REQUIRED')
    const answer = await open({ route: { description: 'Wetter für morgen', mimeType: 'application/json' } }).ask()
    expect(answer.status).toBe(402)
    expect(paymentRequiredHeader.decode(answer.headers.get('PAYMENT-REQUIRED') ?? '')).toMatchInlineSnapshot(`
      {
        "accepts": [
          {
            "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra": {
              "name": "USDC",
              "version": "2",
            },
            "maxTimeoutSeconds": 300,
            "network": "eip155:84532",
            "payTo": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "scheme": "exact",
          },
        ],
        "error": "Payment required",
        "extensions": {
          "payment-identifier": {
            "info": {
              "required": false,
            },
          },
        },
        "resource": {
          "description": "Wetter für morgen",
          "mimeType": "application/json",
          "url": "http://shop.test/weather",
        },
        "x402Version": 2,
      }
    `)
  })

  it('speaks version 1 in its body, with the human price and the members of RFC 9457', async () => {
    verifies('V1-BODY')
    const answer = await open({ route: { description: 'fair weather', mimeType: 'application/json' } }).ask()
    const body = await answer.json()
    expect(paymentRequiredV1.safeParse(body).success).toBe(true)
    expect(body).toMatchInlineSnapshot(`
      {
        "accepts": [
          {
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "description": "fair weather",
            "extra": {
              "name": "USDC",
              "version": "2",
            },
            "maxAmountRequired": "10000",
            "maxTimeoutSeconds": 300,
            "mimeType": "application/json",
            "network": "base-sepolia",
            "payTo": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "price": "$0.01",
            "resource": "http://shop.test/weather",
            "scheme": "exact",
          },
        ],
        "detail": "Payment required. This resource costs $0.01 by exact on eip155:84532. Nothing was charged.",
        "error": "Payment required",
        "status": 402,
        "title": "Payment Required",
        "type": "urn:flow402x:payment-required",
        "x402Version": 1,
      }
    `)
  })

  it('keeps what version 1 reads to ASCII', async () => {
    verifies('V1-ASCII')
    const text = await (await open({ route: { description: 'Wetter für morgen ☀' } }).ask()).text()
    expect(text).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(text).accepts[0].description).toBe('Wetter für morgen ☀')
  })

  it('offers on a network without a name in version 1 in the words of version 2', async () => {
    const body = await (await open({ network: 'arbitrum' }).ask()).json()
    expect(body).toMatchObject({ x402Version: 2, accepts: [{ network: 'eip155:42161', amount: '10000', price: '$0.01' }] })
  })

  it('repeats the challenge where it is asked to', async () => {
    const shown = await open({ server: { compat: { xPaymentRequired: true } } }).ask()
    expect(shown.headers.get('X-Payment-Required')).toBe(shown.headers.get('PAYMENT-REQUIRED'))
    expect((await open().ask()).headers.has('X-Payment-Required')).toBe(false)
  })

  it('names a long query without it, and stays within 8 kB', async () => {
    const answer = await open().ask({}, `http://shop.test/weather?q=${'x'.repeat(7000)}`)
    const header = answer.headers.get('PAYMENT-REQUIRED') ?? ''
    expect([answer.status, header.length < 8192]).toEqual([402, true])
    expect(paymentRequiredHeader.decode(header).resource.url).toBe('http://shop.test/weather')
  })
})

describe('a payment in either dialect', () => {
  it("version 1 in X-PAYMENT gets X-PAYMENT-RESPONSE with the network's old name", async () => {
    verifies(['V1-PAYMENT', 'V1-RECEIPT'])
    const shop = open()
    const payment = paymentToV1(await shop.prepare())
    const answer = await shop.ask({ 'X-PAYMENT': xPaymentHeader.encode(payment ?? fail()) })
    expect([answer.status, answer.headers.has('PAYMENT-RESPONSE')]).toEqual([200, false])
    const receipt = xPaymentResponseHeader.decode(answer.headers.get('X-PAYMENT-RESPONSE') ?? '')
    expect(receipt).toMatchObject({ success: true, network: 'base-sepolia' })
    // What the facilitator was asked is version 2.
    expect(shop.facilitator.verified[0]).toMatchObject({ payment: { x402Version: 2 }, requirements: { network: 'eip155:84532' } })
  })

  it('version 1 hears of a failed settlement in its own words', async () => {
    const shop = open()
    shop.facilitator.answer = 'refused'
    const answer = await shop.ask({ 'X-PAYMENT': xPaymentHeader.encode(paymentToV1(await shop.prepare()) ?? fail()) })
    expect(answer.status).toBe(402)
    expect(await answer.json()).toMatchObject({ x402Version: 1, accepts: [], error: 'insufficient_funds' })
    expect(xPaymentResponseHeader.decode(answer.headers.get('X-PAYMENT-RESPONSE') ?? '')).toMatchObject({ network: 'base-sepolia' })
  })

  it('version 2 in X-PAYMENT is version 2', async () => {
    const shop = open()
    const answer = await shop.ask({ 'X-PAYMENT': paymentSignatureHeader.encode(await shop.prepare()) })
    expect(answer.status).toBe(200)
    expect(paymentResponseHeader.decode(answer.headers.get('PAYMENT-RESPONSE') ?? '')).toMatchObject({ network: 'eip155:84532' })
  })
})

describe('price and payee may depend on the request', () => {
  it('they are asked of each request anew, and what was asked of one is taken of it', async () => {
    let [price, calls] = ['$0.01', 0]
    const shop = open({
      route: {
        price: async ({ url }) => {
          calls += 1
          return url.endsWith('?large') ? '$1' : price
        },
        payTo: (_, network) => (network === 'eip155:84532' ? (spare?.address ?? '') : ''),
      },
    })
    const payment = await shop.prepare()
    expect(payment.accepted).toMatchObject({ amount: '10000', payTo: spare?.address })
    const header = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
    expect((await shop.ask(header, 'http://shop.test/weather?large')).status).toBe(402)
    price = '$0.02'
    const { quote: _, ...unquoted } = payment.accepted.extra ?? {}
    const bare = { ...payment, accepted: { ...payment.accepted, extra: unquoted } }
    expect((await shop.ask({ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(bare) })).status).toBe(402)
    expect((await shop.ask(header)).status).toBe(200)
    expect([calls, shop.runs()]).toEqual([4, 1])
  })

  it.each([
    ['throws', () => Promise.reject(new TypeError('no price today'))],
    ['gives none', () => 'free'],
    ['is below the minimum', () => '$0.0001'],
  ])('a price that %s lets nobody in', async (_, price) => {
    const shop = open({ route: { price } })
    const answer = await shop.ask()
    expect([answer.status, shop.runs()]).toEqual([503, 0])
    expect(await answer.text()).not.toContain('today')
  })
})

describe('the origin (H52)', () => {
  it('is the option, whatever Host says', async () => {
    verifies('H52')
    const shop = open({ server: { origin: 'https://api.example.com' } })
    const payment = await shop.prepare('http://lies.test/weather?a=1')
    expect(payment.resource?.url).toBe('https://api.example.com/weather?a=1')
    const header = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
    expect((await shop.ask(header, 'http://other.lies.test/weather?a=1')).status).toBe(200)
  })
})

describe('browsers and caches (H22, H44, A14)', () => {
  it('a preflight is answered without the handler', async () => {
    verifies(['H22', 'HTTP-CORS'])
    const shop = open()
    const headers = { Origin: 'https://app.test', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-own' }
    const answer = await shop.charge(new Request('http://shop.test/', { method: 'OPTIONS', headers }))
    expect([answer.status, shop.runs()]).toEqual([204, 0])
    expect(Object.fromEntries(answer.headers)).toMatchInlineSnapshot(`
      {
        "access-control-allow-headers": "PAYMENT-SIGNATURE, X-PAYMENT, X-Payment-Signature, X-Payment-Reference, SIGN-IN-WITH-X, Access-Control-Expose-Headers, Content-Type, Authorization, x-own",
        "access-control-allow-methods": "POST",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Retry-After",
        "access-control-max-age": "600",
        "vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
      }
    `)
  })

  it('an OPTIONS that is no preflight is a request like any other', async () => {
    expect((await open().charge(new Request('http://shop.test/', { method: 'OPTIONS' }))).status).toBe(402)
  })

  it('a 402 is never stored, and its headers can be read', async () => {
    verifies(['A14', 'H22', 'HTTP-REQUIRED'])
    expect(Object.fromEntries((await open().ask()).headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Retry-After',
      'cache-control': 'no-store',
    })
  })

  it('a paid answer is private, and varies by payment', async () => {
    verifies(['A14', 'HTTP-RECEIPT'])
    const shop = open()
    const answer = await shop.ask({ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await shop.prepare()) })
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-expose-headers': 'PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Retry-After',
      'cache-control': 'max-age=60, private',
      vary: 'Accept, PAYMENT-SIGNATURE, X-PAYMENT, X-Payment-Signature, X-Payment-Reference',
    })
  })

  it('the origin allowed is an option', async () => {
    expect((await open({ server: { cors: false } }).ask()).headers.has('Access-Control-Allow-Origin')).toBe(false)
    expect((await open({ server: { cors: 'https://app.test' } }).ask()).headers.get('Access-Control-Allow-Origin')).toBe('https://app.test')
  })
})

function fail(): never {
  throw new TypeError('The network has a name in version 1.')
}
