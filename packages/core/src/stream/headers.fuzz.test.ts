import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { isX402Error } from '../protocol/errors.ts'
import type { HeaderCodec } from '../protocol/headers.ts'
import { readUnits } from './cost.ts'
import { sidOfBytes } from './frames.ts'
import {
  laneHeader,
  networkHeader,
  paymentAddressHeader,
  paymentPassHeader,
  paymentRateHeader,
  paymentRemainingHeader,
  paymentResumeHeader,
  paymentStreamHeader,
  paymentTokenHeader,
} from './headers.ts'

const units = fc.bigInt(0n, 10n ** 20n)
const sid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(sidOfBytes)
const mac = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(sidOfBytes)
const path = fc.stringMatching(/^\/[a-z0-9._~?=&-]{0,40}$/)
const maybe = <Value>(some: fc.Arbitrary<Value>) => fc.option(some, { nil: undefined })
const params = fc.record({
  v: fc.constant('1'),
  clock: maybe(fc.constantFrom('wall' as const, 'media' as const)),
  buy: maybe(units),
  tick: maybe(units),
  window: maybe(units),
  'max-window': maybe(units),
  'tick-url': maybe(path),
  ws: maybe(path),
  refundable: maybe(fc.boolean()),
  sid: maybe(sid),
  ttl: maybe(fc.nat({ max: 1e9 }).map((ms) => ms / 1000)),
  until: maybe(fc.nat()),
})
const list = (item: RegExp) => fc.array(fc.stringMatching(item), { minLength: 1, maxLength: 4 })

const codecs: [name: string, codec: HeaderCodec<unknown>, values: fc.Arbitrary<unknown>][] = [
  ['Payment-Address', loose(paymentAddressHeader), list(/^[!-+\--~]{1,44}$/)],
  ['Payment-Token', loose(paymentTokenHeader), list(/^eip155:\d{1,9}\/erc20:0x[0-9a-f]{40}$/)],
  ['Network', loose(networkHeader), list(/^[A-Za-z][A-Za-z0-9-]{0,20}$/)],
  ['Payment-Remaining', loose(paymentRemainingHeader), units],
  ['Payment-Resume', loose(paymentResumeHeader), fc.record({ sid, from: units })],
  ['Flow402x-Lane', loose(laneHeader), fc.record({ body: sid, mac })],
  ['Payment-Pass', loose(paymentPassHeader), fc.record({ body: fc.stringMatching(/^[A-Za-z0-9_-]{1,200}$/), mac })],
  ['Payment-Stream', loose(paymentStreamHeader), params],
]

describe.each(codecs)('%s', (_, codec, values) => {
  test('reads back what it writes', () => {
    verifies('FS1-HEADERS')
    fc.assert(
      fc.property(values, (value) => {
        expect(codec.decode(codec.encode(value))).toEqual(value)
      }),
      { numRuns: 500 },
    )
  })

  test('answers anything with a value or with its own error, and writes again what it took', () => {
    verifies('FS1-HEADERS')
    const near = values.chain((value) => {
      const text = codec.encode(value)
      return fc
        .tuple(fc.nat(text.length), fc.string({ unit: 'binary', maxLength: 3 }))
        .map(([at, more]) => text.slice(0, at) + more + text.slice(at + more.length))
    })
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: 'binary', maxLength: 600 })), (text) => {
        try {
          const value = codec.decode(text)
          expect(codec.decode(codec.encode(value))).toEqual(value)
        } catch (error) {
          expect(isX402Error(error) && ['stream/bad-header', 'headers/too-large'].includes(error.code)).toBe(true)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('reads nothing that is longer than it may be', () => {
    verifies('FS1-HEADERS')
    expect(() => codec.decode('a'.repeat(codec.limit + 1))).toThrow(expect.objectContaining({ code: 'headers/too-large' }))
  })
})

describe('Payment-Stream', () => {
  it('reads the example of the specification', () => {
    verifies('FS1-HEADERS')
    const text = 'v=1; clock=wall; buy=5; tick=1; window=2; max-window=30; tick-url="/live/tick"; refundable=1'
    expect(paymentStreamHeader.decode(text)).toEqual({
      v: '1',
      clock: 'wall',
      buy: readUnits('5'),
      tick: readUnits('1'),
      window: readUnits('2'),
      'max-window': readUnits('30'),
      'tick-url': '/live/tick',
      refundable: true,
    })
    expect(paymentStreamHeader.encode(paymentStreamHeader.decode(text))).toBe(text)
  })

  it('ignores keys that it does not know, and refuses what stands twice', () => {
    verifies('FS1-HEADERS')
    expect(paymentStreamHeader.decode('v=1;colour="a; b=c";x-1=2')).toEqual({ v: '1' })
    for (const text of ['v=1; v=1', 'v=1; buy=5; buy=5', 'v=1; colour=a; colour=b']) expect(refuses(text)).toBe(true)
  })

  it.each([
    ['', 'v', 'v=1;', 'v=1 clock=wall', 'v="1', 'V=1', 'clock=wall'],
    ['v=1; clock=cpu', 'v=1; buy=-1', 'v=1; buy=1e3', 'v=1; refundable=yes', 'v=1; buy=0.0000000001'],
    ['v=1; tick-url="//evil.example/"', 'v=1; tick-url="https://evil.example/"', 'v=1; tick-url="/\\evil.example"', 'v=1; ws="/a b"'],
    ['v=1; sid="short"', `v=1; sid="${'A'.repeat(21)}B"`, `v=1; sid="${'A'.repeat(23)}"`],
  ])('refuses %s and its like', (...texts) => {
    verifies('FS1-HEADERS')
    expect(texts.filter((text) => !refuses(text))).toEqual([])
  })

  it('never says that credit lasts longer than it does', () => {
    expect(paymentStreamHeader.encode({ v: '1', ttl: 1.9999999 })).toBe('v=1; ttl=1.9999999')
    expect(paymentStreamHeader.encode({ v: '1', ttl: 1e-7 })).toBe('v=1; ttl=0')
  })
})

describe('Payment-Rate', () => {
  it('is read and written as people do', () => {
    verifies('FS1-HEADERS')
    for (const text of ['0.01 USD/second', '0.5 USD/view', '0.0000001 USDC/token', '1 USD/MB', '0.2 USD/frame']) {
      expect(paymentRateHeader.encode(paymentRateHeader.decode(text))).toBe(text)
    }
    expect(paymentRateHeader.decode('0.6 USD/minute')).toMatchObject({ unit: 'second', per: 60n })
  })

  it.each(['$0.01/second', '0.01/second', '0.01  USD/second', '0 USD/second', '1e3 USD/second', '0.01 USD', '0.01 USD/', 'USD/second'])(
    'refuses %s',
    (text) => {
      verifies('FS1-HEADERS')
      expect(() => paymentRateHeader.decode(text)).toThrow(expect.objectContaining({ code: 'stream/bad-header' }))
    },
  )
})

it('writes nothing that its reader would refuse', () => {
  const bad = expect.objectContaining({ code: 'stream/bad-header' })
  expect(() => paymentAddressHeader.encode(['a, b'])).not.toThrow()
  expect(() => paymentAddressHeader.encode(['a b'])).toThrow(bad)
  expect(() => paymentStreamHeader.encode({ v: '1', 'tick-url': '//evil.example' })).toThrow(bad)
  expect(() => laneHeader.encode({ body: 'AAAA', mac: 'AAAA' })).toThrow(bad)
})

function refuses(text: string): boolean {
  try {
    paymentStreamHeader.decode(text)
    return false
  } catch (error) {
    return isX402Error(error, 'stream/bad-header')
  }
}

function loose<Value>(codec: HeaderCodec<Value>): HeaderCodec<unknown> {
  // Each codec is given only the values of its own row.
  return codec as HeaderCodec<unknown>
}
