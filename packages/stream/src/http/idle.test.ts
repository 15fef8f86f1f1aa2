import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test } from 'vitest'
import { streamed } from '../bindings/node.ts'
import { useGround } from '../fixtures/ground.ts'
import type { Source } from '../transports/pump.ts'

const ground = useGround(escrowFacilitator)

type Visit = { readonly request: IncomingMessage; readonly response: ServerResponse }

/** Who listens to what of a visit, by name. */
function listeners({ request, response }: Visit): Record<string, number> {
  const parts = Object.entries({ request, response, socket: request.socket })
  return Object.fromEntries(
    parts.flatMap(([part, emitter]) => emitter.eventNames().map((name) => [`${part} ${String(name)}`, emitter.listenerCount(name)])),
  )
}

test('a stream that waits listens to the end of its response alone, and keeps nothing of what paid for it', async () => {
  verifies('FS1-IDLE')
  const shop = await ground.open()
  const visits: Visit[] = []
  const serve = streamed(shop.route, nothing)
  const http = createServer((request, response) => {
    visits.push({ request, response })
    if (request.url === '/live') void serve(request, response)
    else response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
  })
  await once(http.listen(0, '127.0.0.1'), 'listening')
  ground.closing(() => http.close())
  const { port } = Object(http.address())
  const ask = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Visit | undefined> => {
    const lines = Object.entries({ Host: `127.0.0.1:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket: Socket = connect(port, '127.0.0.1')
    ground.closing(() => socket.destroy())
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    const [head] = await once(socket, 'data')
    expect(String(head)).toContain('HTTP/1.1 200')
    return visits.at(-1)
  }
  const payer = await shop.newPayer(1_000_000n)
  const paying = await shop.paying(payer.voucher(20_000n), 'B')
  const [bare, paid] = [await ask('/bare'), await ask('/live', paying)]
  if (bare === undefined || paid === undefined) throw new RangeError('nobody came')
  expect(listeners(paid)).toEqual({ ...listeners(bare), 'response close': 1 })
  const signed = paying['PAYMENT-SIGNATURE']
  expect(signed.length).toBeGreaterThan(500)
  expect(JSON.stringify([paid.request.headers, paid.request.rawHeaders])).not.toContain(signed.slice(0, 100))
})

const nothing: Source = async function* ({ signal }) {
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  yield* []
}
