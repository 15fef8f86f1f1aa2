import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type WebSocket, WebSocketServer } from 'ws'
import * as z from 'zod/mini'
import { testingErrors } from '../../chains/errors.ts'
import { refusalCode, refusalOf, refuse } from '../refusal.ts'
import { accountMethods } from './account-methods.ts'
import { chainMethods } from './chain-methods.ts'
import { historyMethods } from './history-methods.ts'
import { writeJson } from './json.ts'
import type { Chain, Method } from './method.ts'
import { createSubscriptions } from './subscriptions.ts'
import { transactionMethods } from './transaction-methods.ts'

/** A JSON-RPC server on a pair of free loopback ports. */
export type RpcServer = { readonly rpcUrl: string; readonly wsUrl: string; stop(): Promise<void> }

const host = '127.0.0.1'
const longestBody = 1_048_576
const portTries = 50
const methods: Readonly<Record<string, Method>> = { ...chainMethods, ...accountMethods, ...transactionMethods, ...historyMethods }

const requestSchema = z.looseObject({
  jsonrpc: z.literal('2.0'),
  id: z.optional(z.union([z.string(), z.number(), z.null()])),
  method: z.string(),
  params: z.optional(z.unknown()),
})

type Call = (request: z.infer<typeof requestSchema>) => unknown

/** Serves a chain: requests over HTTP, and those and subscriptions over WebSocket on the next port, where web3.js looks for it. */
export async function serveRpc(chain: Chain): Promise<RpcServer> {
  const http = createServer((request, response) => {
    void answerHttp(chain, request, response)
  })
  const sockets = createServer((_, response) => response.writeHead(426).end())
  const port = await listenOnPair(http, sockets)
  const upgrades = new WebSocketServer({ server: sockets, maxPayload: longestBody })
  upgrades.on('connection', (socket) => serveSocket(chain, socket))
  return {
    rpcUrl: `http://${host}:${port}`,
    wsUrl: `ws://${host}:${port + 1}`,
    async stop() {
      for (const socket of upgrades.clients) socket.terminate()
      upgrades.close()
      await Promise.all([close(http), close(sockets)])
    },
  }
}

async function answerHttp(chain: Chain, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Pages of development servers call it from other origins, as they call public nodes.
  response.setHeader('access-control-allow-origin', '*')
  response.setHeader('access-control-allow-headers', '*')
  response.setHeader('access-control-allow-methods', 'POST, OPTIONS')
  if (request.method === 'OPTIONS') return void response.writeHead(204).end()
  if (request.method === 'GET' && request.url === '/health') return void response.writeHead(200).end('ok')
  if (request.method !== 'POST') return void response.writeHead(405, { allow: 'POST, OPTIONS' }).end()
  const body = await bodyOf(request)
  if (body === undefined) return void response.writeHead(413).end()
  const answer = await answerText(body, (call) => callMethod(chain, call))
  if (answer === undefined) return void response.writeHead(204).end()
  response.writeHead(200, { 'content-type': 'application/json' }).end(answer)
}

async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of request) {
      length += part.length
      if (length <= longestBody) parts.push(part)
    }
  } catch {
    // The client went away: nobody reads the answer.
  }
  return length > longestBody ? undefined : Buffer.concat(parts).toString('utf8')
}

function serveSocket(chain: Chain, socket: WebSocket): void {
  const subscriptions = createSubscriptions(chain, (notification) => socket.send(writeJson(notification)))
  socket.on('close', subscriptions.end)
  // A close follows, which ends the subscriptions.
  socket.on('error', () => socket.terminate())
  socket.on('message', (data) => {
    void answerText(data.toString(), (call) => subscriptions.call(call) ?? callMethod(chain, call)).then((answer) => {
      if (answer !== undefined) socket.send(answer)
      subscriptions.flush()
    })
  })
}

async function callMethod(chain: Chain, { method, params }: z.infer<typeof requestSchema>): Promise<unknown> {
  const answer = Object.hasOwn(methods, method) ? methods[method] : undefined
  if (answer === undefined) throw refuse('unknownMethod', 'Method not found')
  return answer(chain, params ?? [])
}

/** Answers one request or a batch; undefined when nothing was asked but notifications. */
async function answerText(text: string, call: Call): Promise<string | undefined> {
  const body = readJson(text)
  if (body === undefined) return writeJson(failed(null, { code: refusalCode.parse, message: 'Parse error' }))
  if (!Array.isArray(body)) {
    const answer = await answerOne(body, call)
    return answer === undefined ? undefined : writeJson(answer)
  }
  if (body.length === 0) return writeJson(failed(null, { code: refusalCode.invalidRequest, message: 'Invalid request' }))
  const answers: unknown[] = []
  // In their order: a batch may send a transaction and ask for its status.
  for (const one of body) answers.push(await answerOne(one, call))
  const told = answers.filter((answer) => answer !== undefined)
  return told.length === 0 ? undefined : writeJson(told)
}

async function answerOne(body: unknown, call: Call): Promise<unknown> {
  const request = requestSchema.safeParse(body).data
  if (request === undefined) return failed(null, { code: refusalCode.invalidRequest, message: 'Invalid request' })
  const { id } = request
  try {
    const result = await call(request)
    return id === undefined ? undefined : { jsonrpc: '2.0', result, id }
  } catch (error) {
    return id === undefined ? undefined : failed(id, refusalOf(error))
  }
}

function failed(id: string | number | null, error: unknown) {
  return { jsonrpc: '2.0', error, id }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function listenOnPair(first: Server, second: Server): Promise<number> {
  let why: unknown
  for (let tries = 0; tries < portTries; tries++) {
    await listen(first, 0)
    const address = first.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    try {
      await listen(second, port + 1)
      return port
    } catch (error) {
      why = error
      await close(first)
    }
  }
  throw testingErrors('testing/no-ports', { why: String(why) })
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
