import { type Asset, parseDecimal } from '@flow402x/core'
import { evmErrors } from '../chain/errors.ts'

/**
 * What was used of a ceiling, in atomic units, as a handler says it (wire.md §5.4): `"12.5%"` of it or `"$0.004"`, both rounded down, or
 * atomic units. Errors: `evm/bad-usage` for more than the ceiling, and for anything else.
 */
export function amountUsed(used: string, { ceiling, asset }: { readonly ceiling: bigint; readonly asset: Asset }): bigint {
  const amount = readUsage(used, { ceiling, asset })
  if (amount === undefined || amount > ceiling) throw evmErrors('evm/bad-usage', { used: used.slice(0, 80), ceiling: `${ceiling}` })
  return amount
}

function readUsage(used: string, { ceiling, asset }: { readonly ceiling: bigint; readonly asset: Asset }): bigint | undefined {
  const [, dollars, digits, percent] = /^(?:\$(.+)|(\d{1,78})|(\d{1,3}(?:\.\d{1,2})?)%)$/.exec(used) ?? []
  if (digits !== undefined) return BigInt(digits)
  const number = parseDecimal(dollars ?? percent ?? '')
  if (number === undefined) return undefined
  const whole = percent === undefined ? 10n ** BigInt(asset.decimals) : ceiling
  const parts = 10n ** BigInt(number.scale) * (percent === undefined ? 1n : 100n)
  return percent === undefined && asset.currency !== 'USD' ? undefined : (number.units * whole) / parts
}
