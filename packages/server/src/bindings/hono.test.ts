import { once } from 'node:events'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { answeringFacilitator, type BindingStage, preparePayment, testBinding } from '@flow402x/testing/suites'
import { serve } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import { stream } from 'hono/streaming'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createServer } from '../index.ts'
import { paid } from './hono.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

testBinding({
  name: 'Hono',
  scheme,
  payer,
  async mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    const app = new Hono()
    app.onError((_, context) => context.text('Internal Server Error', 500))
    for (const { method, path, options } of stage.routes) {
      app.on(method, path, paid(server, options), (context) => behave(stage, path, context))
    }
    return listen(app)
  },
})

async function listen(app: Hono): Promise<{ readonly url: string; close(): Promise<void> }> {
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
}

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
      context.header('Settlement-Overrides', '{"amount":"1"}')
      return context.json(goods.json)
    },
    early: () => context.json(goods.json),
    echo: async () => context.body(await context.req.arrayBuffer()),
  }
  return behaviours[enter(path)]()
}

const places = {
  'as a function': async (app: Hono) => async (path: string, init: RequestInit) => app.request(`http://shop.test${path}`, init),
  'on Node': async (app: Hono) => {
    const { url, close } = await listen(app)
    onTestFinished(close)
    return (path: string, init: RequestInit) => fetch(`${url}${path}`, init)
  },
}

describe.each(Object.entries(places))('beside other middleware of Hono, %s', (_, place) => {
  const start = async (build: (app: Hono, charge: ReturnType<typeof paid>) => void) => {
    const facilitator = answeringFacilitator(scheme)
    const app = new Hono()
    build(app, paid(createServer({ facilitator, schemes: [scheme], store: memoryStore() }), { price: '$0.01' }))
    const reach = await place(app)
    const ask = (url: string, init: RequestInit = {}) => reach(url, init)
    const pay = async (url: string, init: RequestInit = {}) => {
      const required = paymentRequiredHeader.decode((await ask(url, init)).headers.get('PAYMENT-REQUIRED') ?? '')
      const header = paymentSignatureHeader.encode(await preparePayment(payer, { required }))
      return ask(url, { ...init, headers: { ...init.headers, 'PAYMENT-SIGNATURE': header } })
    }
    return { facilitator, ask, pay }
  }

  it('its CORS wins over ours, on every answer and on preflights', async () => {
    const { ask, pay, facilitator } = await start((app, charge) => {
      app.use(cors({ origin: 'https://app.test', credentials: true }))
      app.all('/', charge, (context) => context.text('goods'))
    })
    const headers = { Origin: 'https://app.test' }
    const preflight = await ask('/', { method: 'OPTIONS', headers: { ...headers, 'Access-Control-Request-Method': 'GET' } })
    expect([preflight.status, preflight.headers.get('Access-Control-Allow-Credentials')]).toEqual([204, 'true'])
    for (const answer of [await ask('/', { headers }), await pay('/', { headers })]) {
      expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('https://app.test')
      expect(answer.headers.get('Access-Control-Expose-Headers')).toContain('PAYMENT-REQUIRED')
    }
    facilitator.answer = 'refused'
    expect((await pay('/', { headers })).headers.get('Access-Control-Allow-Origin')).toBe('https://app.test')
  })

  it.each([true, false])('a body reaches the handler, read before the gate as well: %s', async (before) => {
    const { pay } = await start((app, charge) => {
      if (before) {
        app.use(async (context, next) => {
          await context.req.json()
          await next()
        })
      }
      app.post('/', charge, async (context) => context.json(await context.req.json()))
    })
    const answer = await pay('/', { method: 'POST', body: '{"city":"Bern"}', headers: { 'Content-Type': 'application/json' } })
    expect([answer.status, await answer.json()]).toEqual([200, { city: 'Bern' }])
  })

  it('a body read before the gate is bound', async () => {
    let failing = true
    const { ask, facilitator } = await start((app, charge) => {
      app.use(async (context, next) => {
        await context.req.text()
        await next()
      })
      app.post('/', charge, (context) => context.text('goods', failing ? 500 : 200))
    })
    const post = (body: string, headers: Record<string, string> = {}) => ask('/', { method: 'POST', body, headers })
    const required = paymentRequiredHeader.decode((await post('a')).headers.get('PAYMENT-REQUIRED') ?? '')
    const header = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await preparePayment(payer, { required })) }
    expect((await post('bought', header)).status).toBe(500)
    failing = false
    expect((await post('other', header)).status).toBe(402)
    expect((await post('bought', header)).status).toBe(200)
    expect(facilitator.settled.length).toBe(1)
  })

  it('the handler knows its payer', async () => {
    const { pay } = await start((app, charge) => app.get('/', charge, (context) => context.json(context.get('payment'))))
    expect(await (await pay('/')).json()).toMatchObject({ payer: buyer?.address.toLowerCase(), requirements: { amount: '10000' } })
  })

  it('what a handler and middleware around it make is held back: an answer in its place has the headers of before, and none of theirs', async () => {
    const { pay, facilitator } = await start((app, charge) => {
      app.use(async (context, next) => {
        context.header('X-Before', 'kept')
        await next()
        context.res.headers.set('X-After', 'the goods are green')
      })
      app.get('/', charge, (context) => context.text('goods', 200, { 'X-Goods': 'green', 'Set-Cookie': 'goods=green' }))
    })
    const sold = await pay('/')
    expect([sold.status, await sold.text(), sold.headers.get('X-Before'), sold.headers.get('X-Goods')]).toEqual([
      200,
      'goods',
      'kept',
      'green',
    ])
    expect(sold.headers.get('PAYMENT-RESPONSE')).not.toBeNull()
    facilitator.answer = 'refused'
    const refused = await pay('/')
    expect([refused.status, refused.headers.get('X-Before')]).toEqual([402, 'kept'])
    expect([await refused.text(), refused.headers.get('X-Goods'), refused.headers.get('Set-Cookie')].join()).not.toMatch(/goods|green/)
  })
})
