import type { Request, RequestHandler } from 'express'
import type { StreamRoute } from '../engine/streams.ts'
import type { PumpOptions } from '../transports/pump.ts'
import { type NodeAsked, serveNode, tickNode } from './node.ts'
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

function askedOf(request: Request): NodeAsked {
  const url = `${request.protocol}://${request.get('host') ?? 'localhost'}${request.originalUrl}`
  const body: unknown = request.body
  return body === undefined ? { url } : { url, parsedBody: body }
}
