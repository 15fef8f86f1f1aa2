import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import type { Store } from '@flow402x/core'
import { createServer, httpFacilitator, type Server } from '@flow402x/server'
import { paid as paidExpress } from '@flow402x/server/express'
import { paid as paidHono } from '@flow402x/server/hono'
import { memoryStore } from '@flow402x/store/memory'
import type { EvmChain } from '@flow402x/testing'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { network } from '../chains/evm.ts'
import { type Listening, listen } from '../world.ts'

/** What a seller of ours asks over channels. */
export type OurSale = {
  readonly facilitatorUrl: string
  readonly price: string
  readonly binding?: 'Express' | 'Hono'
  readonly assetTransferMethod?: 'eip3009' | 'permit2'
  /** Whether the facilitator signs claims and refunds for the seller, who has no key for that. */
  readonly delegated?: boolean
}

/** A seller of ours over channels, its books, and how often its handler ran. */
export type OurShop = Listening & {
  readonly server: Server
  readonly store: Store
  runs(): number
  /** The next answers of the handler are these. */
  fail(times: number): void
}

/** Our server, which claims only when it is told to. */
export async function openOurShop(chain: EvmChain, sale: OurSale): Promise<OurShop> {
  const { facilitatorUrl, price, binding = 'Express', assetTransferMethod = 'eip3009', delegated = false } = sale
  const store = memoryStore()
  const scheme = batchSettlementServer({
    network,
    payTo: chain.seller.address,
    rpcUrl: chain.rpcUrl,
    store,
    transfer: assetTransferMethod,
    ...(delegated ? {} : { authorizer: privateKeySigner(chain.seller.privateKey) }),
  })
  const server = createServer({ facilitator: httpFacilitator(facilitatorUrl), store, schemes: [scheme], claimChannels: false })
  await server.start()
  let [runs, failures] = [0, 0]
  const work = (): { readonly run: number; readonly status: 200 | 500 } => {
    runs += 1
    if (failures === 0) return { run: runs, status: 200 }
    failures -= 1
    return { run: runs, status: 500 }
  }
  const listening = await (binding === 'Express' ? byExpress() : byHono())
  return {
    ...listening,
    server,
    store,
    runs: () => runs,
    fail(times) {
      failures = times
    },
    async close() {
      server.close()
      await listening.close()
    },
  }

  function byExpress(): Promise<Listening> {
    const app = express().get('/goods', paidExpress(server, { price }), (_, response) => {
      const { run, status } = work()
      response.status(status).json({ run })
    })
    return listen(app)
  }

  function byHono(): Promise<Listening> {
    const app = new Hono().get('/goods', paidHono(server, { price }), (context) => {
      const { run, status } = work()
      return context.json({ run }, status)
    })
    return listen(getRequestListener(app.fetch))
  }
}
