import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Extension, echoExtensions, echoesExtensions, paymentIdentifier, readPaymentId, withoutPaymentId } from './extension.ts'
import type { PaymentPayload, PaymentRequired } from './payment.ts'

const accepted = { scheme: 'exact', network: 'eip155:84532', amount: '1', asset: '0xa', payTo: '0xb', maxTimeoutSeconds: 60 }
const paying = (extensions?: Record<string, unknown> | null): PaymentPayload => ({
  x402Version: 2,
  accepted,
  payload: {},
  ...(extensions === undefined ? {} : { extensions }),
})
const asking = (extensions?: Record<string, unknown>): PaymentRequired => ({
  x402Version: 2,
  resource: { url: 'https://a.example/' },
  accepts: [accepted],
  ...(extensions === undefined ? {} : { extensions }),
})
const withId = (id: unknown) => paying({ 'payment-identifier': { info: { required: false, id } } })

test('is not made of what is too long to be echoed, nor of signed offers', () => {
  verifies('H27')
  const bazaar = { info: { input: { text: 'x'.repeat(3000) } } }
  const required = asking({
    bazaar,
    'payment-identifier': { info: { required: false } },
    'offer-receipt': { info: { offers: [{ format: 'jws', signature: 'x'.repeat(4000) }], kept: 1 }, schema: {} },
    small: { info: {} },
  })
  expect(echoExtensions(required, { id: 'a_secret_of_the_payer_01' })).toEqual({
    'payment-identifier': { info: { required: false, id: 'a_secret_of_the_payer_01' } },
    'offer-receipt': { info: { kept: 1 } },
    small: { info: {} },
  })
  expect(echoExtensions(asking({ bazaar: { info: {} } }), {})).toEqual({ bazaar: { info: {} } })
})

describe('an echo', () => {
  const signIn: Extension = {
    key: 'sign-in-with-x',
    dynamic: ['nonce'],
    declare: () => ({ info: { domain: 'a.example', nonce: 'new', chains: ['a', 'b'], terms: { min: 1 } } }),
  }
  const info = { domain: 'a.example', nonce: 'old', chains: ['a', 'b'], terms: { min: 1 } }

  test.each([
    ['that is missing', undefined],
    ['of null', null],
    ['of another extension', { other: { info: {} } }],
    ['of null for this one', { 'sign-in-with-x': null }],
    ['unchanged', { 'sign-in-with-x': { info } }],
    ['with more in it', { 'sign-in-with-x': { info: { ...info, signature: '0x', terms: { min: 1, max: 2 } }, schema: {} } }],
  ])('%s is right', (_, extensions) => {
    verifies('ECHO')
    expect(echoesExtensions([signIn], paying(extensions))).toBe(true)
  })

  test.each([
    ['without info', { 'sign-in-with-x': {} }],
    ['that is a word', { 'sign-in-with-x': 'yes' }],
    ['with a fact changed', { 'sign-in-with-x': { info: { ...info, domain: 'evil.example' } } }],
    ['with a fact dropped', { 'sign-in-with-x': { info: { nonce: 'old', chains: ['a', 'b'], terms: { min: 1 } } } }],
    ['with a list cut', { 'sign-in-with-x': { info: { ...info, chains: ['a'] } } }],
    ['with a deep fact changed', { 'sign-in-with-x': { info: { ...info, terms: { min: 0 } } } }],
    ['with a fact of null', { 'sign-in-with-x': { info: { ...info, domain: null } } }],
  ])('%s is altered', (_, extensions) => {
    verifies('ECHO')
    expect(echoesExtensions([signIn], paying(extensions))).toBe(false)
    expect(echoesExtensions([paymentIdentifier(), signIn], paying(extensions))).toBe(false)
  })

  test('may declare by itself', () => {
    const own: Extension & { facts: Record<string, unknown> } = {
      key: 'x',
      facts: { a: 1 },
      declare() {
        return { info: this.facts }
      },
    }
    expect(echoesExtensions([own], paying({ x: { info: { a: 1 } } }))).toBe(true)
    expect(echoesExtensions([own], paying({ x: { info: { a: 2 } } }))).toBe(false)
  })

  test('named like an inherited member is missing where it is not sent', () => {
    expect(echoesExtensions([{ key: 'constructor', declare: () => ({ info: {} }) }], paying({}))).toBe(true)
  })
})

describe('the payment id', () => {
  test('has 16 to 128 letters of its alphabet', () => {
    verifies('PAYMENT-ID')
    fc.assert(
      fc.property(fc.stringMatching(/^[a-zA-Z0-9_-]{16,128}$/), (id) => {
        expect(readPaymentId(withId(id))).toEqual({ id })
      }),
    )
  })

  test.each([
    ['15 letters', 'a'.repeat(15)],
    ['129 letters', 'a'.repeat(129)],
    ['nothing', ''],
    ['a blank', `${'a'.repeat(16)} `],
    ['a line feed', `${'a'.repeat(16)}\n`],
    ['a letter beyond ASCII', `${'a'.repeat(16)}é`],
    ['a number', 1234567890123456],
    ['null', null],
  ])('is malformed when it is %s', (_, id) => {
    verifies('PAYMENT-ID')
    expect(readPaymentId(withId(id))).toBe('malformed')
  })

  test('may be missing', () => {
    for (const payment of [paying(), paying(null), paying({}), paying({ 'payment-identifier': { info: { required: true } } })])
      expect(readPaymentId(payment)).toEqual({})
    expect(readPaymentId(paying({ 'payment-identifier': 'x' }))).toBe('malformed')
  })

  test('is declared, and asked for where it must be', () => {
    expect(paymentIdentifier().declare()).toEqual({ info: { required: false } })
    expect(paymentIdentifier({ required: true }).declare()).toEqual({ info: { required: true } })
  })

  test('goes into the echo of a server that takes it, beside everything else it declared', () => {
    const id = 'pay_0123456789abcdef'
    const declared = {
      'payment-identifier': { ...paymentIdentifier({ required: true }).declare(), schema: { type: 'object' } },
      b: { info: { c: 1 } },
    }
    const extensions = echoExtensions(asking(declared), { id })
    expect(extensions).toEqual({
      'payment-identifier': { info: { required: true, id }, schema: { type: 'object' } },
      b: { info: { c: 1 } },
    })
    const payment = paying(extensions)
    expect(readPaymentId(payment)).toEqual({ id })
    expect(echoesExtensions([paymentIdentifier({ required: true })], payment)).toBe(true)
    expect(declared['payment-identifier'].info).toEqual({ required: true })
  })

  test('goes nowhere else', () => {
    expect(echoExtensions(asking(), { id: 'pay_0123456789abcdef' })).toBeUndefined()
    expect(echoExtensions(asking({ b: { info: {} } }), { id: 'pay_0123456789abcdef' })).toEqual({ b: { info: {} } })
    expect(echoExtensions(asking({ 'payment-identifier': 'x' }), { id: 'pay_0123456789abcdef' })).toEqual({ 'payment-identifier': 'x' })
  })

  test('is taken out of what others see, and nothing else is', () => {
    verifies('M4')
    const id = 'pay_0123456789abcdef'
    const payment = {
      ...paying({ 'payment-identifier': { info: { id } }, b: { info: { c: 1 } } }),
      resource: { url: 'https://a.example/' },
    }
    const stripped = withoutPaymentId(payment)
    expect(stripped).toEqual({ ...payment, extensions: { b: { info: { c: 1 } } } })
    expect(JSON.stringify(stripped)).not.toContain(id)
    expect(readPaymentId(payment)).toEqual({ id })
    for (const plain of [paying(), paying(null), paying({ b: 1 })]) expect(withoutPaymentId(plain)).toBe(plain)
  })
})
