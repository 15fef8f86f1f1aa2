import { type Asset, formatDecimal, fromAtomic, parsePrice, priceInAsset } from '@flow402x/core'
import { oneUnit, type Units } from '@flow402x/core/stream'

/** Atomic units of what is paid in, as dollars, with so many digits that the least step can be seen. */
export function dollars(amount: bigint, { asset, digits = 2 }: { readonly asset: Asset; readonly digits?: number }): string {
  const [whole, fraction = ''] = formatDecimal(fromAtomic(amount, asset.decimals)).split('.')
  return `$${whole}.${fraction.padEnd(digits, '0').slice(0, digits)}`
}

/** Dollars that somebody typed, in atomic units. Errors: `config/bad-price`, `config/sub-atomic`. */
export function typed(text: string, asset: Asset): bigint {
  return priceInAsset(parsePrice(`$${text.trim().replace(/^\$/, '').replace(',', '.')}`), asset)
}

/** Exactly these atomic units, as a price in dollars. */
export function priceOf(amount: bigint, asset: Asset): string {
  return `$${formatDecimal(fromAtomic(amount, asset.decimals))}`
}

/** A number of units as people read it: seconds with one digit, what is counted without. */
export function counted(units: Units, unit: string): string {
  const tenths = (units * 10n) / oneUnit
  return unit === 'second' || /^[KM]B$/.test(unit) ? `${tenths / 10n}.${tenths % 10n}` : `${units / oneUnit}`
}
