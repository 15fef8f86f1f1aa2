import { coreErrors } from './errors.ts'
import { formatPrice, type Price, readPrice } from './money.ts'

/** A price per unit: `0.01 USD/second`. `per` units cost `price`, so a price per minute is `per: 60n` of `second`. */
export type Rate = { readonly price: Price; readonly unit: string; readonly per: bigint }

/** An exact number of atomic units per unit: `numerator / denominator` (streaming.md §3.3). */
export type AtomicRate = { readonly numerator: bigint; readonly denominator: bigint }

const unitText = /^[A-Za-z][A-Za-z0-9-]{0,31}$/
const seconds = new Map([
  ['second', 1n],
  ['minute', 60n],
  ['hour', 3600n],
  ['day', 86_400n],
])

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
  const price = readPrice(text.slice(0, slash).trim())
  if ('why' in price) throw coreErrors('config/bad-rate', { rate: text, why: `before the slash, ${price.why}` })
  const per = seconds.get(unit.toLowerCase())
  return per === undefined ? { price, unit, per: 1n } : { price, unit: 'second', per }
}

/** Writes a rate as people read it: `0.01 USD/second`; the words `minute`, `hour` and `day` come back. */
export function formatRate({ price, unit, per }: Rate): string {
  const word = unit === 'second' ? [...seconds].find(([, length]) => length === per)?.[0] : undefined
  const money = formatPrice(price)
  return `${money.startsWith('$') ? `${money.slice(1)} USD` : money}/${word ?? (per === 1n ? unit : `${per} ${unit}`)}`
}

/** The exact atomic rate in a token with `decimals` decimals; prices below one atomic unit stay exact. */
export function toAtomicRate(rate: Rate, decimals: number): AtomicRate {
  const { units, scale } = rate.price.amount
  return reduce({ numerator: units * 10n ** BigInt(decimals), denominator: 10n ** BigInt(scale) * rate.per })
}

function reduce({ numerator, denominator }: AtomicRate): AtomicRate {
  let [a, b] = [numerator, denominator]
  while (b !== 0n) [a, b] = [b, a % b]
  return { numerator: numerator / a, denominator: denominator / a }
}
