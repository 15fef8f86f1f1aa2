import { collect } from './body-reader.ts'
import { type Call, type EndpointOptions, facilitatorHandler, type Servable } from './routes.ts'

/**
 * A facilitator as a Web handler: `POST /verify`, `POST /settle`, `POST /status` and `GET /supported` (x402 v2 §7), below any base path,
 * for v1 and v2 bodies; and `GET /health`, 503 where nobody is served (H43). `Idempotency-Key` is the claim's id.
 *
 * What is wrong with a payment is an answer of 200, as in process (wire.md §22.11). Everything else is an RFC 9457 problem that
 * also says `isValid` or `success`, which official clients read.
 */
export function facilitatorEndpoint(facilitator: Servable, options: EndpointOptions = {}): (request: Request) => Promise<Response> {
  const handle = facilitatorHandler(facilitator, options)
  return async (request) => {
    const { status, headers, body } = await handle(callOf(request))
    return new Response(body, { status, headers })
  }
}

function callOf(request: Request): Call {
  const { method, url, headers, signal } = request
  return {
    method,
    path: new URL(url).pathname,
    signal,
    header: (name) => headers.get(name) ?? undefined,
    bytes: (limit) => collect(partsOf(request.body), limit),
    bare: () => new Request(url, { method, headers }),
  }
}

async function* partsOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader()
  try {
    for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) yield part.value
  } finally {
    await reader?.cancel()
  }
}
