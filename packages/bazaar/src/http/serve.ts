import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Bazaar } from '../catalog/bazaar.ts'
import { bazaarEndpoint, type EndpointOptions } from './web.ts'

/** Where and how a bazaar is served. */
export type ServeOptions = Omit<EndpointOptions, 'callerOf'> & {
  /** `127.0.0.1` unless told: put it behind TLS before anyone else can reach it. */
  readonly host?: string
  /** A free port unless told. */
  readonly port?: number
  /** The header in which a proxy of one's own says who asks, such as `x-real-ip`; without it the peer's address is what counts. */
  readonly callerHeader?: string
}

/** A bazaar that listens; `close` resolves when the last answer is out. It leaves the bazaar itself open. */
export type ServedBazaar = { readonly url: string; close(): Promise<void> }

/** Serves a bazaar over HTTP with nothing but Node. Rejects when it cannot listen. */
export async function serveBazaar(bazaar: Bazaar, options: ServeOptions = {}): Promise<ServedBazaar> {
  const { host = '127.0.0.1', port = 0, callerHeader, ...endpoint } = options
  const callers = new WeakMap<Request, string>()
  const handle = bazaarEndpoint(bazaar, { ...endpoint, callerOf: (request) => callers.get(request) })
  const underWay = new Set<Promise<void>>()
  const server = createServer((incoming, outgoing) => {
    const exchange = answer(incoming, outgoing)
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
  const origin = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const request = requestOf(incoming, { outgoing, origin })
    if (request === undefined) return void outgoing.writeHead(400, { connection: 'close' }).end()
    const said = callerHeader === undefined ? undefined : request.headers.get(callerHeader)
    callers.set(request, said ?? incoming.socket.remoteAddress ?? '')
    const response = await handle(request)
    const body = Buffer.from(await response.arrayBuffer())
    const headers = { ...Object.fromEntries(response.headers), 'content-length': body.length }
    // A body that was refused unread would otherwise hold the connection.
    outgoing.writeHead(response.status, incoming.complete ? headers : { ...headers, connection: 'close' })
    await new Promise<void>((resolve) => {
      outgoing.once('close', resolve).end(incoming.method === 'HEAD' ? undefined : body)
      if (outgoing.destroyed) resolve()
    })
  }

  return {
    url: origin,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      while (underWay.size > 0) await Promise.all(underWay)
      // Clients open connections in advance, which Node does not count as idle.
      server.closeAllConnections()
      await closed
    },
  }
}

/** The request as the Web has it, or nothing for a target that is no path. */
function requestOf(
  incoming: IncomingMessage,
  { outgoing, origin }: { readonly outgoing: ServerResponse; readonly origin: string },
): Request | undefined {
  const { method = 'GET', url: target = '/' } = incoming
  if (!target.startsWith('/') || !URL.canParse(`${origin}${target}`) || ['CONNECT', 'TRACE', 'TRACK'].includes(method)) return undefined
  const gone = new AbortController()
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort()
  })
  const headers = new Headers()
  for (const [name, values] of Object.entries(incoming.headersDistinct)) for (const value of values ?? []) headers.append(name, value)
  const bodyless = method === 'GET' || method === 'HEAD'
  if (bodyless) return new Request(`${origin}${target}`, { method, headers, signal: gone.signal })
  // Node's Web streams are the platform's own under another name; `duplex`, which bodies that are read while they are sent need, is not
  // among the platform's types yet.
  const init = { method, headers, signal: gone.signal, body: Readable.toWeb(incoming), duplex: 'half' } as RequestInit
  return new Request(`${origin}${target}`, init)
}
