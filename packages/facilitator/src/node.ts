import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { Facilitator } from '@flow402x/core'
import { type EndpointOptions, facilitatorEndpoint } from './engine/routes.ts'

/** Where and how a facilitator is served. */
export type ServeOptions = EndpointOptions & {
  /** `127.0.0.1` unless told: put it behind TLS before anyone else can reach it. */
  readonly host?: string
  /** A free port unless told. */
  readonly port?: number
}

/** A facilitator that listens; `close` resolves when the last answer is out. It leaves the facilitator itself open. */
export type ServedFacilitator = { readonly url: string; close(): Promise<void> }

/** Serves a facilitator over HTTP with nothing but Node. Rejects when it cannot listen. */
export async function serveFacilitator(facilitator: Facilitator, options: ServeOptions = {}): Promise<ServedFacilitator> {
  const { host = '127.0.0.1', port = 0, ...endpoint } = options
  const handle = facilitatorEndpoint(facilitator, endpoint)
  const server = createServer((incoming, outgoing) => {
    void answer(handle, { incoming, outgoing })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => resolve())
  })
  // A server that listens on a host and a port has an address with both.
  const { port: bound } = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${name}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}

type Exchange = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse }

async function answer(handle: (request: Request) => Promise<Response>, { incoming, outgoing }: Exchange): Promise<void> {
  const gone = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort()
  })
  const response = await handle(requestOf(incoming, gone.signal))
  const body = Buffer.from(await response.arrayBuffer())
  // A body that was refused unread would otherwise hold the connection.
  const headers = {
    ...Object.fromEntries(response.headers),
    'content-length': String(body.length),
    ...(incoming.complete ? {} : { connection: 'close' }),
  }
  outgoing.writeHead(response.status, headers).end(body)
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = 'GET', url = '/' } = incoming
  const headers = new Headers()
  for (const [name, values] of Object.entries(incoming.headersDistinct)) for (const value of values ?? []) headers.append(name, value)
  // The authority is of no interest here, and a hostile Host header must not break the URL.
  const init = { method, headers, signal }
  if (method === 'GET' || method === 'HEAD') return new Request(new URL(url, 'http://facilitator.invalid'), init)
  // Node's web streams are the DOM's by another declaration.
  const body = Readable.toWeb(incoming) as ReadableStream<Uint8Array> & BodyInit
  return new Request(new URL(url, 'http://facilitator.invalid'), { ...init, body, duplex: 'half' } as RequestInit)
}
