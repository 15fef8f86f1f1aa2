import type { NewMessage } from '@flow402x/core'
import {
  type CatalogueEntry,
  type CatalogueStore,
  type Listing,
  type ListingClaims,
  type ListingHealth,
  type ListingReason,
  listingKey,
  type NewEntry,
} from '@flow402x/core/bazaar'
import type { OwnerCheck } from './owner.ts'
import type { Look, Probe } from './probe.ts'
import { qualityOf, ratingsOf } from './rank.ts'

/** When resources are looked at. Times in milliseconds. */
export type Rhythm = {
  /** How often one that is well is looked at; 15 minutes unless told. */
  readonly every: number
  /** How soon after a failure it is looked at again; each further one doubles it, up to `longest`: a minute and a week unless told. */
  readonly first: number
  readonly longest: number
  /** After so many failures in a row it is not listed any more; 8 unless told, which takes about two hours. */
  readonly failures: number
}

/** With what listings are kept. */
export type ListingsOptions = {
  readonly catalogue: CatalogueStore
  readonly probe: Probe
  readonly owner: OwnerCheck
  readonly rhythm: Rhythm
  /** The most entries of one origin. */
  readonly perOrigin: number
  readonly tells: boolean
  readonly blocks: (url: string) => boolean
  readonly clock: () => number
  readonly random: () => number
}

/** A resource that is to be looked at, and what was said of it. */
export type Proposal = { readonly url: string; readonly method?: string | undefined; readonly claims: ListingClaims }

/** Where a resource stands after it was looked at. */
export type Standing = Pick<CatalogueEntry, 'state' | 'reason' | 'note'> & { readonly entry?: CatalogueEntry | undefined }

/** The listings of a catalogue, as they come, change and go. */
export type Listings = {
  /** Looks at what was proposed now, and writes down what came of it. */
  propose(proposal: Proposal, signal: AbortSignal | undefined): Promise<Standing>
  /** The entry of a key, or a new one while its origin may have more. */
  admit(entry: NewEntry): Promise<CatalogueEntry | undefined>
  /** An entry that is looked at as soon as may be. */
  blank(target: CatalogueEntry['target']): Omit<NewEntry, 'key' | 'claims'>
  /** Looks at an entry that is due. */
  lookAt(entry: CatalogueEntry, signal?: AbortSignal): Promise<CatalogueEntry | undefined>
  /** Counts anew what payers say of a listing. */
  weigh(key: string): Promise<void>
}

const lookAgain = 3

/** When what nobody needs to look at again is looked at: the last time there is. */
export const never = 8.64e15

/** Keeps listings by looking at them: nothing is listed that was not seen, and nothing goes without a reason (H12, H40). */
export function createListings(options: ListingsOptions): Listings {
  const { catalogue, probe, owner, rhythm, perOrigin, tells, blocks, clock, random } = options

  async function propose({ url, method, claims }: Proposal, signal: AbortSignal | undefined): Promise<Standing> {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return { state: 'rejected', reason: 'bad_url' }
    if (blocks(url)) return { state: 'rejected', reason: 'blocked' }
    const look = await probe({ url, ...(method === undefined ? {} : { method }) }, { claims, signal })
    const key = look.live ? look.facts.key : listingKey(method ?? 'GET', url)
    // What is nothing is remembered so that it can be told why, but never in the place of what is something.
    const { origin } = new URL(url)
    const isNoise = !look.live && (await catalogue.find(key)) === undefined && (await catalogue.countOf(origin, 'rejected')) >= perOrigin
    if (isNoise) return { state: 'rejected', reason: look.reason, note: look.note }
    const entry = await admit({ ...blank(look.live ? look.target : { url, method }), key, claims })
    if (entry === undefined) return { state: 'rejected', reason: 'too_many' }
    const { state, reason, note, ...after } = (await record(entry, look, signal)) ?? entry
    return { state, reason, note, entry: { state, reason, note, ...after } }
  }

  async function admit(entry: NewEntry): Promise<CatalogueEntry | undefined> {
    const standing = await catalogue.find(entry.key)
    if (standing !== undefined) return standing
    if ((await catalogue.countOf(new URL(entry.target.url).origin, 'listed')) >= perOrigin) return undefined
    return (await catalogue.add(entry)).entry
  }

  function blank(target: CatalogueEntry['target']): Omit<NewEntry, 'key' | 'claims'> {
    const now = clock()
    return { target, state: 'pending', reason: 'probe_pending', since: now, quality: 0, failures: 0, nextProbeAt: now }
  }

  /** Writes down what a look showed; who was faster has it. */
  async function record(entry: CatalogueEntry, look: Look, signal: AbortSignal | undefined): Promise<CatalogueEntry | undefined> {
    let standing: CatalogueEntry | undefined = entry
    for (let attempt = 0; standing !== undefined && attempt < lookAgain; attempt += 1) {
      const next = look.live && look.facts.key === standing.key ? await listed(standing, look, signal) : missed(standing, look)
      const written = await catalogue.update(standing, next, { tell: told(standing, next) })
      if (written !== undefined) return written
      standing = await catalogue.find(entry.key)
    }
    return standing
  }

  async function listed(entry: CatalogueEntry, look: Look & { readonly live: true }, signal: AbortSignal | undefined): Promise<NewEntry> {
    const { facts, target, latencyMs } = look
    const now = clock()
    const [owned, standing] = await Promise.all([owner(facts, { signal }), catalogue.standing(entry.key)])
    const score = (entry.listing?.health.score ?? 0.7) * 0.7 + 0.3
    const health = { status: 'healthy', score: roundScore(score), checkedAt: iso(now), latencyMs } as const
    const listing: Listing = {
      ...facts,
      health,
      ratings: ratingsOf(standing),
      owner: owned,
      lastUpdated: iso(now),
      listedAt: entry.listing?.listedAt ?? iso(now),
    }
    return {
      ...kept(entry, { state: 'listed', reason: 'live' }),
      target,
      listing,
      quality: qualityOf(listing),
      failures: 0,
      nextProbeAt: now + rhythm.every * (0.9 + 0.2 * random()),
    }
  }

  function missed(entry: CatalogueEntry, look: Look): NewEntry {
    const why = look.live
      ? { reason: 'bad_discovery' as const, note: 'Its 402 names another listing than this.' }
      : { reason: look.reason, note: look.note }
    const failures = entry.failures + 1
    const now = clock()
    const { listing } = entry
    const health: ListingHealth = { status: 'failing', score: roundScore((listing?.health.score ?? 0) * 0.6), checkedAt: iso(now) }
    const hurt = listing && { ...listing, health, lastUpdated: iso(now) }
    const lasts = entry.state === 'listed' && failures < rhythm.failures && !atOnce.has(why.reason)
    // What never was anything is not looked at for ever, unless somebody asks for it again.
    const gone = listing === undefined && (failures >= rhythm.failures || atOnce.has(why.reason))
    const state = lasts ? 'listed' : listing === undefined ? 'rejected' : 'unlisted'
    const reason = lasts ? 'failing' : atOnce.has(why.reason) || listing === undefined ? why.reason : 'dead'
    return {
      ...kept(entry, { state, reason, note: why.note ?? why.reason }),
      ...(hurt === undefined ? {} : { listing: hurt, quality: qualityOf(hurt) }),
      failures,
      nextProbeAt: gone ? never : now + Math.min(rhythm.first * 2 ** Math.min(failures - 1, 30), rhythm.longest) * (0.9 + 0.2 * random()),
    }
  }

  function kept(
    { epoch: _, note: __, ...entry }: CatalogueEntry,
    change: Pick<NewEntry, 'state' | 'reason'> & { note?: string | undefined },
  ): NewEntry {
    const { note, ...rest } = change
    const same = entry.state === change.state && entry.reason === change.reason
    return { ...entry, ...rest, since: same ? entry.since : clock(), ...(note === undefined ? {} : { note }) }
  }

  function told(before: CatalogueEntry, { state, reason, note, target }: NewEntry): readonly NewMessage[] {
    if (!tells || before.state === state) return []
    const { key, epoch } = before
    const body = JSON.stringify({ key, url: target.url, state, reason, note })
    return [{ id: `listing ${epoch + 1} ${inAscii(key)}`, topic: `listing.${state}`, body, createdAt: clock() }]
  }

  return {
    propose,
    admit,
    blank,
    async lookAt(entry, signal) {
      const { target, claims } = entry
      const look: Look = blocks(target.url) ? { live: false, reason: 'blocked' } : await probe(target, { claims, signal })
      return record(entry, look, signal)
    },
    async weigh(key) {
      for (let attempt = 0; attempt < lookAgain; attempt += 1) {
        const entry = await catalogue.find(key)
        if (entry?.listing === undefined) return
        const listing = { ...entry.listing, ratings: ratingsOf(await catalogue.standing(key)) }
        if ((await catalogue.update(entry, { ...entry, listing, quality: qualityOf(listing) })) !== undefined) return
      }
    },
  }
}

// What no patience cures, or what its seller asked for.
const atOnce: ReadonlySet<ListingReason> = new Set(['blocked_address', 'insecure_url', 'hidden', 'blocked', 'bad_url', 'bad_discovery'])

function iso(time: number): string {
  return new Date(time).toISOString()
}

function roundScore(score: number): number {
  return Math.round(score * 1000) / 1000
}

/** A key as the id of a message, which is visible ASCII. */
function inAscii(key: string): string {
  return encodeURI(key)
}
