import * as z from 'zod/mini'
import { openObject, paymentRequirements } from '../protocol/payment.ts'

const text = z.nullish(z.string())

/** What a resource is: something behind HTTP, or a tool of an MCP server (wire.md §16.1). */
export const listingType = z.enum(['http', 'mcp'])

/** What a resource is: something behind HTTP, or a tool of an MCP server (wire.md §16.1). */
export type ListingType = z.infer<typeof listingType>

/**
 * A resource as `GET /discovery/resources` and `GET /discovery/search` give it (wire.md §16.1). Unknown members survive: what our own
 * bazaars add is read by `readListing`. `lastUpdated` is text in some peers and Unix seconds in others.
 */
export const discoveryItem = z.looseObject({
  resource: z.string().check(z.minLength(1)),
  type: z.string(),
  x402Version: z.number(),
  accepts: z.array(paymentRequirements),
  lastUpdated: z.union([z.string(), z.number()]),
  description: text,
  mimeType: text,
  serviceName: text,
  tags: z.nullish(z.array(z.string())),
  iconUrl: text,
  extensions: openObject,
})

/** A resource as any bazaar lists it; what ours add is read by `readListing`. */
export type DiscoveryItem = z.infer<typeof discoveryItem>

/** An exact decimal number as text: money outside. */
export const decimalText = z.string().check(z.regex(/^\d{1,40}(\.\d{1,40})?$/))

/**
 * One price of a listing, in the order of `accepts`, as people compare it: `amount` of `currency` for one `unit`. Currency is `USD` for
 * stablecoins of it and the symbol otherwise; where the asset is unknown there is no `amount`.
 */
export const listingPrice = z.looseObject({
  network: z.string(),
  asset: z.string(),
  scheme: z.string(),
  amount: z.nullish(decimalText),
  currency: text,
  symbol: text,
  /** `request`, `second`, `view`, `token`, `byte`, …: what one amount buys. */
  unit: z.string(),
  /** The amount is a ceiling: what was used is charged. */
  upTo: z.nullish(z.boolean()),
})

/** One price of a listing, as people compare it. */
export type ListingPrice = z.infer<typeof listingPrice>

/** What is particular to a stream (FS/1): its rate as people read it, what it is measured in, and how it travels. */
export const listingStream = z.looseObject({
  /** `0.01 USD/second`. */
  rate: z.string(),
  unit: z.string(),
  /** The most that is ever paid ahead, in units. */
  window: z.nullish(z.number()),
  /** `sse`, `ndjson`, `range`, `hls`, `ws`, `window`, `view`, … */
  transports: z.nullish(z.array(z.string())),
})

/** What is particular to a stream. */
export type ListingStream = z.infer<typeof listingStream>

/** How a resource was found by the last probes: `score` from 0 to 1 falls with each failure and rises with each success. */
const listingHealth = z.looseObject({
  status: z.enum(['healthy', 'failing', 'unknown']),
  score: z.number().check(z.minimum(0), z.maximum(1)),
  /** ISO 8601, and how long the answer took, in milliseconds. */
  checkedAt: text,
  latencyMs: z.nullish(z.number()),
})

/** How a resource was found by the last probes. */
export type ListingHealth = z.infer<typeof listingHealth>

/**
 * What payers say (M34): `average` of 1 to 5 stars, each payer weighted; `count` of wallets that rated; `weight` is what their word counts
 * together; `payers` are independent wallets known to have paid, those of the seller left out, and `trust` what their payments count.
 */
const listingRatings = z.looseObject({
  average: z.nullish(z.number()),
  count: z.number(),
  weight: z.number(),
  payers: z.number(),
  trust: z.number(),
})

/** What payers say. */
export type ListingRatings = z.infer<typeof listingRatings>

/** Whether the owner of the URL proved the listing his own (H41), and by what. */
const listingOwner = z.looseObject({
  verified: z.boolean(),
  by: z.nullish(z.enum(['well-known', 'dns'])),
  /** Keys that he lets sign receipts beside the wallets that are paid. */
  receiptKeys: z.nullish(z.array(z.string())),
})

/** Whether the owner of the URL proved the listing his own, and by what. */
export type ListingOwner = z.infer<typeof listingOwner>

/** The words of the mission for what a service does: a domain, a dot, a kind. */
export const category = z.string().check(z.regex(/^[a-z0-9-]{1,32}(\.[a-z0-9-]{1,32}){0,2}$/))

/** An item of a bazaar of ours: the official members, and what a buyer compares. All text is data of strangers. */
export const listing = z.extend(discoveryItem, {
  /** What makes a listing itself: method or tool, origin and path, without a query. */
  key: z.string(),
  type: listingType,
  /** The HTTP method, or `MCP` for a tool. */
  method: z.string(),
  toolName: text,
  /** A URL that answers, where `resource` is a template. */
  example: text,
  name: text,
  /** `ai.text-generation`, … */
  category: z.nullish(category),
  prices: z.array(listingPrice),
  stream: z.nullish(listingStream),
  /** What the seller says of his service and nobody checked: `100/hour`, `99.9%`. */
  rateLimit: text,
  uptime: text,
  health: listingHealth,
  ratings: listingRatings,
  owner: listingOwner,
  /** ISO 8601. */
  listedAt: z.string(),
})

/** An item of a bazaar of ours: the official members, and what a buyer compares. All text is data of strangers. */
export type Listing = z.infer<typeof listing>

const listedFacts = z.omit(listing, { health: true, ratings: true, owner: true, listedAt: true, lastUpdated: true })

/** The part of a listing that its 402 decides; its looks, its payers and its owner are the bazaar's to find out. */
export type ListedFacts = z.infer<typeof listedFacts>

/** What a bazaar of ours says of an item beyond the official members; nothing of an item of another. */
export function readListing(item: DiscoveryItem): Listing | undefined {
  return z.safeParse(listing, item).data
}

/** Where a resource stands in a bazaar. Nothing leaves `listed` without a reason that stays to be read (H12). */
export const listingState = z.enum(['unknown', 'pending', 'listed', 'unlisted', 'rejected'])

/** Where a resource stands in a bazaar. */
export type ListingState = z.infer<typeof listingState>

/** Why a resource stands where it does; the sentence beside it is the whole story. */
export const listingReasons = {
  never_seen: 'Nobody has registered it here and no payment for it was settled here.',
  probe_pending: 'It was taken in and is about to be looked at.',
  live: 'It answers with a 402 whose offers are listed.',
  failing: 'The last probes failed; it stays listed for now, lower and lower.',
  dead: 'Its probes have failed for too long.',
  unreachable: 'No connection could be made, or it broke.',
  timed_out: 'It did not answer in time.',
  blocked_address: 'Its name leads to an address that is not public.',
  insecure_url: 'It is not https.',
  bad_url: 'It is no URL that can be listed.',
  redirected_away: 'It redirects to another origin, or too often.',
  too_large: 'Its answer is larger than is read.',
  no_402: 'It answers, but with no 402: there is nothing to pay.',
  bad_offer: 'Its 402 breaks the x402 protocol.',
  bad_discovery: 'Its bazaar extension breaks the rules of discovery.',
  hidden: 'Its seller says that it is not to be found.',
  pay_to_mismatch: 'The payment went to an address that its own 402 does not name.',
  too_many: 'Its origin has as many entries here as one may have.',
  blocked: 'The operator of this bazaar does not list it.',
} as const

/** The code of a reason why a resource stands where it does. */
export type ListingReason = keyof typeof listingReasons
