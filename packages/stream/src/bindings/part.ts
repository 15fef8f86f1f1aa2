import type { StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import type { Lane } from '../lane/lane.ts'
import { type Entered, enter, unpaid } from './enter.ts'
import { answerNode, drained, type NodeVisit, nodeRequest } from './node.ts'
import { webAnswer, webRequest } from './web.ts'

/**
 * Takes what is sold from a lane and gives it: a key, a segment, a window of access. `'unpaid'` where the lane has not enough, nothing where
 * there is no such thing.
 */
export type Take = (lane: Lane, request: StreamRequest) => Promise<Response | 'unpaid' | undefined>

/** Sells what is taken as a whole: 402 until it is paid, and 404 for what is not there. */
async function servePart(route: StreamRoute, request: StreamRequest, take: Take): Promise<Response> {
  const entered = await enter(route, request)
  if (entered.kind === 'answer') return webAnswer(entered.answer)
  const { lane, keeps } = entered
  const given = await take(lane, request)
  if (keeps) lane.release()
  else await lane.end('end of answer')
  if (given === undefined) return new Response('Not found', { status: 404 })
  return given === 'unpaid' ? webAnswer(await unpaid(route, request)) : dressed(given, entered)
}

/** The same on the web platform. */
export function servePartWeb(route: StreamRoute, take: Take): (request: Request) => Promise<Response> {
  return (request) => servePart(route, webRequest(request), take)
}

/** The same on Node. */
export async function servePartNode(
  route: StreamRoute,
  { request, response, asked, take }: NodeVisit & { readonly take: Take },
): Promise<void> {
  await writeNode(await servePart(route, nodeRequest(request, asked), take), response)
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

/** An answer with what every answer over its lane says. */
export function dressed(response: Response, { headers }: Entered & { readonly kind: 'lane' }): Response {
  for (const [name, value] of Object.entries(headers)) if (!response.headers.has(name)) response.headers.set(name, value)
  return response
}
