// A paid route and a paid call, whole. The README quotes this file.
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createClient, receiptOf } from '@flow402x/client'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { sqliteStore } from '@flow402x/store/sqlite'
import express, { type Express } from 'express'

/** The seller: one route that costs a cent, paid to `payTo`. */
export async function seller(payTo: string, facilitatorUrl: string): Promise<Express> {
  // #region seller
  const server = createServer({
    facilitator: httpFacilitator(facilitatorUrl),
    store: sqliteStore('payments.db'),
    schemes: [exactEvmServer({ network: 'base-sepolia', payTo })],
  })
  await server.start()

  const app = express()
  app.get('/weather', paid(server, { price: '$0.01' }), (_, res) => {
    res.json({ sky: 'fair', celsius: 21 })
  })
  // #endregion
  return app
}

/** The buyer: a fetch that pays, at most ten cents a call and a dollar in all. */
export async function buy(url: string, privateKey: `0x${string}`): Promise<{ answer: unknown; transaction: string | undefined }> {
  // #region buyer
  const client = createClient({
    schemes: [exactEvmClient({ signer: privateKeySigner(privateKey) })],
    budget: { perPayment: '$0.10', total: '$1' },
  })
  const response = await client.fetch(url)
  const receipt = receiptOf(response)
  // #endregion
  return { answer: await response.json(), transaction: receipt?.transaction }
}
