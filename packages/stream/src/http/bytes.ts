import { paymentStreamHeader, type Units } from '@flow402x/core/stream'
import type { StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import type { Lane } from '../lane/lane.ts'
import { askedBytes, type ByteSource, partOnLane, unsatisfiable, wholeOnLane } from '../transports/range.ts'
import { byteMeter, type Clockwork, type Recording, readUnitsOr, realTime, withRecording } from '../transports/tap.ts'
import { type Entered, enter, unpaid } from './enter.ts'
import { type NodeVisit, nodeRequest } from './node.ts'
import { writeNode } from './part.ts'
import { webAnswer, webRequest, withHeaders } from './web.ts'

/** What a route of bytes gives: bytes, and where seconds of a recording are charged how long they last (10⁻⁹ s). */
export type SoldBytes = { readonly source: ByteSource; readonly length?: bigint }

/** How bytes are served. */
export type BytesOptions = {
  /** What is asked for; nothing where it is not there, which is 404 and costs nothing. */
  readonly find: (request: StreamRequest) => Promise<SoldBytes | undefined> | SoldBytes | undefined
  /** Time, for a recording that is not fetched in parts: it is sent no faster than it plays. */
  readonly pace?: Clockwork | undefined
}

/** Serves bytes as they are paid (streaming.md §11 b): parts as long as their money, and the whole as it flows. */
async function serveBytes(route: StreamRoute, request: StreamRequest, { find, pace = realTime }: BytesOptions): Promise<Response> {
  const sold = await find(request)
  if (sold === undefined) return new Response('Not found', { status: 404 })
  const asked = askedBytes({ get: (name) => request.header(name) ?? null }, sold.source)
  // Said before anything is paid: nobody buys what is not there.
  if (asked === 'unsatisfiable') return unsatisfiable(sold.source)
  const entered = await enter(route, request)
  if (entered.kind === 'answer') return webAnswer(entered.answer)
  const { unit } = entered.lane
  const recording: Recording | undefined = sold.length === undefined ? undefined : { size: BigInt(sold.source.size), length: sold.length }
  const bytes = {
    lane: lastingAsLong(entered),
    meter: byteMeter(unit, recording),
    source: sold.source,
    window: aheadOf(route, unit === 'second'),
  }
  bytes.lane.goOnAt(bytes.meter.unitsOf(BigInt(asked.from)))
  const said = entered.headers[paymentStreamHeader.name]
  const headers = { ...entered.headers, ...(said && { [paymentStreamHeader.name]: withRecording(said, bytes.meter) }) }
  // Who reads all of it, and lost his connection, has the rest as it flows.
  const goesOn = request.header('payment-resume') !== undefined && asked.to === sold.source.size
  if (!asked.isPart || goesOn) return withHeaders(wholeOnLane(bytes, { from: asked.from, ...(unit === 'second' && { pace }) }), headers)
  const part = partOnLane(bytes, asked)
  if (part !== undefined) return withHeaders(part, headers)
  entered.lane.release()
  return webAnswer(await unpaid(route, request))
}

/**
 * How far content runs ahead: a window, and where it keeps to time a quarter of one. A payer who counts the time that passes signs anew
 * while there is credit left, and hears of none in a body of plain bytes.
 */
export function aheadOf({ options }: StreamRoute, isPaced: boolean): Units {
  const window = readUnitsOr(options.window, 2)
  return isPaced ? window / 4n : window
}

/** The same on Node. */
export async function serveBytesNode(
  route: StreamRoute,
  { request, response, asked, options }: NodeVisit & { readonly options: BytesOptions },
): Promise<void> {
  await writeNode(await serveBytes(route, nodeRequest(request, asked), options), response)
}

/** The same on the web platform. */
export function serveBytesWeb(route: StreamRoute, options: BytesOptions): (request: Request) => Promise<Response> {
  return (request) => serveBytes(route, webRequest(request), options)
}

/** A lane that was opened for one answer ends with it. */
function lastingAsLong({ lane, keeps }: Entered & { readonly kind: 'lane' }): Lane {
  return keeps ? lane : Object.create(lane, { release: { value: () => void lane.end('end of answer') } })
}
