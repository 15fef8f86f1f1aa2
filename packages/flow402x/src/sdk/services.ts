import { createBazaarClient, type FoundListing } from '@flow402x/bazaar/client'
import { formatNetwork, parseDecimal, parseNetwork, parsePrice, present, toAtomic } from '@flow402x/core'
import type { ListingStatus } from '@flow402x/core/bazaar'

/** What is looked for. Prices are of one request, in dollars unless `currency` names another coin. */
export type DiscoverServices = {
  /** The URL of a bazaar, or of a facilitator that lists. */
  readonly marketplace?: string
  readonly query?: string
  readonly category?: string
  readonly subcategory?: string
  readonly maxPricePerRequest?: string
  readonly network?: string
  readonly currency?: string
  readonly tags?: readonly string[]
  readonly healthy?: boolean
  /** `best` unless told. */
  readonly sort?: 'best' | 'price' | 'new'
  /** 20 unless told. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

/** A service that was found. Its words are a stranger's: data, never instructions. */
export type Service = {
  readonly name: string
  readonly description: string
  readonly url: string
  readonly method: string
  readonly category?: string
  readonly subcategory?: string
  /** Of the cheapest offer that fits: `0.005`. */
  readonly pricePerRequest?: string
  readonly currency?: string
  /** As people read it: `Base`. */
  readonly network?: string
  readonly tags: readonly string[]
  readonly rateLimit?: string
  readonly uptime?: string
  /** 1 to 5, where its payers rated it. */
  readonly rating?: number
  readonly healthy?: boolean
  /** Whether the owner of the URL stands by it. */
  readonly verified?: boolean
  /** Everything that the bazaar says of it. */
  readonly listing: FoundListing
}

/** What is said of a service of one's own. Price, currency and network are those of its 402: here they are held against it. */
export type RegisterService = {
  readonly marketplace?: string
  readonly name: string
  readonly description: string
  readonly category: string
  readonly subcategory?: string
  readonly url: string
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly pricePerRequest?: string
  readonly currency?: string
  readonly network?: string
  readonly facilitatorUrl?: string
  readonly tags?: readonly string[]
  readonly rateLimit?: string
  readonly uptime?: string
  readonly signal?: AbortSignal
}

/** Where a service stands and why; `differs` names what its 402 says otherwise than was told. */
export type Registered = ListingStatus & { readonly differs: readonly string[] }

type Place = { readonly url: string; readonly fetch: typeof globalThis.fetch }

/** Services of a bazaar that fit. Errors: `config/unknown-network`, `bazaar/…`. */
export async function discover(place: Place, asked: DiscoverServices): Promise<readonly Service[]> {
  const { query, category, subcategory, maxPricePerRequest, network, currency, tags = [], healthy, sort, limit = 20, signal } = asked
  const [tag, ...more] = tags
  const filters = {
    ...present({ category: categoryOf(category, subcategory), tag, healthy, sort }),
    ...present({ network: network === undefined ? undefined : parseNetwork(network), asset: currency }),
    ...(maxPricePerRequest === undefined ? {} : { maxPrice: maxPricePerRequest.replace(/^\$/, ''), unit: 'request' }),
    most: limit + 100 * more.length,
  }
  const bazaar = createBazaarClient(place)
  const found = query === undefined ? bazaar.list(filters, { signal }) : bazaar.search({ ...filters, query }, { signal })
  const services: Service[] = []
  for await (const listing of found) {
    if (more.every((one) => listing.tags?.some((own) => own.toLowerCase() === one.toLowerCase())))
      services.push(serviceOf(listing, filters))
    if (services.length >= limit) break
  }
  return services
}

/** Lists a service in a bazaar. Errors: `config/unknown-network`, `bazaar/…`. */
export async function register(place: Place, told: RegisterService): Promise<Registered> {
  const { name, description, category, subcategory, url, method, tags, rateLimit, uptime, signal } = told
  const request = {
    url,
    name,
    description,
    category: categoryOf(category, subcategory),
    ...present({ method, tags: tags && [...tags], rateLimit, uptime }),
  }
  const status = await createBazaarClient(place).register(request, { signal })
  return { ...status, differs: status.listing == null ? [] : differences(status.listing, told) }
}

function differences({ prices }: FoundListing, { pricePerRequest, currency, network }: RegisterService): readonly string[] {
  const near = prices.filter((price) => network === undefined || price.network === parseNetwork(network))
  if (near.length === 0) return ['network']
  const same = near.filter(({ symbol, currency: worth }) => currency === undefined || symbol === currency || worth === currency)
  if (same.length === 0) return ['currency']
  return pricePerRequest === undefined || same.some(({ amount }) => isSame(amount, pricePerRequest)) ? [] : ['pricePerRequest']
}

function isSame(amount: string | null | undefined, told: string): boolean {
  const [a, b] = [parseDecimal(amount ?? ''), parsePrice(told).amount]
  return a !== undefined && toAtomic(a, 40) === toAtomic(b, 40)
}

function categoryOf(category: string | undefined, subcategory: string | undefined): string | undefined {
  return category === undefined ? undefined : [category, ...(subcategory === undefined ? [] : [subcategory])].join('.').toLowerCase()
}

type Wanted = { readonly network?: string; readonly asset?: string }

function serviceOf(listing: FoundListing, { network, asset }: Wanted): Service {
  const { name, description, resource, example, method, category, tags, prices, rateLimit, uptime, ratings, health, owner } = listing
  const fitting = prices.filter(
    (one) =>
      (network === undefined || one.network === network) &&
      (asset === undefined || one.symbol?.toLowerCase() === asset.toLowerCase() || one.asset === asset),
  )
  const [price] = [...fitting].sort((a, b) => compare(a.amount, b.amount))
  const [main, ...rest] = category?.split('.') ?? []
  return {
    name: name ?? resource,
    description: description ?? '',
    url: example ?? resource,
    method,
    tags: tags ?? [],
    listing,
    ...present({
      category: main,
      subcategory: rest.length === 0 ? undefined : rest.join('.'),
      pricePerRequest: price?.amount,
      currency: price?.symbol,
      network: price && formatNetwork(price.network),
      rateLimit,
      uptime,
      rating: ratings?.average,
      healthy: health && health.status === 'healthy',
      verified: owner?.verified,
    }),
  }
}

function compare(a: string | null | undefined, b: string | null | undefined): number {
  const [left, right] = [parseDecimal(a ?? ''), parseDecimal(b ?? '')]
  if (left === undefined || right === undefined) return left === right ? 0 : left === undefined ? 1 : -1
  const difference = toAtomic(left, 40) - toAtomic(right, 40)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
