import type { Request, RequestHandler, Response } from 'express'
import type { Views } from '../access/view.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { type BytesOptions, serveBytesNode } from '../http/bytes.ts'
import { type GateOptions, gateNode } from '../http/gate.ts'
import { answerNode, type NodeVisit, nodeRequest, serveNode, tickNode } from '../http/node.ts'
import { type Part, servePartNode, type Take } from '../http/part.ts'
import { type AnswerHeaders, paidView, seenView } from '../http/view.ts'
import type { PumpOptions, Source } from '../transports/pump.ts'

/** Delivers a source as events or lines over a paid lane in Express 5: `app.get('/live', streamed(route, source))`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): RequestHandler {
  return (request, response) => serveNode(route, { source, options: { format: 'sse', ...options }, ...visitOf(request, response) })
}

/** Takes the ticks of a route in Express 5: `app.post('/live/tick', ticks(route))`. */
export function ticks(route: StreamRoute): RequestHandler {
  return (request, response) => tickNode(route, visitOf(request, response))
}

/** Serves bytes as they are paid in Express 5: `app.get('/film', bytes(route, { find }))`. */
export function bytes(route: StreamRoute, options: BytesOptions): RequestHandler {
  return (request, response) => serveBytesNode(route, { ...visitOf(request, response), options })
}

/** Sells what is taken as a whole in Express 5, such as keys of HLS: `app.get('/key/:period', parts(route, take))`. */
export function parts(route: StreamRoute, part: Take | Part): RequestHandler {
  const serve = servePartNode(route, part)
  return (request, response) => serve(visitOf(request, response))
}

/**
 * Charges in Express 5 for whatever the handlers after it write, by `sendFile`, a pipe or anything else:
 * `app.get('/film', gated(route, measure), handler)`.
 */
export function gated(route: StreamRoute, measure: (request: Request, response: Response) => GateOptions): RequestHandler {
  return async (request, response, next) => {
    if (await gateNode(route, { ...visitOf(request, response), options: measure(request, response) })) next()
  }
}

/**
 * Charges in Express 5 once for what may be seen again: `app.get('/film', viewed(views, paid(server, { price: '$0.50', flow: 'upfront' })), handler)`,
 * with `paid` of `@flow402x/server/express`.
 */
export function viewed(views: Views, charge: RequestHandler): RequestHandler {
  return async (request, response, next) => {
    const asked = nodeRequest(request, visitOf(request, response).asked)
    const show = (headers: AnswerHeaders): void => {
      for (const [name, value] of headers) response.appendHeader(name, value)
      next()
    }
    const seen = await seenView(views, asked)
    if (seen !== undefined) return 'answer' in seen ? answerNode(response, seen.answer) : show(seen.headers)
    await charge(request, response, (error?: unknown) => {
      if (error !== undefined) return next(error)
      paidView(views, asked, { payment: response.locals.payment }).then(show, next)
    })
  }
}

function visitOf(request: Request, response: Response): NodeVisit {
  const origin = `${request.protocol}://${request.get('host') ?? 'localhost'}`
  const parsedBody: unknown = request.body
  return { request, response, asked: { origin, target: request.originalUrl, parsedBody } }
}
