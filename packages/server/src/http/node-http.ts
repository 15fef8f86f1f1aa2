import type { IncomingMessage, ServerResponse } from 'node:http'
import { askedUrl } from '@flow402x/core'
import type { PlainAnswer } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import { createGate } from '../engine/gate.ts'
import type { PaidOptions } from '../engine/offers.ts'
import type { IncomingRequest } from '../engine/request.ts'
import { keptBytes, type PaidFacts, type Run } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'
import { watchDeparture } from './departure.ts'
import { headersOf, takeResponse } from './node-response.ts'

/** Calls the handler; what it throws or rejects is a failed handler. */
export type NodeHandler = (paid: PaidFacts) => unknown

/** One visit to a charged handler. A framework says what it knows better than Node: what was asked, a parsed body, how to answer. */
export type NodeVisit = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly handle: NodeHandler
  readonly asked?: { readonly origin: string; readonly target: string }
  readonly parsedBody?: () => unknown
  readonly answer?: (answer: Response) => Promise<void>
}

/** Charges for a handler that writes into Node's `ServerResponse`: nothing it writes leaves before it may. */
export function chargeNode(server: Server, options: PaidOptions): (visit: NodeVisit) => Promise<void> {
  const gate = createGate(server, options)
  return async (visit) => {
    const { response, answer } = visit
    const admission = await gate.admit(incomingNode(visit))
    if (admission.kind === 'run') return runNode(admission, response, { handle: visit.handle })
    if (answer !== undefined) {
      watchDeparture(response, admission.sent)
      return answer(admission.response)
    }
    if (admission.plain !== undefined) return writePlain(response, admission.plain)
    const body = await bodyBytes(admission.response)
    watchDeparture(response, admission.sent)
    writeWhole(response, admission.response, body)
  }
}

/** `outer`: headers of earlier middleware that stay on an answer in the handler's place and do not stand in the response yet. */
type NodeRun = { readonly handle: NodeHandler; readonly outer?: (answer: Response) => void }

/** Runs a handler that writes into Node's response. */
export async function runNode(run: Run, response: ServerResponse, { handle, outer }: NodeRun): Promise<void> {
  const taken = takeResponse(response, run.hold ? keptBytes : 0)
  // A handler may return long before it writes, and write long before it returns: only its failure counts here.
  void attempt(async () => handle(run.facts), taken.fail)
  const release = await run.complete(taken.result)
  if (release.kind === 'deliver') return taken.deliver(release.dress, release.sent)
  outer?.(release.response)
  const body = await bodyBytes(release.response)
  taken.replace(() => writeWhole(response, release.response, body))
}

async function attempt(work: () => Promise<unknown>, fail: (cause: unknown) => void): Promise<void> {
  try {
    await work()
  } catch (cause) {
    fail(cause)
  }
}

/** Writes an answer of the engine; headers that were set before the gate stay where the answer has none of its own. */
function writeWhole(response: ServerResponse, answer: Response, body: Buffer): void {
  writeHeaders(response, answer.headers)
  if (answer.headers.has('set-cookie')) response.setHeader('set-cookie', answer.headers.getSetCookie())
  response.statusCode = answer.status
  if (body.length > 0) response.setHeader('content-length', body.length)
  response.end(body)
}

function writePlain(response: ServerResponse, { status, headers, text }: PlainAnswer): void {
  writeHeaders(response, Object.entries(headers))
  response.statusCode = status
  response.setHeader('content-length', Buffer.byteLength(text))
  response.end(text)
}

function writeHeaders(response: ServerResponse, headers: Iterable<readonly [name: string, value: string]>): void {
  const present = headersOf(response)
  const hasOrigin = present.has('access-control-allow-origin')
  for (const [name, value] of headers) {
    if (name === 'vary' || name === 'access-control-expose-headers') present.append(name, value)
    else if (name !== 'access-control-allow-origin' || !hasOrigin) response.setHeader(name, value)
  }
}

async function bodyBytes(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer())
}

function incomingNode({ request, asked, parsedBody }: NodeVisit): IncomingRequest {
  const own = `${'encrypted' in request.socket ? 'https' : 'http'}://${request.headers.host ?? 'localhost'}`
  const { origin, target } = asked ?? { origin: own, target: request.url ?? '/' }
  let body: Promise<Uint8Array | undefined> | undefined
  return {
    method: request.method ?? 'GET',
    // A target alone is no URL, and refused as such.
    url: askedUrl({ origin, target }) ?? target,
    header: headerOf(request),
    body(limit) {
      body ??= bodyOf(request, { limit, parsed: parsedBody?.() })
      return body
    },
  }
}

/** The headers of a request to Node, by name in lower case. */
export function headerOf({ headers }: IncomingMessage): IncomingRequest['header'] {
  return (name) => {
    const value = headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }
}

/** The whole body: as a parser before the gate left it, or read here and put back for the handler. */
async function bodyOf(request: IncomingMessage, { limit, parsed }: { limit: number; parsed: unknown }): Promise<Uint8Array | undefined> {
  if (!request.readableDidRead && !request.readableEnded) return peek(request, limit)
  if (parsed === undefined) return new Uint8Array()
  const bytes = parsed instanceof Uint8Array ? parsed : Buffer.from(typeof parsed === 'string' ? parsed : JSON.stringify(parsed))
  return bytes.length > limit ? undefined : bytes
}

/** Reads everything without ending the stream, and puts it back: whoever reads next sees the body whole. */
function peek(request: IncomingMessage, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  return new Promise((resolve, reject) => {
    let settled = false
    const settle = (done: () => void) => {
      settled = true
      request.off('readable', read).off('error', fail).off('close', cut)
      done()
    }
    const fail = (cause: unknown) => settle(() => reject(serverErrors('payment/body-cut-short', { cause })))
    const cut = () => fail(undefined)
    const read = () => {
      // Reading an exhausted stream, or listening for more, would end it, and its next reader would wait for an end that was before.
      while (request.readableLength > 0) {
        const bytes = Buffer.from(request.read())
        chunks.push(bytes)
        length += bytes.length
        if (length > limit) return settle(() => resolve(undefined))
      }
      if (!request.complete) return
      settle(() => {
        const whole = Buffer.concat(chunks, length)
        // Put back in the same tick as the last read, before the stream has had a chance to end.
        if (length > 0) request.unshift(whole)
        resolve(whole)
      })
    }
    read()
    if (!settled) request.on('readable', read).on('error', fail).on('close', cut)
  })
}
