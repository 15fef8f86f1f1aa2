import { batchSettlementServer, exactEvmServer } from '@flow402x/adapters-evm/server'
import { exactSolanaServer, nonceVoucherServer } from '@flow402x/adapters-solana/server'
import { type Asset, assetOf, type Facilitator, networkFamily, parseNetwork, type ServerScheme, type Store } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type Environment, needRpcUrl, needVariable } from './environment.ts'

/** Who is paid, in what, and where. */
export type SellerOptions = {
  /** A token of the network's table, such as `USDC`. */
  readonly token: string
  /** `base`, `solana`, `base-sepolia`, or a CAIP-2 id. */
  readonly network: string
  /** The address that is paid. */
  readonly recipient: string
  /** Instead of FLOW402X_STORE: what several processes share, for one. */
  readonly store?: Store
  /** Instead of FLOW402X_FACILITATOR_URL. */
  readonly facilitator?: Facilitator
  /** Where variables are read; `process.env` unless told. */
  readonly env?: Environment
}

/** A seller with everything that the environment said. */
export type Seller = {
  readonly network: string
  readonly asset: Asset
  readonly recipient: string
  readonly rpcUrl: string
  readonly store: Store
  readonly facilitator: Facilitator
  readonly secret: string
  /** One payment, one purchase. */
  readonly exact: ServerScheme
  /** Streams of payments, over channels. */
  readonly channels: ServerScheme
}

/**
 * A seller from a few words and the environment: FLOW402X_FACILITATOR_URL, FLOW402X_RPC_URL_… of the network, FLOW402X_STORE (a file) and
 * FLOW402X_SECRET.
 *
 * Errors: `flow/no-variable`, which names what is missing; `config/unknown-network`, `config/unknown-asset`, and those of the scheme.
 */
export function openSeller({ token, recipient, env = process.env, ...given }: SellerOptions): Seller {
  const network = parseNetwork(given.network)
  const asset = assetOf(network, token)
  const rpcUrl = needRpcUrl(env, network)
  const secret = needVariable(
    env,
    'FLOW402X_SECRET',
    'at least 32 random letters that your instances share, such as `openssl rand -hex 32` makes',
  )
  const facilitator = given.facilitator ?? httpFacilitator(needVariable(env, 'FLOW402X_FACILITATOR_URL', 'the URL of your facilitator'))
  const store = given.store ?? sqliteStore(needVariable(env, 'FLOW402X_STORE', 'the file of your books, on a local disk'))
  const scheme = { network, rpcUrl, payTo: recipient, asset: asset.symbol }
  const isSolana = networkFamily(network) === 'solana'
  const exact = isSolana ? exactSolanaServer(scheme) : exactEvmServer(scheme)
  const channels = isSolana ? nonceVoucherServer({ ...scheme, store }) : batchSettlementServer({ ...scheme, store })
  return { network, asset, recipient, rpcUrl, store, facilitator, secret, exact, channels }
}
