import { appendFileSync } from 'node:fs'
import { createServer as createHttpServer, type ServerResponse } from 'node:http'
import { exactEvmServer, transferProofEvmServer, uptoEvmServer } from '@flow402x/adapters-evm/server'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { type ServerScheme, settlementOverridesHeader } from '@flow402x/core'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import * as z from 'zod/mini'
import { makeGoods, priceOf } from '../world/goods.ts'
import { openClaims, place } from '../world/places.ts'
import { withoutPermit } from '../world/rail.ts'
import { runProgram } from './program.ts'

/** What a seller is made of. */
export const sellerPlan = z.object({
  port: z.number(),
  claims: place,
  facilitator: z.string(),
  network: z.string(),
  rpcUrl: z.string(),
  payTo: z.string(),
  /** The file that says what it did. */
  log: z.string(),
  /** Where several processes are one shop. */
  origin: z.optional(z.string()),
  /** What handlers say was used of each price, where that is a ceiling. */
  used: z.optional(z.string()),
  /** What references are made with, where payers make transfers of their own. */
  secret: z.optional(z.string()),
})

runProgram(sellerPlan, async ({ port, claims, facilitator, network, rpcUrl, payTo, log, origin, used, secret }, traps) => {
  const scheme = (): ServerScheme => {
    if (network.startsWith('solana:')) return exactSolanaServer({ network, rpcUrl, payTo })
    if (secret !== undefined) return transferProofEvmServer({ network, rpcUrl, payTo, secret, asset: 'USDC', confirmations: 0n })
    return used === undefined ? exactEvmServer({ network, payTo }) : uptoEvmServer({ network, payTo, asset: withoutPermit(network) })
  }
  const store = await openClaims(claims)
  const say = (line: string): void => appendFileSync(log, `${line}\n`)
  const server = createServer({
    facilitator: traps.lay('facilitator', httpFacilitator(facilitator)),
    store: { ...store, claims: traps.lay('claims', store.claims) },
    schemes: [scheme()],
    reconcileEvery: 500,
    lease: 2000,
    ...(origin === undefined ? {} : { origin }),
    onEvent(event) {
      if (event.type === 'undelivered') say(`undelivered ${event.claimId}`)
      if (event.type === 'error') say(`error ${String(event.error)}`)
    },
  })
  const shop = traps.lay('handler', {
    async work(path: string): Promise<readonly [string, string]> {
      say(`ran ${path}`)
      return makeGoods()
    },
  })
  const sell = async (path: string, response: ServerResponse): Promise<void> => {
    const [first, second] = await shop.work(path)
    if (used !== undefined) response.setHeader(settlementOverridesHeader, JSON.stringify({ amount: used }))
    response.write(first)
    response.end(second)
  }
  const charge = paid(server, { price: ({ url }) => priceOf(url) }, (request, response) => sell(request.url ?? '', response))
  const http = createHttpServer((request, response) => {
    if (request.headers['payment-signature'] !== undefined) traps.layInResponse(response)
    void charge(request, response)
  })
  await server.start()
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve))
  return `http://127.0.0.1:${port}`
})
