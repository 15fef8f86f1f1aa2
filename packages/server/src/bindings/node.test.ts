import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, type BindingStage, testBinding } from '@flow402x/testing/suites'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer as createSeller } from '../index.ts'
import { paid } from './node.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })

testBinding({
  name: 'node:http',
  scheme,
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
  async mount(stage) {
    const server = createSeller({ ...stage.seller, store: memoryStore() })
    const listeners = new Map(
      stage.routes.map(({ method, path, options }) => [
        `${method} ${path}`,
        paid(server, options, (request, response) => behave(stage, path, { request, response })),
      ]),
    )
    return listen((request, response) => {
      const method = request.method === 'HEAD' ? 'GET' : request.method
      const listener = listeners.get(`${method} ${request.url?.split('?')[0]}`)
      if (listener === undefined) response.writeHead(404).end()
      else void listener(request, response)
    })
  },
})

type Exchange = { readonly request: IncomingMessage; readonly response: ServerResponse }

function behave({ enter, gate, goods }: BindingStage, path: string, { request, response }: Exchange): void | Promise<void> {
  const json = (status: number) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(goods.json))
  const behaviours = {
    json: () => void json(200),
    empty: () => void response.writeHead(204).end(),
    redirect: () => void response.writeHead(302, { Location: '/elsewhere' }).end(),
    notModified: () => void response.writeHead(304, ['ETag', '"goods"']).end(),
    notFound: () => void json(404),
    broken: () => void json(500),
    throws: () => {
      throw new TypeError('a bug of the seller')
    },
    rejects: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      throw new TypeError('a bug of the seller')
    },
    hangs: () => {},
    streams: async () => {
      for (const [index, chunk] of goods.chunks.entries()) {
        if (index === 1) await gate()
        await new Promise((resolve) => response.write(chunk, resolve))
      }
      response.end()
    },
    large: () => void response.end(goods.large),
    cookies: () => {
      response.setHeader('Set-Cookie', ['a=1', 'b=2']).setHeader('X-Goods', 'secret').setHeader('Settlement-Overrides', '{"amount":"1"}')
      json(200)
    },
    early: () => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.setHeader('Content-Type', 'application/json').flushHeaders()
      response.end(JSON.stringify(goods.json))
    },
    echo: async () => {
      const chunks: Buffer[] = []
      request.on('data', (chunk) => chunks.push(chunk))
      await new Promise((resolve) => request.on('end', resolve))
      response.end(Buffer.concat(chunks))
    },
  }
  return behaviours[enter(path)]()
}

async function listen(listener: RequestListener) {
  const http = createServer(listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const address = http.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    async close() {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

describe('bytes on a socket (A12, A13)', () => {
  verifies('A13')
  const facilitator = answeringFacilitator(scheme)
  let runs = 0
  let mounted: Awaited<ReturnType<typeof listen>> | undefined
  beforeAll(async () => {
    const charge = paid(createSeller({ facilitator, schemes: [scheme], store: memoryStore() }), { price: '$0.01' }, (_, response) => {
      runs += 1
      response.end('goods')
    })
    mounted = await listen((request, response) => void charge(request, response))
  })
  afterAll(() => mounted?.close())

  /** The status line and headers that come back for these bytes; the connection is closed after them. */
  const speak = (text: string) =>
    new Promise<string>((resolve) => {
      const chunks: Buffer[] = []
      const socket = connect(Number(new URL(mounted?.url ?? '').port), '127.0.0.1', () => socket.write(text, 'latin1'))
      socket.on('data', (chunk) => chunks.push(chunk))
      // A server that hangs up in the middle of a megabyte may be heard as an error; what it said before counts.
      socket.on('error', () => {}).on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    })
  const status = async (text: string) => Number((await speak(text)).split(' ')[1])
  const get = (target: string, ...headers: string[]) =>
    ['GET', target, 'HTTP/1.1\r\nConnection: close\r\n'].join(' ') + [...headers, '', ''].join('\r\n')
  const host = 'Host: shop.test'

  it.each([
    ['a Host that is none', get('/', 'Host: a b'), 400],
    ['a Host with a path', get('/', 'Host: shop.test/cheap?'), 400],
    ['a Host with a query', get('/', 'Host: shop.test?'), 400],
    ['a Host with a fragment', get('/', 'Host: shop.test#'), 400],
    ['a Host with a user', get('/', 'Host: cheap@shop.test'), 400],
    ['a target that is no path', get('*', host), 400],
    ['an absolute target', get('http://shop.test/', host), 402],
    ['two slashes before a host', get('//evil.test/', host), 402],
    ['no Host at all, in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 402],
    ['one payment header twice', get('/', host, 'PAYMENT-SIGNATURE: e30=', 'payment-signature: e30='), 400],
    ['both payment headers', get('/', host, 'PAYMENT-SIGNATURE: e30=', 'X-PAYMENT: e30='), 400],
    ['a folded header', get('/', host, 'PAYMENT-SIGNATURE: e30=\r\n e30='), 400],
    ['a header of 10 kB', get('/', host, `PAYMENT-SIGNATURE: ${'A'.repeat(10_000)}`), 400],
    ['a header of 1 MB', get('/', host, `PAYMENT-SIGNATURE: ${'A'.repeat(1_000_000)}`), 431],
  ])('%s', async (_, text, expected) => {
    expect([await status(text), runs, facilitator.verified.length]).toEqual([expected, 0, 0])
  })

  it('a 402 names the path that was asked for, not the host hidden in it', async () => {
    const head = await speak(get('//evil.test/', host))
    const header = /^payment-required: (.*)\r$/im.exec(head)?.[1] ?? ''
    expect(JSON.parse(Buffer.from(header, 'base64').toString())).toMatchObject({ resource: { url: 'http://shop.test//evil.test/' } })
  })

  it('random values of the payment headers', async () => {
    const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)), maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('PAYMENT-SIGNATURE', 'X-PAYMENT'), visible, async (name, value) => {
        expect([400, 402]).toContain(await status(get('/', host, `${name}: ${value}`)))
        expect([runs, facilitator.verified.length]).toEqual([0, 0])
      }),
      { numRuns: 150 },
    )
  })
})
