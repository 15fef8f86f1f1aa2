import type { Secret } from '@flow402x/core/stream'
import { createPasses } from './pass.ts'

/** Stands before a cache and lets through who paid, without asking the origin (streaming.md §11 c2). */
export interface EdgeGate {
  /**
   * The request as the cache and the origin shall see it, without the pass that came with it, so that all payers share one cached copy;
   * nothing where it carries no pass that is good now: answer that with 402, not from the cache.
   */
  admit(request: Request): Promise<Request | undefined>
}

/** What an edge knows. */
export type EdgeGateOptions = {
  /** The seller's secret for passes of the edge, and no other secret of his. */
  readonly secret: Secret
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** The cookie that carries a pass to the edge. `__Secure-`: browsers take it over TLS alone. */
export const edgeCookie = '__Secure-flow402x'

/** Where a path carries its pass: `/~pass/<pass>/video/1.ts` is `/video/1.ts`, for players that keep no cookies. */
export const passPath = '/~pass/'

/**
 * A gate for a worker at the edge; it needs nothing but the web's cryptography.
 *
 * Errors, at once: `config/weak-secret`.
 *
 * @example
 * ```ts
 * const gate = createEdgeGate({ secret })
 * const worker = {
 *   async fetch(request: Request): Promise<Response> {
 *     const admitted = await gate.admit(request)
 *     return admitted === undefined ? new Response('Payment required', { status: 402 }) : cache(admitted)
 *   },
 * }
 * ```
 */
export function createEdgeGate({ secret, clock = Date.now }: EdgeGateOptions): EdgeGate {
  const passes = createPasses({ secret, kind: 'edge' })
  return {
    async admit(request) {
      const url = new URL(request.url)
      const carried = passInPath(url.pathname)
      const resource = carried?.rest ?? url.pathname
      const cookies = request.headers.get('cookie')?.split(/;\s*/) ?? []
      const mine = `${edgeCookie}=`
      const shown = carried?.pass ?? cookies.find((cookie) => cookie.startsWith(mine))?.slice(mine.length)
      if ((await passes.read(shown, { resource, now: clock() })) === undefined) return undefined
      url.pathname = resource
      const admitted = new Request(url, request)
      const others = cookies.filter((cookie) => !cookie.startsWith(mine))
      if (others.length > 0) admitted.headers.set('cookie', others.join('; '))
      else admitted.headers.delete('cookie')
      return admitted
    },
  }
}

function passInPath(path: string): { readonly pass: string; readonly rest: string } | undefined {
  if (!path.startsWith(passPath)) return undefined
  const end = path.indexOf('/', passPath.length)
  return end < 0 ? undefined : { pass: path.slice(passPath.length, end), rest: path.slice(end) }
}
