import { findAsset, formatDecimal, formatNetwork, parseDecimal } from '@flow402x/core'
import type { Listing, ListingPrice } from '@flow402x/core/bazaar'
import { type Html, html } from '@flow402x/core/page'

/** At most so many characters of a text, with an ellipsis for the rest. */
export function shortened(text: string, most: number): string {
  // No character is longer than eleven units with what joins it.
  const signs = [...text.slice(0, most * 12)]
  return signs.length <= most ? text : `${signs.slice(0, most).join('').trimEnd()}…`
}

/** A stranger's text, kept from turning the direction of ours. */
export function said(text: string, most: number): Html {
  return html`<bdi>${shortened(text, most)}</bdi>`
}

/** What a listing is called: its name, its tool, or where it is. */
export function titleOf({ name, serviceName, toolName, resource }: Listing): string {
  const given = [name, serviceName, toolName].find((text) => text != null && text.trim() !== '')
  return given ?? resource.replace(/^https?:\/\//, '')
}

/** An amount as people read it: `$0.005`, `0.0001 ETH`; nothing where the asset is unknown. */
export function moneyOf({ amount, currency, symbol }: Pick<ListingPrice, 'amount' | 'currency' | 'symbol'>): string | undefined {
  const exact = parseDecimal(amount ?? '')
  if (exact === undefined) return undefined
  const text = formatDecimal(exact)
  // Dollars have cents: $0.10, and $0.005 where they have parts of one.
  const cents = text.includes('.') ? text.replace(/\.\d$/, '$&0') : `${text}.00`
  return currency === 'USD' ? `$${cents}` : `${text} ${currency ?? symbol ?? ''}`.trim()
}

/** A price as it is shown: `$0.005` `per request`, `about $0.3333` `per million tokens`. */
export function shownPrice(price: ListingPrice | undefined): { readonly money: string; readonly per: string } {
  const money = price && moneyOf(price)
  if (price === undefined || money === undefined) return { money: 'See its 402', per: price === undefined ? '' : `per ${price.unit}` }
  const most = price.upTo === true ? 'at most, ' : ''
  // What a token or a byte costs says nothing to anybody.
  if (/^\$0\.0000/.test(money) && price.unit !== 'request') {
    return { money: rounded(moneyFor(price, { units: 1_000_000 }) ?? money), per: `${most}per million ${price.unit}s` }
  }
  return { money: rounded(money), per: `${most}per ${price.unit}` }
}

/** An amount or a rate without the digits that nobody reads: `about $0.003333`. */
export function rounded(text: string): string {
  const cut = text.replace(/^(\$?\d+\.0*[1-9]\d{3})\d{5,}/, '$1')
  return cut === text ? text : `about ${cut}`
}

/** The price that a listing is shown with: the first in dollars, else the first that is known. */
export function leadPrice({ prices }: Listing): ListingPrice | undefined {
  const known = prices.filter(({ amount }) => amount != null)
  return known.find(({ currency }) => currency === 'USD') ?? known[0] ?? prices[0]
}

/** What `units` units cost: `$0.50`; nothing for parts of a unit or an unknown amount. */
export function moneyFor(price: ListingPrice, { units }: { readonly units: number }): string | undefined {
  const exact = parseDecimal(price.amount ?? '')
  if (exact === undefined || !Number.isSafeInteger(units) || units < 0) return undefined
  return moneyOf({ ...price, amount: formatDecimal({ ...exact, units: exact.units * BigInt(units) }) })
}

/** An asset as people know it: its symbol, else its address, shortened. */
export function assetName({ network, asset, symbol }: Pick<ListingPrice, 'network' | 'asset' | 'symbol'>): string {
  return symbol ?? findAsset(network, asset)?.symbol ?? shortAddress(asset)
}

/** A network by its title, or by a short form of its id. */
export function networkName(network: string): string {
  return shortened(formatNetwork(network), 40)
}

/** The two ends of an address, which is how people tell them apart at a glance. */
function shortAddress(address: string): string {
  return address.length <= 16 ? address : `${address.slice(0, address.startsWith('0x') ? 6 : 4)}…${address.slice(-4)}`
}

/** The networks of a listing, each once, in the order of its offers. */
export function networksOf({ prices }: Listing): string[] {
  return [...new Set(prices.map(({ network }) => network))]
}

const healthWords = { healthy: 'Healthy', failing: 'Failing', unknown: 'Not checked yet' } as const

/** The mark of a listing's health: a dot for the eye and the word for everybody. */
export function healthMark({ health: { status } }: Listing): Html {
  return html`<span class="health ${status}">${healthWords[status]}</span>`
}

/** The mark of an owner who proved the URL his own. */
export const verifiedMark = html`<span class="verified"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3.5 8.5l3 3 6-7"/></svg>Verified owner</span>`

/** What payers say in short: `★ 4.6` and how many independent wallets paid. Nothing said is nothing shown. */
export function ratingMark({ ratings: { average, count, payers } }: Listing): Html | undefined {
  const paid = payers > 0 && html`<span>${plural(payers, 'independent payer')}</span>`
  if (average == null || count === 0) return paid || undefined
  return html`<span class="stars"><span aria-hidden="true">★</span> ${average.toFixed(1)}<span class="unseen"> of 5 stars, by ${plural(count, 'payer')}</span></span>${paid && html` ${paid}`}`
}

/** `1 payer`, `12 payers`. */
export function plural(count: number, word: string): string {
  return `${grouped(count)} ${word}${count === 1 ? '' : 's'}`
}

/** A number with its thousands apart. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })

/** A moment as people read it, in UTC; where scripts run it also says how long ago. Nothing for what is no time. */
export function moment(at: string | number | null | undefined): Html | undefined {
  const date = new Date(at ?? Number.NaN)
  if (Number.isNaN(date.getTime())) return undefined
  return html`<time datetime="${date.toISOString()}">${day.format(date)} UTC</time>`
}

/** A link to what strangers named, where it leads over http(s); else its text alone. */
export function outbound(url: string): Html {
  const text = said(url, 300)
  return /^https?:\/\//i.test(url) ? html`<a href="${url}" rel="nofollow noopener noreferrer ugc">${text}</a>` : text
}

/** An address: its ends for the eye, all of it one step away, and to be copied whole. */
export function addressOf(address: string): Html {
  const short = shortAddress(address)
  if (short === address) return html`<code>${shortened(address, 120)}</code>`
  return html`<details class="address"><summary><code>${shortened(short, 24)}</code></summary><code class="whole" data-copy>${shortened(address, 200)}</code></details>`
}
