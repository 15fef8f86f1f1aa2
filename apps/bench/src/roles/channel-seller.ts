import { paid as paidExpress } from '@flow402x/server/express'
import { paid as paidHono } from '@flow402x/server/hono'
import { getRequestListener } from '@hono/node-server'
import { paymentMiddleware as officialExpress } from '@x402/express'
import { paymentMiddleware as officialHono } from '@x402/hono'
import express from 'express'
import { Hono } from 'hono'
import { type Books, storeOf } from '../houses/books.ts'
import { listen } from '../houses/listen.ts'
import { officialChannelServer } from '../houses/official-channels.ts'
import { ourChannelServer } from '../houses/our-channels.ts'
import { type Curve, goods, type House, network, paths, price } from '../houses/terms.ts'
import { playRole, roleArgument } from '../measure/part.ts'

/** Who sells over channels, in which framework, with a facilitator in process that vouchers do not need. */
export type ChannelSellerArgument = {
  readonly house: House
  readonly framework: 'Express' | 'Hono'
  readonly curve: Curve
  /** The official server keeps its own in memory. */
  readonly books: Books
  readonly rpcUrl: string
  readonly key: string
  readonly payTo: string
}

const argument = roleArgument<ChannelSellerArgument>()
const { house, payTo } = argument
const accepts = { scheme: 'batch-settlement', network, price: price.text, payTo } as const
const officialRoutes = { [paths.goods]: { accepts } }
playRole({ url: await (argument.framework === 'Hono' ? sellByHono() : sellByExpress()) })

async function ours() {
  return ourChannelServer({ ...argument, store: await storeOf(argument.books) })
}

async function sellByHono(): Promise<string> {
  const app = new Hono()
  // What is free is the floor: the same answer, and nothing looks at who asks.
  app.get(paths.free, (context) => context.json(goods))
  if (house === 'ours') app.use(paths.goods, paidHono(await ours(), { price: price.text }))
  else app.use(officialHono(officialRoutes, officialChannelServer({ ...argument, nonces: 'managed' })))
  app.get(paths.goods, (context) => context.json(goods))
  return listen(getRequestListener(app.fetch))
}

async function sellByExpress(): Promise<string> {
  const app = express()
  app.get(paths.free, (_, response) => void response.json(goods))
  if (house === 'ours') app.use(paths.goods, paidExpress(await ours(), { price: price.text }))
  else app.use(officialExpress(officialRoutes, officialChannelServer({ ...argument, nonces: 'managed' })))
  app.get(paths.goods, (_, response) => void response.json(goods))
  return listen(app)
}
