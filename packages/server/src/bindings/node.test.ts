import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { type BindingStage, testBinding } from '@flow402x/testing/suites'
import { createServer as createSeller } from '../index.ts'
import { paid } from './node.ts'

const [, , seller, buyer] = developmentAccounts

testBinding({
  name: 'node:http',
  scheme: exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' }),
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
  async mount(stage) {
    const server = createSeller({ ...stage.seller, store: memoryStore() })
    const listeners = new Map(
      stage.routes.map(({ method, path, options }) => [
        `${method} ${path}`,
        paid(server, options, (request, response) => behave(stage, path, { request, response })),
      ]),
    )
    const http = createServer((request, response) => {
      const method = request.method === 'HEAD' ? 'GET' : request.method
      const listener = listeners.get(`${method} ${request.url?.split('?')[0]}`)
      if (listener === undefined) response.writeHead(404).end()
      else void listener(request, response)
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const address = http.address()
    return {
      url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
      async close() {
        http.closeAllConnections()
        await new Promise((resolve) => http.close(resolve))
      },
    }
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
      response.setHeader('Set-Cookie', ['a=1', 'b=2']).setHeader('X-Goods', 'secret')
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
