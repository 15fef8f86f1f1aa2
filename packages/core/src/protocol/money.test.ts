import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDecimal, formatPrice, fromAtomic, parseDecimal, parsePrice, toAtomic } from './money.ts'

const decimals = fc.integer({ min: 0, max: 18 })
const units = fc.bigInt({ min: 0n, max: 10n ** 40n - 1n })

test('atomic units survive the way to text and back, for 0 to 18 decimals', () => {
  verifies('H53')
  fc.assert(
    fc.property(units, decimals, (amount, places) => {
      const text = formatDecimal(fromAtomic(amount, places))
      expect(text).toMatch(/^(0|[1-9]\d*)(\.\d*[1-9])?$/)
      expect(toAtomic(parsed(text), places)).toBe(amount)
    }),
  )
})

test('a decimal text survives parsing and formatting when it has no needless zeros', () => {
  fc.assert(
    fc.property(units, decimals, (amount, places) => {
      const text = formatDecimal(fromAtomic(amount, places))
      expect(formatDecimal(parsed(text))).toBe(text)
    }),
  )
})

test('a price survives formatting and parsing', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 10n ** 40n - 1n }), decimals, (amount, places) => {
      const text = formatDecimal(fromAtomic(amount, places))
      for (const price of [`$${text}`, `${text} USDC`, `${text} USDC.E`]) expect(formatPrice(parsePrice(price))).toBe(price)
    }),
  )
})

test('no digit is ever dropped: a price is exact in a token or refused', () => {
  verifies('H53')
  fc.assert(
    fc.property(units, decimals, decimals, (amount, scale, places) => {
      const asked = { units: amount, scale }
      const exact = (amount * 10n ** 18n) % 10n ** BigInt(18 + scale - places) === 0n
      if (exact) expect(toAtomic(asked, places) * 10n ** BigInt(scale)).toBe(amount * 10n ** BigInt(places))
      else expect(() => toAtomic(asked, places)).toThrow(expect.objectContaining({ code: 'config/sub-atomic' }))
    }),
  )
})

test('what a float would spoil stays exact', () => {
  expect(toAtomic(parsed('0.29'), 18)).toBe(290_000_000_000_000_000n)
  expect(toAtomic(parsed('1.005'), 6)).toBe(1_005_000n)
  expect(toAtomic(parsed('9007199254740993'), 0)).toBe(9_007_199_254_740_993n)
  expect(toAtomic(parsed('0.100000'), 1)).toBe(1n)
})

test('a price below one atomic unit is refused and says why', () => {
  expect(() => toAtomic(parsed('0.0000001'), 6)).toThrowErrorMatchingInlineSnapshot(
    `[X402Error: 0.0000001 cannot be expressed in a token with 6 decimals: the smallest step is one atomic unit, and no part of it may be dropped.]`,
  )
})

test('a loss is written with its sign', () => {
  expect(formatDecimal(fromAtomic(-10_000n, 6))).toBe('-0.01')
  expect(formatDecimal(fromAtomic(-5n, 0))).toBe('-5')
})

describe('prices as people write them', () => {
  test.each([
    ['$0.01', { amount: { units: 1n, scale: 2 }, symbol: 'USD' }],
    ['0.01', { amount: { units: 1n, scale: 2 }, symbol: 'USD' }],
    ['0.01 USD', { amount: { units: 1n, scale: 2 }, symbol: 'USD' }],
    ['0.01 USDC', { amount: { units: 1n, scale: 2 }, symbol: 'USDC' }],
    ['0.01 usdc', { amount: { units: 1n, scale: 2 }, symbol: 'USDC' }],
    ['2.5 USDC.e', { amount: { units: 25n, scale: 1 }, symbol: 'USDC.E' }],
    ['1 USD₮0', { amount: { units: 1n, scale: 0 }, symbol: 'USD₮0' }],
    ['$1', { amount: { units: 1n, scale: 0 }, symbol: 'USD' }],
    ['0.0000001 ETH', { amount: { units: 1n, scale: 7 }, symbol: 'ETH' }],
    [`$${'9'.repeat(40)}`, { amount: { units: 10n ** 40n - 1n, scale: 0 }, symbol: 'USD' }],
  ])('%s is read', (text, price) => {
    expect(parsePrice(text)).toEqual(price)
  })

  test.each([
    ['nothing', ''],
    ['a blank', ' '],
    ['a $ alone', '$'],
    ['a glued symbol', '0.01USDC'],
    ['a minus', '-0.01'],
    ['a minus after the $', '$-1'],
    ['a plus', '+1'],
    ['an exponent', '1e-2'],
    ['a comma', '0,01'],
    ['thousands', '1,000'],
    ['an underscore', '1_000'],
    ['a blank before', ' 0.01'],
    ['a blank after', '0.01 '],
    ['a blank after the $', '$ 0.01'],
    ['two blanks', '0.01  USDC'],
    ['a line feed after', '0.01\n'],
    ['a point without digits before', '.5'],
    ['a point without digits after', '5.'],
    ['two points', '1.2.3'],
    ['two symbols', '0.01 USD USDC'],
    ['two dollars', '$$1'],
    ['a number for a symbol', '0.01 5'],
    ['hexadecimal', '0x10'],
    ['other digits', '٠.٠١'],
    ['infinity', 'Infinity'],
    ['not a number', 'NaN'],
    ['a huge number', `$${'9'.repeat(41)}`],
    ['a megabyte', '9'.repeat(1_000_000)],
    ['a huge fraction', `$0.${'0'.repeat(40)}1`],
  ])('%s is refused', (_, text) => {
    expect(() => parsePrice(text)).toThrow(expect.objectContaining({ code: 'config/bad-price' }))
  })

  test.each([
    ['$1 USDC', 'it has both a $ and a symbol'],
    ['$0', 'a price is more than zero'],
    ['0.000 USDC', 'a price is more than zero'],
    ['free', 'it must be a plain decimal number with a $ before or a symbol after it'],
  ])('%s is refused with its reason', (text, why) => {
    expect(() => parsePrice(text)).toThrow(expect.objectContaining({ code: 'config/bad-price', context: { price: text, why } }))
  })
})

function parsed(text: string) {
  const amount = parseDecimal(text)
  if (amount === undefined) throw new Error(`${text} is no decimal`)
  return amount
}
