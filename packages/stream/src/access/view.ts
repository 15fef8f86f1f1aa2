import { paymentPassHeader, type Secret } from '@flow402x/core/stream'
import { createPasses, type Pass } from './pass.ts'
import { readShown, type ShownPass } from './proof.ts'
import { createBooks, type KeptViews, short } from './view-books.ts'

/**
 * What a view was paid for: what is seen (a path, without its query), and by whom: `accountOf(network, payer)`. `purchase` names the payment where views are kept: the
 * same one again is no second purchase.
 */
export type View = { readonly resource: string; readonly viewer: string; readonly purchase?: string | undefined }

/** What a viewer is given: the pass, for programs in `Payment-Pass` and for browsers in a cookie that no script reads, and how long it is good. */
export type ViewGrant = {
  readonly pass: string
  readonly ttl: number
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** Grants views that were paid, and knows who has one (streaming.md §11 f): nobody else's pass opens anything. */
export interface Views {
  /**
   * The grant of a view, written down before it is given where views are kept; its own answer is the first view. The same view granted
   * again opens the same, for as long again; the same purchase again is what it was. Errors: `stream/no-purchase`, `stream/not-ready`.
   */
  grant(view: View): Promise<ViewGrant>
  /** What a request's pass says, where it may see this resource now: whoever is told so has used a view. Errors: `stream/not-ready`. */
  read(headers: Pick<Headers, 'get'>, resource: string): Promise<Pass | undefined>
}

/** How views are granted. */
export type ViewsOptions = {
  readonly secret: Secret
  /** For how many seconds a view may be seen again: thirty days unless told. */
  readonly ttl?: number | undefined
  /** Unless told nothing is written down: whoever shows a pass has paid, and sees it for `ttl` as often as he likes. */
  readonly kept?: KeptViews | undefined
  /** Unix milliseconds. */
  readonly clock?: (() => number) | undefined
}

const month = 2_592_000
// Bound to this host, to TLS and to all of its paths: so no neighbour sets one.
const cookiePrefix = '__Host-flow402x-'

/** Grants of views. Errors: `config/weak-secret`. */
export function createViews({ secret, ttl = month, kept, clock = Date.now }: ViewsOptions): Views {
  const passes = createPasses({ secret, kind: 'view' })
  const books = kept === undefined ? undefined : createBooks(kept, { ttl, clock })
  const isProven = kept?.wallets !== undefined
  const mayShow = async ({ pass, proof }: ShownPass, resource: string): Promise<Pass | undefined> => {
    const found = await passes.read(pass, { resource, now: clock(), exactly: true })
    if (found === undefined || books === undefined) return found
    return (await books.open({ resource, sid: found.sid, proof })) ? found : undefined
  }
  return {
    async grant({ resource, viewer, purchase }) {
      const sid = await short(viewer)
      await books?.sell({ resource, sid, purchase })
      const pass = await passes.issue({ sid, resource, exp: clock() + ttl * 1000 })
      const cookie = `${await cookieOf(resource)}=${pass}; Path=/; Max-Age=${ttl}; Secure; HttpOnly; SameSite=Lax`
      return { pass, ttl, headers: [[paymentPassHeader.name, pass], ...(isProven ? [] : [['Set-Cookie', cookie] as const])] }
    },
    async read(headers, resource) {
      const mine = `${await cookieOf(resource)}=`
      const cookies = isProven ? [] : (headers.get('cookie')?.split(/;\s*/) ?? [])
      const header = headers.get(paymentPassHeader.name)
      const shown = [
        ...(header === null ? [] : [isProven ? readShown(header) : { pass: header }]),
        ...cookies.filter((one) => one.startsWith(mine)).map((one) => ({ pass: one.slice(mine.length) })),
      ]
      for (const one of shown) {
        const found = await mayShow(one, resource)
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
