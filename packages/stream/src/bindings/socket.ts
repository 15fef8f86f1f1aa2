import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { streamSubprotocol } from '@flow402x/core/stream'
import type { StreamAnswer } from '../engine/request.ts'
import type { StreamRoute } from '../engine/streams.ts'
import { nodeRequest } from '../http/node.ts'
import { heartbeat } from '../transports/heartbeat.ts'
import { mostUnread, type RawSocket, runSocket, type SocketRun } from '../transports/socket.ts'

/** The server of the package `ws`, made with `noServer: true`: as much of it as is used. */
export interface SocketServer {
  readonly options: { maxPayload?: number | undefined }
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, done: (socket: RawSocket) => void): void
  on(event: 'headers', listener: (lines: string[], request: IncomingMessage) => void): unknown
}

/** How sockets are served. */
export type SocketOptions = Pick<SocketRun, 'serve' | 'units'> & {
  /** `new WebSocketServer({ noServer: true })` of `ws`. */
  readonly sockets: SocketServer
  /** Milliseconds that a socket without a payment has for its first tick: 10,000 unless told. */
  readonly firstTick?: number
}

/** A request to become a socket, as Node's `upgrade` event gives it. */
export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>

/**
 * Sells a socket that is one lane (streaming.md §11 d): `http.on('upgrade', sockets(route, { sockets, serve }))`. It opens with a payment
 * on its upgrade; in browsers, which cannot send one, with a first tick for a lane that was opened at the tick URL: such an upgrade names
 * the subprotocol and comes from a page. Any other is answered 402.
 */
export function sockets(route: StreamRoute, { sockets: server, serve, units, firstTick = 10_000 }: SocketOptions): Upgrade {
  const said = new WeakMap<IncomingMessage, Readonly<Record<string, string>>>()
  // Before anybody has paid, a frame of the hundred megabytes that are usual would be held in memory, only to be refused then.
  server.options.maxPayload = Math.min(server.options.maxPayload || mostUnread, mostUnread)
  server.on('headers', (lines, request) => {
    for (const [name, value] of Object.entries(said.get(request) ?? {})) lines.push(`${name}: ${value}`)
  })
  const run = { tick: route.tickFrame, serve, units, beats: heartbeat }
  return async (request, socket, head) => {
    const asked = nodeRequest(request)
    const offered = (asked.header('sec-websocket-protocol') ?? '').split(/,\s*/).includes(streamSubprotocol)
    const isPaid = asked.header('payment-signature') !== undefined || asked.header('payment-resume') !== undefined
    if (offered && !isPaid && asked.header('origin') !== undefined) {
      server.handleUpgrade(request, socket, head, (raw) => {
        const late = setTimeout(() => raw.close(1008, 'no tick'), firstTick)
        late.unref()
        const find = async ({ sid }: { readonly sid: string }) => {
          const lane = await route.attach(sid)
          if (lane !== undefined) clearTimeout(late)
          return lane
        }
        runSocket(raw, { ...run, lane: find })
      })
      return
    }
    // A payment that could not be served is not taken.
    const admission = await route.admit(
      offered ? asked : { ...asked, header: (name) => (/^payment-/.test(name) ? undefined : asked.header(name)) },
    )
    if (admission.kind === 'answer') return refuse(socket, admission.answer)
    const { lane, headers } = admission
    // An upgrade that comes to nothing leaves no lane behind.
    const gone = (): void => lane.release()
    if (socket.destroyed) return gone()
    socket.once('close', gone)
    said.set(request, headers)
    server.handleUpgrade(request, socket, head, (raw) => {
      socket.off('close', gone)
      runSocket(raw, { ...run, lane })
    })
  }
}

/** An answer over a connection that was to become a socket. */
function refuse(socket: Duplex, { status, headers, body = '' }: StreamAnswer): void {
  const lines = Object.entries({ ...headers, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' })
  socket.end(
    [
      `HTTP/1.1 ${status} ${status === 402 ? 'Payment Required' : 'Refused'}`,
      ...lines.map(([name, value]) => `${name}: ${value}`),
      '',
      body,
    ].join('\r\n'),
  )
}
