import { isX402Error } from '@flow402x/core'
import { readListing } from '@flow402x/core/bazaar'
import { toText } from '@flow402x/core/page'
import type { Bazaar, BazaarEvent } from '../catalog/bazaar.ts'
import { type AssetFiles, assetFiles, digest } from '../frame/asset-files.ts'
import { framed, type Page } from '../frame/frame.ts'
import { textOf } from '../http/body.ts'
import { resourcePath } from './paths.ts'
import { readRegistration, registerPage, requestOf } from './register-page.ts'
import { resourcePage } from './resource-page.ts'
import { pageSize, readSearch, type Search } from './search.ts'
import { searchPage } from './search-page.ts'
import { brokenPage, lostPage, statePage } from './state-page.ts'

/** What the pages ask of their bazaar. */
type Source = Pick<Bazaar, 'list' | 'search' | 'listing' | 'ratings' | 'register'>

/** How the pages present their bazaar. */
export type PagesOptions = {
  /** What the bazaar is called; `Bazaar` unless told. */
  readonly name?: string
  /** Told of what kept a page from being made; the visitor is not. */
  readonly onEvent?: (event: BazaarEvent) => void
}

/**
 * The web pages of a bazaar: search, resources, registration. They work without scripts, load nothing from elsewhere, and show what
 * strangers wrote as text. They stand at the root of their origin: hand them to `serveBazaar` or `bazaarEndpoint`, which keep their
 * visitors within limits. Every request has an answer; what is no page is a 404. Errors: `request/too-large`.
 */
export function createPages(
  bazaar: Source,
  { name = 'Bazaar', onEvent = () => {} }: PagesOptions = {},
): (request: Request) => Promise<Response> {
  let files: Promise<AssetFiles> | undefined
  return async (request) => {
    files ??= assetFiles()
    const { paths, find } = await files
    const { pathname } = new URL(request.url)
    const file = find(pathname)
    if (file !== undefined) return conditional(request, file)
    const answer = await answerOf(request, bazaar).catch((error: unknown) => {
      if (isX402Error(error) && error.status < 500) throw error
      onEvent({ type: 'failed', what: 'request', error })
      return brokenPage
    })
    if ('location' in answer) return new Response(null, { status: 303, headers: { ...guards, location: answer.location } })
    const text = toText(framed(answer, { name, assets: paths }))
    return conditional(request, { text, type: 'text/html; charset=utf-8', cache: 'public, no-cache', ...answer })
  }
}

type Answer = Page | { readonly location: string }

async function answerOf(request: Request, bazaar: Source): Promise<Answer> {
  const { pathname, searchParams } = new URL(request.url)
  if (request.method === 'POST' && pathname === '/register') return register(request, bazaar)
  if (request.method !== 'GET' && request.method !== 'HEAD') return { ...lostPage, status: 405 }
  if (pathname === '/') return find(readSearch(searchParams), { bazaar, request })
  if (pathname === '/register') return registerPage(readRegistration(searchParams))
  if (pathname === '/resource') return resource(searchParams, { bazaar, request })
  return lostPage
}

type Asked = { readonly bazaar: Source; readonly request: Request }

async function find(search: Search, { bazaar, request }: Asked): Promise<Page> {
  const { words, page, filters } = search
  const { signal } = request
  const offset = (page - 1) * pageSize
  if (words === '') {
    const { items, pagination } = await bazaar.list({ ...filters, limit: pageSize, offset }, { signal })
    const listings = items.flatMap((item) => readListing(item) ?? [])
    return searchPage(search, { listings, total: pagination.total, more: offset + items.length < pagination.total })
  }
  // A cursor of this bazaar is how many were shown before.
  const cursor = offset === 0 ? {} : { cursor: String(offset) }
  const found = await bazaar.search({ ...filters, query: words, limit: pageSize, ...cursor }, { signal })
  const listings = found.resources.flatMap((item) => readListing(item) ?? [])
  const more = found.pagination?.cursor != null
  const total = more ? {} : { total: offset + found.resources.length }
  return searchPage(search, { listings, more, ...total, partial: found.partialResults === true })
}

async function resource(asked: URLSearchParams, { bazaar, request }: Asked): Promise<Answer> {
  const url = asked.get('url')?.trim() ?? ''
  const method = asked.get('method')?.trim().toUpperCase() ?? ''
  if (url === '') return { location: '/' }
  if (url.length > 2048 || method.length > 16) return lostPage
  const { signal } = request
  const query = { url, ...(method === '' ? {} : { method }) }
  const status = await bazaar.listing(query, { signal })
  const { listing, state } = status
  if (listing == null || state !== 'listed') return statePage(status)
  return resourcePage(listing, { status, ratings: (await bazaar.ratings(query, { signal })).ratings })
}

async function register(request: Request, bazaar: Source): Promise<Answer> {
  // A page of another site may not send a visitor's registrations.
  if (request.headers.get('sec-fetch-site') === 'cross-site') return { ...lostPage, status: 403 }
  const form = readRegistration(new URLSearchParams(await textOf(request)))
  const read = requestOf(form)
  if ('wrong' in read) return registerPage(form, read)
  const status = await bazaar.register(read.request, { signal: request.signal })
  // What is not written down has no page to go to.
  if (status.since == null) return { ...statePage(status), status: 422 }
  return { location: resourcePath(status.listing ?? { resource: status.resource, method: read.request.method ?? '' }) }
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
