import { once } from 'node:events'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { type BindingStage, testBinding } from '@flow402x/testing/suites'
import { serve } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { stream } from 'hono/streaming'
import { createServer } from '../index.ts'
import { paid } from './hono.ts'

const [, , seller, buyer] = developmentAccounts

testBinding({
  name: 'Hono',
  scheme: exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' }),
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
  async mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    const app = new Hono()
    app.onError((_, context) => context.text('Internal Server Error', 500))
    for (const { method, path, options } of stage.routes) {
      app.on(method, path, paid(server, options), (context) => behave(stage, path, context))
    }
    const http = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 })
    await once(http, 'listening')
    const address = http.address()
    return {
      url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
      async close() {
        if ('closeAllConnections' in http) http.closeAllConnections()
        await new Promise((resolve) => http.close(resolve))
      },
    }
  },
})

function behave({ enter, gate, goods }: BindingStage, path: string, context: Context): Response | Promise<Response> {
  const behaviours = {
    json: () => context.json(goods.json),
    empty: () => context.body(null, 204),
    redirect: () => context.redirect('/elsewhere'),
    notModified: () => context.body(null, 304, { ETag: '"goods"' }),
    notFound: () => context.json(goods.json, 404),
    broken: () => context.json(goods.json, 500),
    throws: () => {
      throw new TypeError('a bug of the seller')
    },
    rejects: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      throw new TypeError('a bug of the seller')
    },
    hangs: () => new Promise<Response>(() => {}),
    streams: () =>
      stream(context, async (out) => {
        for (const [index, chunk] of goods.chunks.entries()) {
          if (index === 1) await gate()
          await out.write(chunk)
        }
      }),
    large: () => context.body(goods.large),
    cookies: () => {
      context.header('Set-Cookie', 'a=1', { append: true })
      context.header('Set-Cookie', 'b=2', { append: true })
      context.header('X-Goods', 'secret')
      return context.json(goods.json)
    },
    early: () => context.json(goods.json),
    echo: async () => context.body(await context.req.arrayBuffer()),
  }
  return behaviours[enter(path)]()
}
