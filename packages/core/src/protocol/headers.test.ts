import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as z from 'zod/mini'
import { inEachRuntime } from '../fixtures/runtimes.ts'
import { firstIssue, headerCodec, paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from './headers.ts'
import type { PaymentPayload, PaymentRequired } from './payment.ts'

const accepted = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '10000',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  maxTimeoutSeconds: 300,
  extra: { name: 'USDC', version: '2' },
}
const required: PaymentRequired = {
  x402Version: 2,
  error: 'Payment required',
  resource: { url: 'https://api.example.com/x', description: 'x', mimeType: '' },
  accepts: [accepted],
}
const payment: PaymentPayload = { x402Version: 2, accepted, payload: { signature: '0x', authorization: {} } }
const receipt = { success: true, transaction: '0xabc', network: 'eip155:84532', payer: '0xdef' }

// The bytes of `PAYMENT-REQUIRED` as a 2.27 server sends them (wire.md §1.2).
const official =
  'eyJ4NDAyVmVyc2lvbiI6MiwiZXJyb3IiOiJQYXltZW50IHJlcXVpcmVkIiwicmVzb3VyY2UiOnsidXJsIjoiaHR0cHM6Ly9hcGkuZXhhbXBsZS5jb20veCIsImRlc2NyaXB0aW9uIjoieCIsIm1pbWVUeXBlIjoiIn0sImFjY2VwdHMiOlt7InNjaGVtZSI6ImV4YWN0IiwibmV0d29yayI6ImVpcDE1NTo4NDUzMiIsImFtb3VudCI6IjEwMDAwIiwiYXNzZXQiOiIweDAzNkNiRDUzODQyYzU0MjY2MzRlNzkyOTU0MWVDMjMxOGYzZENGN2UiLCJwYXlUbyI6IjB4MjA5NjkzQmM2YWZjMEM1MzI4YkEzNkZhRjAzQzUxNEVGMzEyMjg3QyIsIm1heFRpbWVvdXRTZWNvbmRzIjozMDAsImV4dHJhIjp7Im5hbWUiOiJVU0RDIiwidmVyc2lvbiI6IjIifX1dfQ=='

// The codecs take `atob` and `btoa` in browsers.
inEachRuntime((name) => {
  test('the runtime is the one that is meant', () => {
    expect(typeof globalThis.Buffer === 'undefined').toBe(name === 'a browser')
  })

  test('what an official server sends is read, and written to the byte', () => {
    verifies('HTTP-BASE64')
    expect(paymentRequiredHeader.decode(official)).toEqual(required)
    expect(paymentRequiredHeader.encode(required)).toBe(official)
  })

  test('a payment and a receipt are written and read back', () => {
    const header = paymentSignatureHeader.encode(payment)
    expect(header).toMatchInlineSnapshot(
      `"eyJ4NDAyVmVyc2lvbiI6MiwiYWNjZXB0ZWQiOnsic2NoZW1lIjoiZXhhY3QiLCJuZXR3b3JrIjoiZWlwMTU1Ojg0NTMyIiwiYW1vdW50IjoiMTAwMDAiLCJhc3NldCI6IjB4MDM2Q2JENTM4NDJjNTQyNjYzNGU3OTI5NTQxZUMyMzE4ZjNkQ0Y3ZSIsInBheVRvIjoiMHgyMDk2OTNCYzZhZmMwQzUzMjhiQTM2RmFGMDNDNTE0RUYzMTIyODdDIiwibWF4VGltZW91dFNlY29uZHMiOjMwMCwiZXh0cmEiOnsibmFtZSI6IlVTREMiLCJ2ZXJzaW9uIjoiMiJ9fSwicGF5bG9hZCI6eyJzaWduYXR1cmUiOiIweCIsImF1dGhvcml6YXRpb24iOnt9fX0="`,
    )
    expect(paymentSignatureHeader.decode(header)).toEqual(payment)
    const answer = paymentResponseHeader.encode(receipt)
    expect(answer).toMatchInlineSnapshot(
      `"eyJzdWNjZXNzIjp0cnVlLCJ0cmFuc2FjdGlvbiI6IjB4YWJjIiwibmV0d29yayI6ImVpcDE1NTo4NDUzMiIsInBheWVyIjoiMHhkZWYifQ=="`,
    )
    expect(paymentResponseHeader.decode(answer)).toEqual(receipt)
  })

  test('padding may be missing or wrong', () => {
    verifies('HTTP-BASE64')
    const bare = official.replace(/=+$/, '')
    for (const padding of ['', '=', '==']) expect(paymentRequiredHeader.decode(`${bare}${padding}`)).toEqual(required)
  })

  test('any text survives', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (description) => {
        const value = { ...required, resource: { ...required.resource, description } }
        expect(paymentRequiredHeader.decode(paymentRequiredHeader.encode(value))).toEqual(value)
      }),
    )
    const value = { ...required, error: '¥ ₮ 漢字 🏴‍☠️ \u2028 "\\" \ud800' }
    expect(paymentRequiredHeader.decode(paymentRequiredHeader.encode(value))).toEqual(value)
  })

  test('a value of many kilobytes survives', () => {
    const codec = headerCodec('X-TEST', { schema: z.string(), limit: 1_000_000 })
    const text = 'é'.repeat(100_000)
    expect(codec.decode(codec.encode(text))).toBe(text)
  })

  const bytes = (...values: number[]) => btoa(String.fromCharCode(...values))
  test.each([
    ['nothing', '', 'it is not one value of standard base64'],
    ['padding alone', '==', 'it is not one value of standard base64'],
    ['one letter', 'e', 'it is not one value of standard base64'],
    ['five letters', 'eyJ4N', 'it is not one value of standard base64'],
    ['the url-safe alphabet', 'eyJ4-_8', 'it is not one value of standard base64'],
    ['white space within', `${official.slice(0, 8)} ${official.slice(8)}`, 'it is not one value of standard base64'],
    ['white space around', ` ${official}`, 'it is not one value of standard base64'],
    ['a line feed at the end', `${official}\n`, 'it is not one value of standard base64'],
    ['a folded line', `${official.slice(0, 8)}\r\n ${official.slice(8)}`, 'it is not one value of standard base64'],
    ['padding within', `eyJ4==${official.slice(4)}`, 'it is not one value of standard base64'],
    ['three times padding', 'eyJ4N2E===', 'it is not one value of standard base64'],
    ['two values joined', `${official}, ${official}`, 'it is not one value of standard base64'],
    ['two values joined without a blank', `${official},${official}`, 'it is not one value of standard base64'],
    ['JSON that is not encoded', JSON.stringify(payment), 'it is not one value of standard base64'],
    ['letters beyond ASCII', 'eyJ4ñ', 'it is not one value of standard base64'],
    ['bytes that are no UTF-8', bytes(0x22, 0xff, 0xfe, 0x22), 'it does not hold UTF-8 JSON'],
    ['an overlong encoding', bytes(0x22, 0xc0, 0x80, 0x22), 'it does not hold UTF-8 JSON'],
    ['an encoded surrogate', bytes(0x22, 0xed, 0xa0, 0x80, 0x22), 'it does not hold UTF-8 JSON'],
    ['a cut character', bytes(0x22, 0xe2, 0x82), 'it does not hold UTF-8 JSON'],
    ['text that is no JSON', btoa('payment'), 'it does not hold UTF-8 JSON'],
    ['two documents', btoa('{}{}'), 'it does not hold UTF-8 JSON'],
    ['a document cut short', btoa(JSON.stringify(payment).slice(0, -1)), 'it does not hold UTF-8 JSON'],
    ['null', btoa('null'), 'value: Invalid input'],
    ['a list', btoa('[]'), 'value: Invalid input'],
    ['a number', btoa('2'), 'value: Invalid input'],
    ['an empty object', btoa('{}'), 'x402Version: invalid_x402_version'],
    ['version 1', btoa(JSON.stringify({ ...payment, x402Version: 1 })), 'x402Version: invalid_x402_version'],
    ['another amount', btoa(JSON.stringify({ ...payment, accepted: { ...accepted, amount: '' } })), 'accepted.amount: Invalid input'],
  ])('%s is malformed', (_, header, why) => {
    verifies('A13')
    expect(() => paymentSignatureHeader.decode(header)).toThrow(
      expect.objectContaining({ code: 'headers/malformed', status: 400, moneyMoved: 'no', context: { header: 'PAYMENT-SIGNATURE', why } }),
    )
  })
})

test('more than 8 kB of payment are not looked at', () => {
  verifies('A13')
  expect(() => paymentSignatureHeader.decode('!'.repeat(8193))).toThrow(
    expect.objectContaining({
      code: 'headers/too-large',
      status: 400,
      context: { header: 'PAYMENT-SIGNATURE', length: 8193, limit: 8192 },
    }),
  )
  expect(() => paymentSignatureHeader.decode('A'.repeat(8192))).toThrow(expect.objectContaining({ code: 'headers/malformed' }))
  expect(() => paymentRequiredHeader.decode('A'.repeat(16_385))).toThrow(expect.objectContaining({ code: 'headers/too-large' }))
})

test.each([
  ['malformed', '!'],
  ['too large', 'A'.repeat(16_385)],
])('a receipt that is %s never says that nothing was charged', (_, header) => {
  verifies('H17')
  expect(() => paymentResponseHeader.decode(header)).toThrow(
    expect.objectContaining({ code: 'headers/bad-receipt', moneyMoved: 'unknown', retry: 'same' }),
  )
})

test('keys that name a prototype change none', () => {
  verifies('A13')
  const json = JSON.stringify({ ...payment, constructor: { prototype: { x: 1 } } }).replace(
    '"payload":{',
    '"__proto__":{"polluted":1},"payload":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},',
  )
  const value = paymentSignatureHeader.decode(btoa(json))
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect(Object.getPrototypeOf(value.payload)).toBe(Object.prototype)
  expect([Reflect.get({}, 'polluted'), Reflect.get(value, 'polluted'), Reflect.get(value.payload, 'polluted')]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect(value.accepted).toEqual(accepted)
})

test('unknown members survive', () => {
  verifies('JSON-NULL')
  const value = { ...payment, later: { a: [1, null] }, accepted: { ...accepted, later: true, extra: { ...accepted.extra, later: 1 } } }
  expect(paymentSignatureHeader.decode(paymentSignatureHeader.encode(value))).toEqual(value)
})

test('a codec may keep to ASCII', () => {
  const codec = headerCodec('X-TEST', { schema: z.object({ text: z.string() }), limit: 1000, ascii: true })
  const header = codec.encode({ text: 'é 漢 🏴 \u0080 ~' })
  expect(atob(header)).toBe('{"text":"\\u00e9 \\u6f22 \\ud83c\\udff4 \\u0080 ~"}')
  expect(codec.decode(header)).toEqual({ text: 'é 漢 🏴 \u0080 ~' })
})

test('the first thing that is wrong is named by its path', () => {
  const wrong = z.safeParse(z.object({ a: z.array(z.object({ b: z.string() })) }), { a: [{ b: '' }, { b: 1 }] })
  const flat = z.safeParse(z.string(), 1)
  expect([wrong, flat].map(({ error }) => error && firstIssue(error))).toEqual(['a.1.b: Invalid input', 'value: Invalid input'])
})
