import { appendFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import * as z from 'zod/mini'
import { openSql, place } from '../world/places.ts'
import { runProgram } from './program.ts'

/** What a seller over channels is made of. */
export const channelSellerPlan = z.object({
  port: z.number(),
  books: place,
  facilitator: z.string(),
  network: z.string(),
  rpcUrl: z.string(),
  payTo: z.string(),
  /** The key that consents to claims and refunds. */
  authorizer: z.string(),
  /** Whether it claims what it is owed, at once. */
  claims: z.boolean(),
  /** The file that says what it did. */
  log: z.string(),
})

runProgram(channelSellerPlan, async ({ port, books, facilitator, network, rpcUrl, payTo, authorizer, claims, log }, traps) => {
  const opened = await openSql(books)
  const store = { ...opened, channels: traps.lay('channels', opened.channels) }
  const say = (line: string): void => appendFileSync(log, `${line}\n`)
  const scheme = batchSettlementServer({
    network,
    rpcUrl,
    payTo,
    store,
    authorizer: privateKeySigner(authorizer),
    claims: { amount: '$0.01', every: 200 },
  })
  const server = createServer({
    facilitator: traps.lay('facilitator', httpFacilitator(facilitator)),
    store,
    schemes: [scheme],
    origin: 'http://shop.test',
    lease: 1000,
    claimChannels: claims,
    onEvent(event) {
      if (event.type === 'channelsClaimed') say(`claimed ${event.amount}`)
      if (event.type === 'channelPoisoned') say(`poisoned ${event.owed}`)
      if (event.type === 'error') say(`error ${String(event.error)}`)
    },
  })
  const shop = traps.lay('handler', {
    async work(path: string): Promise<string> {
      say(`ran ${path}`)
      return 'goods'
    },
  })
  const charge = paid(server, { price: '$0.01' }, async (request, response) => {
    response.end(await shop.work(request.url ?? ''))
  })
  const http = createHttpServer((request, response) => {
    if (request.headers['payment-signature'] !== undefined) traps.layInResponse(response)
    void charge(request, response)
  })
  await server.start()
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve))
  return `http://127.0.0.1:${port}`
})
