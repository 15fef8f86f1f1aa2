import { type BalanceReader, findAsset, isLoopback, parseNetwork } from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { solanaErrors } from '../chain/errors.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { payableAsset } from '../exact/recipient.ts'
import { heldIn } from './rail.ts'

/** Whose balances, and where they are asked. */
export type SolanaBalancesOptions = {
  /** The wallet's address. */
  readonly address: string
  /** JSON-RPC nodes by network (CAIP-2 or friendly). Of others nothing is told. */
  readonly rpcUrls: Readonly<Record<string, string>>
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
}

/**
 * Tells `createClient` what a wallet holds on Solana, in its associated token accounts and in SOL, so that it pays in what it has. Of
 * tokens that are in no table nothing is told.
 *
 * Errors: `config/bad-address`, `config/unknown-network`, `config/bad-rpc-url`; when asked `config/wrong-chain`, `solana/rpc`,
 * `solana/call-failed`.
 */
export function solanaBalances(options: SolanaBalancesOptions): BalanceReader {
  const { address, rpcUrls, fetch, timeoutMs = 10_000 } = options
  if (!isAddress(address)) throw solanaErrors('config/bad-address', { option: 'address', address })
  const nodes = new Map(
    Object.entries(rpcUrls).map(([name, url]) => {
      // A local validator has a genesis of its own and borrows a network's id (wire.md §6).
      return [parseNetwork(name), { rpc: httpRpc({ url, fetch, timeoutMs }), checked: isLoopback(url) }]
    }),
  )
  return async ({ network, asset: named }, { signal } = {}) => {
    const [node, asset] = [nodes.get(network), findAsset(network, named)]
    if (node === undefined || asset === undefined) return undefined
    const { rpc } = node
    if (!node.checked) await checkChain(rpc, { network, signal })
    node.checked = true
    const mint = asset.transfer === 'native' ? undefined : payableAsset(network, asset).mint
    return await heldIn(address, { asset, mint, rpc }, { signal })
  }
}
