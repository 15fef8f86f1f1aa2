import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import {
  acceptsOffer,
  type PaymentRequirements,
  paymentPayload,
  paymentRequired,
  paymentRequirements,
  requestBinding,
  resourceInfo,
} from './payment.ts'

const offer: PaymentRequirements = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '10000',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  maxTimeoutSeconds: 300,
  extra: { name: 'USDC', version: '2', features: { smartWallet: true, kinds: ['a', { b: 1 }] } },
}
const { extra } = offer

const offers = fc.record({
  scheme: fc.constantFrom('exact', 'upto', 'batch-settlement'),
  network: fc.constantFrom('eip155:8453', 'eip155:84532', 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'),
  amount: fc.stringMatching(/^[1-9]\d{0,20}$/),
  asset: fc.stringMatching(/^0x[0-9a-f]{40}$/),
  payTo: fc.stringMatching(/^0x[0-9a-f]{40}$/),
  maxTimeoutSeconds: fc.constantFrom(0, 60, 300),
  extra: fc.dictionary(
    fc.string({ minLength: 1 }),
    fc.jsonValue().filter((value) => value !== null),
  ),
})

describe('an accepted entry pays an offer', () => {
  test('when it is its echo, in any order of keys, with further keys of the client in extra', () => {
    verifies('MATCH')
    fc.assert(
      fc.property(offers, fc.jsonValue(), (one, more) => {
        const echo: PaymentRequirements = overTheWire(one)
        expect(acceptsOffer(one, echo)).toBe(true)
        expect(acceptsOffer(one, Object.fromEntries(Object.entries(echo).reverse()) as PaymentRequirements)).toBe(true) // same members
        expect(acceptsOffer(one, { ...echo, extra: { ...echo.extra, 'x-client': more } })).toBe(true)
      }),
    )
  })

  test('when only the case of its EVM addresses differs', () => {
    expect(acceptsOffer(offer, { ...offer, asset: offer.asset.toLowerCase(), payTo: offer.payTo.toLowerCase() })).toBe(true)
  })

  test('when absent fields are null', () => {
    const { extra: _, ...bare } = offer
    expect(acceptsOffer(bare, { ...bare, extra: null, note: null })).toBe(true)
    expect(acceptsOffer({ ...bare, extra: null }, bare)).toBe(true)
    expect(acceptsOffer(bare, { ...bare, extra: { anything: 1 } })).toBe(true)
  })

  test('when only keys differ that its scheme ignores', () => {
    const asked = { ...offer, extra: { feePayer: 'F', recentBlockhash: 'A' } }
    const paid = { ...offer, extra: { feePayer: 'F', recentBlockhash: 'B' } }
    expect(acceptsOffer(asked, paid, ['recentBlockhash'])).toBe(true)
    expect(acceptsOffer(asked, paid)).toBe(false)
    expect(acceptsOffer(asked, { ...paid, extra: { feePayer: 'G' } }, ['recentBlockhash'])).toBe(false)
  })
})

describe('an accepted entry pays no offer', () => {
  test('when any field is dropped or another', () => {
    verifies(['MATCH', 'A17'])
    const fields = Object.keys(offer).filter((key) => key !== 'extra')
    fc.assert(
      fc.property(offers, fc.constantFrom(...fields), fc.jsonValue(), (one, field, value) => {
        const { [field]: own, ...dropped } = one as PaymentRequirements // the schema's type, whose keys can be named
        expect(acceptsOffer(one, dropped as PaymentRequirements)).toBe(false) // a peer's message may lack it
        if (JSON.stringify(own).toLowerCase() === JSON.stringify(value).toLowerCase()) return
        expect(acceptsOffer(one, { ...dropped, [field]: value } as PaymentRequirements)).toBe(false) // a peer may send any value
      }),
    )
  })

  test('when any advertised fact of extra is dropped or another', () => {
    verifies('MATCH')
    fc.assert(
      fc.property(offers, fc.jsonValue(), (one, value) => {
        for (const [key, own] of Object.entries(one.extra)) {
          const rest = Object.fromEntries(Object.entries(one.extra).filter(([other]) => other !== key))
          expect(acceptsOffer(one, { ...one, extra: rest })).toBe(false)
          // An empty object asks for nothing but an object.
          if (typeof own === 'object' || JSON.stringify(own) === JSON.stringify(value)) continue
          expect(acceptsOffer(one, { ...one, extra: { ...rest, [key]: value } })).toBe(false)
        }
      }),
    )
  })

  test.each([
    [
      'another mint by its case',
      { asset: 'CASHx9KJUStyftLFWGvEVf59SGeG9sh5FfcnZMVPCASH' },
      { asset: 'cashx9kjustyftlfwgvevf59sgeg9sh5ffcnzmvpcash' },
    ],
    ['an empty amount', {}, { amount: '' }],
    ['the same amount written otherwise', {}, { amount: '010000' }],
    ['a number for the amount', {}, { amount: 10_000 }],
    ['a field of its own', {}, { discount: '0.5' }],
    ['another field of the offer', { note: { a: 1 } }, { note: { a: 1, b: 2 } }],
    ['a field of its own in another case', { signer: '0xAB' }, { signer: '0xab' }],
    ['a renamed null', { note: { a: null } }, { note: { b: 1 } }],
    ['a longer list in extra', { extra: { kinds: ['a'] } }, { extra: { kinds: ['a', 'b'] } }],
    ['a list in another order', { extra: { kinds: ['a', 'b'] } }, { extra: { kinds: ['b', 'a'] } }],
    ['a list whose object says more', { extra: { kinds: [{ a: 1 }] } }, { extra: { kinds: [{ a: 1, b: 2 }] } }],
    ['a fact that is a list', { extra: { kind: {} } }, { extra: { kind: [] } }],
    ['an inherited member for a fact', { extra: { constructor: {} } }, { extra: {} }],
    ['an own __proto__ that is missing', { extra: JSON.parse('{"__proto__":{}}') }, { extra: {} }],
    ['no extra at all', {}, { extra: null }],
    ['a deep fact changed', {}, { extra: { ...extra, features: { smartWallet: false, kinds: ['a', { b: 1 }] } } }],
  ])('that is %s', (_, asked, accepted) => {
    const base = { ...offer, ...asked }
    expect(acceptsOffer(base, { ...base, ...accepted } as PaymentRequirements)).toBe(false) // what a peer may send
  })
})

describe('schemas', () => {
  const payment = { x402Version: 2, accepted: offer, payload: { signature: '0x' } }

  test('take null for absent and keep what they do not know', () => {
    verifies('JSON-NULL')
    const resource = { url: 'https://a.example/x', description: null, mimeType: null, serviceName: null, tags: null, iconUrl: null, x: 1 }
    expect(resourceInfo.parse(resource)).toEqual(resource)
    const entry = { ...offer, extra: null, x: { y: [1] } }
    expect(paymentRequirements.parse(entry)).toEqual(entry)
    const required = { x402Version: 2, error: null, resource, accepts: [entry], extensions: null, x: 1 }
    expect(paymentRequired.parse(required)).toEqual(required)
    const paid = { ...payment, resource: null, extensions: null, x: 1 }
    expect(paymentPayload.parse(paid)).toEqual(paid)
  })

  test.each([
    ['an amount that is empty', { amount: '' }],
    ['an amount with a sign', { amount: '-1' }],
    ['an amount with a point', { amount: '1.5' }],
    ['an amount in hexadecimal', { amount: '0x10' }],
    ['an amount with an exponent', { amount: '1e6' }],
    ['a number for the amount', { amount: 10_000 }],
    ['an amount past any integer of a chain', { amount: '1'.repeat(79) }],
    ['a v1 network', { network: 'base-sepolia' }],
    ['a negative timeout', { maxTimeoutSeconds: -1 }],
    ['a timeout in words', { maxTimeoutSeconds: '300' }],
    ['no payee', { payTo: '' }],
    ['a payee without end', { payTo: 'x'.repeat(129) }],
    ['no asset', { asset: undefined }],
    ['a list for extra', { extra: [] }],
  ])('refuse %s', (_, change) => {
    verifies('A17')
    expect(z.safeParse(paymentRequirements, { ...offer, ...change }).success).toBe(false)
  })

  test('take the timeout of 0 that a server’s own batch calls carry', () => {
    expect(paymentRequirements.parse({ ...offer, amount: '0', maxTimeoutSeconds: 0, extra: {} }).maxTimeoutSeconds).toBe(0)
  })

  test.each([
    ['version 1', paymentPayload, { ...payment, x402Version: 1 }],
    ['a version in words', paymentPayload, { ...payment, x402Version: '2' }],
    ['no accepted entry', paymentPayload, { x402Version: 2, payload: {} }],
    ['a list for the payload', paymentPayload, { ...payment, payload: [] }],
    ['an offer of nothing', paymentRequired, { x402Version: 2, resource: { url: 'x' }, accepts: [] }],
    ['no resource', paymentRequired, { x402Version: 2, accepts: [offer] }],
    ['an empty URL', paymentRequired, { x402Version: 2, resource: { url: '' }, accepts: [offer] }],
    ['a service name past 32', resourceInfo, { url: 'x', serviceName: 'x'.repeat(33) }],
    ['a service name beyond ASCII', resourceInfo, { url: 'x', serviceName: 'Café' }],
    ['six tags', resourceInfo, { url: 'x', tags: ['a', 'b', 'c', 'd', 'e', 'f'] }],
  ])('refuse %s', (_, schema, value) => {
    expect(z.safeParse(schema, value).success).toBe(false)
  })
})

function overTheWire<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value))
}

describe('requestBinding', () => {
  test('is one text for one request, however its method and URL are written', () => {
    const binding = requestBinding({ method: 'post', url: 'HTTPS://Example.com:443/a?b=c#d', bodyHash: '00' })
    expect(binding).toBe('POST https://example.com/a?b=c 00')
  })
})
