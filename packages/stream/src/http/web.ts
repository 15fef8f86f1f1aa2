import type { Admission } from '../engine/entry.ts'
import type { StreamAnswer, StreamRequest } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { contentTypes, type PumpOptions, pump, type Sink, type Source } from '../transports/pump.ts'

/** A request of the web platform as the engine reads it. `url` where its framework knows better. */
export function webRequest(request: Request, url = request.url): StreamRequest {
  return {
    method: request.method,
    url,
    header: (name) => request.headers.get(name) ?? undefined,
    async body(limit) {
      const text = await request.text()
      return text.length > limit ? undefined : text
    },
  }
}

/** An answer as a `Response`. */
export function webAnswer({ status, headers, body }: StreamAnswer): Response {
  return new Response(body ?? null, { status, headers })
}

/** A response with these headers beside its own, which count more. */
export function withHeaders(response: Response, headers: Readonly<Record<string, string>>): Response {
  const said = new Response(response.body, response)
  for (const [name, value] of Object.entries(headers)) if (!said.headers.has(name)) said.headers.set(name, value)
  return said
}

/** Delivers over an admission, or answers it. */
function deliverWeb(admission: Admission, source: Source, options: PumpOptions): Response {
  if (admission.kind === 'answer') return webAnswer(admission.answer)
  const { lane, headers } = admission
  let sink: (Sink & { pulled(): void; cancel(): void }) | undefined
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        sink = controllerSink(controller)
        pump(source, { lane, sink, ...options })
      },
      pull: () => sink?.pulled(),
      cancel() {
        sink?.cancel()
        lane.release()
      },
    },
    { highWaterMark: 1 },
  )
  return new Response(body, { status: 200, headers: { 'Content-Type': contentTypes[options.format], ...headers } })
}

/** Charges for a stream of the web platform. */
export function serveWeb(route: StreamRoute, source: Source, options: PumpOptions): (request: Request) => Promise<Response> {
  return async (request) => deliverWeb(await route.admit(webRequest(request)), source, options)
}

function controllerSink(controller: ReadableStreamDefaultController<Uint8Array>): Sink & { pulled(): void; cancel(): void } {
  const utf8 = new TextEncoder()
  let isClosed = false
  let drain: (() => void) | undefined
  const isFull = (): boolean => (controller.desiredSize ?? 0) <= 0
  const go = (): void => {
    drain?.()
    drain = undefined
  }
  return {
    isClosed: () => isClosed,
    isFull,
    write(text) {
      if (!isClosed) controller.enqueue(utf8.encode(text))
    },
    drained: () =>
      new Promise((resolve) => {
        if (isClosed || !isFull()) resolve()
        else drain = resolve
      }),
    end() {
      if (!isClosed) controller.close()
    },
    fail(error) {
      if (!isClosed) controller.error(error)
    },
    pulled: go,
    cancel() {
      isClosed = true
      go()
    },
  }
}
