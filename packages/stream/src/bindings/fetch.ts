import type { Views } from '../access/view.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { type BytesOptions, serveBytesWeb } from '../http/bytes.ts'
import { type GateOptions, gateWeb } from '../http/gate.ts'
import { type Part, servePartWeb, type Take } from '../http/part.ts'
import { paidView, seenView, type ViewPaid, viewedWeb } from '../http/view.ts'
import { serveWeb, webAnswer, webRequest } from '../http/web.ts'
import type { PumpOptions, Source } from '../transports/pump.ts'

/** A handler of the web platform: of workers, Bun, Deno, and of Next's app router, which gives a context (`params`) as well. */
export type WebHandler<Incoming extends Request, Given extends unknown[]> = (
  request: Incoming,
  ...given: Given
) => Response | Promise<Response>

/** Delivers a source as events or lines over a paid lane: `export const GET = streamed(route, source)`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): (request: Request) => Promise<Response> {
  return serveWeb(route, source, { format: 'sse', ...options })
}

/** Takes the ticks of a route: `export const POST = ticks(route)`. */
export function ticks(route: StreamRoute): (request: Request) => Promise<Response> {
  return async (request) => webAnswer(await route.tick(webRequest(request)))
}

/** Serves bytes as they are paid: `export const GET = bytes(route, { find })`. */
export function bytes(route: StreamRoute, options: BytesOptions): (request: Request) => Promise<Response> {
  return serveBytesWeb(route, options)
}

/** Sells what is taken as a whole, such as keys of HLS: `export const GET = parts(route, take)`. */
export function parts(route: StreamRoute, part: Take | Part): (request: Request) => Promise<Response> {
  return servePartWeb(route, part)
}

/** Charges for whatever a handler answers, as its body is read: `export const GET = gated(route, measure, handler)`. */
export function gated<Incoming extends Request, Given extends unknown[]>(
  route: StreamRoute,
  measure: (request: Incoming) => GateOptions,
  handler: WebHandler<Incoming, Given>,
): (request: Incoming, ...given: Given) => Promise<Response> {
  return (request, ...given) =>
    gateWeb(route, { request: webRequest(request), options: measure(request), handle: async () => handler(request, ...given) })
}

/**
 * Charges once for what may be seen again: `viewed(views, (handler) => paid(server, { price: '$0.50', flow: 'upfront' }, handler), handler)`, with
 * `paid` of `@flow402x/server/fetch` or `/next`.
 */
export function viewed<Incoming extends Request, Given extends unknown[]>(
  views: Views,
  charge: (handler: (request: Incoming, paid: ViewPaid) => Promise<Response>) => (request: Incoming, ...given: Given) => Promise<Response>,
  handler: WebHandler<Incoming, Given>,
): (request: Incoming, ...given: Given) => Promise<Response> {
  const charged = charge(async (request, paid) => {
    // What comes beside a request comes again with who paid: Next's context, and else nothing that a handler looks at.
    const shown = await handler(request, ...([paid] as Given))
    return viewedWeb(shown, await paidView(views, webRequest(request), paid))
  })
  return async (request, ...given) => {
    const seen = await seenView(views, webRequest(request))
    if (seen === undefined) return charged(request, ...given)
    return 'answer' in seen ? webAnswer(seen.answer) : viewedWeb(await handler(request, ...given), seen.headers)
  }
}
