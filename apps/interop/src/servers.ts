import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { PaymentFlow } from '@flow402x/core'
import { createServer, type Server } from '@flow402x/server'
import { paid as paidExpress } from '@flow402x/server/express'
import { paid as paidFastify } from '@flow402x/server/fastify'
import { paid as paidFetch } from '@flow402x/server/fetch'
import { paid as paidHono } from '@flow402x/server/hono'
import { paid as paidNext } from '@flow402x/server/next'
import { paid as paidNode } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import { getRequestListener } from '@hono/node-server'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { paymentMiddleware as officialExpress, x402ResourceServer } from '@x402/express'
import { paymentMiddleware as officialHono } from '@x402/hono'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { evm } from 'mppx/evm/server'
import { Mppx as MppxExpress } from 'mppx/express'
import { Mppx as MppxHono } from 'mppx/hono'
import { paymentMiddleware as legacyExpress } from 'x402-express'
import { hex } from './chains/evm.ts'
import type { FacilitatorPeer } from './facilitators.ts'
import { type Listening, listen, type Used, type World } from './world.ts'

/** What is sold at `/goods`, and by whom it is settled. */
export type Sale = {
  readonly payTo: string
  readonly facilitator: FacilitatorPeer
  readonly flow?: PaymentFlow
  /** What the handler says was used of the price, in servers behind Express. */
  readonly used?: Used | undefined
  /** Runs inside the handler, once the payment has been verified. */
  readonly during?: () => Promise<void>
}

/** A shop that is open. */
export type Shop = Listening & { readonly facilitator: FacilitatorPeer; runs(): number }

/** Where a shop stands. */
type Ground = Pick<World, 'network' | 'networkV1' | 'schemes'>

/** A server of one house; `newest` is the version it asks in when a client understands both. */
export type ServerPeer = { readonly name: string; readonly versions: readonly (1 | 2)[]; open(world: Ground, sale: Sale): Promise<Shop> }

/** What every route costs: a cent, in atomic units of USDC. */
export const price = 10_000n
const priceText = '$0.01'
const path = '/goods'

type Goods = (request: { readonly method: string; readonly body: string }) => Promise<{ method: string; body: string }>

const both = [1, 2] as const

/** Our server behind each binding. */
export const ourServers: readonly ServerPeer[] = [
  {
    name: 'ours, Express',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, (server, goods) => {
        const app = express()
        app.all(path, paidExpress(server, terms(sale)), express.text({ type: () => true }), async ({ method, body }, response) => {
          response.set(usageOf(sale)).json(await goods({ method, body: typeof body === 'string' ? body : '' }))
        })
        return app
      }),
  },
  {
    name: 'ours, Hono',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, (server, goods) => {
        const app = new Hono()
        app.all(path, paidHono(server, terms(sale)), async ({ req, json }) =>
          json(await goods({ method: req.method, body: await req.text() })),
        )
        return getRequestListener(app.fetch)
      }),
  },
  {
    name: 'ours, Fastify',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, async (server, goods) => {
        const app = fastify()
        app.removeAllContentTypeParsers()
        app.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body))
        app.all(path, { preHandler: paidFastify(server, terms(sale)) }, ({ method, body }) =>
          goods({ method, body: typeof body === 'string' ? body : '' }),
        )
        await app.ready()
        return (request, response) => app.routing(request, response)
      }),
  },
  {
    name: 'ours, node:http',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, (server, goods) => {
        const charged = paidNode(server, terms(sale), async (request, response) => writeGoods(request, response, goods))
        return (request, response) => void charged(request, response)
      }),
  },
  {
    name: 'ours, fetch',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, (server, goods) =>
        getRequestListener(paidFetch(server, terms(sale), (request) => respond(request, goods))),
      ),
  },
  {
    name: 'ours, Next route',
    versions: both,
    open: (world, sale) =>
      openOurs({ ...sale, world }, (server, goods) => {
        const route = paidNext(server, terms(sale), (request: Request) => respond(request, goods))
        return getRequestListener((request) => route(request, {}))
      }),
  },
]

/** The official servers of v2. */
export const officialServers: readonly ServerPeer[] = [
  {
    name: '@x402/express 2.27',
    versions: [2],
    open: (world, sale) =>
      openCounted(sale, (goods) => {
        const app = express()
        app.use(officialExpress(officialRoutes(world, sale), officialResourceServer(world, sale)))
        app.all(path, express.text({ type: () => true }), async ({ method, body }, response) => {
          response.set(usageOf(sale)).json(await goods({ method, body: typeof body === 'string' ? body : '' }))
        })
        return app
      }),
  },
  {
    name: '@x402/hono 2.27',
    versions: [2],
    open: (world, sale) =>
      openCounted(sale, (goods) => {
        const app = new Hono()
        app.use(officialHono(officialRoutes(world, sale), officialResourceServer(world, sale)))
        app.all(path, async ({ req, json }) => json(await goods({ method: req.method, body: await req.text() })))
        return getRequestListener(app.fetch)
      }),
  },
]

/** The servers of mppx, which offer x402 beside its own protocol, on EVM chains; they settle before the handler runs. */
export const mppxServers: readonly ServerPeer[] = [
  {
    name: 'mppx 0.11, Express',
    versions: [2],
    open: (_, sale) =>
      openCounted(sale, (goods) => {
        const app = express()
        const charge = MppxExpress.create(mppxTerms(sale)).charge({ amount: priceText.slice(1) })
        app.all(path, charge, express.text({ type: () => true }), async ({ method, body }, response) => {
          response.json(await goods({ method, body: typeof body === 'string' ? body : '' }))
        })
        return app
      }),
  },
  {
    name: 'mppx 0.11, Hono',
    versions: [2],
    open: (_, sale) =>
      openCounted(sale, (goods) => {
        const app = new Hono()
        const charge = MppxHono.create(mppxTerms(sale)).charge({ amount: priceText.slice(1) })
        app.all(path, charge, async ({ req, json }) => json(await goods({ method: req.method, body: await req.text() })))
        return getRequestListener(app.fetch)
      }),
  },
]

/** The last server of v1; it knows one flow. */
export const legacyServer: ServerPeer = {
  name: 'x402-express 1.2',
  versions: [1],
  open: (world, sale) =>
    openCounted(sale, (goods) => {
      const { facilitator } = sale
      // v1 has a type for the addresses of each family, and takes both.
      const payTo = sale.payTo as Parameters<typeof legacyExpress>[0]
      // Its configuration wants a URL with a scheme, which `listen` always gives.
      const url = facilitator.url as `${string}://${string}`
      const app = express()
      app.use(legacyExpress(payTo, { [path]: { price: priceText, network: world.networkV1 } }, { url }))
      app.all(path, express.text({ type: () => true }), async ({ method, body }, response) => {
        response.json(await goods({ method, body: typeof body === 'string' ? body : '' }))
      })
      return app
    }),
}

function terms({ flow = 'authorization' }: Sale) {
  return { price: priceText, flow, description: 'Goods', mimeType: 'application/json' }
}

async function openOurs(
  sale: Sale & { readonly world: Ground },
  mount: (server: Server, goods: Goods) => RequestListener | Promise<RequestListener>,
): Promise<Shop> {
  const { facilitator, payTo, world } = sale
  const server = createServer({
    facilitator: facilitator.value,
    store: memoryStore({ force: true }),
    schemes: [world.schemes.ourServer(payTo, facilitator)],
  })
  await server.start()
  return openCounted(sale, (goods) => mount(server, goods))
}

async function openCounted(sale: Sale, mount: (goods: Goods) => RequestListener | Promise<RequestListener>): Promise<Shop> {
  let runs = 0
  const goods: Goods = async ({ method, body }) => {
    runs += 1
    await sale.during?.()
    return { method, body }
  }
  return { ...(await listen(await mount(goods))), facilitator: sale.facilitator, runs: () => runs }
}

function officialRoutes({ network, schemes }: Ground, { payTo, flow }: Sale) {
  const { scheme, extra, extensions = {} } = schemes.officialRoute ?? { scheme: 'exact' }
  const said = { ...extra, ...(flow === undefined ? {} : { paymentFlow: flow }) }
  return { [path]: { accepts: { scheme, network, price: priceText, payTo, extra: said }, extensions } } as const
}

function mppxTerms({ payTo, facilitator }: Sale) {
  const method = evm.charge({ currency: evm.assets.baseSepolia.USDC, recipient: hex(payTo), x402: { facilitator: facilitator.url } })
  return { methods: [method] as const, secretKey: 'a secret that only this matrix knows' }
}

function usageOf({ used }: Sale): Record<string, string> {
  return used === undefined ? {} : { 'Settlement-Overrides': JSON.stringify({ amount: used.said }) }
}

function officialResourceServer({ schemes }: Ground, { facilitator }: Sale): x402ResourceServer {
  return schemes.officialServer(new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator.url })))
}

async function respond(request: Request, goods: Goods): Promise<Response> {
  return Response.json(await goods({ method: request.method, body: await request.text() }))
}

async function writeGoods(request: IncomingMessage, response: ServerResponse, goods: Goods): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  const sold = await goods({ method: request.method ?? '', body: Buffer.concat(chunks).toString('utf8') })
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(sold))
}
