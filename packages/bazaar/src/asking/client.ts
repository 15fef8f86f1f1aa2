import { networkFamily } from '@flow402x/core'
import {
  bazaarRoutes,
  type DiscoveryItem,
  type DiscoveryListQuery,
  type DiscoverySearchQuery,
  type ListingStatus,
  type PublishedRatings,
  type RatingResponse,
  type RatingStatement,
  type RegisterRequest,
  ratingText,
} from '@flow402x/core/bazaar'
import { findReceipt } from '@flow402x/core/receipt'
import { type AskOptions, asker } from './ask.ts'
import { bazaarClientErrors } from './errors.ts'
import { type FoundListing, fits, foundListing } from './found.ts'

/** What ends a question before its answer. */
export type Cancellable = { readonly signal?: AbortSignal | undefined }

/** Which listings: all filters of ours; those that another bazaar does not know are applied to its answers here. */
export type ListQuery = Omit<DiscoveryListQuery, 'offset' | 'limit'> & { readonly most?: number }

/** The same for a search by words. */
export type SearchQuery = Omit<DiscoverySearchQuery, 'cursor' | 'limit'> & { readonly most?: number }

/** Something that was bought, as a client of ours keeps it (`client.purchases()`). */
export type BoughtThing = {
  readonly url: string
  readonly payer: string
  readonly requirements: { readonly network: string }
  readonly receipt: { readonly transaction: string; readonly extensions?: Readonly<Record<string, unknown>> | null | undefined }
}

/** Signs texts as the wallet that paid: `evmTextSigner`, `solanaTextSigner`. */
export type TextSigner = {
  readonly address: string
  /** The families of networks it signs for: `eip155`, `solana`. */
  readonly family: string
  signText(text: string): Promise<string>
}

/** What is said of a purchase: 1 to 5 stars, and up to 1,000 letters. */
export type Rating = { readonly purchase: BoughtThing; readonly stars: number; readonly comment?: string }

/** A bazaar as its users ask it. Questions are answered from memory for a while; what changes something is not. */
export type BazaarClient = {
  /** Listings in the bazaar's order, page after page as they are read; 1,000 at most unless `most` says otherwise. */
  list(query?: ListQuery, options?: Cancellable): AsyncIterable<FoundListing>
  /** Listings that answer to words, the best first. */
  search(query: SearchQuery, options?: Cancellable): AsyncIterable<FoundListing>
  /** The listing of a URL; nothing where it is not listed. Of our bazaars alone. */
  get(url: string, options?: Cancellable & { readonly method?: string }): Promise<FoundListing | undefined>
  /** Where a URL stands, and why. Of our bazaars alone. */
  listing(url: string, options?: Cancellable & { readonly method?: string }): Promise<ListingStatus>
  /** Has a resource looked at and listed; the answer says where it stands and why. Of our bazaars alone. */
  register(request: RegisterRequest, options?: Cancellable): Promise<ListingStatus>
  /** Rates what was bought, signed by the wallet that paid, with the seller's receipt where there is one. Of our bazaars alone. */
  rate(rating: Rating, options: Cancellable & { readonly signer: TextSigner }): Promise<RatingResponse>
  /** What payers say of a URL. Of our bazaars alone. */
  ratings(url: string, options?: Cancellable & { readonly method?: string }): Promise<PublishedRatings>
}

const pageSize = 100
const mostItems = 1000
// A bazaar whose pages hold nothing that fits, or nothing new, is not asked for ever.
const mostPages = 100

/** Asks a bazaar: one of ours, or any facilitator that speaks the standard's discovery. Errors: `config/bad-bazaar-url`, `bazaar/…`. */
export function createBazaarClient(options: AskOptions): BazaarClient {
  const ask = asker(options)
  const clock = options.clock ?? Date.now
  const placed = (url: string, method: string | undefined) => ({ url, ...(method === undefined ? {} : { method }) })
  const status = (url: string, { method, signal }: Cancellable & { readonly method?: string } = {}) =>
    ask({ path: bazaarRoutes.listing.path, query: placed(url, method), schema: bazaarRoutes.listing.response, signal })

  return {
    list({ most, ...query } = {}, { signal } = {}) {
      const { path, response: schema } = bazaarRoutes.list
      const page = async (offset: number) => {
        const { items, pagination } = await ask({ path, query: { ...query, limit: pageSize, offset }, schema, signal })
        const next = offset + items.length
        return { items, next: items.length > 0 && next < pagination.total ? next : undefined }
      }
      return pages(page, { first: 0, query, most })
    },
    search({ most, ...query }, { signal } = {}) {
      const { path, response: schema } = bazaarRoutes.search
      const page = async (cursor: string) => {
        const more = cursor === '' ? {} : { cursor }
        const { resources, pagination } = await ask({ path, query: { ...query, limit: pageSize, ...more }, schema, signal })
        const next = pagination?.cursor ?? undefined
        return { items: resources, next: next === cursor ? undefined : next }
      }
      return pages(page, { first: '', query, most })
    },
    async get(url, asked) {
      const { listing } = await status(url, asked)
      return listing ?? undefined
    },
    listing: status,
    register: (request, { signal } = {}) =>
      ask({ path: bazaarRoutes.register.path, body: request, schema: bazaarRoutes.register.response, signal }),
    async rate({ purchase, stars, comment }, { signer, signal }) {
      const { url, payer, requirements, receipt } = purchase
      if (networkFamily(requirements.network) !== signer.family)
        throw bazaarClientErrors('bazaar/wrong-signer', { network: requirements.network })
      const statement: RatingStatement = {
        resource: url,
        network: requirements.network,
        payer,
        transaction: receipt.transaction,
        stars,
        ...(comment === undefined ? {} : { comment }),
        issuedAt: Math.floor(clock() / 1000),
      }
      const signed = findReceipt(receipt)
      const body = {
        ...statement,
        signature: await signer.signText(ratingText(statement)),
        ...(signed === undefined ? {} : { receipt: signed }),
      }
      return await ask({ path: bazaarRoutes.rate.path, body, schema: bazaarRoutes.rate.response, signal })
    },
    ratings: (url, { method, signal } = {}) =>
      ask({ path: bazaarRoutes.ratings.path, query: placed(url, method), schema: bazaarRoutes.ratings.response, signal }),
  }
}

type Page<Place> = { readonly items: readonly DiscoveryItem[]; readonly next: Place | undefined }
type Paging<Place> = { readonly first: Place; readonly query: Parameters<typeof fits>[1]; readonly most: number | undefined }

async function* pages<Place>(
  page: (place: Place) => Promise<Page<Place>>,
  { first, query, most = mostItems }: Paging<Place>,
): AsyncGenerator<FoundListing> {
  const seen = new Set<string>()
  let place: Place | undefined = first
  for (let count = 0; place !== undefined && count < mostPages; count += 1) {
    const { items, next }: Page<Place> = await page(place)
    for (const item of items) {
      const found = foundListing(item)
      if (found === undefined || seen.has(found.key) || !fits(found, query)) continue
      if (seen.size >= most) return
      seen.add(found.key)
      yield found
    }
    place = next
  }
}
