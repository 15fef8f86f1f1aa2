import type { NewMessage, OutboxStore } from '../store/outbox.ts'
import type { Listing, ListingReason, ListingState, ListingType } from './listing.ts'
import type { RatingRequest, RatingStatement } from './rating.ts'

/** What is claimed of a resource by who registered it: it fills what its 402 leaves unsaid. */
export type ListingClaims = {
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly category?: string | undefined
  readonly tags?: readonly string[] | undefined
  readonly rateLimit?: string | undefined
  readonly uptime?: string | undefined
}

/** A resource as a catalogue keeps it, listed or not. Times in Unix milliseconds. */
export type CatalogueEntry = {
  /** `Listing.key`. */
  readonly key: string
  /** What is looked at: a URL that answers, and how it is asked; without a method it is found out. */
  readonly target: { readonly url: string; readonly method?: string | undefined }
  readonly state: Exclude<ListingState, 'unknown'>
  readonly reason: ListingReason
  /** What there is to add to the reason: what exactly was wrong the last time. */
  readonly note?: string | undefined
  readonly since: number
  readonly claims: ListingClaims
  /** The last good look; it stays while a resource is unlisted. */
  readonly listing?: Listing | undefined
  /** From 0 up to 1: where it stands among others that answer a question equally well. */
  readonly quality: number
  readonly failures: number
  readonly nextProbeAt: number
  /** Raised by every change. */
  readonly epoch: number
}

/** An entry that is not written down yet. */
export type NewEntry = Omit<CatalogueEntry, 'epoch'>

/** What is looked for. Words are taken apart by the catalogue; a price is compared in one offer that meets all the rest. */
export type CatalogueQuery = {
  readonly words?: string | undefined
  /** Any of the words will do; without it all of them are needed. */
  readonly any?: boolean | undefined
  readonly type?: ListingType | undefined
  readonly payTo?: string | undefined
  readonly scheme?: string | undefined
  readonly network?: string | undefined
  readonly asset?: string | undefined
  readonly unit?: string | undefined
  readonly maxPrice?: string | undefined
  readonly extensions?: readonly string[] | undefined
  readonly category?: string | undefined
  readonly tag?: string | undefined
  readonly transport?: string | undefined
  readonly verified?: boolean | undefined
  readonly healthy?: boolean | undefined
  readonly sort?: 'best' | 'price' | 'new' | undefined
  readonly limit: number
  readonly offset?: number | undefined
}

/**
 * A listed entry that matches, as much of it as is weighed: `terms` as `listingTerms` makes them, by spaces; `origin` and `payee` so that
 * no one fills a page. Names and tags stand among the terms a second time, behind `n:`.
 */
export type Candidate = {
  readonly key: string
  readonly quality: number
  readonly terms: string
  readonly origin: string
  readonly payee: string
}

/** A payment that a chain showed: `transfer` names the log that paid, so that it counts once. */
export type WitnessedPayment = {
  readonly network: string
  readonly transaction: string
  readonly index: number
  /** The listing it paid for. */
  readonly key: string
  readonly payer: string
  readonly payTo: string
  /** Who stands behind the payer and behind the seller, as far as the chain says: wallets of one funder have one name. */
  readonly payerCluster: string
  readonly sellerCluster: string
  readonly at: number
}

/** A rating that was checked; one wallet has one for each listing. */
export type KeptRating = Pick<RatingStatement, 'network' | 'payer' | 'transaction' | 'stars' | 'comment' | 'issuedAt'> &
  Pick<RatingRequest, 'receipt'> & { readonly key: string }

/** What is known of who paid for a listing, from which its standing is counted (M34). */
export type Standing = {
  /**
   * The clusters that paid for the listing, without the seller's own, and how many unrelated sellers each has paid besides: those that some
   * other cluster pays too.
   */
  readonly payers: readonly { readonly cluster: string; readonly unrelatedSellers: number }[]
  readonly ratings: readonly (KeptRating & { readonly cluster: string })[]
}

/** What a bazaar keeps. Every operation is one commit. */
export interface CatalogueStore {
  /** The outbox of the same store: what `tell` is written to. */
  readonly outbox: OutboxStore
  find(key: string): Promise<CatalogueEntry | undefined>
  /** The entries whose target is at this origin and path, whatever their keys. */
  findAt(page: string): Promise<readonly CatalogueEntry[]>
  /** Entries by their keys, in any order; those that are not there are left out. */
  findAll(keys: readonly string[]): Promise<readonly CatalogueEntry[]>
  /** Writes an entry down where there is none, and gives the one that stands. */
  add(
    entry: NewEntry,
    options?: { readonly tell?: readonly NewMessage[] },
  ): Promise<{ readonly added: boolean; readonly entry: CatalogueEntry }>
  /** Writes many down as `add` does one, all in one commit, and gives the keys of those that were not there. */
  addAll(entries: readonly NewEntry[]): Promise<readonly string[]>
  /** Puts `next` in the place of an entry whose epoch is still this one, raising it; else nothing and `undefined`. */
  update(
    entry: CatalogueEntry,
    next: Omit<NewEntry, 'key'>,
    options?: { readonly tell?: readonly NewMessage[] },
  ): Promise<CatalogueEntry | undefined>
  /** Takes at most `most` entries whose next look is due at `now`: they are due again at `until`, for whoever comes then. */
  due(request: { readonly now: number; readonly until: number; readonly most: number }): Promise<readonly CatalogueEntry[]>
  /** Listed entries that match, the best first (or as `sort` says). The bazaar itself weighs words. */
  search(query: CatalogueQuery): Promise<readonly Candidate[]>
  /** How many listed entries match. */
  count(query: Omit<CatalogueQuery, 'limit' | 'offset' | 'sort'>): Promise<number>
  /** How many entries an origin has in a state. */
  countOf(origin: string, state: CatalogueEntry['state']): Promise<number>
  /** Keeps a payment, and says whether it is new. */
  witness(payment: WitnessedPayment): Promise<boolean>
  /** Keeps a rating in the place of an older one of the same wallet; `false` where that is no older, or the payment is not kept for this listing and wallet. */
  rate(rating: KeptRating): Promise<boolean>
  /** What counts for a listing's standing. */
  standing(key: string): Promise<Standing>
}
