import { parseDecimal, sameAddress, toAtomic } from '@flow402x/core'
import {
  type DiscoveryItem,
  type DiscoveryListQuery,
  judgeListing,
  type ListedFacts,
  type Listing,
  type ListingPrice,
  readListing,
} from '@flow402x/core/bazaar'

/**
 * A resource as a bazaar told of it: the same facts from every bazaar, and from ours how it was found, what its payers say and whether
 * its owner stands by it. All text is data of strangers.
 */
export type FoundListing = ListedFacts & Partial<Pick<Listing, 'health' | 'ratings' | 'owner' | 'listedAt'>>

/** The item of any bazaar as a listing; nothing of one that no bazaar of ours would list. */
export function foundListing(item: DiscoveryItem): FoundListing | undefined {
  const own = readListing(item)
  if (own !== undefined) return own
  const { resource, accepts, extensions, description, mimeType, serviceName, tags, iconUrl } = item
  // A template of another bazaar has no URL that answers, and is judged by the name it has there.
  if (!URL.canParse(resource)) return undefined
  const said = { url: resource, description, mimeType, serviceName, iconUrl }
  const method = methodIn(extensions)
  const judged = judgeListing(
    { x402Version: 2, resource: said, accepts, extensions },
    { url: resource, method, claims: { tags: tags ?? [] } },
  )
  return 'facts' in judged ? judged.facts : undefined
}

function methodIn(extensions: DiscoveryItem['extensions']): string {
  const bazaar = extensions?.bazaar
  const info = typeof bazaar === 'object' && bazaar !== null && 'info' in bazaar ? bazaar.info : undefined
  const input = typeof info === 'object' && info !== null && 'input' in info ? info.input : undefined
  const method = typeof input === 'object' && input !== null && 'method' in input ? input.method : undefined
  return typeof method === 'string' && /^[A-Z]{3,7}$/.test(method) ? method : 'GET'
}

/** The filters that bazaars of others do not know, and may have ignored. */
export type Filters = Pick<
  DiscoveryListQuery,
  'type' | 'payTo' | 'scheme' | 'network' | 'asset' | 'unit' | 'maxPrice' | 'category' | 'tag' | 'transport' | 'verified' | 'healthy'
>

/** Whether a listing is what was asked for; a price counts in one offer that meets all the rest. */
export function fits(found: FoundListing, filters: Filters): boolean {
  const { type, category, tag, transport, verified, healthy } = filters
  const isKind = category === undefined || found.category === category || found.category?.startsWith(`${category}.`) === true
  return (
    (type === undefined || found.type === type) &&
    isKind &&
    (tag === undefined || found.tags?.some((one) => one.toLowerCase() === tag.toLowerCase()) === true) &&
    (transport === undefined || found.stream?.transports?.includes(transport) === true) &&
    (verified === undefined || (found.owner?.verified ?? false) === verified) &&
    (healthy === undefined || (found.health?.status === 'healthy') === healthy) &&
    found.prices.some((price, index) => fitsOffer(price, found.accepts[index]?.payTo ?? '', filters))
  )
}

/** The least that one unit costs in US dollars, or in `asset`, as far as that is told: for sorting. */
export function leastPrice({ prices }: FoundListing, filters: Filters): bigint | undefined {
  const amounts = prices.filter((price) => fitsOffer(price, undefined, filters)).flatMap((price) => amountIn(price, filters.asset) ?? [])
  return amounts.reduce<bigint | undefined>((least, one) => (least === undefined || one < least ? one : least), undefined)
}

function fitsOffer(
  price: ListingPrice,
  payTo: string | undefined,
  { payTo: payee, scheme, network, asset, unit, maxPrice }: Filters,
): boolean {
  if (payee !== undefined && payTo !== undefined && !sameAddress(payee, payTo)) return false
  if ((scheme ?? price.scheme) !== price.scheme || (network ?? price.network) !== price.network || (unit ?? price.unit) !== price.unit)
    return false
  if (asset !== undefined && !isAsset(price, asset)) return false
  if (maxPrice === undefined) return true
  const [most, amount] = [scaled(maxPrice), amountIn(price, asset)]
  return most !== undefined && amount !== undefined && amount <= most
}

function isAsset({ asset, symbol }: ListingPrice, wanted: string): boolean {
  return sameAddress(asset, wanted) || symbol?.toLowerCase() === wanted.toLowerCase()
}

/** Prices are compared in dollars, or in an asset that is asked for by name. */
function amountIn({ amount, currency, ...price }: ListingPrice, asset: string | undefined): bigint | undefined {
  const isCompared = currency === 'USD' || (asset !== undefined && isAsset({ ...price, amount, currency }, asset))
  return amount == null || !isCompared ? undefined : scaled(amount)
}

// As many digits as a decimal has at most, so that every amount is exact.
function scaled(text: string): bigint | undefined {
  const amount = parseDecimal(text)
  return amount && toAtomic(amount, 40)
}
