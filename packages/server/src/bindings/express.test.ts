import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as rest } from 'node:timers/promises'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { answeringFacilitator, type BindingStage, receiptOf, send, sendPaid, signPayment, testBinding } from '@flow402x/testing/suites'
import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { createServer, type PaidOptions } from '../index.ts'
import { paid } from './express.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

testBinding({
  name: 'Express 5',
  scheme,
  payer,
  async mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    const app = express()
    for (const { method, path, options } of stage.routes) {
      app[method === 'GET' ? 'get' : 'post'](path, paid(server, options), (request, response) => behave(stage, path, { request, response }))
    }
    // Express prints what handlers throw; here they do it on purpose.
    app.use((_error: unknown, _request: Request, response: Response, _next: () => void) => void response.status(500).end())
    return listen(app)
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
    cookies: () =>
      void response
        .cookie('a', '1', { path: '' })
        .append('Set-Cookie', 'b=2')
        .set({ 'X-Goods': 'secret', 'Settlement-Overrides': '{"amount":"1"}' })
        .json(goods.json),
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

async function listen(app: Express) {
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
}

describe('beside other middleware of Express', () => {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })
  const start = async (build: (app: Express, charge: ReturnType<typeof paid>) => void, options: Partial<PaidOptions> = {}) => {
    const facilitator = answeringFacilitator(scheme)
    const app = express()
    build(app, paid(createServer({ facilitator, schemes: [scheme], store: memoryStore() }), { price: '$0.01', ...options }))
    const { url, close } = await listen(app)
    closing.push(close)
    return { url, facilitator }
  }
  const json = { 'Content-Type': 'application/json' }

  it.each([
    ['before the gate', true],
    ['after the gate', false],
  ])('a body parsed %s reaches the handler and is bound', async (_, before) => {
    let failing = true
    const { url, facilitator } = await start((app, charge) => {
      const handle = (request: Request, response: Response) => void response.status(failing ? 500 : 200).json(request.body)
      app.post('/', ...(before ? [express.json(), charge] : [charge, express.json()]), handle)
    })
    const payment = await signPayment(payer, { url, sending: { method: 'POST' } })
    const post = (text: string) => sendPaid(url, payment, { method: 'POST', headers: json, body: [Buffer.from(text)] })
    expect((await post('{"city":"Bern"}')).status).toBe(500)
    failing = false
    expect((await post('{"city":"Basel"}')).status).toBe(402)
    const answer = await post('{"city":"Bern"}')
    expect([answer.status, answer.body.toString(), facilitator.settled.length]).toEqual([200, '{"city":"Bern"}', 1])
  })

  it('an empty body parsed after the gate does not wait for ever', async () => {
    const { url } = await start((app, charge) => app.post('/', charge, express.json(), (_, response) => void response.json('done')))
    const payment = await signPayment(payer, { url, sending: { method: 'POST' } })
    expect((await sendPaid(url, payment, { method: 'POST', headers: { ...json, 'Content-Length': '0' } })).status).toBe(200)
  })

  it('what patches a response before the gate still works', async () => {
    const ends: number[] = []
    const { url } = await start((app, charge) => {
      app.use((_, response, next) => {
        const { end } = response
        Object.assign(response, {
          end(...given: Parameters<typeof end>) {
            ends.push(response.statusCode)
            return Reflect.apply(end, response, given)
          },
        })
        next()
      })
      app.get('/', charge, (_, response) => void response.json('goods'))
    })
    expect((await send(url)).status).toBe(402)
    expect((await sendPaid(url, await signPayment(payer, { url }))).body.toString()).toBe('"goods"')
    expect(ends).toEqual([402, 402, 200])
  })

  it.each(['authorization', 'upfront'] as const)('what patches a response behind the gate does so to its end (%s)', async (flow) => {
    const loudly: RequestHandler = (_, response, next) => {
      const { write, end } = response
      const loud = (chunk: unknown) => String(chunk).toUpperCase()
      Object.assign(response, {
        write: (chunk: unknown) => Reflect.apply(write, response, [loud(chunk)]),
        end: (chunk: unknown) => Reflect.apply(end, response, [loud(chunk)]),
      })
      next()
    }
    const { url } = await start(
      (app, charge) => {
        app.get('/', charge, loudly, async (_, response) => {
          response.write('one, ')
          await rest(20)
          response.write('two, ')
          await rest(20)
          response.end('three')
        })
      },
      { flow },
    )
    expect((await sendPaid(url, await signPayment(payer, { url }))).body.toString()).toBe('ONE, TWO, THREE')
  })

  it('headers that middleware set before the gate leave with every answer; its CORS wins', async () => {
    const { url, facilitator } = await start((app, charge) => {
      app.use((_, response, next) => {
        response.set({ 'Access-Control-Allow-Origin': 'https://app.test', Vary: 'Origin', 'X-Request-Id': '7' })
        next()
      })
      app.get('/', charge, (_, response) => void response.set('X-Request-Id', 'goods').json('goods'))
    })
    const expected = { 'access-control-allow-origin': ['https://app.test'], 'x-request-id': ['7'] }
    expect((await send(url)).headers).toMatchObject({ ...expected, vary: ['Origin'] })
    const delivered = await sendPaid(url, await signPayment(payer, { url }))
    expect(delivered.headers).toMatchObject({
      ...expected,
      vary: ['Origin, PAYMENT-SIGNATURE, X-PAYMENT, X-Payment-Signature, X-Payment-Reference'],
      'x-request-id': ['goods'],
    })
    facilitator.answer = 'refused'
    expect((await sendPaid(url, await signPayment(payer, { url }))).headers).toMatchObject(expected)
  })

  it('a mounted gate charges for the path it was asked at, and answers preflights', async () => {
    const { url } = await start((app, charge) => app.use('/premium', charge, (request, response) => void response.json(request.url)))
    const [one, other] = [`${url}/premium/a?x=1`, `${url}/premium/b?x=1`]
    const preflight = await send(one, {
      method: 'OPTIONS',
      headers: { Origin: 'https://app.test', 'Access-Control-Request-Method': 'GET' },
    })
    expect([preflight.status, preflight.headers['access-control-allow-origin']]).toEqual([204, ['*']])
    const payment = await signPayment(payer, { url: one })
    const [first, second] = await Promise.all([sendPaid(one, payment), sendPaid(other, payment)])
    expect([first.status, second.status].sort()).not.toEqual([200, 200])
  })

  it('a handler that answers after its time neither reaches the wire nor breaks anything', async () => {
    let late: unknown
    const { url } = await start(
      (app, charge) =>
        app.get('/', charge, async (_, response) => {
          await new Promise((resolve) => setTimeout(resolve, 120))
          try {
            response.set('X-Late', '1').cookie('a', '1').write('late ')
            response.json({ late: true })
          } catch (error) {
            late = error
          }
        }),
      { handlerTimeout: 40 },
    )
    const answer = await sendPaid(url, await signPayment(payer, { url }))
    expect([answer.status, receiptOf(answer)?.errorReason]).toEqual([504, 'handler_failed'])
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(late).toBeUndefined()
    expect((await send(url)).status).toBe(402)
  })

  it('an application mounted behind it is held back as well, and what it ends in one piece leaves with its length', async () => {
    const { url, facilitator } = await start((app, charge) => {
      const mounted = express().get('/', (_, response) => void response.end('goods'))
      app.use('/', charge, mounted)
    })
    const sold = await sendPaid(url, await signPayment(payer, { url }))
    expect([sold.status, sold.body.toString(), sold.headers['content-length']]).toEqual([200, 'goods', ['5']])
    facilitator.answer = 'refused'
    const refused = await sendPaid(url, await signPayment(payer, { url }))
    expect([refused.status, refused.body.toString()]).toEqual([402, expect.not.stringContaining('goods')])
  })

  it('a client that leaves after the handler started has been served: the work is finished and settled (M8)', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let started = false
    const { url, facilitator } = await start((app, charge) =>
      app.get('/', charge, async (_, response) => {
        started = true
        await held
        response.json('goods')
      }),
    )
    const payment = await signPayment(payer, { url, id: 'a_secret_of_the_payer_0001' })
    const leaving = new AbortController()
    const gone = fetch(url, { headers: { 'PAYMENT-SIGNATURE': payment }, signal: leaving.signal }).catch(() => 'gone')
    while (!started) await new Promise((resolve) => setTimeout(resolve, 5))
    leaving.abort()
    await gone
    release()
    while (facilitator.settled.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await sendPaid(url, payment)).body.toString()).toBe('"goods"')
    expect(facilitator.settled.length).toBe(1)
  })
})
