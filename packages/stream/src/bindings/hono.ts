import type { Context, Handler, MiddlewareHandler } from 'hono'
import type { Views } from '../access/view.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { type BytesOptions, serveBytesWeb } from '../http/bytes.ts'
import { type GateOptions, gateWeb } from '../http/gate.ts'
import { type Part, servePartWeb, type Take } from '../http/part.ts'
import { type AnswerHeaders, paidView, seenView, type ViewPaid, viewedWeb } from '../http/view.ts'
import { serveWeb, webAnswer, webRequest } from '../http/web.ts'
import type { PumpOptions, Source } from '../transports/pump.ts'

/** Delivers a source as events or lines over a paid lane in Hono: `app.get('/live', streamed(route, source))`. */
export function streamed(route: StreamRoute, source: Source, options: Partial<PumpOptions> = {}): Handler {
  const serve = serveWeb(route, source, { format: 'sse', ...options })
  return (context) => serve(context.req.raw)
}

/** Takes the ticks of a route in Hono: `app.post('/live/tick', ticks(route))`. */
export function ticks(route: StreamRoute): Handler {
  return async (context) => webAnswer(await route.tick(webRequest(context.req.raw)))
}

/** Serves bytes as they are paid in Hono: `app.get('/film', bytes(route, { find }))`. */
export function bytes(route: StreamRoute, options: BytesOptions): Handler {
  const serve = serveBytesWeb(route, options)
  return (context) => serve(context.req.raw)
}

/** Sells what is taken as a whole in Hono, such as keys of HLS: `app.get('/key/:period', parts(route, take))`. */
export function parts(route: StreamRoute, part: Take | Part): Handler {
  const serve = servePartWeb(route, part)
  return (context) => serve(context.req.raw)
}

/** Charges in Hono for whatever the handlers after it answer, as it is read: `app.get('/film', gated(route, measure), handler)`. */
export function gated(route: StreamRoute, measure: (context: Context) => GateOptions): MiddlewareHandler {
  return async (context, next) => {
    const handle = async (): Promise<Response> => {
      await next()
      return context.res
    }
    answer(context, await gateWeb(route, { request: webRequest(context.req.raw), options: measure(context), handle }))
  }
}

/**
 * Charges in Hono once for what may be seen again: `app.get('/film', viewed(views, paid(server, { price: '$0.50', flow: 'upfront' })), handler)`,
 * with `paid` of `@flow402x/server/hono`.
 */
export function viewed(views: Views, charge: MiddlewareHandler): MiddlewareHandler {
  return async (context, next) => {
    const asked = webRequest(context.req.raw)
    const show = async (headers: AnswerHeaders): Promise<void> => {
      await next()
      answer(context, viewedWeb(context.res, headers))
    }
    const seen = await seenView(views, asked)
    if (seen !== undefined) return 'answer' in seen ? webAnswer(seen.answer) : show(seen.headers)
    return charge(context, async () => {
      // `paid` says who it was before it goes on.
      await show(await paidView(views, asked, { payment: context.get('payment') as ViewPaid['payment'] }))
    })
  }
}

/** Hono merges the headers of an old response into a new one, which has all of them already. */
function answer(context: Context, response: Response): void {
  context.res = undefined
  context.res = response
}
