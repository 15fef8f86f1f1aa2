import { type Asset, type BalanceReader, findAsset, type PaymentRequirements, parseNetwork } from '@flow402x/core'
import { isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { evmReader } from '../chain/reader.ts'
import { heldBy } from './held.ts'

/** Whose balances, and where they are asked. */
export type EvmBalancesOptions = {
  /** The wallet's address. */
  readonly address: string
  /** JSON-RPC nodes by network (CAIP-2 or friendly). Of others nothing is told. */
  readonly rpcUrls: Readonly<Record<string, string>>
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
}

// A channel holds money of its own, which the wallet's balance does not tell.
const schemes = ['exact', 'upto', 'transfer-proof']

/**
 * Tells `createClient` what a wallet holds on EVM networks, so that it pays in what it has.
 *
 * Errors: `config/bad-address`, `config/unknown-network`, `config/not-evm`, `config/bad-rpc-url`; when asked `config/wrong-chain`,
 * `evm/rpc`, `evm/call-failed`.
 */
export function evmBalances({ address, rpcUrls, ...reading }: EvmBalancesOptions): BalanceReader {
  if (!isPayable(address)) throw evmErrors('config/bad-address', { option: 'address', address })
  const nodes = new Map(
    Object.entries(rpcUrls).map(([name, rpcUrl]) => [parseNetwork(name), evmReader({ ...reading, network: name, rpcUrl })]),
  )
  return async (requirements, { signal } = {}) => {
    const node = nodes.get(requirements.network)
    if (node === undefined || !schemes.includes(requirements.scheme) || !isAddress(requirements.asset)) return undefined
    await node.start({ signal })
    return await heldBy(address, assetOf(requirements), { rpc: node.rpc, signal })
  }
}

function assetOf({ network, asset: address }: PaymentRequirements): Pick<Asset, 'network' | 'address' | 'symbol' | 'transfer'> {
  return findAsset(network, address) ?? { network, address, symbol: address, transfer: 'permit2' }
}
