import {
  type Asset,
  assetId,
  type BudgetLimit,
  coinOf,
  coreErrors,
  findAsset,
  formatAmount,
  formatPrice,
  parseDecimal,
  parsePrice,
  sameAddress,
  toAtomic,
} from '@flow402x/core'
import type { Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { BudgetOptions } from './options.ts'

/** A limit of a budget store, and how its units are shown. */
export type Limit = BudgetLimit & { readonly show: (units: bigint) => string }

/** What may be paid in and how much of it. */
export type Limits = {
  /** The asset an offer names by address, if it may be paid in. */
  asset(network: string, address: string): Asset | undefined
  /** Why an amount is more than one payment may cost, or nothing. */
  tooMuch(asset: Asset, amount: bigint): string | undefined
  /** What is set aside for these terms: in dollars, in the asset itself, or both. */
  parts(terms: Terms): readonly { readonly amount: bigint; readonly limits: readonly Limit[] }[]
  readonly total: Limit
  today(): Limit | undefined
  /** The totals in an asset itself, by its CAIP-19 id. */
  readonly caps: ReadonlyMap<string, Limit>
}

type Known = Limits['asset']
type Cap = { readonly perPayment: bigint; readonly total: Limit }

/** Dollars are counted in parts of 10^-18, which every asset worth a dollar divides exactly. */
const dollarDecimals = 18

/** Reads the limits of a budget; prices, caps and assets are checked here. Errors: `client/bad-option`, `config/…`. */
export function readLimits(options: {
  readonly budget: BudgetOptions
  readonly assets: readonly Asset[]
  readonly now: () => number
}): Limits {
  const { budget, now } = options
  const asset = knownAssets(options.assets)
  const perPayment = dollars('perPayment', budget.perPayment ?? '$1')
  const total = limit('usd:total', dollars('total', budget.total ?? '$10'))
  const perDay = budget.perDay === undefined ? undefined : dollars('perDay', budget.perDay)
  const perOrigin = budget.perOrigin === undefined ? undefined : dollars('perOrigin', budget.perOrigin)
  const caps = new Map(Object.entries(budget.caps ?? {}).map(([id, cap]) => readCap(id, { ...cap, asset })))
  const today = () => (perDay === undefined ? undefined : limit(`usd:day:${new Date(now()).toISOString().slice(0, 10)}`, perDay))

  return {
    asset,
    total,
    today,
    caps: new Map([...caps].map(([id, cap]) => [id, cap.total])),
    tooMuch(paid, amount) {
      const cap = caps.get(assetId(paid))
      if (paid.currency !== 'USD' && cap === undefined) return `no cap is set for ${assetId(paid)}`
      if (cap !== undefined && amount > cap.perPayment) return `more than the cap of ${formatAmount(cap.perPayment, paid)} a payment`
      const over = paid.currency === 'USD' && inDollars(paid, amount) > perPayment
      return over ? `more than the cap of ${showDollars(perPayment)} a payment` : undefined
    },
    parts({ asset: paid, amount, url }) {
      const cap = caps.get(assetId(paid))
      const own = cap === undefined ? [] : [{ amount, limits: [cap.total] }]
      if (paid.currency !== 'USD') return own
      const origin = perOrigin === undefined ? undefined : limit(`usd:origin:${new URL(url).origin}`, perOrigin)
      const limits = [total, today(), origin].filter((each) => each !== undefined)
      return [{ amount: inDollars(paid, amount), limits }, ...own]
    },
  }
}

function limit(scope: string, most: bigint): Limit {
  return { scope, limit: most, show: showDollars }
}

function inDollars({ decimals }: Asset, amount: bigint): bigint {
  return amount * 10n ** BigInt(dollarDecimals - decimals)
}

function showDollars(units: bigint): string {
  return formatPrice({ amount: { units, scale: dollarDecimals }, symbol: 'USD' })
}

function dollars(option: string, text: string): bigint {
  const price = parsePrice(text)
  if (price.symbol === 'USD') return toAtomic(price.amount, dollarDecimals)
  throw clientErrors('client/bad-option', {
    option: `budget.${option}`,
    why: `"${text}" is not in dollars; limits in an asset itself are "caps"`,
  })
}

function readCap(text: string, cap: { readonly perPayment: string; readonly total: string; readonly asset: Known }): [string, Cap] {
  const [network = '', token = ''] = text.split('/')
  const coin = coinOf(network)
  const isCoin = coin !== undefined && assetId(coin) === text
  const asset = isCoin ? coin : cap.asset(network, token.slice(token.indexOf(':') + 1))
  if (asset === undefined) throw coreErrors('config/unknown-asset', { network, asset: text })
  const units = (value: string) => {
    const decimal = parseDecimal(value)
    if (decimal !== undefined) return toAtomic(decimal, asset.decimals)
    throw clientErrors('client/bad-option', { option: `budget.caps.${text}`, why: `"${value}" is no plain decimal number` })
  }
  const id = assetId(asset)
  const total = { scope: `asset:${id}`, limit: units(cap.total), show: (value: bigint) => formatAmount(value, asset) }
  return [id, { perPayment: units(cap.perPayment), total }]
}

function knownAssets(own: readonly Asset[]): Known {
  for (const asset of own) {
    const listed = findAsset(asset.network, asset.address)
    const bad = (why: string) => clientErrors('client/bad-option', { option: 'assets', why: `${assetId(asset)} ${why}` })
    if (!Number.isInteger(asset.decimals) || asset.decimals < 0 || asset.decimals > dollarDecimals) throw bad('needs 0 to 18 decimals')
    if (listed !== undefined && listed.decimals !== asset.decimals) throw bad(`has ${listed.decimals} decimals and not ${asset.decimals}`)
  }
  return (network, address) => {
    const found = own.find((asset) => asset.network === network && sameAddress(asset.address, address))
    if (found !== undefined) return found
    // `findAsset` also knows symbols; an offer names its asset by address and by nothing else.
    const listed = findAsset(network, address)
    return listed !== undefined && sameAddress(listed.address, address) ? listed : undefined
  }
}
