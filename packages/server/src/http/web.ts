import { settlementOverridesHeader } from '@flow402x/core'
import type { Dress } from '../engine/answers.ts'
import { serverErrors } from '../engine/errors.ts'
import { createGate } from '../engine/gate.ts'
import type { PaidOptions } from '../engine/offers.ts'
import { type IncomingRequest, ownBytes } from '../engine/request.ts'
import { type HandlerResult, keptBytes, type PaidFacts, type Run, type Sent } from '../engine/run.ts'
import type { Server } from '../engine/server.ts'

/** A handler of the web platform that is told who paid. `signal` aborts when its time is over. */
export type WebHandler = (request: Request, paid: PaidFacts) => Response | Promise<Response>

/**
 * One visit to a charged handler. A framework that keeps bodies it has read gives them in `keptBody`, and one that sees its responses
 * leave says so itself: without `watch` a response has left when its body was read to the end. One that writes them into Node's holds
 * them back there by `hold`, which runs `work` and gives what that made.
 */
export type WebVisit = {
  readonly request: Request
  readonly handle: WebHandler
  readonly keptBody?: () => Promise<ArrayBuffer>
  readonly watch?: ((sent: Sent) => void) | undefined
  readonly hold?: ((run: Run, work: () => Promise<Response>) => Promise<Response>) | undefined
  readonly header?: IncomingRequest['header'] | undefined
}

/** A response on its way out, and who is told how that went. `length` is its body's, where it is known. */
type Leaving = { readonly response: Response; readonly sent?: Sent | undefined; readonly length?: number }

/** Charges for a web handler: `Request` in, `Response` out, on every runtime that has them. */
export function chargeWeb(server: Server, options: PaidOptions): (visit: WebVisit) => Promise<Response> {
  const gate = createGate(server, options)
  return async (visit) => {
    const { incoming, forward } = readable(visit)
    const admission = await gate.admit(incoming)
    if (admission.kind === 'answer') return leave(visit, admission)
    const work = async () => visit.handle(forward(), admission.facts)
    if (visit.hold !== undefined) return visit.hold(admission, work)
    return leave(visit, await (admission.hold ? holdResponse(admission, work) : streamResponse(admission, work)))
  }
}

/** The request as the engine reads it, and the request for the handler, whose body is still unread. */
function readable({ request, keptBody, header = (name) => request.headers.get(name) ?? undefined }: WebVisit): {
  incoming: IncomingRequest
  forward: () => Request
} {
  let body: Promise<Uint8Array | undefined> | undefined
  let bytes: Uint8Array | undefined
  const incoming: IncomingRequest = {
    method: request.method,
    url: request.url,
    header,
    body(limit) {
      body ??= bodyOf({ request, keptBody, limit }).then((whole) => {
        bytes = whole
        return whole
      })
      return body
    },
  }
  // A framework's own kind of request, such as NextRequest, is copied as that kind: its constructor takes what Request's does.
  const Own = request.constructor as typeof Request
  const forward = () => (bytes === undefined || request.body === null ? request : new Own(request, { body: ownBytes(bytes) }))
  return { incoming, forward }
}

type Reading = { readonly request: Request; readonly keptBody: WebVisit['keptBody']; readonly limit: number }

async function bodyOf({ request, keptBody, limit }: Reading): Promise<Uint8Array | undefined> {
  if (request.bodyUsed && keptBody !== undefined) {
    const kept = new Uint8Array(await keptBody())
    return kept.length > limit ? undefined : kept
  }
  try {
    const { chunk, rest } = await readAtMost(request.body, limit)
    return rest === undefined ? chunk : undefined
  } catch (cause) {
    throw serverErrors('payment/body-cut-short', { cause })
  }
}

async function holdResponse(run: Run, work: () => Promise<Response>): Promise<Leaving> {
  let made: { response: Response; chunk: Uint8Array; rest: ReadableStream<Uint8Array> | undefined } | undefined
  const release = await run.complete(
    (async (): Promise<HandlerResult> => {
      const response = await work()
      const { chunk, rest } = await readAtMost(response.body, keptBytes, run.facts.signal)
      made = { response, chunk, rest }
      const { status, headers } = response
      const usage = headers.get(settlementOverridesHeader) ?? undefined
      return { status, usage, whole: rest === undefined ? () => ({ headers: [...headers], body: chunk }) : undefined }
    })(),
  )
  if (release.kind === 'answer') {
    // A source that cannot even be cancelled must not cost the payer this answer.
    await made?.rest?.cancel().catch(() => {})
    return release
  }
  if (made === undefined) return { response: new Response(null, { status: 500 }) }
  const { response, chunk, rest } = made
  const { dress, sent } = release
  if (rest !== undefined) return { response: dressed(response, prepend(chunk, rest), dress), sent }
  const body = response.body === null ? null : ownBytes(chunk)
  return { response: dressed(response, body, dress), sent, length: chunk.length }
}

async function streamResponse(run: Run, work: () => Promise<Response>): Promise<Leaving> {
  let made: Response | undefined
  const release = await run.complete(
    work().then((response) => {
      made = response
      return { status: response.status, usage: undefined }
    }),
  )
  if (release.kind === 'answer') return release
  return made === undefined
    ? { response: new Response(null, { status: 500 }) }
    : { response: dressed(made, made.body, release.dress), sent: release.sent }
}

/** Lets a response go so that whoever asked for it is told how it left. */
async function leave({ request, watch }: WebVisit, { response, sent, length }: Leaving): Promise<Response> {
  if (sent === undefined) return response
  if (watch !== undefined) watch(sent)
  // Of what has no body nobody can see whether it left.
  else if (response.body === null || request.method === 'HEAD') await sent(true)
  else {
    const headers = new Headers(response.headers)
    if (length !== undefined) headers.set('Content-Length', String(length))
    const { status, statusText } = response
    return new Response(departing(response.body, sent), { status, statusText, headers })
  }
  return response
}

// How long a runtime may take to begin with a body that it was given.
const unreadPatience = 60_000

/** The same body, which tells when it was read to its end (the last part was taken before more was asked for), or given up before. */
function departing(body: ReadableStream<Uint8Array>, sent: Sent): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  const unread = setTimeout(() => void sent(false), unreadPatience)
  if (typeof unread === 'object' && 'unref' in unread) unread.unref()
  let hasBegun = false
  const source: UnderlyingDefaultSource<Uint8Array> = {
    async pull(controller) {
      clearTimeout(unread)
      const { done, value } = await reader.read().catch(async (error: unknown) => {
        // Its own side broke it off.
        await sent(false)
        throw error
      })
      hasBegun = true
      if (!done) return controller.enqueue(value)
      await sent(true)
      controller.close()
    },
    async cancel(reason) {
      clearTimeout(unread)
      await sent(hasBegun)
      await reader.cancel(reason)
    },
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

function dressed(response: Response, body: BodyInit | null, dress: Dress): Response {
  const headers = new Headers(response.headers)
  dress(headers)
  return new Response(body, { status: response.status, statusText: response.statusText, headers })
}

/** Reads a stream up to `limit` bytes; `rest` is what was not read, where there is more. */
async function readAtMost(
  stream: ReadableStream<Uint8Array> | null,
  limit: number,
  signal?: AbortSignal,
): Promise<{ chunk: Uint8Array; rest?: ReadableStream<Uint8Array> }> {
  if (stream === null) return { chunk: new Uint8Array() }
  const reader = stream.getReader()
  // Nobody waits for what comes after the handler's time; its source is told so.
  const stop = () => void reader.cancel(signal?.reason).catch(() => {})
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted === true) stop()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    while (length <= limit) {
      const { done, value } = await reader.read()
      if (done) return { chunk: concat(chunks, length) }
      chunks.push(value)
      length += value.length
    }
  } finally {
    signal?.removeEventListener('abort', stop)
  }
  reader.releaseLock()
  return { chunk: concat(chunks, length), rest: stream }
}

function prepend(chunk: Uint8Array, rest: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = rest.getReader()
  let first: Uint8Array | undefined = chunk
  return new ReadableStream({
    async pull(controller) {
      if (first !== undefined) {
        controller.enqueue(first)
        first = undefined
        return
      }
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

function concat(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.length
  }
  return whole
}
