import type { Handler } from 'hono'
import type { StreamRoute } from '../engine/streams.ts'
import type { PumpOptions } from '../transports/pump.ts'
import { type BytesOptions, serveBytesWeb } from './bytes.ts'
import { servePartWeb, type Take } from './part.ts'
import { type Source, serveWeb, webAnswer, webRequest } from './web.ts'

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
export function parts(route: StreamRoute, take: Take): Handler {
  const serve = servePartWeb(route, take)
  return (context) => serve(context.req.raw)
}
