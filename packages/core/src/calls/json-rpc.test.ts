import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { httpRpc } from './json-rpc.ts'

const nodes: Server[] = []
afterEach(() => {
  for (const node of nodes.splice(0)) node.closeAllConnections()
})

type Request = { readonly id: number; readonly method: string; readonly params: readonly unknown[] }
type Answering = (body: Request | readonly Request[]) => unknown

const request = z.object({ id: z.number(), method: z.string(), params: z.array(z.unknown()) })
const requestBody = z.union([request, z.array(request)])

/** A node, and a connection to it; `bodies` is what it was sent. */
async function meet(answering: Answering) {
  const bodies: (Request | readonly Request[])[] = []
  const node = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = requestBody.parse(JSON.parse(Buffer.concat(chunks).toString()))
    bodies.push(body)
    const answer = answering(body)
    if (answer !== 'silence') response.end(JSON.stringify(await answer))
  })
  nodes.push(node)
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  const { port } = node.address() as AddressInfo
  const rpc = httpRpc({
    url: `http://127.0.0.1:${port}/v2/key`,
    fetch: undefined,
    timeoutMs: 2000,
    errors: {
      badUrl: () => new TypeError('bad URL'),
      unusable: ({ host, method, why }) => new TypeError(`${host} ${method}: ${why}`),
      refused: ({ message, data }) => new RangeError(`${message} ${String(data)}`),
    },
  })
  const ask = (value: unknown, options: { readonly shared?: boolean; readonly signal?: AbortSignal } = { shared: true }) =>
    rpc.ask({ method: 'echo', params: [value], result: z.number(), shared: options.shared ?? true }, { signal: options.signal })
  return { bodies, ask, host: `127.0.0.1:${port}` }
}

const echo = ({ id, params: [result] }: Request) =>
  result === 'bad' ? { id, error: { code: -1, message: 'no', data: 'why' } } : { jsonrpc: '2.0', id, result }
const isBatch = (body: Request | readonly Request[]): body is readonly Request[] => Array.isArray(body)
const echoAll: Answering = (body) => (isBatch(body) ? body.map(echo).reverse() : echo(body))

describe('JSON-RPC over HTTP', () => {
  it('sends a question by itself unless it may be shared', async () => {
    const { ask, bodies } = await meet(echoAll)
    expect(await Promise.all([ask(1, { shared: false }), ask(2, { shared: false }), ask(3)])).toEqual([1, 2, 3])
    expect(bodies.map(isBatch)).toEqual([false, false, false])
  })

  it('sends what comes together in one request, and gives each its own answer or error', async () => {
    const { ask, bodies, host } = await meet((body) =>
      isBatch(body)
        ? body
            .filter(({ params }) => params[0] !== 9)
            .map(echo)
            .reverse()
        : echo(body),
    )
    const answers = await Promise.allSettled([1, 2, 'bad', 'no number', 9].map((value) => ask(value)))
    expect(answers.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason)))).toEqual([
      1,
      2,
      'RangeError: no why',
      `TypeError: ${host} echo: its answer has another shape than expected`,
      `TypeError: ${host} echo: its answer leaves this question out`,
    ])
    expect(bodies).toHaveLength(1)
  })

  it('asks one by one where a node takes no batches, and remembers that', async () => {
    const { ask, bodies } = await meet((body) =>
      isBatch(body) ? { jsonrpc: '2.0', id: null, error: { code: -32600, message: 'no batches' } } : echo(body),
    )
    expect(await Promise.all([1, 2, 3].map((value) => ask(value)))).toEqual([1, 2, 3])
    expect(await Promise.all([4, 5].map((value) => ask(value)))).toEqual([4, 5])
    expect(bodies.map((body) => (isBatch(body) ? body.length : 1))).toEqual([3, 1, 1, 1, 1, 1])
  })

  it('lets one who goes away go alone', async () => {
    let release = (): void => {}
    const opened = new Promise<void>((resolve) => {
      release = resolve
    })
    const { ask } = await meet((body) => opened.then(() => echoAll(body)))
    const away = new AbortController()
    const [left, stays] = [ask(1, { signal: away.signal }), ask(2)]
    away.abort(new RangeError('gone'))
    await expect(left).rejects.toThrow('gone')
    release()
    expect(await stays).toBe(2)
  })

  it('says of a node that is silent how long it waited, to all who asked', async () => {
    const { ask } = await meet(() => 'silence')
    const answers = await Promise.allSettled([ask(1), ask(2)])
    expect(answers.map((one) => one.status === 'rejected' && String(one.reason))).toEqual([
      expect.stringContaining('nothing came within 2000 ms'),
      expect.stringContaining('nothing came within 2000 ms'),
    ])
  })
})
