import { oneUnit, paymentPassHeader, paymentStreamHeader, type Secret, type Units } from '@flow402x/core/stream'
import { pathOf, type StreamRequest } from '../engine/request.ts'
import type { Part } from '../http/part.ts'
import { withHeaders } from '../http/web.ts'
import type { Lane } from '../lane/lane.ts'
import { readUnitsOr } from '../transports/tap.ts'
import { edgeCookie } from './edge-gate.ts'
import { type AskedPass, createPasses, type Pass } from './pass.ts'

/** Access for a time that is paid (streaming.md §11 e), to what this server gives or an edge in front of it (c2). */
export interface Windows {
  /**
   * Buys access for as much of `seconds` as the lane has credit for, and says so in headers; nothing where it has none: answer 402. Who still
   * has some is given the new time on top of it. What was bought this way is not given back.
   */
  open(lane: Lane, asked: AskedWindow): Promise<WindowGrant | undefined>
  /**
   * The pass that a request shows, where it is good now for this resource; for `exactly` this one, where one that ends with a slash opens
   * nothing below it. No store is asked.
   */
  read(headers: Pick<Headers, 'get'>, resource: string, options?: Pick<AskedPass, 'exactly'>): Promise<Pass | undefined>
}

/** What is to be opened, for how long, and what the request shows already. */
export type AskedWindow = { readonly resource: string; readonly seconds: Units; readonly headers: Pick<Headers, 'get'> }

/** Access until `pass.exp` (Unix ms), and the headers that say so. */
export type WindowGrant = { readonly pass: Pass; readonly headers: readonly (readonly [name: string, value: string])[] }

/** How windows are made. */
export type WindowsOptions = {
  readonly secret: Secret
  /** Whether an edge checks the passes: then they come in a cookie, and the secret is one that the edge has too. */
  readonly edge?: { readonly domain?: string } | undefined
  /** Unix milliseconds. */
  readonly clock?: (() => number) | undefined
}

// What is sold in smaller parts costs more to say than it is worth.
const least = oneUnit / 10n

/** Windows of access. Errors: `config/weak-secret`. */
export function createWindows({ secret, edge, clock = Date.now }: WindowsOptions): Windows {
  const passes = createPasses({ secret, kind: edge === undefined ? 'window' : 'edge' })
  const shownIn = (headers: Pick<Headers, 'get'>): string | undefined => {
    if (edge === undefined) return headers.get(paymentPassHeader.name) ?? undefined
    const mine = `${edgeCookie}=`
    const cookie = headers
      .get('cookie')
      ?.split(/;\s*/)
      .find((one) => one.startsWith(mine))
    return cookie?.slice(mine.length)
  }
  const windows: Windows = {
    read: (headers, resource, options) => passes.read(shownIn(headers), { ...options, resource, now: clock() }),
    async open(lane, { resource, seconds, headers }) {
      const shown = await windows.read(headers, resource, { exactly: true })
      const bought = lane.take(seconds, least)
      if (bought === 0n) return undefined
      // Whose pass it was does not matter: its time is added for who pays, and taken from nobody.
      const from = shown?.sid === lane.sid ? shown.exp : clock()
      const pass: Pass = { sid: lane.sid, resource, exp: from + Number(bought / 1_000_000n) }
      const text = await passes.issue(pass)
      const ttl = (pass.exp - clock()) / 1000
      const said = paymentStreamHeader.encode({ v: '1', ttl, until: pass.exp, refundable: false })
      const domain = edge?.domain === undefined ? '' : `; Domain=${edge.domain}`
      const cookie = `${edgeCookie}=${text}; Path=${resource}${domain}; Max-Age=${Math.floor(ttl)}; Secure; HttpOnly; SameSite=Lax`
      return {
        pass,
        headers: [[paymentStreamHeader.name, said], edge === undefined ? [paymentPassHeader.name, text] : ['Set-Cookie', cookie]],
      }
    },
  }
  return windows
}

/**
 * Sells what `serve` gives for so many seconds at a time: `parts(route, windowed(windows, { seconds: 60, serve }))`. Who shows a pass of his
 * window is served without a lane, until it ends.
 */
export function windowed(
  windows: Windows,
  { seconds, serve }: { readonly seconds: number; readonly serve: (request: StreamRequest) => Response | Promise<Response> },
): Part {
  const asked = (request: StreamRequest) => ({
    resource: pathOf(request),
    headers: { get: (name: string) => request.header(name.toLowerCase()) ?? null },
  })
  return {
    async shown(request) {
      const { headers, resource } = asked(request)
      // Another path of the same server may cost more.
      return (await windows.read(headers, resource, { exactly: true })) === undefined ? undefined : serve(request)
    },
    async take(lane, request) {
      const opened = await windows.open(lane, { ...asked(request), seconds: readUnitsOr(seconds, 60) })
      if (opened === undefined) return 'unpaid'
      const answer = withHeaders(await serve(request), {})
      for (const [name, value] of opened.headers) answer.headers.append(name, value)
      return answer
    },
  }
}
