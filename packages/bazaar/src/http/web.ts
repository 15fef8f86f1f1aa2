import { firstIssue, isX402Error, toProblem, type X402Error } from '@flow402x/core'
import { bazaarRoutes } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import type { Bazaar, BazaarEvent } from '../catalog/bazaar.ts'
import { bazaarErrors } from '../catalog/errors.ts'
import { readJson } from '../fetching/json.ts'
import { textOf } from './body.ts'
import { createLimiter, type Limit } from './limits.ts'
import { openApi } from './openapi.ts'

/** How a bazaar is served. */
export type EndpointOptions = {
  /** Who asks, for the limits: the address of the peer, or what a trusted proxy says of it. Everybody together where it is not told. */
  readonly callerOf?: (request: Request) => string | undefined
  /** How often one caller may read (120 at once, ten a second) and write (10 at once, one in 6 seconds), unless told. */
  readonly limits?: { readonly read?: Limit; readonly write?: Limit }
  /** Answers what is no route of the interface, under the same limits: `createPages`. */
  readonly pages?: (request: Request) => Promise<Response>
  readonly onEvent?: (event: BazaarEvent) => void
  /** Unix milliseconds. */
  readonly clock?: () => number
}

type Route = keyof typeof bazaarRoutes
type Answer = (bazaar: Bazaar, input: unknown, signal: AbortSignal) => Promise<object>

const reads = new Set(['GET', 'HEAD'])
const anyOrigin = { 'access-control-allow-origin': '*' }

/**
 * A bazaar as a Web handler: every route of `bazaarRoutes`, below any base path, and `GET /openapi.json`. What is not listed, and what is
 * no rating, is an answer of 200 with its reason; everything else that goes wrong is an RFC 9457 problem.
 */
export function bazaarEndpoint(
  bazaar: Bazaar,
  { callerOf = () => undefined, limits = {}, pages, onEvent = () => {}, clock = Date.now }: EndpointOptions = {},
): (request: Request) => Promise<Response> {
  const mayRead = createLimiter(limits.read ?? { most: 120, every: 100 }, clock)
  const mayWrite = createLimiter(limits.write ?? { most: 10, every: 6000 }, clock)
  const described = JSON.stringify(openApi())

  return async (request) => {
    try {
      if (request.method === 'OPTIONS') return preflight()
      const { pathname, searchParams } = new URL(request.url)
      const wait = (reads.has(request.method) ? mayRead : mayWrite)(callerOf(request) ?? '')
      if (wait > 0) throw bazaarErrors('request/too-many', { seconds: Math.ceil(wait / 1000) })
      if (pathname.endsWith('/openapi.json')) return json(described)
      if (pages !== undefined && !names.some((name) => pathname.endsWith(bazaarRoutes[name].path))) return await pages(request)
      const route = routeOf(pathname, request.method)
      const input = request.method === 'GET' ? Object.fromEntries(searchParams) : readJson(await textOf(request))
      return json(JSON.stringify(await answers[route](bazaar, input, request.signal)))
    } catch (error) {
      const known = isX402Error(error) ? error : bazaarErrors('bazaar/internal', { cause: error })
      if (known.status >= 500 && !request.signal.aborted) onEvent({ type: 'failed', what: 'request', error })
      return problemOf(known)
    }
  }
}

const answers: Record<Route, Answer> = {
  list: (bazaar, input, signal) => bazaar.list(read(bazaarRoutes.list.query, input), { signal }),
  search: (bazaar, input, signal) => bazaar.search(read(bazaarRoutes.search.query, input), { signal }),
  register: (bazaar, input, signal) => bazaar.register(read(bazaarRoutes.register.request, input), { signal }),
  rate: (bazaar, input, signal) => bazaar.rate(read(bazaarRoutes.rate.request, input), { signal }),
  ratings: (bazaar, input, signal) => bazaar.ratings(read(bazaarRoutes.ratings.query, input), { signal }),
  listing: (bazaar, input, signal) => bazaar.listing(read(bazaarRoutes.listing.query, input), { signal }),
}

/** What was asked, judged by the schema of its route. Errors: `request/malformed`. */
function read<Value>(schema: z.ZodMiniType<Value>, input: unknown): Value {
  const parsed = z.safeParse(schema, input)
  if (parsed.success) return parsed.data
  throw bazaarErrors('request/malformed', { why: input === undefined ? 'its body is no JSON' : firstIssue(parsed.error) })
}

const names = ['list', 'search', 'register', 'rate', 'ratings', 'listing'] as const satisfies readonly Route[]

function routeOf(pathname: string, method: string): Route {
  const here = names.filter((name) => pathname.endsWith(bazaarRoutes[name].path))
  const found = here.find((name) => bazaarRoutes[name].method === method)
  if (found !== undefined) return found
  const allowed = here.map((name) => bazaarRoutes[name].method).join(', ')
  throw here.length === 0
    ? bazaarErrors('request/not-found', { path: pathname.slice(0, 200) })
    : bazaarErrors('request/bad-method', { method, allowed })
}

function json(body: string, init: { readonly status?: number; readonly headers?: Record<string, string> } = {}): Response {
  const headers = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', ...anyOrigin, ...init.headers }
  return new Response(body, { status: init.status ?? 200, headers })
}

function problemOf(error: X402Error): Response {
  const { seconds, allowed } = z.safeParse(told, error.context).data ?? {}
  const headers = {
    'content-type': 'application/problem+json',
    ...(seconds === undefined ? {} : { 'retry-after': `${seconds}` }),
    ...(allowed === undefined ? {} : { allow: allowed }),
  }
  return json(JSON.stringify(toProblem(error)), { status: error.status, headers })
}

const told = z.looseObject({ seconds: z.optional(z.number()), allowed: z.optional(z.string()) })

function preflight(): Response {
  const headers = {
    ...anyOrigin,
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': '*',
    'access-control-max-age': '7200',
  }
  return new Response(null, { status: 204, headers })
}
