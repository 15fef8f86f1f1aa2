import { type Asset, coinOf, type PaymentRequirements, parseNetwork, type ServerScheme } from '@flow402x/core'
import { type TransferSellerOptions, type TransferSightOptions, transferSeller, transferSight } from '@flow402x/core/transfer'
import { chainIdOf, isPayable } from '../chain/address.ts'
import { chainCheck } from '../chain/chain-id.ts'
import { evmErrors } from '../chain/errors.ts'
import { type Confirmations, depthOf } from '../chain/finality.ts'
import { httpRpc } from '../chain/rpc.ts'
import { assetHere, type EvmSellerOptions } from '../checks/seller.ts'
import { evmTransfers, spellHash } from './see.ts'

/** What being paid by `transfer-proof` on an EVM network takes. */
export type TransferProofEvmServerOptions = TransferSellerOptions &
  Omit<TransferSightOptions, 'unbound'> &
  Pick<EvmSellerOptions, 'network' | 'payTo' | 'timeoutMs' | 'fetch'> & {
    /** The chain's own coin unless told: else any token, by symbol or address, or with all its facts. */
    readonly asset?: string | Asset
    /** A node of the network: with it no facilitator is needed, and a token's payer may leave the transaction for the server to find. */
    readonly rpcUrl?: string
    /** How many blocks must lie on a transfer before it buys anything: as many as suit the network unless told. */
    readonly confirmations?: Confirmations
    /** Whether the coin is asked for by the plain challenge as well (DESIGN §8.3); it is unless told. */
    readonly plain?: boolean
  }

/**
 * Is paid by transfers of a chain's coin or of any token that their payers make themselves, each with the SHA-256 of its reference behind
 * the calldata (`transfer-proof`, DESIGN §7).
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/unknown-asset`, `config/foreign-asset`, `config/bad-address`,
 * `config/weak-secret`, `config/bad-rpc-url` at creation; `config/wrong-chain`, `evm/rpc` from `start`; `evm/rpc` and `evm/call-failed`
 * where it looks.
 */
export function transferProofEvmServer(options: TransferProofEvmServerOptions): ServerScheme {
  const { payTo, rpcUrl, plain = true } = options
  const network = parseNetwork(options.network)
  const chainId = chainIdOf(network)
  if (chainId === undefined) throw evmErrors('config/not-evm', { network })
  const coin = coinOf(network)
  const asset = assetHere(network, options.asset ?? coin?.address)
  const confirmations = options.confirmations ?? depthOf(network)
  const payee = (address = payTo): string => {
    if (!isPayable(address)) throw evmErrors('config/bad-address', { option: 'payTo', address })
    return address
  }
  payee()
  const isCoin = asset.transfer === 'native'
  const offered = isCoin && plain ? { plain: plainChallenge } : {}
  const seller = { network, asset, payee, confirmations: `${confirmations}`, spell: spellHash, ...offered }
  if (rpcUrl === undefined) return transferSeller(seller, options)
  const rpc = httpRpc({ url: rpcUrl, fetch: options.fetch, timeoutMs: options.timeoutMs ?? 10_000 })
  const transfers = evmTransfers(rpc, { network, coin: isCoin ? asset.address : '', confirmations })
  // A chain's coin leaves no event: without an index nobody finds its transfer by what trails it.
  const find = isCoin ? {} : { find: transfers.find }
  const start = chainCheck(rpc, { network, chainId })
  return transferSeller({ ...seller, start, sight: transferSight(transfers, options), ...find }, options)
}

/** The plain challenge of a transfer of a coin: wei are more than a JSON number holds. */
function plainChallenge({ network, payTo, amount, extra }: PaymentRequirements) {
  return { receiver: payTo, amount_wei: amount, network, reference: extra?.reference }
}
