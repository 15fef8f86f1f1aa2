import { coreErrors, isX402Error } from './errors.ts'
import { type Decimal, formatPrice, type Price, parsePrice } from './money.ts'

/** A price per unit: `0.01 USD/second`. `per` units cost `price`, so a price per minute is `per: 60n` of `second`. */
export type Rate = { readonly price: Price; readonly unit: string; readonly per: bigint }

/** An exact number of atomic units per unit: `numerator / denominator` (streaming.md §3.3). */
export type AtomicRate = { readonly numerator: bigint; readonly denominator: bigint }

const unitText = /^[A-Za-z][A-Za-z0-9-]{0,31}$/
const seconds: Record<string, bigint> = { second: 1n, minute: 60n, hour: 3600n, day: 86_400n }

/**
 * Reads a rate as people write it: `"0.01 USD/second"`, `"$0.6/minute"`, `"0.50 USD/view"`, `"0.0000001 USDC/token"`.
 * Minutes, hours and days become seconds exactly.
 *
 * Errors: `config/bad-rate`.
 */
export function parseRate(text: string): Rate {
  const slash = text.lastIndexOf('/')
  const unit = text.slice(slash + 1).trim()
  if (slash < 0 || !unitText.test(unit)) throw coreErrors('config/bad-rate', { rate: text, why: 'it needs a unit after a slash' })
  try {
    const price = parsePrice(text.slice(0, slash).trim())
    const per = seconds[unit.toLowerCase()]
    return per === undefined ? { price, unit, per: 1n } : { price, unit: 'second', per }
  } catch (error) {
    if (isX402Error(error, 'config/bad-price')) throw coreErrors('config/bad-rate', { rate: text, why: error.message })
    throw error
  }
}

/** Writes a rate as people read it: `0.01 USD/second`; the words `minute` and `hour` come back where they are exact. */
export function formatRate({ price, unit, per }: Rate): string {
  const word = unit === 'second' ? Object.entries(seconds).find(([, length]) => length === per)?.[0] : unit
  const money = formatPrice(price)
  return `${money.startsWith('$') ? `${money.slice(1)} USD` : money}/${word ?? unit}`
}

/** The exact atomic rate in a token with `decimals` decimals; prices below one atomic unit stay exact. */
export function toAtomicRate(rate: Rate, decimals: number): AtomicRate {
  const { units, scale }: Decimal = rate.price.amount
  return reduce({ numerator: units * 10n ** BigInt(decimals), denominator: 10n ** BigInt(scale) * rate.per })
}

function reduce({ numerator, denominator }: AtomicRate): AtomicRate {
  let [a, b] = [numerator, denominator]
  while (b !== 0n) [a, b] = [b, a % b]
  return { numerator: numerator / a, denominator: denominator / a }
}
