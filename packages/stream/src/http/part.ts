import { engineErrors } from '../engine/errors.ts'
import { clockOf } from '../engine/offers.ts'
import type { StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import type { Lane } from '../lane/lane.ts'
import { enter, unpaid } from './enter.ts'
import { answerNode, drained, type NodeVisit, nodeRequest } from './node.ts'
import { webAnswer, webRequest, withHeaders } from './web.ts'

/**
 * Takes what is sold from a lane and gives it: a key, a segment, a window of access. `'unpaid'` where the lane has not enough, nothing where
 * there is no such thing.
 */
export type Take = (lane: Lane, request: StreamRequest) => Promise<Response | 'unpaid' | undefined>

/** What is taken as a whole, and whom it is given without a lane: those who show that they have paid. */
export type Part = { readonly take: Take; readonly shown?: (request: StreamRequest) => Promise<Response | undefined> }

/**
 * A part as a route sells it. Errors: `config/bad-stream` where the route's time goes by the clock on the wall: what is taken would cost
 * no more than the moment in which it is.
 */
function partOf({ options }: StreamRoute, part: Take | Part): Part {
  if (clockOf(options) === 'wall')
    throw engineErrors('config/bad-stream', {
      why: "what is taken as a whole is paid by what it is; sell it on a route with clock: 'media'",
    })
  return typeof part === 'function' ? { take: part } : part
}

/** Sells what is taken as a whole: 402 until it is paid, and 404 for what is not there. */
async function servePart(route: StreamRoute, request: StreamRequest, { take, shown }: Part): Promise<Response> {
  const known = await shown?.(request)
  if (known !== undefined) return withHeaders(known, route.headers)
  const entered = await enter(route, request)
  if (entered.kind === 'answer') return webAnswer(entered.answer)
  const { lane, keeps } = entered
  // What is asked for by its name is nothing that he missed of something else.
  lane.goOnAt(lane.units)
  const given = await take(lane, request)
  if (keeps) lane.release()
  else await lane.end('end of answer')
  if (given === undefined) return new Response('Not found', { status: 404 })
  return given === 'unpaid' ? webAnswer(await unpaid(route, request)) : withHeaders(given, entered.headers)
}

/** The same on the web platform. */
export function servePartWeb(route: StreamRoute, part: Take | Part): (request: Request) => Promise<Response> {
  const sold = partOf(route, part)
  return (request) => servePart(route, webRequest(request), sold)
}

/** The same on Node. */
export function servePartNode(route: StreamRoute, part: Take | Part): (visit: NodeVisit) => Promise<void> {
  const sold = partOf(route, part)
  return async ({ request, response, asked }) => writeNode(await servePart(route, nodeRequest(request, asked), sold), response)
}

/** Writes a web answer to Node's response, as fast as it is read; one that breaks off is reset. */
export async function writeNode(given: Response, response: NodeVisit['response']): Promise<void> {
  if (given.body === null) return answerNode(response, { status: given.status, headers: Object.fromEntries(given.headers) })
  response.writeHead(given.status, Object.fromEntries(given.headers))
  const reader = given.body.getReader()
  const gone = (): void => void reader.cancel().catch(() => {})
  response.once('close', gone)
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (response.destroyed) return
      if (!response.write(next.value)) await drained(response)
    }
    response.off('close', gone)
    response.end()
  } catch {
    // Never a clean end before the content's.
    response.destroy()
  }
}
