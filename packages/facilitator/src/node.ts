import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collect } from './http/body-reader.ts'
import { type Call, type EndpointOptions, facilitatorHandler, type Reply, type Servable } from './http/routes.ts'

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
export async function serveFacilitator(facilitator: Servable, options: ServeOptions = {}): Promise<ServedFacilitator> {
  const { host = '127.0.0.1', port = 0, ...endpoint } = options
  const handle = facilitatorHandler(facilitator, endpoint)
  const underWay = new Set<Promise<void>>()
  const server = createServer((incoming, outgoing) => {
    const exchange = answer(handle, { incoming, outgoing })
      // Whatever a peer sent, one exchange never ends the process.
      .catch(() => void outgoing.destroy())
      .finally(() => underWay.delete(exchange))
    underWay.add(exchange)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => resolve())
  })
  // A server that listens on a host and a port has an address with both.
  const { port: bound } = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${name}:${bound}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      while (underWay.size > 0) await Promise.all(underWay)
      // Clients open connections in advance, which Node does not count as idle.
      server.closeAllConnections()
      await closed
    },
  }
}

type Exchange = { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse }

async function answer(handle: (call: Call) => Promise<Reply>, { incoming, outgoing }: Exchange): Promise<void> {
  const gone = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort()
  })
  const call = callOf(incoming, gone.signal)
  if (call === undefined) {
    outgoing.writeHead(400, { connection: 'close' }).end()
    return
  }
  const { status, headers, body } = await handle(call)
  const bytes = Buffer.from(body)
  const all = { ...headers, 'content-length': bytes.length }
  // A body that was refused unread would otherwise hold the connection.
  outgoing.writeHead(status, incoming.complete ? all : { ...all, connection: 'close' })
  await new Promise<void>((resolve) => {
    outgoing.once('close', resolve).end(bytes)
    if (outgoing.destroyed) resolve()
  })
}

// The authority is of no interest here, and a hostile Host header must not break the URL.
const origin = 'http://facilitator.invalid'

/** The request as its routes want it, or nothing for a target that is no URL. */
function callOf(incoming: IncomingMessage, signal: AbortSignal): Call | undefined {
  const { method = 'GET', url: target = '/' } = incoming
  const url = target.startsWith('/') ? `${origin}${target}` : target
  if (!URL.canParse(url)) return undefined
  return {
    method,
    path: new URL(url).pathname,
    signal,
    header: (name) => incoming.headersDistinct[name.toLowerCase()]?.join(', '),
    bytes: (limit) => collect(incoming.iterator({ destroyOnReturn: false }), limit),
    bare() {
      const headers = new Headers()
      for (const [name, values] of Object.entries(incoming.headersDistinct)) for (const value of values ?? []) headers.append(name, value)
      return new Request(url, { method, headers, signal })
    },
  }
}
