import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { type BindingStage, testBinding } from '@flow402x/testing/suites'
import express, { type Request, type Response } from 'express'
import { createServer } from '../index.ts'
import { paid } from './express.ts'

const [, , seller, buyer] = developmentAccounts

testBinding({
  name: 'Express 5',
  scheme: exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' }),
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
  async mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    const app = express()
    for (const { method, path, options } of stage.routes) {
      app[method === 'GET' ? 'get' : 'post'](path, paid(server, options), (request, response) => behave(stage, path, { request, response }))
    }
    // Express prints what handlers throw; here they do it on purpose.
    app.use((_error: unknown, _request: Request, response: Response, _next: () => void) => void response.status(500).end())
    const http = app.listen(0, '127.0.0.1')
    await once(http, 'listening')
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

type Exchange = { readonly request: Request; readonly response: Response }

function behave({ enter, gate, goods }: BindingStage, path: string, { request, response }: Exchange): void | Promise<void> {
  const behaviours = {
    json: () => void response.json(goods.json),
    empty: () => void response.sendStatus(204),
    redirect: () => response.redirect('/elsewhere'),
    notModified: () => void response.status(304).set('ETag', '"goods"').end(),
    notFound: () => void response.status(404).json(goods.json),
    broken: () => void response.status(500).json(goods.json),
    throws: () => {
      throw new TypeError('a bug of the seller')
    },
    rejects: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      throw new TypeError('a bug of the seller')
    },
    hangs: () => {},
    // Piped, as files are sent: a response that never asks to be waited for in vain.
    streams: () => pipeline(Readable.from(pieces(goods.chunks, gate)), response),
    large: () => void Readable.from([goods.large.subarray(0, 700_000), goods.large.subarray(700_000)]).pipe(response),
    cookies: () => void response.cookie('a', '1', { path: '' }).append('Set-Cookie', 'b=2').set('X-Goods', 'secret').json(goods.json),
    early: () => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.type('json').flushHeaders()
      response.end(JSON.stringify(goods.json))
    },
    echo: async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      response.send(Buffer.concat(chunks))
    },
  }
  return behaviours[enter(path)]()
}

async function* pieces(chunks: readonly string[], gate: () => Promise<void>) {
  for (const [index, chunk] of chunks.entries()) {
    if (index === 1) await gate()
    yield Buffer.from(chunk)
  }
}
