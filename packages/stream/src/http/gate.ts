import { paymentStreamHeader } from '@flow402x/core/stream'
import type { StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { pulled, tapped } from '../transports/range.ts'
import { type ByteMeter, type Clockwork, createTap, realTime, type Tap, withRecording } from '../transports/tap.ts'
import { type TappedEnd, tapResponse } from '../transports/tapped-response.ts'
import { aheadOf } from './bytes.ts'
import { type Entered, enter } from './enter.ts'
import { answerNode, type NodeVisit, nodeRequest } from './node.ts'
import { webAnswer, withHeaders } from './web.ts'

/** What a handler has said of its answer, once it begins to write it. */
export type AnswerHead = { readonly status: number; header(name: string): string | undefined }

/** How what a handler writes is measured. */
export type GateOptions = {
  /** What its bytes are, once its head is known. What it throws resets the connection, and nothing is charged. */
  readonly meterOf: (head: AnswerHead) => Promise<ByteMeter>
  /** Time, for what is sent no faster than it plays; as it comes unless told. */
  readonly pace?: Clockwork | 'real' | undefined
  /** Headers in the place of those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Charges for whatever handlers write after it, whatever they write it with: `true` where they may begin. Each piece leaves when it is
 * paid; a whole answer ends its lane, and who asked for a part goes on with it.
 */
export async function gateNode(
  route: StreamRoute,
  { request, response, asked, options }: NodeVisit & { readonly options: GateOptions },
): Promise<boolean> {
  const entered = await enter(route, nodeRequest(request, asked))
  if (entered.kind === 'answer') {
    answerNode(response, { ...entered.answer, headers: { ...entered.answer.headers, ...options.headers } })
    return false
  }
  if (response.destroyed) {
    entered.lane.release()
    return false
  }
  for (const [name, value] of Object.entries({ ...entered.headers, ...options.headers })) response.setHeader(name, value)
  const header = (name: string): string | undefined => response.getHeader(name)?.toString()
  const meterOf = async (head: AnswerHead): Promise<ByteMeter> => {
    const meter = await options.meterOf(head)
    const said = header(paymentStreamHeader.name)
    // Who wrote the head himself has sent it.
    if (said !== undefined && !response.headersSent) response.setHeader(paymentStreamHeader.name, withRecording(said, meter))
    return meter
  }
  tapResponse(response, {
    tapOf: () => tapOf(route, { entered, options: { ...options, meterOf }, head: { status: response.statusCode, header } }),
    end: (how) => leave(entered, how, response.statusCode),
  })
  return true
}

/** The same for a handler that answers on the web platform: what its body is made of is asked for as it is paid. */
export async function gateWeb(
  route: StreamRoute,
  {
    request,
    options,
    handle,
  }: { readonly request: StreamRequest; readonly options: GateOptions; readonly handle: () => Promise<Response> },
): Promise<Response> {
  const entered = await enter(route, request)
  if (entered.kind === 'answer') {
    const { answer } = entered
    return webAnswer({ ...answer, headers: { ...answer.headers, ...options.headers } })
  }
  const lane = entered
  const response = await handle().catch(async (error: unknown) => {
    await lane.lane.end('failed')
    throw error
  })
  const { status, body } = response
  const said = withHeaders(response, { ...entered.headers, ...options.headers })
  // Errors and answers without a body cost nothing.
  if (status >= 400 || request.method === 'HEAD' || body === null) {
    leave(lane, 'whole', status)
    return said
  }
  const reader = body.getReader()
  async function* paid(): AsyncGenerator<Uint8Array> {
    const header = (name: string): string | undefined => said.headers.get(name) ?? undefined
    yield* tapped(chunksOf(reader), await tapOf(route, { entered: lane, options, head: { status, header } }))
  }
  const gone = (): void => {
    leave(lane, 'gone', status)
    // A handler that is silent would not hear of it before its next piece.
    void reader.cancel().catch(() => {})
  }
  return new Response(pulled(paid(), { done: () => leave(lane, 'whole', status), gone }), said)
}

async function* chunksOf(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
}

type InLane = Entered & { readonly kind: 'lane' }

type Tapping = { readonly entered: InLane; readonly options: GateOptions; readonly head: AnswerHead }

async function tapOf(route: StreamRoute, { entered: { lane }, options: { meterOf, pace }, head }: Tapping): Promise<Tap> {
  const [window, meter, from] = [aheadOf(route, pace !== undefined), await meterOf(head), beginningOf(head)]
  lane.goOnAt(meter.unitsOf(BigInt(from)))
  return createTap({ lane, window, meter, from, pace: pace === 'real' ? realTime : pace })
}

/** At which byte an answer begins. */
function beginningOf({ status, header }: AnswerHead): number {
  const [, from = '0'] = (status === 206 && /^bytes (\d{1,15})-/.exec(header('content-range') ?? '')) || []
  return Number(from)
}

function leave({ lane, keeps }: InLane, how: TappedEnd, status: number): void {
  if (how === 'whole' && (status !== 206 || !keeps)) void lane.end('end of content')
  else lane.release()
}
