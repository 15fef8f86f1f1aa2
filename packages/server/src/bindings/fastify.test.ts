import { Readable } from 'node:stream'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { answeringFacilitator, type BindingStage, send, sendPaid, signPayment, testBinding } from '@flow402x/testing/suites'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { createServer } from '../index.ts'
import { paid } from './fastify.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

testBinding({
  name: 'Fastify 5',
  scheme,
  payer,
  async mount(stage) {
    const server = createServer({ ...stage.seller, store: memoryStore() })
    const app = fastify({ bodyLimit: 8 * 1024 * 1024, forceCloseConnections: true })
    app.addContentTypeParser(['application/octet-stream', 'multipart/form-data'], { parseAs: 'buffer' }, (_, body, done) =>
      done(null, body),
    )
    for (const { method, path, options } of stage.routes) {
      app.route({
        method,
        url: path,
        preHandler: paid(server, options),
        handler: (request, reply) => behave(stage, path, { request, reply }),
      })
    }
    return { url: await app.listen({ host: '127.0.0.1', port: 0 }), close: () => app.close() }
  },
})

type Exchange = { readonly request: FastifyRequest; readonly reply: FastifyReply }

function behave({ enter, gate, goods }: BindingStage, path: string, { request, reply }: Exchange): unknown {
  const behaviours = {
    json: () => goods.json,
    empty: () => reply.status(204).send(),
    redirect: () => reply.redirect('/elsewhere'),
    notModified: () => reply.status(304).header('ETag', '"goods"').send(),
    notFound: () => reply.status(404).send(goods.json),
    broken: () => reply.status(500).send(goods.json),
    throws: () => {
      throw new TypeError('a bug of the seller')
    },
    rejects: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      throw new TypeError('a bug of the seller')
    },
    hangs: () => new Promise(() => {}),
    streams: () => reply.type('text/plain').send(Readable.from(pieces(goods.chunks, gate))),
    large: () => reply.send(Buffer.from(goods.large)),
    cookies: () =>
      reply
        .header('Set-Cookie', ['a=1', 'b=2'])
        .header('X-Goods', 'secret')
        .header('Settlement-Overrides', '{"amount":"1"}')
        .send(goods.json),
    early: () => {
      reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload' })
      return reply.send(goods.json)
    },
    echo: () => reply.send(request.body ?? Buffer.alloc(0)),
  }
  return behaviours[enter(path)]()
}

async function* pieces(chunks: readonly string[], gate: () => Promise<void>) {
  for (const [index, chunk] of chunks.entries()) {
    if (index === 1) await gate()
    yield Buffer.from(chunk)
  }
}

describe('beside other hooks of Fastify', () => {
  const closing: FastifyInstance[] = []
  afterEach(async () => {
    for (const app of closing.splice(0)) await app.close()
  })
  const start = async (build: (app: FastifyInstance, charge: ReturnType<typeof paid>) => void) => {
    const facilitator = answeringFacilitator(scheme)
    const app = fastify({ forceCloseConnections: true })
    closing.push(app)
    build(app, paid(createServer({ facilitator, schemes: [scheme], store: memoryStore() }), { price: '$0.01' }))
    return { url: await app.listen({ host: '127.0.0.1', port: 0 }), facilitator }
  }

  it('headers of earlier hooks leave with every answer; the CORS they set wins', async () => {
    const { url, facilitator } = await start((app, charge) => {
      app.addHook('onRequest', async (_, reply) => {
        reply.headers({ 'Access-Control-Allow-Origin': 'https://app.test', Vary: 'Origin', 'X-Request-Id': '7' })
      })
      app.get('/', { preHandler: charge }, async () => 'goods')
    })
    const expected = { 'access-control-allow-origin': ['https://app.test'], 'x-request-id': ['7'] }
    expect((await send(url)).headers).toMatchObject(expected)
    const delivered = await sendPaid(url, await signPayment(payer, { url }))
    expect([delivered.body.toString(), delivered.headers.vary]).toEqual([
      'goods',
      ['Origin, PAYMENT-SIGNATURE, X-PAYMENT, X-Payment-Signature, X-Payment-Reference'],
    ])
    expect(delivered.headers).toMatchObject(expected)
    for (const answer of ['refused', 'pending'] as const) {
      facilitator.answer = answer
      expect((await sendPaid(`${url}/?${answer}`, await signPayment(payer, { url: `${url}/?${answer}` }))).headers).toMatchObject(expected)
    }
  })

  it('JSON parsed before the gate is bound and reaches the handler', async () => {
    let failing = true
    const { url, facilitator } = await start((app, charge) =>
      app.post('/', { preHandler: charge }, (request, reply) => reply.status(failing ? 500 : 200).send(request.body)),
    )
    const payment = await signPayment(payer, { url, sending: { method: 'POST', headers: { 'Content-Type': 'text/plain' } } })
    const headers = { 'Content-Type': 'application/json' }
    const post = (text: string) => sendPaid(url, payment, { method: 'POST', headers, body: [Buffer.from(text)] })
    expect((await post('{"city":"Bern"}')).status).toBe(500)
    failing = false
    expect((await post('{"city":"Basel"}')).status).toBe(402)
    expect((await post('{"city":"Bern"}')).body.toString()).toBe('{"city":"Bern"}')
    expect(facilitator.settled.length).toBe(1)
  })

  it('the handler knows its payer', async () => {
    const { url } = await start((app, charge) => app.get('/', { preHandler: charge }, async (request) => request.payment))
    const answer = await sendPaid(url, await signPayment(payer, { url }))
    expect(JSON.parse(answer.body.toString())).toMatchObject({ payer: buyer?.address.toLowerCase(), requirements: { amount: '10000' } })
  })
})
