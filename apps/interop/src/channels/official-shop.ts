import type { EvmChain } from '@flow402x/testing'
import { x402Facilitator } from '@x402/core/facilitator'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { BatchSettlementEvmScheme as FacilitatorScheme } from '@x402/evm/batch-settlement/facilitator'
import { type BatchSettlementChannelManager, BatchSettlementEvmScheme, InMemoryChannelStorage } from '@x402/evm/batch-settlement/server'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import express from 'express'
import { privateKeyToAccount } from 'viem/accounts'
import { network, officialSigner } from '../chains/evm.ts'
import { serveOfficial } from '../facilitators.ts'
import { type Listening, listen } from '../world.ts'

/** What an official seller asks over channels. */
export type OfficialSale = {
  readonly facilitatorUrl: string
  readonly price: string
  readonly assetTransferMethod?: 'eip3009' | 'permit2'
  readonly minDeposit?: string
  /** Whether the facilitator signs claims and refunds for the seller, who has no key for that. */
  readonly delegated?: boolean
}

/** An official seller over channels: what it keeps, what brings its money onto the chain, and how often its handler ran. */
export type OfficialShop = Listening & {
  readonly storage: InMemoryChannelStorage
  readonly manager: BatchSettlementChannelManager
  runs(): number
  /** The next answers of the handler are these. */
  fail(times: number): void
}

/** The official facilitator for channels, over HTTP. */
export function serveChannelFacilitator(chain: EvmChain): Promise<Listening> {
  return serveOfficial(new x402Facilitator().register(network, new FacilitatorScheme(officialSigner(chain))))
}

/** The official server behind Express, which signs claims and refunds with the seller's key unless it leaves that to the facilitator. */
export async function openOfficialShop(chain: EvmChain, sale: OfficialSale): Promise<OfficialShop> {
  const { facilitatorUrl, price, assetTransferMethod, minDeposit, delegated = false } = sale
  const storage = new InMemoryChannelStorage()
  const account = privateKeyToAccount(chain.seller.privateKey)
  const scheme = new BatchSettlementEvmScheme(chain.seller.address, {
    storage,
    ...(delegated ? {} : { receiverAuthorizerSigner: account }),
  })
  const facilitator = new HTTPFacilitatorClient({ url: facilitatorUrl })
  const server = new x402ResourceServer(facilitator).register(network, scheme)
  let [runs, failures] = [0, 0]
  const extra = { ...(assetTransferMethod && { assetTransferMethod }), ...(minDeposit && { minDeposit }) }
  const accepts = { scheme: 'batch-settlement', network, price, payTo: chain.seller.address, extra } as const
  const app = express()
  app.use(paymentMiddleware({ '/goods': { accepts } }, server))
  app.get('/goods', async (_, response) => {
    runs += 1
    const run = runs
    if (failures > 0) {
      failures -= 1
      response.status(500).json({ run })
    } else response.json({ run })
  })
  return {
    ...(await listen(app)),
    storage,
    manager: scheme.createChannelManager(facilitator, network),
    runs: () => runs,
    fail(times) {
      failures = times
    },
  }
}
