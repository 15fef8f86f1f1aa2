import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain, fastestSecp256k1, tabledSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import type { Facilitator, Store } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { createServer, type Server } from '@flow402x/server'
import { type Curve, network } from './terms.ts'

/** Brings deposits into channels, in process. */
export async function ourChannelFacilitator({ rpcUrl, key }: { readonly rpcUrl: string; readonly key: string }): Promise<Facilitator> {
  const chain = evmChain({ network, rpcUrl, signers: [key] })
  const facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain })] })
  await facilitator.start()
  return facilitator
}

type ChannelSale = {
  readonly rpcUrl: string
  readonly key: string
  readonly payTo: string
  readonly curve: Curve
  readonly store: Store
}

/** What sells over channels in our house, with its facilitator in process. */
export async function ourChannelServer({ rpcUrl, key, payTo, curve, store }: ChannelSale): Promise<Server> {
  const facilitator = await ourChannelFacilitator({ rpcUrl, key })
  const scheme = batchSettlementServer({
    network,
    payTo,
    rpcUrl,
    store,
    authorizer: privateKeySigner(key),
    secp256k1: curve === 'native' ? fastestSecp256k1() : tabledSecp256k1,
  })
  const server = createServer({ facilitator, store, schemes: [scheme], claimChannels: false })
  await server.start()
  return server
}
