import { clientErrors } from '../engine/errors.ts'
import { type Fetch, type Message, sendMessage } from './message.ts'

/** A response, and the request as it stood where the response was given. */
export type Exchange = { readonly message: Message; readonly response: Response }

/** The most redirects of one call (Fetch standard, HTTP-redirect fetch). */
export const maxRedirects = 20

const redirects = new Set([301, 302, 303, 307, 308])
const bodyHeaders = ['Content-Encoding', 'Content-Language', 'Content-Location', 'Content-Type', 'Content-Length']
/** The headers that carry a payment, in any dialect. */
export const paymentHeaders = ['PAYMENT-SIGNATURE', 'X-PAYMENT', 'X-Payment-Signature', 'X-Payment-Reference'] as const
const secretHeaders = ['Authorization', 'Proxy-Authorization', 'Cookie', 'Host', ...paymentHeaders]

/** Whether a browser hid a redirect instead of showing it. */
export function isOpaqueRedirect(response: Response): boolean {
  return response.type === 'opaqueredirect'
}

/**
 * The request that a redirect leads to, by the rules of the Fetch standard; nothing where the response is no redirect, and
 * `nowhere` where its target is no http or https URL. Across origins credentials and payment headers are dropped.
 */
export function nextHop(message: Message, response: Response): Message | 'nowhere' | undefined {
  const location = redirects.has(response.status) ? response.headers.get('Location') : null
  if (location === null) return undefined
  const url = target(location, message.url)
  if (url === undefined) return 'nowhere'
  const { status } = response
  const toGet = (status === 303 && message.method !== 'GET' && message.method !== 'HEAD') || (status < 303 && message.method === 'POST')
  const moved = moveTo(message, url.href)
  for (const name of toGet ? bodyHeaders : []) moved.headers.delete(name)
  return toGet ? { ...moved, method: 'GET', body: undefined } : moved
}

/**
 * Sends a request that carries no payment and follows its redirects by hand, so that who answered is known. `response.url`
 * and `response.redirected` are those of the last hop. Browsers hide redirects, and there the browser follows.
 *
 * Errors: `client/redirect-refused`, and whatever `fetch` throws.
 */
export async function follow(first: Message, fetch: Fetch): Promise<Exchange> {
  let message = first
  for (let hops = 0; hops <= maxRedirects; hops++) {
    const response = await sendMessage(message, { fetch, redirect: first.redirect === 'follow' ? 'manual' : first.redirect })
    if (first.redirect !== 'follow') return { message, response }
    if (isOpaqueRedirect(response)) return await followInBrowser(message, fetch)
    const next = nextHop(message, response)
    if (next === undefined) return { message, response: hops === 0 ? response : markRedirected(response) }
    if (next === 'nowhere') throw clientErrors('client/redirect-refused', { url: message.url, why: 'its target is no http or https URL' })
    await response.body?.cancel()
    message = next
  }
  throw clientErrors('client/redirect-refused', { url: first.url, why: `there were more than ${maxRedirects} redirects` })
}

/** Whether two URLs have one origin; a payment never leaves it. */
export function sameOrigin(a: string, b: string): boolean {
  return new URL(a).origin === new URL(b).origin
}

/** Says on a response that it came after redirects, which `fetch` cannot know when each hop is a call of its own. */
export function markRedirected(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true, configurable: true })
}

async function followInBrowser(message: Message, fetch: Fetch): Promise<Exchange> {
  const response = await sendMessage(message, { fetch, redirect: 'follow' })
  if (response.status === 402 && message.method !== 'GET' && message.method !== 'HEAD') {
    // A hidden 301, 302 or 303 may have made it a GET: what would be paid for is unknown.
    throw clientErrors('client/redirect-refused', {
      url: message.url,
      why: 'a browser does not tell how it was redirected; call the final URL',
    })
  }
  return { message: response.url === '' ? message : moveTo(message, response.url), response }
}

function moveTo(message: Message, url: string): Message {
  const headers = new Headers(message.headers)
  for (const name of sameOrigin(url, message.url) ? [] : secretHeaders) headers.delete(name)
  return { ...message, url, headers }
}

function target(location: string, base: string): URL | undefined {
  if (!URL.canParse(location, base)) return undefined
  const url = new URL(location, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
  if (url.hash === '') url.hash = new URL(base).hash
  return url
}
