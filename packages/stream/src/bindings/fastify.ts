import type { FastifyReply, FastifyRequest, preHandlerAsyncHookHandler, preHandlerHookHandler, RouteHandlerMethod } from 'fastify'
import type { Views } from '../access/view.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { type BytesOptions, serveBytesNode } from '../http/bytes.ts'
import { type GateOptions, gateNode } from '../http/gate.ts'
import { answerNode, type NodeVisit, nodeRequest, serveNode, tickNode } from '../http/node.ts'
import { type Part, servePartNode, type Take } from '../http/part.ts'
import { type AnswerHeaders, paidView, seenView, type ViewPaid } from '../http/view.ts'
import type { PumpOptions, Source } from '../transports/pump.ts'

/** Delivers a source as events or lines over a paid lane in Fastify: `app.get('/live', streamed(route, source))`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): RouteHandlerMethod {
  return raw((visit) => serveNode(route, { source, options: { format: 'sse', ...options }, ...visit }))
}

/** Takes the ticks of a route in Fastify: `app.post('/live/tick', ticks(route))`. */
export function ticks(route: StreamRoute): RouteHandlerMethod {
  return raw((visit) => tickNode(route, visit))
}

/** Serves bytes as they are paid in Fastify: `app.get('/film', bytes(route, { find }))`. */
export function bytes(route: StreamRoute, options: BytesOptions): RouteHandlerMethod {
  return raw((visit) => serveBytesNode(route, { ...visit, options }))
}

/** Sells what is taken as a whole in Fastify, such as keys of HLS: `app.get('/key/:period', parts(route, take))`. */
export function parts(route: StreamRoute, part: Take | Part): RouteHandlerMethod {
  return raw(servePartNode(route, part))
}

/** Charges in Fastify for whatever the handler replies, by a stream or anything else: `app.get('/film', { preHandler: gated(route, measure) }, handler)`. */
export function gated(
  route: StreamRoute,
  measure: (request: FastifyRequest, reply: FastifyReply) => GateOptions,
): preHandlerAsyncHookHandler {
  return async (request, reply) => {
    // What it answers itself is no reply of Fastify's.
    if (!(await gateNode(route, { ...visitOf(request, reply), options: measure(request, reply) }))) reply.hijack()
  }
}

/**
 * Charges in Fastify once for what may be seen again: `app.get('/film', { preHandler: viewed(views, paid(server, { price: '$0.50', flow: 'upfront' })) }, handler)`,
 * with `paid` of `@flow402x/server/fastify`.
 */
export function viewed(views: Views, charge: preHandlerHookHandler): preHandlerHookHandler {
  return function (request, reply, done) {
    const asked = nodeRequest(request.raw, visitOf(request, reply).asked)
    const show = (headers: AnswerHeaders): void => {
      for (const [name, value] of headers) reply.header(name, value)
      done()
    }
    const sell = (error?: Error): void => {
      // `paid` says who it was before it goes on.
      const { payment } = request as FastifyRequest & ViewPaid
      if (error !== undefined) done(error)
      else paidView(views, asked, { payment }).then(show, done)
    }
    seenView(views, asked).then((seen) => {
      if (seen === undefined) charge.call(this, request, reply, sell)
      else if ('headers' in seen) show(seen.headers)
      else answerNode(reply.hijack().raw, seen.answer)
    }, done)
  }
}

/** Fastify leaves its reply to us, with what earlier hooks have said of it. */
function raw(serve: (visit: NodeVisit) => Promise<void>): RouteHandlerMethod {
  return (request, reply) => {
    reply.hijack()
    return serve(visitOf(request, reply))
  }
}

function visitOf(request: FastifyRequest, reply: FastifyReply): NodeVisit {
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
  const origin = `${request.protocol}://${request.host}`
  return {
    request: request.raw,
    response: reply.raw,
    asked: { origin, target: request.originalUrl, parsedBody: request.body ?? undefined },
  }
}
