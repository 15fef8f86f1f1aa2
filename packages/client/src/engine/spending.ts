import {
  type Asset,
  assetId,
  type BudgetLimit,
  type BudgetStore,
  coreErrors,
  findAsset,
  formatAmount,
  formatPrice,
  parseDecimal,
  parsePrice,
  sameAddress,
  toAtomic,
} from '@flow402x/core'
import { memoryBudget } from './budget.ts'
import type { Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { BudgetOptions } from './options.ts'

/** One limit of a budget and what is used of it, as people read it: `reserved` may still be spent, `committed` is. */
export type Spent = { readonly limit: string; readonly reserved: string; readonly committed: string; readonly left: string }

/** What is used of a budget: in dollars, today where there is a daily limit, and per asset with a cap of its own. */
export type Spending = { readonly total: Spent; readonly today?: Spent; readonly caps: Readonly<Record<string, Spent>> }

/** The budget of one client: which assets, how much, and what was reserved, spent and kept. */
export type Purse = {
  /** The asset an offer names by address, if it may be paid in. */
  asset(network: string, address: string): Asset | undefined
  /** Why an amount is more than one payment may cost, or nothing. */
  tooMuch(asset: Asset, amount: bigint): string | undefined
  /** Sets the amount of these terms aside. Errors: `client/over-budget`. */
  reserve(id: string, terms: Terms): Promise<void>
  commit(id: string): Promise<void>
  release(id: string): Promise<void>
  /** The outcome is unknown: it stays reserved until `deadAfter` (Unix seconds) and counts as spent from then on (M32). */
  keep(id: string, deadAfter: number): void
  spent(): Promise<Spending>
}

type Limit = BudgetLimit & { readonly show: (units: bigint) => string }
type Cap = { readonly asset: Asset; readonly perPayment: bigint; readonly total: Limit }

/** Dollars are counted in parts of 10^-18, which every asset worth a dollar divides exactly. */
const dollarDecimals = 18

/** Makes the budget of a client; prices and assets are checked here. */
export function createPurse(options: {
  readonly budget: BudgetOptions
  readonly assets: readonly Asset[]
  readonly now: () => number
}): Purse {
  const { budget, now } = options
  const assets = checkAssets(options.assets)
  const store: BudgetStore = budget.store ?? memoryBudget()
  const perPayment = dollars('perPayment', budget.perPayment ?? '$1')
  const total = dollars('total', budget.total ?? '$10')
  const perDay = budget.perDay === undefined ? undefined : dollars('perDay', budget.perDay)
  const perOrigin = budget.perOrigin === undefined ? undefined : dollars('perOrigin', budget.perOrigin)
  const caps = new Map(Object.entries(budget.caps ?? {}).map(([id, cap]) => readCap(id, cap, known)))
  const kept = new Map<string, number>()

  function known(network: string, address: string): Asset | undefined {
    const own = assets.find((asset) => asset.network === network && sameAddress(asset.address, address))
    if (own !== undefined) return own
    // `findAsset` also knows symbols; an offer names its asset by address and by nothing else.
    const listed = findAsset(network, address)
    return listed !== undefined && sameAddress(listed.address, address) ? listed : undefined
  }

  const today = () => `usd:day:${new Date(now()).toISOString().slice(0, 10)}`

  function limitsOf({ asset, amount, url }: Terms): { readonly amount: bigint; readonly limits: readonly Limit[] }[] {
    const cap = caps.get(assetId(asset))
    const own = cap === undefined ? [] : [{ amount, limits: [cap.total] }]
    if (asset.currency !== 'USD') return own
    const limits = [
      limit('usd:total', total),
      ...(perDay === undefined ? [] : [limit(today(), perDay)]),
      ...(perOrigin === undefined ? [] : [limit(`usd:origin:${new URL(url).origin}`, perOrigin)]),
    ]
    return [{ amount: inDollars(asset, amount), limits }, ...own]
  }

  /** What stayed unknown until its signature died counts as spent (M32). */
  async function commitDead(): Promise<void> {
    const seconds = now() / 1000
    const dead = [...kept].filter(([, deadAfter]) => deadAfter < seconds)
    for (const [id] of dead) await purse.commit(id)
  }

  async function view({ scope, limit: most, show }: Limit): Promise<Spent> {
    const { reserved, committed } = await store.use(scope)
    const left = most - reserved - committed
    return { limit: show(most), reserved: show(reserved), committed: show(committed), left: show(left > 0n ? left : 0n) }
  }

  const purse: Purse = {
    asset: known,
    tooMuch(asset, amount) {
      const cap = caps.get(assetId(asset))
      if (asset.currency !== 'USD' && cap === undefined) return `no cap is set for ${assetId(asset)}`
      if (cap !== undefined && amount > cap.perPayment) return `more than the cap of ${formatAmount(cap.perPayment, asset)} a payment`
      const over = asset.currency === 'USD' && inDollars(asset, amount) > perPayment
      return over ? `more than the cap of ${showDollars(perPayment)} a payment` : undefined
    },
    async reserve(id, terms) {
      await commitDead()
      const parts = limitsOf(terms)
      for (const [index, { amount, limits }] of parts.entries()) {
        const answer = await store.reserve({
          id: `${id}.${index}`,
          amount,
          limits: limits.map(({ scope, limit: most }) => ({ scope, limit: most })),
        })
        if (answer.granted) continue
        for (let done = 0; done < index; done++) await store.release(`${id}.${done}`)
        const show = limits.find(({ scope }) => scope === answer.scope)?.show ?? String
        throw clientErrors('client/over-budget', { url: terms.url, price: terms.price, scope: answer.scope, left: show(answer.left) })
      }
    },
    async commit(id) {
      kept.delete(id)
      for (const part of parts(id)) await store.commit(part)
    },
    async release(id) {
      for (const part of parts(id)) await store.release(part)
    },
    keep(id, deadAfter) {
      kept.set(id, deadAfter)
    },
    async spent() {
      await commitDead()
      const own = await Promise.all([...caps].map(async ([id, cap]) => [id, await view(cap.total)] as const))
      const day = perDay === undefined ? {} : { today: await view(limit(today(), perDay)) }
      return { total: await view(limit('usd:total', total)), ...day, caps: Object.fromEntries(own) }
    },
  }
  return purse
}

/** A payment is at most two reservations: one in dollars, one in its asset, for their units differ. */
function parts(id: string): string[] {
  return [`${id}.0`, `${id}.1`]
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
  if (price.symbol !== 'USD')
    throw clientErrors('client/bad-option', {
      option: `budget.${option}`,
      why: `"${text}" is not in dollars; limits in an asset itself are "caps"`,
    })
  return toAtomic(price.amount, dollarDecimals)
}

function readCap(
  text: string,
  cap: { readonly perPayment: string; readonly total: string },
  known: (network: string, address: string) => Asset | undefined,
): [string, Cap] {
  const [network = '', token = ''] = text.split('/')
  const asset = known(network, token.slice(token.indexOf(':') + 1))
  if (asset === undefined) throw coreErrors('config/unknown-asset', { network, asset: text })
  const units = (value: string) => {
    const decimal = parseDecimal(value)
    if (decimal === undefined)
      throw clientErrors('client/bad-option', { option: `budget.caps.${text}`, why: `"${value}" is no plain decimal number` })
    return toAtomic(decimal, asset.decimals)
  }
  const id = assetId(asset)
  const total = { scope: `asset:${id}`, limit: units(cap.total), show: (value: bigint) => formatAmount(value, asset) }
  return [id, { asset, perPayment: units(cap.perPayment), total }]
}

function checkAssets(assets: readonly Asset[]): readonly Asset[] {
  for (const asset of assets) {
    const listed = findAsset(asset.network, asset.address)
    const bad = (why: string) => clientErrors('client/bad-option', { option: 'assets', why: `${assetId(asset)} ${why}` })
    if (!Number.isInteger(asset.decimals) || asset.decimals < 0 || asset.decimals > dollarDecimals) throw bad('needs 0 to 18 decimals')
    if (listed !== undefined && listed.decimals !== asset.decimals) throw bad(`has ${listed.decimals} decimals and not ${asset.decimals}`)
  }
  return assets
}
