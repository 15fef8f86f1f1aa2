/** A request whose body was read once, so that it can be sent again byte for byte. */
export type Message = {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body: ArrayBuffer | undefined
  /** What the caller wants done with redirects. */
  readonly redirect: RequestRedirect
  readonly signal: AbortSignal | undefined
  /** Everything else `fetch` was given: credentials, cache, a dispatcher. */
  readonly rest: RequestInit
}

/** The web's `fetch`. */
export type Fetch = (input: RequestInfo | URL, init?: RequestInit) => Promise<Response>

const kept = ['cache', 'credentials', 'integrity', 'keepalive', 'mode', 'referrerPolicy'] as const

/** Reads what `fetch` was called with. `Request` writes the form's boundary and the content type, once for every try. */
export async function readMessage(input: RequestInfo | URL, init: RequestInit = {}): Promise<Message> {
  const { signal: given, ...plain } = init
  // The runtime wants `duplex` beside a stream; as the body is read here, it may be left out.
  const streaming = { duplex: 'half', ...plain }
  const request = new Request(input, streaming)
  const signal = given === undefined && input instanceof Request ? input.signal : (given ?? undefined)
  signal?.throwIfAborted()
  const bytes = request.body === null ? undefined : await request.arrayBuffer()
  const { method: _method, headers: _headers, body: _body, redirect: _redirect, ...extra } = plain
  const own = input instanceof Request ? Object.fromEntries(kept.map((name) => [name, input[name]])) : {}
  return {
    url: request.url,
    method: request.method,
    headers: new Headers(request.headers),
    body: bytes === undefined || bytes.byteLength === 0 ? undefined : bytes,
    redirect: request.redirect,
    signal,
    rest: { ...own, ...extra },
  }
}

/** Sends a message once, without following anything unless told to. */
export function sendMessage(
  message: Message,
  options: { readonly fetch: Fetch; readonly redirect: RequestRedirect; readonly signal?: AbortSignal | undefined },
): Promise<Response> {
  const { url, method, headers, body, rest } = message
  const signal = options.signal ?? message.signal
  return options.fetch(url, {
    ...rest,
    method,
    headers,
    redirect: options.redirect,
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  })
}

/** The message with a header set, or without it where there is no value. */
export function withHeader(message: Message, name: string, value: string | undefined): Message {
  const headers = new Headers(message.headers)
  if (value === undefined) headers.delete(name)
  else headers.set(name, value)
  return { ...message, headers }
}
