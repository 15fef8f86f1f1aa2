import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseRate, toAtomicRate } from '../protocol/rate.ts'
import {
  bytesPerUnit,
  costOf,
  oneUnit,
  readAtomicRate,
  readUnits,
  sameRate,
  unitsFor,
  unitsText,
  writeAtomicRate,
  writeUnits,
} from './cost.ts'

const rates = fc.record({ numerator: fc.bigInt(1n, (1n << 128n) - 1n), denominator: fc.bigInt(1n, (1n << 128n) - 1n) })
const units = fc.bigInt(0n, 10n ** 29n - 1n)

describe('what units cost', () => {
  it('counts from the origin: ten thousand tokens at a tenth of an atomic unit are a thousand, however they come', () => {
    verifies('FS1-COST')
    verifies('T3')
    const tenth = toAtomicRate(parseRate('0.0000001 USD/token'), 6)
    expect(costOf(tenth, 10_000n * oneUnit)).toBe(1000n)
    let [granted, steps] = [0n, 0n]
    for (let token = 1n; token <= 10_000n; token++) {
      const due = costOf(tenth, token * oneUnit)
      steps += due > granted ? due - granted : 0n
      granted = due
    }
    expect(steps).toBe(1000n)
  })

  it('rounds up once, and never lets a credit buy what costs more', () => {
    verifies('FS1-COST')
    fc.assert(
      fc.property(rates, units, fc.bigInt(0n, (1n << 128n) - 1n), (rate, bought, credit) => {
        const cost = costOf(rate, bought)
        const exact = rate.numerator * bought
        expect(cost * rate.denominator * oneUnit >= exact && (cost - 1n) * rate.denominator * oneUnit < exact).toBe(true)
        expect(unitsFor(rate, cost) >= bought).toBe(true)
        const most = unitsFor(rate, credit)
        expect(costOf(rate, most) <= credit).toBe(true)
        expect(costOf(rate, most + 1n) > credit).toBe(true)
      }),
    )
  })

  it('gives nothing for nothing', () => {
    const rate = { numerator: 10_000n, denominator: 1n }
    expect([costOf(rate, 0n), unitsFor(rate, 0n), unitsFor(rate, -1n)]).toEqual([0n, 0n, 0n])
  })
})

describe('how rates and units are written', () => {
  it('reads back what it writes', () => {
    fc.assert(
      fc.property(rates, (rate) => {
        expect(readAtomicRate(writeAtomicRate(rate))).toEqual(rate)
      }),
    )
    fc.assert(
      fc.property(units, (some) => {
        expect(readUnits(writeUnits(some))).toBe(some)
      }),
    )
  })

  it('refuses what FS/1 does not allow', () => {
    for (const text of ['1', '0/1', '1/0', '-1/2', '01/2', '1/2/3', `${1n << 128n}/1`, `1/${1n << 128n}`, '1.5/1']) {
      expect(readAtomicRate(text)).toBeUndefined()
    }
    for (const text of ['', '1e3', '-1', '0.0000000001', '123456789012345678901', ' 1']) {
      expect([readUnits(text), unitsText.safeParse(text).success]).toEqual([undefined, false])
    }
    expect(unitsText.parse('17.02')).toBe(17_020_000_000n)
  })

  it('knows a rate however its fraction is written', () => {
    expect(sameRate({ numerator: 1n, denominator: 2n }, { numerator: 2n, denominator: 4n })).toBe(true)
    expect(sameRate({ numerator: 1n, denominator: 2n }, { numerator: 2n, denominator: 3n })).toBe(false)
  })

  it('knows which units are bytes', () => {
    expect(['byte', 'KB', 'MB', 'second', 'frame'].map(bytesPerUnit)).toEqual([1n, 1000n, 1_000_000n, undefined, undefined])
  })
})
