import {
  type DiscoveryFound,
  type DiscoveryList,
  type DiscoveryListQuery,
  type DiscoverySearchQuery,
  type ListingQuery,
  type ListingStatus,
  type PublishedRatings,
  type RegisterRequest,
  readListing,
} from '@flow402x/core/bazaar'
import { type AssetFiles, assetFiles, digest } from '../frame/asset-files.ts'
import { framed, type Page } from '../frame/frame.ts'
import { toText } from '../frame/html.ts'
import { resourcePath } from './paths.ts'
import { readRegistration, registerPage, requestOf } from './register-page.ts'
import { resourcePage } from './resource-page.ts'
import { pageSize, readSearch, type Search } from './search.ts'
import { searchPage } from './search-page.ts'
import { brokenPage, lostPage, statePage } from './state-page.ts'

/** What the pages ask of their bazaar: the same as its HTTP interface. */
export interface PageSource {
  list(query: DiscoveryListQuery): Promise<DiscoveryList>
  search(query: DiscoverySearchQuery): Promise<DiscoveryFound>
  listing(query: ListingQuery): Promise<ListingStatus>
  ratings(query: ListingQuery): Promise<PublishedRatings>
  register(request: RegisterRequest): Promise<ListingStatus>
}

/** How the pages present their bazaar. */
export type PagesOptions = {
  /** What the bazaar is called; `Bazaar` unless told. */
  readonly name?: string
  /** Told of what kept a page from being made; the visitor is not. */
  readonly onError?: (error: unknown) => void
}

/**
 * The web pages of a bazaar: search, resources, registration. They work without scripts, load nothing from elsewhere, and show what
 * strangers wrote as text. Every request has an answer; what is no page is a 404.
 */
export function createPages(source: PageSource, { name = 'Bazaar', onError }: PagesOptions = {}): (request: Request) => Promise<Response> {
  let files: Promise<AssetFiles> | undefined
  return async (request) => {
    files ??= assetFiles()
    const { paths, find } = await files
    const { pathname } = new URL(request.url)
    const file = find(pathname)
    if (file !== undefined) return conditional(request, file)
    const answer = await answerOf(request, source).catch((error: unknown) => {
      onError?.(error)
      return brokenPage
    })
    if ('location' in answer) return new Response(null, { status: 303, headers: { ...guards, location: answer.location } })
    const text = toText(framed(answer, { name, assets: paths }))
    return conditional(request, { text, type: 'text/html; charset=utf-8', cache: 'public, no-cache', ...answer })
  }
}

type Answer = Page | { readonly location: string }

async function answerOf(request: Request, source: PageSource): Promise<Answer> {
  const { pathname, searchParams } = new URL(request.url)
  if (request.method === 'POST' && pathname === '/register') return register(request, source)
  if (request.method !== 'GET' && request.method !== 'HEAD') return { ...lostPage, status: 405 }
  if (pathname === '/') return find(readSearch(searchParams), source)
  if (pathname === '/register') return registerPage(readRegistration(searchParams))
  if (pathname === '/resource') return resource(searchParams, source)
  return lostPage
}

async function find(search: Search, source: PageSource): Promise<Page> {
  const { words, page, filters } = search
  const offset = (page - 1) * pageSize
  if (words === '') {
    const { items, pagination } = await source.list({ ...filters, limit: pageSize, offset })
    const listings = items.flatMap((item) => readListing(item) ?? [])
    return searchPage(search, { listings, total: pagination.total, more: offset + items.length < pagination.total })
  }
  // A cursor of this bazaar is how many were shown before.
  const cursor = offset === 0 ? {} : { cursor: String(offset) }
  const { resources, pagination, partialResults } = await source.search({ ...filters, query: words, limit: pageSize, ...cursor })
  const listings = resources.flatMap((item) => readListing(item) ?? [])
  const more = pagination?.cursor != null
  const total = more ? {} : { total: offset + resources.length }
  return searchPage(search, { listings, more, ...total, partial: partialResults === true })
}

async function resource(asked: URLSearchParams, source: PageSource): Promise<Answer> {
  const url = asked.get('url')?.trim() ?? ''
  const method = asked.get('method')?.trim().toUpperCase() ?? ''
  if (url === '') return { location: '/' }
  if (url.length > 2048 || method.length > 16) return lostPage
  const query = { url, ...(method === '' ? {} : { method }) }
  const status = await source.listing(query)
  const { listing, state } = status
  if (listing == null || state !== 'listed') return statePage(status)
  return resourcePage(listing, { status, ratings: (await source.ratings(query)).ratings })
}

async function register(request: Request, source: PageSource): Promise<Answer> {
  // A page of another site may not send a visitor's registrations.
  if (request.headers.get('sec-fetch-site') === 'cross-site') return { ...lostPage, status: 403 }
  const form = readRegistration(new URLSearchParams(await request.text()))
  const read = requestOf(form)
  if ('wrong' in read) return registerPage(form, read)
  const { resource: url, listing } = await source.register(read.request)
  return { location: resourcePath(listing ?? { resource: url, method: read.request.method ?? '' }) }
}

/** What every answer says to browsers: nothing from elsewhere, no frame around it, no address told to others. */
const guards = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=()',
}

type Sent = { readonly text: string; readonly type: string; readonly cache: string; readonly status?: number }

/** An answer with its tag, without its body for who has it already. */
async function conditional(request: Request, { text, type, cache, status = 200 }: Sent): Promise<Response> {
  const etag = `"${await digest(text)}"`
  const headers = new Headers({ ...guards, 'content-type': type, 'cache-control': status < 400 ? cache : 'no-store', etag })
  if (status === 405) headers.set('allow', 'GET, HEAD')
  if (status === 503) headers.set('retry-after', '5')
  const known = (request.headers.get('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (status === 200 && known.includes(etag)) return new Response(null, { status: 304, headers })
  return new Response(request.method === 'HEAD' ? null : text, { status, headers })
}
