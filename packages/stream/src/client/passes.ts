import { isX402Error } from '@flow402x/core'
import { paymentPassHeader, paymentStreamHeader } from '@flow402x/core/stream'
import { edgeCookie } from '../access/edge-gate.ts'
import { opens, readPass } from '../access/pass.ts'
import type { ProvePass } from '../access/proof.ts'
import { type KeptPass, memoryPasses, type PassStore } from './pass-store.ts'

/** How passes are kept. */
export type KeepPassesOptions = {
  /** Where they outlive this page or process; its memory unless given. */
  readonly store?: PassStore
  readonly fetch?: typeof fetch
  /** Proves that its bearer is the wallet that paid, to sellers who take no pass without that: `viewProver` makes one. */
  readonly prove?: ProvePass
  /** Unix milliseconds. */
  readonly now?: () => number
}

// So often a request is proven anew where later ones arrive before it.
const overtaken = 3
// An answer's `Date` has whole seconds.
const dateMs = 1000

/**
 * A `fetch` that keeps the passes which paid answers bring (windows of access, views) and shows them again until they are over, so that
 * nothing is paid twice: `createClient({ fetch: keepPasses(), … })`. A pass goes to the origin that gave it and nowhere else, so that what it
 * opens is asked for with no redirects; one that is answered 402 or 403 is dropped.
 *
 * @example
 * ```ts
 * const client = createClient({ schemes, fetch: keepPasses({ store: storedPasses(localStorage) }) })
 * ```
 */
export function keepPasses(options: KeepPassesOptions = {}): typeof fetch {
  const { store = memoryPasses(), now = Date.now, fetch: send = globalThis.fetch, prove } = options

  async function passFor(url: URL): Promise<KeptPass | undefined> {
    const kept = await store.list(url.origin)
    const over = kept.filter(({ until }) => until <= now())
    for (const pass of over) await store.drop(pass)
    const good = kept.filter((pass) => pass.origin === url.origin && !over.includes(pass) && opens(pass.resource, url.pathname))
    return good.find(({ resource }) => resource === url.pathname) ?? good[0]
  }

  return async (input, init) => {
    const request = input instanceof Request ? input : undefined
    const url = new URL(request?.url ?? input.toString(), globalThis.location?.href)
    const headers = new Headers(init?.headers ?? request?.headers)
    const pass = headers.has(paymentPassHeader.name) ? undefined : await passFor(url)
    const sentAt = now()
    if (pass === undefined) return await noted(await send(input, init), { url, sentAt })
    const redirect = init?.redirect ?? request?.redirect ?? 'follow'
    const hasBody = (init?.body ?? request?.body ?? null) !== null
    const ask = async (shown: KeptPass): Promise<Response> => {
      const text = shown.proves === true && prove !== undefined ? await prove(url, shown.pass) : shown.pass
      return await send(input, { ...init, headers: showing(shown, text, headers), redirect: redirect === 'follow' ? 'error' : redirect })
    }
    let response = await ask(pass)
    // Some take a pass from the wallet that paid alone. A body is not sent twice.
    if (isRefusal(response) && pass.proves !== true && pass.cookie === undefined && prove !== undefined && !hasBody) {
      await response.body?.cancel()
      const proven = { ...pass, proves: true }
      response = await ask(proven)
      if (!isRefusal(response)) await store.keep(proven)
    }
    // Some open what is below them as well and some do not: to be refused there says nothing of the pass, and it was paid for.
    // Proofs count in the order in which they arrive: what another request of his overtook is proven anew before it is bought again.
    for (let tries = 0; tries < overtaken && isRefusal(response) && pass.proves === true && !hasBody; tries += 1) {
      await response.body?.cancel()
      response = await ask(pass)
    }
    if (isRefusal(response) && (pass.cookie !== undefined || pass.resource === url.pathname)) await store.drop(pass)
    return await noted(response, { url, sentAt })
  }

  async function noted(response: Response, asked: { readonly url: URL; readonly sentAt: number }): Promise<Response> {
    const given = response.ok ? passOf(response, asked) : undefined
    if (given !== undefined && given.until > now()) await store.keep(given)
    return response
  }
}

/** The pass that an answer brings; nothing where it brings none, or none that can be told how long it is good. */
function passOf(response: Response, { url, sentAt }: { readonly url: URL; readonly sentAt: number }): KeptPass | undefined {
  const { origin, pathname } = response.url === '' ? url : new URL(response.url)
  const cookie = cookieIn(response)
  const pass = response.headers.get(paymentPassHeader.name) ?? cookie
  if (pass === undefined || readOr(() => paymentPassHeader.decode(pass)) === undefined) return undefined
  const said = readPass(pass)
  const until = sentAt + lifeOf(response, said?.exp, sentAt)
  const resource = said?.resource.startsWith('/') === true ? said.resource : pathname
  return { origin, resource, pass, until, ...(response.headers.has(paymentPassHeader.name) ? {} : { cookie: edgeCookie }) }
}

/** For how long it is good, in milliseconds: by what is said of time left, else by the clock of who made it, and never longer. */
function lifeOf({ headers }: Response, exp: number | undefined, now: number): number {
  const text = headers.get(paymentStreamHeader.name)
  const ttl = text === null ? undefined : readOr(() => paymentStreamHeader.decode(text))?.ttl
  if (ttl !== undefined) return ttl * 1000
  const date = Date.parse(headers.get('Date') ?? '')
  return (exp ?? 0) - (Number.isNaN(date) ? now : date + dateMs)
}

/** A pass of an edge, where cookies can be read: browsers keep theirs by themselves. */
function cookieIn({ headers }: Response): string | undefined {
  const mine = `${edgeCookie}=`
  // Browsers of before 2023 do not have it.
  const cookies = 'getSetCookie' in headers ? headers.getSetCookie() : []
  const given = cookies.find((one) => one.startsWith(mine))
  return given?.slice(mine.length).split(';')[0]
}

function showing({ cookie }: KeptPass, text: string, given: Headers): Headers {
  const headers = new Headers(given)
  if (cookie === undefined) headers.set(paymentPassHeader.name, text)
  else headers.set('Cookie', [headers.get('Cookie'), `${cookie}=${text}`].filter((one) => one !== null).join('; '))
  return headers
}

function isRefusal({ status }: Response): boolean {
  return status === 402 || status === 403
}

function readOr<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch (error) {
    // What a peer wrote badly is as good as not written.
    if (isX402Error(error)) return undefined
    throw error
  }
}
