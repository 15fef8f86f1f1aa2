import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'

type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** Listens on a free port of 127.0.0.1 for as long as the process lives. */
export async function listen(listener: RequestListener, onUpgrade?: OnUpgrade): Promise<string> {
  const server = createServer(listener)
  if (onUpgrade !== undefined) server.on('upgrade', onUpgrade)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve())
  })
  // A server that listens on a host and a port has an address with both.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
