import {
  type CatalogueEntry,
  type CatalogueQuery,
  type CatalogueStore,
  type DiscoveryFeed,
  type DiscoveryFound,
  type DiscoveryList,
  type DiscoveryListQuery,
  type DiscoverySearchQuery,
  type Listing,
  type ListingQuery,
  type ListingReason,
  type ListingStatus,
  listingKey,
  listingReasons,
  type PaymentWitness,
  type PublishedRatings,
  type RatingRequest,
  type RatingResponse,
  type RegisterRequest,
} from '@flow402x/core/bazaar'
import type { StatementVerifier } from '@flow402x/core/receipt'
import { createFetcher, type FetcherOptions } from '../fetching/fetcher.ts'
import { createAnnouncer } from './announcer.ts'
import { bazaarErrors } from './errors.ts'
import { createListings, never, type Rhythm } from './listings.ts'
import { createOwnerCheck, type ResolveText, systemText } from './owner.ts'
import { createPayers } from './payers.ts'
import { createProbe } from './probe.ts'
import { ranked } from './rank.ts'
import { createRounds } from './rounds.ts'

/** What went on inside, for who runs it. */
export type BazaarEvent =
  | { readonly type: 'looked'; readonly key: string; readonly state: string; readonly reason: string }
  | { readonly type: 'failed'; readonly what: 'round' | 'payment' | 'request'; readonly error: unknown }

/** What a bazaar is made of. */
export type BazaarOptions = {
  /** Where it keeps its books: any number of bazaars may share one. */
  readonly store: { readonly catalogue: CatalogueStore }
  /** Who looks at the chains on which ratings are taken: one for each network. Without any nobody can rate. */
  readonly witnesses?: readonly PaymentWitness[]
  /** Who can tell signers of receipts (`@flow402x/adapters-…/receipt`): then who buys from a seller that signs them must show his. */
  readonly verifiers?: readonly StatementVerifier[]
  /** Wallets that fund everybody, such as an exchange's. */
  readonly hubs?: readonly string[]
  /** How resources are fetched; `allowLoopback` is for development. */
  readonly fetching?: FetcherOptions
  readonly resolveText?: ResolveText
  readonly rhythm?: Partial<Rhythm>
  /** How many resources are looked at together; 8 unless told. */
  readonly atOnce?: number
  /** How often it is looked what is due, in milliseconds; 1,000 unless told. */
  readonly tick?: number
  /** The most listings of one origin, and the most refusals that are remembered of it; 500 unless told. */
  readonly perOrigin?: number
  /** Writes `listing.listed`, `listing.unlisted` and `listing.rejected` into the store's outbox, from which `deliverWebhooks` sends them. */
  readonly tell?: boolean
  /** URLs that its operator does not list. */
  readonly blocks?: (url: string) => boolean
  readonly onEvent?: (event: BazaarEvent) => void
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** A number from 0 up to 1. */
  readonly random?: () => number
}

type Abortable = { readonly signal?: AbortSignal | undefined }

/** A bazaar: the answers of its HTTP interface as functions, the feed of facilitators, and the looks that keep it true. */
export type Bazaar = {
  list(query: DiscoveryListQuery, options?: Abortable): Promise<DiscoveryList>
  search(query: DiscoverySearchQuery, options?: Abortable): Promise<DiscoveryFound>
  /** Looks at a resource and lists it, or says why not. */
  register(request: RegisterRequest, options?: Abortable): Promise<ListingStatus>
  rate(request: RatingRequest, options?: Abortable): Promise<RatingResponse>
  ratings(query: ListingQuery, options?: Abortable): Promise<PublishedRatings>
  listing(query: ListingQuery, options?: Abortable): Promise<ListingStatus>
  /** What `announcing` of `@flow402x/core/bazaar` tells of settled payments. */
  readonly feed: DiscoveryFeed
  /** Looks at what is due now, and says at how much. It never rejects. */
  round(): Promise<number>
  /** Looks at what is due from now on, until it is closed. */
  start(): void
  /** Takes no more, and resolves when what is under way has ended. */
  close(): Promise<void>
}

const defaultRhythm: Rhythm = { every: 900_000, first: 60_000, longest: 7 * 86_400_000, failures: 8 }
// As many candidates are weighed for one question.
const mostWeighed = 400
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** A marketplace over a catalogue: it lists what it has seen itself, and says of everything else why it is not listed. */
export function createBazaar(options: BazaarOptions): Bazaar {
  const { store, fetching = {}, clock = Date.now, random = Math.random, atOnce = 8, tick = 1000, onEvent = () => {} } = options
  const { catalogue } = store
  const fetcher = createFetcher(fetching)
  const listings = createListings({
    catalogue,
    probe: createProbe(fetcher),
    owner: createOwnerCheck({ fetcher, resolveText: options.resolveText ?? systemText }),
    rhythm: { ...defaultRhythm, ...options.rhythm },
    perOrigin: options.perOrigin ?? 500,
    tells: options.tell ?? false,
    blocks: options.blocks ?? (() => false),
    clock,
    random,
  })
  const { witnesses = [], verifiers = [], hubs = [] } = options
  const payers = createPayers({ catalogue, witnesses, verifiers, hubs, clock })
  const closing = new AbortController()
  const { signal: closed } = closing
  const underWay = new Set<Promise<unknown>>()
  const lease = 4 * (fetching.timeout ?? 10_000) + 20_000
  const rounds = createRounds({ catalogue, listings, atOnce, tick, lease, clock, onEvent, closed })

  const tracked = <Result>(work: Promise<Result>): Promise<Result> => {
    const held = work.catch(() => undefined).finally(() => underWay.delete(held))
    underWay.add(held)
    return work
  }
  const networks = witnesses.map(({ network }) => network)
  const announce = createAnnouncer({ catalogue, listings, payers, networks, clock, onEvent, closed, tracked })
  const open = (signal?: AbortSignal): AbortSignal => {
    if (closing.signal.aborted) throw bazaarErrors('bazaar/closed', {})
    signal?.throwIfAborted()
    return signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])
  }

  /** The entry that a URL means: by its own key, or by the one under which its page is listed. */
  async function entryAt({ url, method }: ListingQuery): Promise<CatalogueEntry | undefined> {
    if (!URL.canParse(url)) return undefined
    const { origin, pathname, hash } = new URL(url)
    const verbs = method === undefined ? methods : [method.toUpperCase()]
    const [byKey, byPage] = await Promise.all([
      catalogue.findAll(verbs.map((verb) => listingKey(verb, url))),
      catalogue.findAt(`${origin}${pathname}`),
    ])
    const fits = byPage.filter(({ key }) => {
      // The tools of one server share its URL, and are told apart by what follows it.
      const isOther = hash !== '' && key.startsWith('MCP ') && new URL(key.slice('MCP '.length)).hash !== hash
      return !isOther && (method === undefined || key.startsWith(`${method.toUpperCase()} `))
    })
    const all = [...byKey, ...fits]
    return all.find(({ state }) => state === 'listed') ?? all[0]
  }

  async function listingsOf(keys: readonly string[]): Promise<Listing[]> {
    const found = new Map((await catalogue.findAll(keys)).map((entry) => [entry.key, entry]))
    return keys.flatMap((key) => {
      const entry = found.get(key)
      return entry?.state === 'listed' && entry.listing !== undefined ? [entry.listing] : []
    })
  }

  return {
    async list({ limit = 20, offset = 0, sort, ...query }, { signal } = {}) {
      open(signal)
      const asked = questionOf(query)
      const [found, total] = await Promise.all([catalogue.search({ ...asked, limit, offset, sort }), catalogue.count(asked)])
      return { x402Version: 2, items: await listingsOf(found.map(({ key }) => key)), pagination: { limit, offset, total } }
    },
    async search({ query: words, limit = 20, cursor, sort, ...query }, { signal } = {}) {
      open(signal)
      const offset = readCursor(cursor)
      const asked = { ...questionOf(query), words }
      const all = await catalogue.search({ ...asked, limit: mostWeighed, sort })
      // Who finds nothing by all his words is shown what has some of them.
      const some = all.length === 0 ? await catalogue.search({ ...asked, any: true, limit: mostWeighed, sort }) : all
      const order = sort === undefined || sort === 'best' ? ranked(some, words) : some
      const page = order.slice(offset, offset + limit)
      const next = offset + limit < order.length ? String(offset + limit) : null
      return {
        x402Version: 2,
        resources: await listingsOf(page.map(({ key }) => key)),
        partialResults: all.length === 0 && some.length > 0,
        pagination: { limit, cursor: next },
      }
    },
    async register({ url, method, ...claims }, { signal } = {}) {
      const { state, reason, note, entry } = await tracked(listings.propose({ url, method, claims }, open(signal)))
      return entry === undefined ? statusOf({ resource: url, state, reason, note }) : statusOfEntry(entry)
    },
    async rate(request, { signal } = {}) {
      const within = open(signal)
      const entry = await entryAt({ url: request.resource })
      if (entry === undefined) return { accepted: false, reason: 'not_listed', message: 'This resource is not listed here.' }
      const answer = await tracked(payers.rate(entry, request, within))
      if (answer.accepted) await listings.weigh(entry.key)
      return answer
    },
    async ratings({ url, method }, { signal } = {}) {
      open(signal)
      const entry = await entryAt({ url, method })
      const standing = entry === undefined ? undefined : await catalogue.standing(entry.key)
      const heard = new Map(standing?.payers.map(({ cluster, unrelatedSellers: others }) => [cluster, 0.1 + 0.9 * (others / (others + 2))]))
      const ratings = (standing?.ratings ?? []).slice(0, 100).map(({ payer, network, transaction, stars, comment, issuedAt, cluster }) => {
        const weight = heard.get(cluster) ?? 0
        return { payer, network, transaction, stars, issuedAt, weight, ...(comment == null ? {} : { comment }) }
      })
      return { resource: url, ratings }
    },
    async listing({ url, method }, { signal } = {}) {
      open(signal)
      const entry = await entryAt({ url, method })
      return entry === undefined ? statusOf({ resource: url, state: 'unknown', reason: 'never_seen' }) : statusOfEntry(entry)
    },
    feed: { announce: (payment, { signal } = {}) => tracked(Promise.resolve(open(signal)).then(() => announce(payment))) },
    round: rounds.round,
    start: rounds.start,
    async close() {
      closing.abort()
      while (underWay.size > 0) await Promise.all(underWay)
      await rounds.close()
    },
  }
}

function questionOf({ extensions, ...query }: Omit<DiscoveryListQuery, 'limit' | 'offset' | 'sort'>): Omit<CatalogueQuery, 'limit'> {
  return {
    ...query,
    ...(extensions === undefined
      ? {}
      : {
          extensions: extensions
            .split(',')
            .map((key) => key.trim())
            .filter(Boolean),
        }),
  }
}

function readCursor(cursor: string | undefined): number {
  if (cursor === undefined) return 0
  if (!/^\d{1,4}$/.test(cursor)) throw bazaarErrors('request/malformed', { why: 'its cursor is none of ours' })
  return Number(cursor)
}

type Told = {
  readonly resource: string
  readonly state: ListingStatus['state']
  readonly reason: ListingReason
  readonly note?: string | undefined
}

function statusOf({ resource, state, reason, note }: Told): ListingStatus {
  return { resource, state, reason, message: note === undefined ? listingReasons[reason] : `${listingReasons[reason]} ${note}` }
}

function statusOfEntry({ key, target, state, reason, note, since, nextProbeAt, listing }: CatalogueEntry): ListingStatus {
  return {
    ...statusOf({ resource: listing?.resource ?? target.url, state, reason, note }),
    key,
    since: new Date(since).toISOString(),
    ...(nextProbeAt < never ? { nextProbeAt: new Date(nextProbeAt).toISOString() } : {}),
    ...(state === 'listed' && listing !== undefined ? { listing } : {}),
  }
}
