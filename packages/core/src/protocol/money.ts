import { coreErrors } from './errors.ts'

/** An exact decimal number: `units / 10^scale`. */
export type Decimal = { readonly units: bigint; readonly scale: number }

/** What a seller asks: an exact number of a currency (`USD`) or of a token by its symbol (`USDC`). */
export type Price = { readonly amount: Decimal; readonly symbol: string }

// No amount of a token with 18 decimals leaves a uint256 this way.
const decimalText = /^(\d{1,40})(?:\.(\d{1,40}))?$/
const priceText = /^(\$?)([^\s$]+)(?: ([A-Za-z][A-Za-z0-9.₮]{0,11}))?$/u

/** Reads a plain decimal number, or gives nothing: no sign, exponent, separator or blank, and at most 40 digits on each side of the point. */
export function parseDecimal(text: string): Decimal | undefined {
  const match = decimalText.exec(text)
  if (match === null) return undefined
  const fraction = match[2] ?? ''
  return { units: BigInt(`${match[1]}${fraction}`), scale: fraction.length }
}

/** Writes an exact decimal number without trailing zeros: `0.01`, `5`. */
export function formatDecimal({ units, scale }: Decimal): string {
  if (units < 0n) return `-${formatDecimal({ units: -units, scale })}`
  const digits = units.toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return fraction === '' ? whole : `${whole}.${fraction}`
}

/**
 * Reads a price as people write it: `"$0.01"`, `"0.01"`, `"0.01 USD"` or `"0.01 USDC"`. Zero is no price.
 *
 * Errors: `config/bad-price`.
 */
export function parsePrice(text: string): Price {
  const price = readPrice(text)
  if ('why' in price) throw coreErrors('config/bad-price', { price: text, why: price.why })
  return price
}

/** As `parsePrice`, with what is wrong as a value. */
export function readPrice(text: string): Price | { readonly why: string } {
  const match = priceText.exec(text)
  const amount = parseDecimal(match?.[2] ?? '')
  if (match === null || amount === undefined) return { why: 'it must be a plain decimal number with a $ before or a symbol after it' }
  if (match[1] === '$' && match[3] !== undefined) return { why: 'it has both a $ and a symbol' }
  if (amount.units === 0n) return { why: 'a price is more than zero' }
  return { amount, symbol: match[3]?.toUpperCase() ?? 'USD' }
}

/** Writes a price as people read it: `$0.01`, `0.01 USDC`. */
export function formatPrice({ amount, symbol }: Price): string {
  return symbol === 'USD' ? `$${formatDecimal(amount)}` : `${formatDecimal(amount)} ${symbol}`
}

/**
 * The atomic units of an exact decimal in a token with `decimals` decimals; nothing is ever rounded.
 *
 * Errors: `config/sub-atomic` when the number has more digits than the token.
 */
export function toAtomic(amount: Decimal, decimals: number): bigint {
  if (amount.scale <= decimals) return amount.units * 10n ** BigInt(decimals - amount.scale)
  const divisor = 10n ** BigInt(amount.scale - decimals)
  if (amount.units % divisor !== 0n) throw coreErrors('config/sub-atomic', { amount: formatDecimal(amount), decimals })
  return amount.units / divisor
}

/** The exact decimal of atomic units in a token with `decimals` decimals. */
export function fromAtomic(units: bigint, decimals: number): Decimal {
  return { units, scale: decimals }
}
