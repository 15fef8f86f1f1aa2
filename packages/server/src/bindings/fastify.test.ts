import { Readable } from 'node:stream'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { type BindingStage, testBinding } from '@flow402x/testing/suites'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { createServer } from '../index.ts'
import { paid } from './fastify.ts'

const [, , seller, buyer] = developmentAccounts

testBinding({
  name: 'Fastify 5',
  scheme: exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' }),
  payer: exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') }),
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
    cookies: () => reply.header('Set-Cookie', ['a=1', 'b=2']).header('X-Goods', 'secret').send(goods.json),
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
