import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDecimal, parsePrice } from './money.ts'
import { formatRate, parseRate, toAtomicRate } from './rate.ts'

test.each([
  ['0.01 USD/second', { price: parsePrice('$0.01'), unit: 'second', per: 1n }],
  ['$0.01/second', { price: parsePrice('$0.01'), unit: 'second', per: 1n }],
  ['0.6 USD/minute', { price: parsePrice('$0.6'), unit: 'second', per: 60n }],
  ['36 USDC/hour', { price: parsePrice('36 USDC'), unit: 'second', per: 3600n }],
  ['1 USD/day', { price: parsePrice('$1'), unit: 'second', per: 86_400n }],
  ['0.50 USD/view', { price: parsePrice('$0.50'), unit: 'view', per: 1n }],
  ['$0.0000001/token', { price: parsePrice('$0.0000001'), unit: 'token', per: 1n }],
  ['0.01 USD / Second', { price: parsePrice('$0.01'), unit: 'second', per: 1n }],
  ['1 USD/constructor', { price: parsePrice('$1'), unit: 'constructor', per: 1n }],
])('%s is read', (text, rate) => {
  expect(parseRate(text)).toEqual(rate)
})

test.each([
  ['no unit', '0.01 USD', 'it needs a unit after a slash'],
  ['an empty unit', '0.01 USD/', 'it needs a unit after a slash'],
  ['a number for a unit', '0.01 USD/60', 'it needs a unit after a slash'],
  ['a unit of two words', '0.01 USD/per second', 'it needs a unit after a slash'],
  ['a long unit', `0.01 USD/${'x'.repeat(33)}`, 'it needs a unit after a slash'],
  ['no price', '/second', 'before the slash, it must be a plain decimal number with a $ before or a symbol after it'],
  ['two units', '1 USD/token/second', 'before the slash, it must be a plain decimal number with a $ before or a symbol after it'],
  ['zero', '0 USD/second', 'before the slash, a price is more than zero'],
])('%s is refused', (_, text, why) => {
  expect(() => parseRate(text)).toThrow(expect.objectContaining({ code: 'config/bad-rate', context: { rate: text, why } }))
})

test('a rate survives formatting and parsing', () => {
  const unit = fc.constantFrom('second', 'minute', 'hour', 'day', 'view', 'token', 'byte', 'Mb-1')
  const symbol = fc.constantFrom('USD', 'USDC', 'ETH')
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 10n ** 30n }), fc.integer({ min: 0, max: 18 }), symbol, unit, (units, scale, money, word) => {
      const text = `${formatDecimal({ units, scale })} ${money}/${word}`
      expect(formatRate(parseRate(text))).toBe(text)
    }),
  )
})

test('a rate that no word of time fits says how many units it is for', () => {
  expect(formatRate({ price: parsePrice('$1'), unit: 'token', per: 1_000_000n })).toBe('1 USD/1000000 token')
  expect(formatRate({ price: parsePrice('$1'), unit: 'second', per: 30n })).toBe('1 USD/30 second')
})

describe('atomic rates', () => {
  test.each([
    ['0.01 USD/second', 6, { numerator: 10_000n, denominator: 1n }],
    ['0.01 USD/minute', 6, { numerator: 500n, denominator: 3n }],
    ['1 USD/hour', 6, { numerator: 2500n, denominator: 9n }],
    ['$0.0000001/token', 6, { numerator: 1n, denominator: 10n }],
    ['0.01 DAI/second', 18, { numerator: 10n ** 16n, denominator: 1n }],
    ['1 GBP/second', 0, { numerator: 1n, denominator: 1n }],
  ])('%s with %i decimals is exact', (text, decimals, rate) => {
    expect(toAtomicRate(parseRate(text), decimals)).toEqual(rate)
  })

  test('sixty seconds cost what a minute costs', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 10n ** 20n }),
        fc.integer({ min: 0, max: 18 }),
        fc.integer({ min: 0, max: 18 }),
        (units, scale, decimals) => {
          const { numerator, denominator } = toAtomicRate(parseRate(`${formatDecimal({ units, scale })} USD/minute`), decimals)
          expect(60n * numerator * 10n ** BigInt(scale)).toBe(units * 10n ** BigInt(decimals) * denominator)
        },
      ),
    )
  })
})
