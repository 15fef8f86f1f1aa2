import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Views } from '../access/view.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { type BytesOptions, serveBytesNode } from '../http/bytes.ts'
import { type GateOptions, gateNode } from '../http/gate.ts'
import { answerNode, nodeRequest, serveNode, tickNode } from '../http/node.ts'
import { type Part, servePartNode, type Take } from '../http/part.ts'
import { paidView, seenView, type ViewPaid } from '../http/view.ts'
import type { PumpOptions, Source } from '../transports/pump.ts'

/** A listener of `node:http`. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => Promise<void>

type NodeHandler = (request: IncomingMessage, response: ServerResponse) => unknown

/** Delivers a source as events or lines over a paid lane: `createServer(streamed(route, source))`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): NodeListener {
  return (request, response) => serveNode(route, { request, response, source, options: { format: 'sse', ...options } })
}

/** Takes the ticks of a route. */
export function ticks(route: StreamRoute): NodeListener {
  return (request, response) => tickNode(route, { request, response })
}

/** Serves bytes as they are paid: `bytes(route, { find })`. */
export function bytes(route: StreamRoute, options: BytesOptions): NodeListener {
  return (request, response) => serveBytesNode(route, { request, response, options })
}

/** Sells what is taken as a whole, such as keys of HLS: `parts(route, take)`. */
export function parts(route: StreamRoute, part: Take | Part): NodeListener {
  const serve = servePartNode(route, part)
  return (request, response) => serve({ request, response })
}

/** Charges for whatever a listener writes, by a pipe or anything else: `gated(route, measure, listener)`. */
export function gated(
  route: StreamRoute,
  measure: (request: IncomingMessage, response: ServerResponse) => GateOptions,
  handler: NodeHandler,
): NodeListener {
  return async (request, response) => {
    if (await gateNode(route, { request, response, options: measure(request, response) })) await handler(request, response)
  }
}

/**
 * Charges once for what may be seen again: `viewed(views, (listener) => paid(server, { price: '$0.50', flow: 'upfront' }, listener), listener)`,
 * with `paid` of `@flow402x/server/node`.
 */
export function viewed(
  views: Views,
  charge: (handler: (request: IncomingMessage, response: ServerResponse, paid: ViewPaid) => unknown) => NodeListener,
  handler: NodeHandler,
): NodeListener {
  const charged = charge(async (request, response, paid) => {
    for (const [name, value] of await paidView(views, nodeRequest(request), paid)) response.appendHeader(name, value)
    return handler(request, response)
  })
  return async (request, response) => {
    const seen = await seenView(views, nodeRequest(request))
    if (seen === undefined) return charged(request, response)
    if ('answer' in seen) return answerNode(response, seen.answer)
    for (const [name, value] of seen.headers) response.appendHeader(name, value)
    await handler(request, response)
  }
}
