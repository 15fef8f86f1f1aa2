import { paymentRequiredHeader } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { paid as paidExpress } from '@flow402x/server/express'
import { paid as paidHono } from '@flow402x/server/hono'
import { getRequestListener } from '@hono/node-server'
import { paymentMiddleware as officialExpress } from '@x402/express'
import { paymentMiddleware as officialHono } from '@x402/hono'
import express from 'express'
import { Hono } from 'hono'
import { listen } from '../houses/listen.ts'
import { mppxExpress, mppxHono } from '../houses/mppx.ts'
import { officialRoutes, officialServer } from '../houses/official.ts'
import { ourServer } from '../houses/ours.ts'
import { goods, type House, paths, price, requiredFor } from '../houses/terms.ts'
import { playRole, roleArgument } from '../measure/part.ts'

/** Who sells, in which framework; the floor answers the same 402 to everyone without looking, and sells nothing. */
export type SellerArgument = {
  readonly house: House | 'mppx' | 'floor'
  readonly framework: 'Express' | 'Hono'
  readonly facilitatorUrl: string
  readonly payTo: string
}

const argument = roleArgument<SellerArgument>()
playRole({ url: await (argument.framework === 'Hono' ? sellByHono(argument) : sellByExpress(argument)) })

async function sellByHono({ house, facilitatorUrl, payTo }: SellerArgument): Promise<string> {
  const app = new Hono()
  if (house === 'floor') {
    const header = staticChallenge(payTo)
    app.get(paths.goods, (context) => context.json({}, 402, { 'PAYMENT-REQUIRED': header, 'Cache-Control': 'no-store' }))
  } else if (house === 'ours') {
    const server = await ourServer({ facilitator: httpFacilitator(facilitatorUrl), payTo })
    app.get(paths.goods, paidHono(server, { price: price.text }), (context) => context.json(goods))
  } else if (house === 'mppx') {
    app.get(paths.goods, mppxHono({ facilitatorUrl, payTo }), (context) => context.json(goods))
  } else {
    app.use(officialHono(officialRoutes(payTo), officialServer(facilitatorUrl)))
    app.get(paths.goods, (context) => context.json(goods))
  }
  app.get(paths.free, (context) => context.json(goods))
  return listen(getRequestListener(app.fetch))
}

async function sellByExpress({ house, facilitatorUrl, payTo }: SellerArgument): Promise<string> {
  const app = express()
  if (house === 'floor') {
    const header = staticChallenge(payTo)
    app.get(
      paths.goods,
      (_, response) => void response.status(402).set({ 'PAYMENT-REQUIRED': header, 'Cache-Control': 'no-store' }).json({}),
    )
  } else if (house === 'ours') {
    const server = await ourServer({ facilitator: httpFacilitator(facilitatorUrl), payTo })
    app.get(paths.goods, paidExpress(server, { price: price.text }), (_, response) => void response.json(goods))
  } else if (house === 'mppx') {
    app.get(paths.goods, mppxExpress({ facilitatorUrl, payTo }), (_, response) => void response.json(goods))
  } else {
    app.use(officialExpress(officialRoutes(payTo), officialServer(facilitatorUrl)))
    app.get(paths.goods, (_, response) => void response.json(goods))
  }
  app.get(paths.free, (_, response) => void response.json(goods))
  return listen(app)
}

function staticChallenge(payTo: string): string {
  return paymentRequiredHeader.encode(requiredFor(payTo, `http://127.0.0.1:12345${paths.goods}`))
}
