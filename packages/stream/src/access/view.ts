import { paymentPassHeader, type Secret } from '@flow402x/core/stream'
import { createPasses, type Pass } from './pass.ts'

/** What a view was paid for: what is seen, and by whom. */
export type View = { readonly resource: string; readonly viewer: string }

/** What a viewer is given: the pass, for programs in `Payment-Pass` and for browsers in a cookie that no script reads, and how long it is good. */
export type ViewGrant = {
  readonly pass: string
  readonly ttl: number
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** Grants views that were paid, and knows who has one (streaming.md §11 f): nothing is kept, and nobody else's pass opens anything. */
export interface Views {
  /** The grant of a view. The same view granted again opens the same, for as long again. */
  grant(view: View): Promise<ViewGrant>
  /** What a request's pass says, where it has a good one for this resource. */
  read(headers: Pick<Headers, 'get'>, resource: string): Promise<Pass | undefined>
}

/** How views are granted. */
export type ViewsOptions = {
  readonly secret: Secret
  /** For how many seconds a view may be seen again: thirty days unless told. */
  readonly ttl?: number | undefined
  /** Unix milliseconds. */
  readonly clock?: (() => number) | undefined
}

const month = 2_592_000
// Bound to this host, to TLS and to all of its paths: so no neighbour sets one.
const cookiePrefix = '__Host-flow402x-'

/** Grants of views. Errors: `config/weak-secret`. */
export function createViews({ secret, ttl = month, clock = Date.now }: ViewsOptions): Views {
  const passes = createPasses({ secret, kind: 'view' })
  return {
    async grant({ resource, viewer }) {
      const sid = await short(viewer)
      const pass = await passes.issue({ sid, resource, exp: clock() + ttl * 1000 })
      const cookie = `${await cookieOf(resource)}=${pass}; Path=/; Max-Age=${ttl}; Secure; HttpOnly; SameSite=Lax`
      return {
        pass,
        ttl,
        headers: [
          [paymentPassHeader.name, pass],
          ['Set-Cookie', cookie],
        ],
      }
    },
    async read(headers, resource) {
      const mine = `${await cookieOf(resource)}=`
      const cookies = headers.get('cookie')?.split(/;\s*/) ?? []
      const shown = [
        headers.get(paymentPassHeader.name),
        ...cookies.filter((one) => one.startsWith(mine)).map((one) => one.slice(mine.length)),
      ]
      for (const pass of shown) {
        const found = await passes.read(pass ?? undefined, { resource, now: clock() })
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

/** A cookie for each resource: several views stand side by side. */
async function cookieOf(resource: string): Promise<string> {
  return `${cookiePrefix}${await short(resource)}`
}

/** Sixteen bytes of a SHA-256, by which nobody reads who or what it was. */
async function short(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
