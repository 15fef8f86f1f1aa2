import { paid } from '@flow402x/server/express'
import { paymentMiddleware } from '@x402/express'
import express from 'express'
import { type Books, storeOf } from '../houses/books.ts'
import { listen } from '../houses/listen.ts'
import { officialChannelServer } from '../houses/official-channels.ts'
import { ourChannelServer } from '../houses/our-channels.ts'
import { type Curve, goods, type House, network, paths, price } from '../houses/terms.ts'
import { playRole, roleArgument } from '../measure/part.ts'

/** Who sells over channels, both behind Express, with a facilitator in process that vouchers do not need. */
export type ChannelSellerArgument = {
  readonly house: House
  readonly curve: Curve
  /** The official server keeps its own in memory. */
  readonly books: Books
  readonly rpcUrl: string
  readonly key: string
  readonly payTo: string
}

const argument = roleArgument<ChannelSellerArgument>()
const { house, payTo } = argument
const app = express()
if (house === 'ours') {
  const server = await ourChannelServer({ ...argument, store: await storeOf(argument.books) })
  app.get(paths.goods, paid(server, { price: price.text }), (_, response) => void response.json(goods))
} else {
  const accepts = { scheme: 'batch-settlement', network, price: price.text, payTo } as const
  const server = officialChannelServer({ ...argument, nonces: 'managed' })
  app.use(paymentMiddleware({ [paths.goods]: { accepts } }, server)).get(paths.goods, (_, response) => void response.json(goods))
}
app.get(paths.free, (_, response) => void response.json(goods))
playRole({ url: await listen(app) })
