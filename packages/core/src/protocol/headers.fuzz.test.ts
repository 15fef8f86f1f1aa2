import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { paymentPayloadV1, xPaymentHeader, xPaymentResponseHeader } from '../v1.ts'
import { isX402Error } from './errors.ts'
import { type HeaderCodec, paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from './headers.ts'
import { paymentPayload, paymentRequired } from './payment.ts'
import { settleResponse } from './settlement.ts'

const numRuns = 10_000
const timeout = 120_000

const text = fc.string({ unit: 'binary', maxLength: 8 })
// A member of this name reaches nobody: it is left out of what is read.
const name = text.filter((key) => key !== '__proto__')
const record = fc.dictionary(name, fc.jsonValue({ maxDepth: 1, stringUnit: 'binary' }), { maxKeys: 3 })
const open = fc.option(record, { nil: undefined })
const requirements = fc.record({
  scheme: fc.string({ minLength: 1, maxLength: 8 }),
  network: fc.stringMatching(/^[a-z0-9]{3,8}:[a-zA-Z0-9]{1,32}$/),
  amount: fc.stringMatching(/^\d{1,78}$/),
  asset: fc.string({ minLength: 1, maxLength: 44 }),
  payTo: fc.string({ minLength: 1, maxLength: 44 }),
  maxTimeoutSeconds: fc.nat(),
  extra: open,
})
const resource = fc.record({ url: fc.webUrl(), description: text, mimeType: fc.option(text) })
const required = fc.record({
  x402Version: fc.constant(2 as const),
  error: fc.option(text),
  resource,
  accepts: fc.array(requirements, { minLength: 1, maxLength: 2 }),
  extensions: open,
})
const payment = fc.record({
  x402Version: fc.constant(2 as const),
  resource,
  accepted: requirements,
  payload: record,
  extensions: open,
})
const oldPayment = fc.record({
  x402Version: fc.constant(1 as const),
  scheme: text,
  network: text,
  payload: record,
})
const receipt = fc.record({
  success: fc.boolean(),
  errorReason: fc.option(text),
  transaction: text,
  network: text,
  payer: fc.option(text),
  extra: open,
  deadAfter: fc.option(fc.nat()),
})

const decoders: [name: string, codec: HeaderCodec<unknown>, schema: z.ZodMiniType, values: fc.Arbitrary<unknown>][] = [
  [paymentRequiredHeader.name, loose(paymentRequiredHeader), paymentRequired, required],
  [paymentSignatureHeader.name, loose(paymentSignatureHeader), paymentPayload, payment],
  [paymentResponseHeader.name, loose(paymentResponseHeader), settleResponse, receipt],
  [xPaymentHeader.name, loose(xPaymentHeader), z.union([paymentPayload, paymentPayloadV1]), fc.oneof(payment, oldPayment)],
  [xPaymentResponseHeader.name, loose(xPaymentResponseHeader), settleResponse, receipt],
]

describe.each(decoders)('%s', (_, codec, schema, values) => {
  const readsOrRefuses = (header: string) => {
    let value: unknown
    try {
      value = codec.decode(header)
    } catch (error) {
      if (!isX402Error(error) || !error.code.startsWith('headers/')) throw error
      return
    }
    expect(z.safeParse(schema, value).success).toBe(true)
    expect(header.length).toBeLessThanOrEqual(codec.limit)
  }

  test('any text is a checked value or an error of its own', { timeout }, () => {
    verifies(['A13', 'HTTP-BASE64'])
    const json = fc.jsonValue().map((value) => codec.encode(value))
    const texts = fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.base64String({ maxLength: 200 }), json)
    fc.assert(fc.property(texts, readsOrRefuses), { numRuns })
  })

  test('a valid value with a member or a letter changed is a checked value or an error of its own', { timeout }, () => {
    verifies('A13')
    const member = fc
      .tuple(values, fc.nat(), fc.jsonValue({ maxDepth: 1 }))
      .map(([value, at, put]) => codec.encode(replaced(value, at, put)))
    const letter = fc.tuple(values, fc.nat(), fc.nat({ max: 1 }), fc.string({ unit: 'binary', maxLength: 1 }))
    const mistyped = letter.map(([value, at, cut, put]) => {
      const header = codec.encode(value)
      const start = at % header.length
      return header.slice(0, start) + put + header.slice(start + cut)
    })
    fc.assert(fc.property(fc.oneof(member, mistyped), readsOrRefuses), { numRuns })
  })

  test('a valid value comes back whole', () => {
    verifies('JSON-NULL')
    fc.assert(
      fc.property(values, (value) => {
        const header = codec.encode(value)
        fc.pre(header.length <= codec.limit)
        expect(codec.decode(header)).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

/** A codec that a test may hand anything: `encode` writes any JSON. */
function loose<Value>({ encode, ...codec }: HeaderCodec<Value>): HeaderCodec<unknown> {
  return { ...codec, encode: (value) => encode(value as Value) } // encoding checks nothing
}

/** The value with the member at a random path replaced. */
function replaced(value: unknown, at: number, part: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return part
  const keys = Object.keys(value)
  const [index, deeper] = [at % (keys.length + 1), Math.floor(at / (keys.length + 1))]
  const key = keys[index]
  if (key === undefined) return part
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value }
  Reflect.set(copy, key, replaced(Reflect.get(value, key), deeper, part))
  return copy
}
