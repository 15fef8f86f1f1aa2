import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { type PaymentPayload, type PaymentRequired, type PaymentRequirements, paymentPayload, paymentRequired } from './protocol/payment.ts'
import {
  paymentFromV1,
  paymentPayloadV1,
  paymentRequiredV1,
  paymentToV1,
  receiptFromV1,
  receiptToV1,
  requiredFromV1,
  requiredToV1,
  submissionFromV1,
  supportedInV1,
  xPaymentHeader,
  xPaymentResponseHeader,
} from './v1.ts'

const usdc = '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
const payTo = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const offer: PaymentRequirements = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '10000',
  asset: usdc,
  payTo,
  maxTimeoutSeconds: 300,
  extra: { name: 'USDC', version: '2' },
}
const permit2 = { ...offer, extra: { ...offer.extra, assetTransferMethod: 'permit2' } }
const asking = (...accepts: PaymentRequirements[]): PaymentRequired => ({
  x402Version: 2,
  error: 'Payment required',
  resource: { url: 'https://api.example.com/x', description: 'Météo', mimeType: null },
  accepts,
})
const exactPayload = {
  signature: `0x${'1b'.repeat(65)}`,
  authorization: { from: payTo, to: payTo, value: '10000', validAfter: '0', validBefore: '1900000000', nonce: `0x${'11'.repeat(32)}` },
}

// wire.md §3.3: the names that v1 packages know, and those that only 2.27 reads.
const known = {
  base: 'eip155:8453',
  'base-sepolia': 'eip155:84532',
  avalanche: 'eip155:43114',
  'avalanche-fuji': 'eip155:43113',
  polygon: 'eip155:137',
  'polygon-amoy': 'eip155:80002',
  sei: 'eip155:1329',
  'sei-testnet': 'eip155:1328',
  abstract: 'eip155:2741',
  'abstract-testnet': 'eip155:11124',
  iotex: 'eip155:4689',
  peaq: 'eip155:3338',
  story: 'eip155:1514',
  educhain: 'eip155:41923',
  'skale-base-sepolia': 'eip155:324705682',
  solana: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  'solana-devnet': 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
}
const readOnly = {
  ethereum: 'eip155:1',
  sepolia: 'eip155:11155111',
  celo: 'eip155:42220',
  flare: 'eip155:14',
  megaeth: 'eip155:4326',
  monad: 'eip155:143',
  stable: 'eip155:988',
  'stable-testnet': 'eip155:2201',
  'solana-testnet': 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z',
}

describe('a 402 for v1 clients', () => {
  test('is the body of v1, with the human price in each offer', () => {
    verifies('V1-BODY')
    expect(requiredToV1(asking(offer), ['$0.01'])).toMatchInlineSnapshot(`
      {
        "accepts": [
          {
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "description": "Météo",
            "extra": {
              "name": "USDC",
              "version": "2",
            },
            "maxAmountRequired": "10000",
            "maxTimeoutSeconds": 300,
            "mimeType": "",
            "network": "base-sepolia",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "price": "$0.01",
            "resource": "https://api.example.com/x",
            "scheme": "exact",
          },
        ],
        "error": "Payment required",
        "x402Version": 1,
      }
    `)
  })

  test('names only what every v1 client knows', () => {
    verifies('V1-KNOWN')
    for (const [name, network] of Object.entries(known))
      expect(requiredToV1(asking({ ...offer, network }), [])?.accepts.map((entry) => entry.network)).toEqual([name])
    for (const network of [...Object.values(readOnly), 'eip155:42161', 'eip155:421614', 'eip155:31337'])
      expect(requiredToV1(asking({ ...offer, network }), [])).toBeUndefined()
  })

  test('leaves out what v1 has no words for, and keeps each price with its offer', () => {
    verifies('V1-KNOWN')
    const arbitrum = { ...offer, network: 'eip155:42161' }
    const upto = { ...offer, scheme: 'upto', network: 'eip155:8453' }
    const solana = { ...offer, network: known.solana, extra: { feePayer: 'F' } }
    const body = requiredToV1(asking(arbitrum, permit2, upto, solana, offer), ['a', 'b', 'c', '$0.02', '$0.01'])
    expect(body?.accepts.map(({ network, price, extra }) => [network, price, extra])).toEqual([
      ['solana', '$0.02', { feePayer: 'F' }],
      ['base-sepolia', '$0.01', offer.extra],
    ])
    expect(requiredToV1(asking(arbitrum, permit2, upto), [])).toBeUndefined()
  })

  test('has one offer for each network, because a v1 payment names no more', () => {
    verifies('V1-KNOWN')
    const other = { ...offer, asset: payTo }
    expect(requiredToV1(asking(offer, other), ['$0.01', '€0.01'])?.accepts.map(({ asset, price }) => [asset, price])).toEqual([
      [usdc, '$0.01'],
    ])
  })

  test('never holds a null, which v1 packages refuse', () => {
    verifies('V1-BODY')
    const bare = { ...asking({ ...offer, extra: null }), error: null }
    expect(JSON.stringify(requiredToV1(bare, []))).not.toContain('null')
    expect(requiredToV1(bare, [])?.error).toBe('Payment required')
  })

  test('is a v1 402 and comes back as the v2 one', () => {
    const required = asking(offer)
    const body: unknown = JSON.parse(JSON.stringify(requiredToV1(required, ['$0.01'])))
    const back = requiredFromV1(paymentRequiredV1.parse(body))
    expect(back).toEqual({ ...required, resource: { ...required.resource, mimeType: '' } })
    expect(paymentRequired.parse(back)).toEqual(back)
  })
})

describe('a 402 of a v1 server', () => {
  const entry = {
    scheme: 'exact',
    network: 'base-sepolia',
    maxAmountRequired: '10000',
    resource: 'https://api.example.com/x',
    description: 'x',
    mimeType: '',
    outputSchema: null,
    payTo,
    maxTimeoutSeconds: 60,
    asset: usdc,
    extra: null,
  }

  test('is read with every network that has a name', () => {
    verifies(['V1-BODY', 'H26'])
    for (const [network, id] of Object.entries({ ...known, ...readOnly })) {
      const body = paymentRequiredV1.parse({ x402Version: 1, error: 'X-PAYMENT header is required', accepts: [{ ...entry, network }] })
      const required = requiredFromV1(body)
      expect(required).toEqual({
        x402Version: 2,
        error: 'X-PAYMENT header is required',
        resource: { url: 'https://api.example.com/x', description: 'x', mimeType: '' },
        accepts: [{ scheme: 'exact', network: id, amount: '10000', asset: usdc, payTo, maxTimeoutSeconds: 60 }],
      })
      expect(paymentRequired.parse(required)).toEqual(required)
    }
  })

  test('loses the offers on networks nobody knows', () => {
    verifies('H26')
    const elsewhere = { ...entry, network: 'moonbeam' }
    expect(requiredFromV1({ x402Version: 1, accepts: [elsewhere, entry, { ...entry, network: 'constructor' }] })?.accepts).toHaveLength(1)
    expect(requiredFromV1({ x402Version: 1, accepts: [elsewhere] })).toBeUndefined()
    expect(requiredFromV1({ x402Version: 1, accepts: [] })).toBeUndefined()
  })

  test.each([
    ['version 2', { x402Version: 2, accepts: [entry] }],
    ['no offers', { x402Version: 1 }],
    ['an amount with a point', { x402Version: 1, accepts: [{ ...entry, maxAmountRequired: '0.01' }] }],
    ['a v2 offer', { x402Version: 1, accepts: [offer] }],
    ['no payee', { x402Version: 1, accepts: [{ ...entry, payTo: '' }] }],
    ['an empty scheme', { x402Version: 1, accepts: [{ ...entry, scheme: '' }] }],
  ])('is refused with %s', (_, body) => {
    verifies('H26')
    expect(z.safeParse(paymentRequiredV1, body).success).toBe(false)
  })
})

describe('a v1 payment', () => {
  const old = { x402Version: 1 as const, scheme: 'exact', network: 'base-sepolia', payload: exactPayload }
  const payment: PaymentPayload = { x402Version: 2, accepted: offer, payload: exactPayload }

  test('is completed with the one offer it can mean', () => {
    verifies('V1-PAYMENT')
    expect(paymentFromV1(old, [{ ...offer, network: 'eip155:8453' }, permit2, { ...offer, scheme: 'upto' }, offer])).toEqual(payment)
    expect(paymentPayload.parse(paymentFromV1(old, [offer]))).toEqual(payment)
  })

  test('takes the offer that was shown to it', () => {
    const offers = [permit2, offer, { ...offer, asset: payTo }]
    const shown = requiredToV1(asking(...offers), [])?.accepts
    expect(shown?.map(({ asset }) => asset)).toEqual([paymentFromV1(old, offers)?.accepted.asset])
  })

  test.each([
    ['another network', { network: 'base' }],
    ['a network nobody knows', { network: 'moonbeam' }],
    ['a CAIP-2 network', { network: 'eip155:84532' }],
    ['another scheme', { scheme: 'upto' }],
  ])('for %s means nothing', (_, change) => {
    verifies('A17')
    expect(paymentFromV1({ ...old, ...change }, [offer, permit2, { ...offer, scheme: 'upto' }])).toBeUndefined()
  })

  test('never means an offer by Permit2', () => {
    expect(paymentFromV1(old, [permit2])).toBeUndefined()
  })

  test('is what a v2 payment becomes where the network has a v1 name', () => {
    verifies('V1-PAYMENT')
    expect(paymentToV1(payment)).toEqual(old)
    expect(paymentToV1({ ...payment, accepted: { ...offer, network: 'eip155:1' } })?.network).toBe('ethereum')
    expect(paymentToV1({ ...payment, accepted: { ...offer, network: 'eip155:42161' } })).toBeUndefined()
  })

  test('and a v2 one travel in the same header', () => {
    verifies(['V1-PAYMENT', 'H26'])
    const header = xPaymentHeader.encode(old)
    expect(header).toMatchInlineSnapshot(
      `"eyJ4NDAyVmVyc2lvbiI6MSwic2NoZW1lIjoiZXhhY3QiLCJuZXR3b3JrIjoiYmFzZS1zZXBvbGlhIiwicGF5bG9hZCI6eyJzaWduYXR1cmUiOiIweDFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIxYjFiMWIiLCJhdXRob3JpemF0aW9uIjp7ImZyb20iOiIweDIwOTY5M0JjNmFmYzBDNTMyOGJBMzZGYUYwM0M1MTRFRjMxMjI4N0MiLCJ0byI6IjB4MjA5NjkzQmM2YWZjMEM1MzI4YkEzNkZhRjAzQzUxNEVGMzEyMjg3QyIsInZhbHVlIjoiMTAwMDAiLCJ2YWxpZEFmdGVyIjoiMCIsInZhbGlkQmVmb3JlIjoiMTkwMDAwMDAwMCIsIm5vbmNlIjoiMHgxMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExIn19fQ=="`,
    )
    expect(xPaymentHeader.decode(header)).toEqual(old)
    expect(xPaymentHeader.decode(xPaymentHeader.encode(payment))).toEqual(payment)
    expect(paymentPayloadV1.parse(old)).toEqual(old)
  })

  test.each([
    ['of a version nobody knows', { ...old, x402Version: 3 }, 'x402Version: invalid_x402_version'],
    ['without a version', { ...old, x402Version: undefined }, 'x402Version: invalid_x402_version'],
    ['of version 1 without a scheme', { ...old, scheme: undefined }, 'scheme: Invalid input'],
    ['of version 2 without an offer', { x402Version: 2, payload: {} }, 'accepted: Invalid input'],
  ])('%s is refused with its reason', (_, value, why) => {
    verifies(['A13', 'H26'])
    expect(() => xPaymentHeader.decode(btoa(JSON.stringify(value)))).toThrow(
      expect.objectContaining({ code: 'headers/malformed', context: { header: 'X-PAYMENT', why } }),
    )
  })
})

describe('a v1 receipt', () => {
  const receipt = { success: true, transaction: '0xabc', network: 'eip155:84532', payer: payTo }

  test('names its network in v1 words, and back', () => {
    verifies('V1-RECEIPT')
    expect(receiptToV1(receipt)).toEqual({ ...receipt, network: 'base-sepolia' })
    expect(receiptFromV1(receiptToV1(receipt))).toEqual(receipt)
    expect(receiptToV1({ ...receipt, network: 'eip155:42161' }).network).toBe('eip155:42161')
    expect(receiptFromV1({ ...receipt, network: 'moonbeam' }).network).toBe('moonbeam')
  })

  test('is ASCII, for readers that take bytes for characters', () => {
    verifies('V1-ASCII')
    const header = xPaymentResponseHeader.encode({ ...receipt, errorMessage: 'Zahlung für 漢 🏴' })
    expect(atob(header)).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(atob(header)).errorMessage).toBe('Zahlung für 漢 🏴')
    const payment = xPaymentHeader.encode({ x402Version: 1, scheme: 'exact', network: 'base', payload: { memo: 'é' } })
    expect(atob(payment)).toMatch(/^[\x20-\x7e]+$/)
  })
})

describe('a v1 facilitator request', () => {
  const body = {
    x402Version: 1,
    paymentPayload: { x402Version: 1, scheme: 'exact', network: 'base-sepolia', payload: exactPayload },
    paymentRequirements: {
      scheme: 'exact',
      network: 'base-sepolia',
      maxAmountRequired: '10000',
      resource: 'https://api.example.com/x',
      description: '',
      mimeType: '',
      payTo,
      maxTimeoutSeconds: 300,
      asset: usdc,
      extra: offer.extra,
    },
  }

  test('is the submission of the same payment in v2', () => {
    verifies('V1-FACILITATOR')
    expect(submissionFromV1(body)).toEqual({
      payment: { x402Version: 2, accepted: offer, payload: exactPayload },
      requirements: offer,
    })
  })

  test.each([
    ['nothing', undefined],
    ['a list', []],
    ['a v2 envelope', { ...body, x402Version: 2 }],
    ['a v2 payment', { ...body, paymentPayload: { x402Version: 2, accepted: offer, payload: exactPayload } }],
    ['v2 requirements', { ...body, paymentRequirements: offer }],
    ['requirements of another network', { ...body, paymentRequirements: { ...body.paymentRequirements, network: 'base' } }],
    ['a network nobody knows', { ...body, paymentRequirements: { ...body.paymentRequirements, network: 'moonbeam' } }],
    ['another scheme', { ...body, paymentPayload: { ...body.paymentPayload, scheme: 'upto' } }],
    ['an amount that is a number', { ...body, paymentRequirements: { ...body.paymentRequirements, maxAmountRequired: 10_000 } }],
  ])('of %s is none', (_, value) => {
    verifies('V1-FACILITATOR')
    expect(submissionFromV1(value)).toBeUndefined()
  })

  test('finds what it can use among the v1 kinds of /supported', () => {
    verifies('V1-FACILITATOR')
    const kinds = [
      { x402Version: 2, scheme: 'exact', network: 'eip155:84532' },
      { x402Version: 2, scheme: 'upto', network: 'eip155:84532' },
      { x402Version: 2, scheme: 'exact', network: 'eip155:42161' },
      { x402Version: 2, scheme: 'exact', network: known.solana, extra: { feePayer: 'F' } },
    ]
    expect(supportedInV1(kinds)).toEqual([
      { x402Version: 1, scheme: 'exact', network: 'base-sepolia' },
      { x402Version: 1, scheme: 'exact', network: 'solana', extra: { feePayer: 'F' } },
    ])
  })
})
