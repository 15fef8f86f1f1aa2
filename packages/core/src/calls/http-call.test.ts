import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type HttpCall, httpCall, isTimeout } from './http-call.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

async function serve(listener: RequestListener) {
  const server = createServer(listener)
  servers.push(server)
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, server, connections: () => connections }
}

const echo: RequestListener = async (request, response) => {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  const { method, headers } = request
  const seen = { method, type: headers['content-type'], length: headers['content-length'], body: Buffer.concat(parts).toString() }
  response.writeHead(200, { 'retry-after': '7' }).end(JSON.stringify(seen))
}

const failureOf = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => 'no failure',
    (error: unknown) => error,
  )

describe.each([
  ["Node's client", undefined],
  ['fetch', fetch],
] as const)('a call by %s', (_, fetch) => {
  const call = (url: string, given: Partial<HttpCall> = {}) =>
    httpCall(url, { method: 'POST', headers: { 'content-type': 'application/json' }, timeoutMs: 5000, fetch, ...given })

  it('sends method, headers and body, and gives status, Retry-After and JSON', async () => {
    const { url } = await serve(echo)
    const seen = { method: 'POST', type: 'application/json', length: '8', body: '"größe"'.slice(0, 7) }
    const answer = await call(url, { body: seen.body })
    expect(answer).toEqual({ status: 200, retryAfter: '7', json: { ...seen, length: String(Buffer.byteLength(seen.body)) } })
    const { json } = await call(url, { method: 'GET', headers: {} })
    expect(json).toEqual({ method: 'GET', body: '' })
  })

  it('gives a body that is no JSON as nothing, and letters that come in two parts whole', async () => {
    const halves = Buffer.from('"€"')
    const { url } = await serve((request, response) => {
      if (request.url === '/text') return void response.writeHead(502).end('<html>')
      response.write(halves.subarray(0, 2))
      setTimeout(() => response.end(halves.subarray(2)), 20)
    })
    expect(await call(`${url}/text`)).toEqual({ status: 502, retryAfter: undefined, json: undefined })
    expect(await call(url)).toMatchObject({ json: '€' })
  })

  it('follows a redirect only where it is told to', async () => {
    const { url } = await serve((request, response) => {
      if (request.url !== '/there') return void response.writeHead(307, { location: '/there' }).end()
      echo(request, response)
    })
    expect(await call(url, { body: '1' })).toMatchObject({ status: 307, json: undefined })
    expect(await call(url, { body: '1', follow: true })).toMatchObject({ status: 200, json: { method: 'POST', body: '1' } })
  })

  it('says that its time is over, before the headers and amid the body', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/body') response.write('{"half":')
    })
    for (const path of ['/', '/body']) {
      const failure = await failureOf(call(`${url}${path}`, { timeoutMs: 60 }))
      expect(isTimeout(failure), path).toBe(true)
    }
  })

  it("rejects with the signal's own reason, also when nothing was sent yet", async () => {
    const { url, connections } = await serve(() => {})
    const reason = new RangeError('enough')
    expect(await failureOf(call(url, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    expect(connections()).toBe(0)
    const stopping = new AbortController()
    const failure = failureOf(call(url, { signal: stopping.signal }))
    await expect.poll(connections).toBe(1)
    stopping.abort(reason)
    expect(await failure).toBe(reason)
  })

  it('rejects where the connection breaks: never half an answer', async () => {
    const { url, server } = await serve((request, response) => {
      if (request.url === '/cut') response.writeHead(200, { 'content-length': 100 }).write('{}', () => request.socket.destroy())
      else request.socket.destroy()
    })
    for (const path of ['/', '/cut']) {
      const failure = await failureOf(call(`${url}${path}`))
      expect(failure, path).toBeInstanceOf(Error)
      expect(isTimeout(failure), path).toBe(false)
    }
    await new Promise((resolve) => server.close(resolve))
    expect(await failureOf(call(url))).toBeInstanceOf(Error)
  })

  it('asks over connections that it keeps', async () => {
    const { url, connections } = await serve(echo)
    for (let index = 0; index < 10; index += 1) await call(url, { body: `${index}` })
    expect(connections()).toBeLessThan(10)
  })
})

it('lets go of an idle connection before servers do', async () => {
  const { url, server } = await serve(echo)
  server.keepAliveTimeout = 60_000
  await httpCall(url, { method: 'GET', headers: {}, timeoutMs: 5000 })
  const open = () =>
    new Promise<number>((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))))
  expect(await open()).toBe(1)
  await expect.poll(open, { interval: 200 }).toBe(0)
})
