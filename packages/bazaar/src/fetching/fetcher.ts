import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import type { ListingReason } from '@flow402x/core/bazaar'
import { isLoopbackAddress, isPublicAddress } from './address.ts'

/** The addresses of a name, as text. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

/** How strangers' URLs are fetched. */
export type FetcherOptions = {
  /** The system's resolver unless told. Whatever it says is checked, and the checked address is the one that is connected to. */
  readonly resolve?: Resolve
  /** For development: lets http and this machine's own addresses pass, and no other private one. */
  readonly allowLoopback?: boolean
  /** Milliseconds for everything together; 10,000 unless told. */
  readonly timeout?: number
  /** The most bytes of a body; 65,536 unless told. */
  readonly mostBytes?: number
  /** Certificates to trust beside the system's. */
  readonly ca?: string
}

/** What is asked. */
export type Asked = {
  readonly method?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What came of it: an answer, or the reason why there is none. */
export type Fetched =
  | {
      readonly status: number
      readonly headers: Headers
      readonly body: string
      /** Where the answer came from: the same origin. */
      readonly url: string
      readonly latencyMs: number
    }
  | { readonly reason: ListingReason; readonly message: string }

/** Fetches what strangers name (A20). It never rejects but for an aborted signal. */
export type Fetcher = (url: string, asked?: Asked) => Promise<Fetched>

const mostRedirects = 3

/**
 * A fetcher for URLs of strangers: https alone; the name is resolved, every address of it must be public, and the connection is made to
 * the address that was checked. Redirects stay on the origin and are checked again; time and size have an end.
 */
export function createFetcher(options: FetcherOptions = {}): Fetcher {
  const { timeout = 10_000, resolve = systemResolve, allowLoopback = false } = options

  return async (text, asked = {}) => {
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), ...(asked.signal === undefined ? [] : [asked.signal])])
    const started = performance.now()
    let url = readUrl(text, allowLoopback)
    for (let hop = 0; 'href' in url; hop += 1) {
      const at = await whereTo(url)
      if ('reason' in at) return at
      const got = await get(url, { ...asked, ...options, signal, address: at.address }).catch((error: unknown) =>
        failure(error, asked.signal),
      )
      if ('reason' in got) return got
      const { location } = got
      if (location === undefined) {
        const { location: _, ...answer } = got
        return { ...answer, url: url.href, latencyMs: Math.round(performance.now() - started) }
      }
      url =
        hop < mostRedirects ? redirected(location, url) : { reason: 'redirected_away', message: `More than ${mostRedirects} redirects.` }
    }
    return url

    async function whereTo({ protocol, hostname }: URL): Promise<{ readonly address: string } | Refusal> {
      const bare = hostname.replace(/^\[|\]$/g, '')
      const found = isIP(bare) === 0 ? await within(resolve(bare), signal) : [bare]
      if ('reason' in found) return found
      const [address] = found
      if (address === undefined) return { reason: 'unreachable', message: `${hostname} has no address.` }
      const here = found.every(isLoopbackAddress)
      // A name with one public and one private address is a trap for whoever asks twice.
      if (!found.every(isPublicAddress) && !(allowLoopback && here))
        return { reason: 'blocked_address', message: `${hostname} leads to an address that is not public.` }
      if (protocol === 'http:' && !here) return insecure
      return { address }
    }

    async function within(resolving: Promise<readonly string[]>, until: AbortSignal): Promise<readonly string[] | Refusal> {
      const ended = new Promise<never>((_, reject) => {
        until.addEventListener('abort', () => reject(until.reason), { once: true })
      })
      return Promise.race([resolving, ended]).catch((error: unknown) => failure(error, asked.signal))
    }
  }
}

type Refusal = { readonly reason: ListingReason; readonly message: string }

const insecure: Refusal = { reason: 'insecure_url', message: 'Only https is listed.' }

function readUrl(text: string, allowHttp: boolean): URL | Refusal {
  // The parser writes every spelling of an IPv4 address as the one with dots.
  if (!URL.canParse(text)) return { reason: 'bad_url', message: 'It is no absolute URL.' }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return { reason: 'bad_url', message: 'It names a user.' }
  if (url.protocol === 'https:' || (allowHttp && url.protocol === 'http:')) return url
  return url.protocol === 'http:' ? insecure : { reason: 'bad_url', message: 'It is no URL of https.' }
}

function redirected(location: string, from: URL): URL | Refusal {
  const next = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined
  if (next !== undefined && next.origin === from.origin && next.username === '' && next.password === '') return next
  return { reason: 'redirected_away', message: 'It redirects to another origin: register it where it answers.' }
}

async function systemResolve(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true, verbatim: true })).map(({ address }) => address)
}

type Got = { readonly status: number; readonly headers: Headers; readonly body: string; readonly location: string | undefined }
type Getting = Asked & Pick<FetcherOptions, 'mostBytes' | 'ca'> & { readonly address: string; readonly signal: AbortSignal }

function get(url: URL, { method = 'GET', headers, body, address, signal, mostBytes = 65_536, ca }: Getting): Promise<Got | Refusal> {
  const { protocol, hostname, port, pathname, search, host } = url
  const secure = protocol === 'https:'
  const options = {
    // The address that was checked: nothing is resolved again.
    host: address,
    port: port === '' ? (secure ? 443 : 80) : port,
    path: `${pathname}${search}`,
    method,
    headers: { 'user-agent': 'flow402x-bazaar', accept: '*/*', 'accept-encoding': 'identity', ...headers, host },
    agent: false,
    signal,
    maxHeaderSize: 32_768,
    ...(secure ? { servername: isIP(hostname) === 0 ? hostname : '', ...(ca === undefined ? {} : { ca }) } : {}),
  } as const
  return new Promise((resolve, reject) => {
    const ask = (secure ? requestHttps : requestHttp)(options, (response) => {
      read(response, mostBytes)
        .then(resolve, reject)
        .finally(() => ask.destroy())
    })
    ask.once('error', reject).end(body)
  })
}

async function read(response: IncomingMessage, mostBytes: number): Promise<Got | Refusal> {
  const headers = new Headers()
  for (const [name, values] of Object.entries(response.headersDistinct)) for (const value of values ?? []) headers.append(name, value)
  const status = response.statusCode ?? 0
  const location = status >= 300 && status < 400 ? (headers.get('location') ?? undefined) : undefined
  if (location !== undefined) return { status, headers, body: '', location }
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response) {
    // Without a decoder Node gives buffers.
    const bytes = part as Buffer
    length += bytes.length
    if (length > mostBytes) return { reason: 'too_large', message: `Its answer has more than ${mostBytes} bytes.` }
    parts.push(bytes)
  }
  return { status, headers, body: Buffer.concat(parts).toString('utf8'), location }
}

function failure(error: unknown, asked: AbortSignal | undefined): Refusal {
  asked?.throwIfAborted()
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  const slow = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError' || code === 'ABORT_ERR')
  if (slow) return { reason: 'timed_out', message: 'It did not answer in time.' }
  if (code === 'HPE_HEADER_OVERFLOW') return { reason: 'too_large', message: 'Its headers have more than 32768 bytes.' }
  return { reason: 'unreachable', message: `No connection could be made${/^[A-Z0-9_]{1,40}$/.test(code) ? ` (${code})` : ''}.` }
}
