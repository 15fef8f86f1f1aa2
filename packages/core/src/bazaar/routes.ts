import * as z from 'zod/mini'
import { category, decimalText, discoveryItem, listing, listingState, listingType } from './listing.ts'
import { ratingRequest, ratingResponse } from './rating.ts'

const short = z.optional(z.string().check(z.minLength(1), z.maxLength(256)))
const count = (most: number) => z.optional(z.coerce.number<string | number>().check(z.int(), z.minimum(0), z.maximum(most)))
const flag = z.optional(
  z.union([
    z.boolean(),
    z.pipe(
      z.enum(['true', 'false']),
      z.transform((text) => text === 'true'),
    ),
  ]),
)

const filters = {
  type: z.optional(listingType),
  payTo: short,
  scheme: short,
  network: short,
  /** Keys of extensions that a listing must have, by commas. */
  extensions: short,
  /** From 1 to 100; 20 unless told. */
  limit: z.optional(z.coerce.number<string | number>().check(z.int(), z.minimum(1), z.maximum(100))),
}

/** What may be asked of our bazaars beyond the standard; others ignore it. A price is compared in one offer that meets all the rest. */
const finer = {
  /** `ai` finds `ai.text-generation` too. */
  category: z.optional(category),
  tag: short,
  /** An address, or a symbol such as `USDC`. */
  asset: short,
  /** `request`, `second`, `view`, `token`, … */
  unit: short,
  /** The most for one unit: in US dollars where it is asked in stablecoins, in the asset itself where `asset` names another. */
  maxPrice: z.optional(decimalText),
  transport: short,
  verified: flag,
  healthy: flag,
  /** `best` by health and by what independent payers say; `price` from the cheapest of the best 2,000 that match; `new` from the latest. */
  sort: z.optional(z.enum(['best', 'price', 'new'])),
}

/** The query of `GET /discovery/resources`; the members after `limit` and `offset` are this project's. */
const discoveryListQuery = z.object({ ...filters, offset: count(1_000_000), ...finer })

/** The query of `GET /discovery/resources`. */
export type DiscoveryListQuery = z.infer<typeof discoveryListQuery>

/** The query of `GET /discovery/search`. */
const discoverySearchQuery = z.object({
  query: z.string().check(z.minLength(1), z.maxLength(500)),
  ...filters,
  cursor: short,
  ...finer,
})

/** The query of `GET /discovery/search`. */
export type DiscoverySearchQuery = z.infer<typeof discoverySearchQuery>

/** The answer of `GET /discovery/resources` (wire.md §16.1). */
export const discoveryList = z.looseObject({
  x402Version: z.number(),
  items: z.array(discoveryItem),
  pagination: z.looseObject({ limit: z.number(), offset: z.number(), total: z.number() }),
})

/** The answer of `GET /discovery/resources` (wire.md §16.1). */
export type DiscoveryList = z.infer<typeof discoveryList>

/** The answer of `GET /discovery/search` (wire.md §16.1). `partialResults` says that not every word was found. */
export const discoveryFound = z.looseObject({
  x402Version: z.number(),
  resources: z.array(discoveryItem),
  partialResults: z.nullish(z.boolean()),
  pagination: z.nullish(z.looseObject({ limit: z.number(), cursor: z.nullable(z.string()) })),
})

/** The answer of `GET /discovery/search` (wire.md §16.1). */
export type DiscoveryFound = z.infer<typeof discoveryFound>

/**
 * The body of `POST /discovery/register`. Offers, price and payee come from the resource's own 402; the rest is said where the 402 says
 * nothing of it.
 */
export const registerRequest = z.looseObject({
  /** What a buyer calls: it must answer with a 402. */
  url: z.string().check(z.minLength(1), z.maxLength(2048)),
  /** Unless told the method that the 402's bazaar extension names, else the first of GET and POST that answers with a 402. */
  method: z.optional(z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])),
  name: z.optional(z.string().check(z.maxLength(200))),
  description: z.optional(z.string().check(z.maxLength(2000))),
  category: z.optional(category),
  tags: z.optional(z.array(z.string().check(z.maxLength(64))).check(z.maxLength(20))),
  rateLimit: z.optional(z.string().check(z.maxLength(64))),
  uptime: z.optional(z.string().check(z.maxLength(64))),
})

/** The body of `POST /discovery/register`. */
export type RegisterRequest = z.infer<typeof registerRequest>

/** Where a resource stands, why, and since when (ISO 8601); with its listing where it is listed. */
export const listingStatus = z.looseObject({
  resource: z.string(),
  state: listingState,
  /** A key of `listingReasons`. */
  reason: z.string(),
  message: z.string(),
  since: z.nullish(z.string()),
  /** When it is looked at next (ISO 8601). */
  nextProbeAt: z.nullish(z.string()),
  listing: z.nullish(listing),
})

/** Where a resource stands, and why. */
export type ListingStatus = z.infer<typeof listingStatus>

/** The query of `GET /listing`. */
const listingQuery = z.object({
  url: z.string().check(z.minLength(1), z.maxLength(2048)),
  method: short,
})

/** The query of `GET /listing`. */
export type ListingQuery = z.infer<typeof listingQuery>

/** One rating as everybody may read it; `comment` is a stranger's text. */
const publishedRating = z.looseObject({
  payer: z.string(),
  network: z.string(),
  transaction: z.string(),
  stars: z.number(),
  comment: z.nullish(z.string()),
  /** Unix seconds. */
  issuedAt: z.number(),
  weight: z.number(),
})

/** One rating as everybody may read it. */
export type PublishedRating = z.infer<typeof publishedRating>

/** The answer of `GET /discovery/ratings`: the latest first. */
export const publishedRatings = z.looseObject({ resource: z.string(), ratings: z.array(publishedRating) })

/** The answer of `GET /discovery/ratings`. */
export type PublishedRatings = z.infer<typeof publishedRatings>

/** The bazaar's HTTP interface as a table: endpoints, remote client and OpenAPI are made from it. The first two are the standard's. */
export const bazaarRoutes = {
  list: { method: 'GET', path: '/discovery/resources', query: discoveryListQuery, response: discoveryList },
  search: { method: 'GET', path: '/discovery/search', query: discoverySearchQuery, response: discoveryFound },
  register: { method: 'POST', path: '/discovery/register', request: registerRequest, response: listingStatus },
  rate: { method: 'POST', path: '/discovery/ratings', request: ratingRequest, response: ratingResponse },
  ratings: { method: 'GET', path: '/discovery/ratings', query: listingQuery, response: publishedRatings },
  listing: { method: 'GET', path: '/listing', query: listingQuery, response: listingStatus },
} as const
