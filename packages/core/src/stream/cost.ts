import * as z from 'zod/mini'
import { formatDecimal, parseDecimal } from '../protocol/money.ts'
import type { AtomicRate } from '../protocol/rate.ts'

/**
 * An exact number of units, in 10⁻⁹ of one: seconds, bytes, tokens and their fractions stay integers (streaming.md §3.3). Counted from a
 * lane's origin, never per tick.
 */
export type Units = bigint

/** One unit, as `Units` count it. */
export const oneUnit: Units = 1_000_000_000n

const unitScale = 9
const unitsForm = /^\d{1,20}(?:\.\d{1,9})?$/
// Written so that nothing can overflow a voucher's uint128.
const rateText = /^([1-9]\d{0,38})\/([1-9]\d{0,38})$/
const mostPart = 1n << 128n

/** What so many units cost: ⌈rate · units⌉, rounded once for all of them, so that prices below one atomic unit add up exactly. */
export function costOf({ numerator, denominator }: AtomicRate, units: Units): bigint {
  return dividedUp(numerator * units, denominator * oneUnit)
}

/** The most units that do not cost more than `credit`: the inverse of `costOf`. */
export function unitsFor({ numerator, denominator }: AtomicRate, credit: bigint): Units {
  return credit <= 0n ? 0n : (credit * denominator * oneUnit) / numerator
}

/** Reads `"num/den"`, both above zero and below 2¹²⁸; nothing for other text. */
export function readAtomicRate(text: string): AtomicRate | undefined {
  const [, numerator = '0', denominator = '0'] = rateText.exec(text) ?? []
  const rate = { numerator: BigInt(numerator), denominator: BigInt(denominator) }
  return rate.numerator > 0n && rate.numerator < mostPart && rate.denominator < mostPart ? rate : undefined
}

/** Writes a rate as `"num/den"`. */
export function writeAtomicRate({ numerator, denominator }: AtomicRate): string {
  return `${numerator}/${denominator}`
}

/** Whether two rates are the same price, however their fractions are written. */
export function sameRate(a: AtomicRate, b: AtomicRate): boolean {
  return a.numerator * b.denominator === b.numerator * a.denominator
}

/** Reads a plain decimal number of units with at most 9 decimals and 20 digits before them; nothing for other text. */
export function readUnits(text: string): Units | undefined {
  const decimal = parseDecimal(text)
  if (decimal === undefined || !unitsForm.test(text)) return undefined
  return decimal.units * 10n ** BigInt(unitScale - decimal.scale)
}

/** Writes units as a plain decimal number without trailing zeros. */
export function writeUnits(units: Units): string {
  return formatDecimal({ units, scale: unitScale })
}

/** Units as a message or a header writes them. */
export const unitsText: z.ZodMiniType<Units, string> = z.pipe(
  z.string().check(z.refine((text) => readUnits(text) !== undefined, 'it is no decimal number of at most 9 decimals')),
  z.transform((text) => readUnits(text) ?? 0n),
)

const bytesOf: ReadonlyMap<string, bigint> = new Map([
  ['byte', 1n],
  ['KB', 1000n],
  ['MB', 1_000_000n],
])

/** How many bytes a unit is, where it counts bytes: KB are 1,000 of them and MB 1,000,000. */
export function bytesPerUnit(unit: string): bigint | undefined {
  return bytesOf.get(unit)
}

/** The smallest integer that is not below `dividend / divisor`. */
function dividedUp(dividend: bigint, divisor: bigint): bigint {
  return dividend <= 0n ? 0n : (dividend + divisor - 1n) / divisor
}
