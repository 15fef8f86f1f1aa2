import type { Request, RequestHandler, Response } from 'express'
import type { StreamRoute } from '../engine/streams.ts'
import type { PumpOptions } from '../transports/pump.ts'
import { type BytesOptions, serveBytesNode } from './bytes.ts'
import { type GateOptions, gateNode } from './gate.ts'
import { type NodeAsked, serveNode, tickNode } from './node.ts'
import { servePartNode, type Take } from './part.ts'
import type { Source } from './web.ts'

/** Delivers a source as events or lines over a paid lane in Express 5: `app.get('/live', streamed(route, source))`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): RequestHandler {
  return (request, response) =>
    serveNode(route, { request, response, asked: askedOf(request), source, options: { format: 'sse', ...options } })
}

/** Takes the ticks of a route in Express 5: `app.post('/live/tick', ticks(route))`. */
export function ticks(route: StreamRoute): RequestHandler {
  return (request, response) => tickNode(route, { request, response, asked: askedOf(request) })
}

/** Serves bytes as they are paid in Express 5: `app.get('/film', bytes(route, { find }))`. */
export function bytes(route: StreamRoute, options: BytesOptions): RequestHandler {
  return (request, response) => serveBytesNode(route, { request, response, asked: askedOf(request), options })
}

/** Sells what is taken as a whole in Express 5, such as keys of HLS: `app.get('/key/:period', parts(route, take))`. */
export function parts(route: StreamRoute, take: Take): RequestHandler {
  return (request, response) => servePartNode(route, { request, response, asked: askedOf(request), take })
}

/**
 * Charges in Express 5 for whatever the handlers after it write, by `sendFile`, a pipe or anything else:
 * `app.get('/film', gated(route, measure), handler)`.
 */
export function gated(route: StreamRoute, measure: (request: Request, response: Response) => GateOptions): RequestHandler {
  return async (request, response, next) => {
    if (await gateNode(route, { request, response, asked: askedOf(request), options: measure(request, response) })) next()
  }
}

function askedOf(request: Request): NodeAsked {
  const url = `${request.protocol}://${request.get('host') ?? 'localhost'}${request.originalUrl}`
  const body: unknown = request.body
  return body === undefined ? { url } : { url, parsedBody: body }
}
