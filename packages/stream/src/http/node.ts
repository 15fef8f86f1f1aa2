import type { IncomingMessage, ServerResponse } from 'node:http'
import { askedUrl, paymentSignatureHeader } from '@flow402x/core'
import type { StreamAnswer, StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { contentTypes, type PumpOptions, pump, type Sink, type Source } from '../transports/pump.ts'

/** How a framework on Node gives its request: where its client asked for it, as it knows better, and a body that it has read already. */
export type NodeAsked = { readonly origin?: string; readonly target?: string; readonly parsedBody?: unknown }

/** A request of Node as the engine reads it. */
export function nodeRequest(request: IncomingMessage, { origin = originOf(request), target, parsedBody }: NodeAsked = {}): StreamRequest {
  return {
    method: request.method ?? 'GET',
    url: urlOf(origin, target ?? request.url ?? '/'),
    header(name) {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
    body: (limit) => (parsedBody === undefined ? readBody(request, limit) : Promise.resolve(textOf(parsedBody, limit))),
  }
}

/** What its client asked for; with a `Host` that is none, something that nobody else asks for. */
function urlOf(origin: string, target: string): string {
  const url = askedUrl({ origin, target })
  return url !== undefined && URL.canParse(url) ? url : `http://localhost/${target}`
}

function originOf({ socket, headers }: IncomingMessage): string {
  return `${'encrypted' in socket ? 'https' : 'http'}://${headers.host ?? 'localhost'}`
}

/** Writes a whole answer. */
export function answerNode(response: ServerResponse, { status, headers, body }: StreamAnswer): void {
  // With its length known it leaves as one write. The length comes first: what is added to a spread costs ten times as much.
  response.writeHead(status, body === undefined ? headers : { 'Content-Length': Buffer.byteLength(body), ...headers })
  response.end(body)
}

/** Charges for a stream and writes it to Node's own response, which costs a third of the web's. Resolves where it is answered, or begins. */
export async function serveNode(
  route: StreamRoute,
  { request, response, asked, source, options }: NodeVisit & { readonly source: Source; readonly options: PumpOptions },
): Promise<void> {
  const admission = await route.admit(nodeRequest(request, asked))
  if (admission.kind === 'answer') return answerNode(response, admission.answer)
  const { lane, headers } = admission
  if (response.destroyed) return lane.release()
  response.writeHead(200, { 'Content-Type': contentTypes[options.format], ...headers })
  response.flushHeaders()
  forgetPayment(request)
  // Where the lane has ended or was taken over by then, that changes nothing.
  response.on('close', () => lane.release())
  pump(source, { lane, sink: responseSink(response), ...options })
}

/** What opened a lane is the largest part of its request, and would be kept as long as the stream lasts. */
function forgetPayment({ headers, rawHeaders }: IncomingMessage): void {
  headers[payment] = undefined
  for (const [at, name] of rawHeaders.entries()) if (at % 2 === 0 && name.toLowerCase() === payment) rawHeaders[at + 1] = ''
}

const payment = paymentSignatureHeader.name.toLowerCase()

/** Answers what is posted to a tick URL. */
export async function tickNode(route: StreamRoute, { request, response, asked }: NodeVisit): Promise<void> {
  answerNode(response, await route.tick(nodeRequest(request, asked)))
}

/** A request of Node and its response. */
export type NodeVisit = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly asked?: NodeAsked }

function responseSink(response: ServerResponse): Sink {
  return Object.setPrototypeOf({ response }, toResponse)
}

/** One object for all responses: functions of each one's own would be kept as long as its stream lasts. */
const toResponse: Sink & ThisType<{ readonly response: ServerResponse }> = {
  isClosed() {
    return this.response.destroyed || this.response.writableEnded
  },
  isFull() {
    return this.response.writableNeedDrain
  },
  write(text) {
    if (!this.response.destroyed) this.response.write(text)
  },
  drained() {
    return drained(this.response)
  },
  end() {
    this.response.end()
  },
  fail(error) {
    this.response.destroy(error instanceof Error ? error : undefined)
  },
}

/** Waits until a response takes more, or nothing will be taken any more. */
export function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed || !response.writableNeedDrain) return resolve()
    const go = (): void => {
      response.off('drain', go).off('close', go)
      resolve()
    }
    response.on('drain', go).on('close', go)
  })
}

function readBody(request: IncomingMessage, limit: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= limit) chunks.push(chunk)
    })
    request.on('end', () => {
      const [whole = Buffer.alloc(0), ...more] = chunks
      resolve(length > limit ? undefined : (more.length === 0 ? whole : Buffer.concat(chunks)).toString())
    })
    request.on('error', reject)
  })
}

/** A body that middleware has read already, as text again. */
function textOf(body: unknown, limit: number): string | undefined {
  const text = typeof body === 'string' ? body : Buffer.isBuffer(body) ? body.toString() : JSON.stringify(body)
  return text.length > limit ? undefined : text
}
