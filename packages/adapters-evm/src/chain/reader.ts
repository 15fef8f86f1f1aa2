import { type Network, parseNetwork } from '@flow402x/core'
import { type CallResult, decodeAggregate, encodeAggregate, hexSchema, multicall3, type Target } from './abi.ts'
import { chainIdOf } from './address.ts'
import { chainCheck } from './chain-id.ts'
import { evmErrors } from './errors.ts'
import { toQuantity } from './fees.ts'
import { httpRpc, type Rpc } from './rpc.ts'

type Abortable = { readonly signal?: AbortSignal | undefined }

/** What several calls, made in one `eth_call`, may use and whom they see as sender of the transaction. */
export type ReadOptions = Abortable & { readonly gas?: bigint | undefined }

/** One EVM network as somebody sees it who sends nothing. */
export interface EvmReader {
  readonly network: Network
  readonly chainId: bigint
  readonly rpc: Rpc
  /** Checks once that the RPC serves this network. Errors: `config/wrong-chain`, `evm/rpc`. */
  start(options?: Abortable): Promise<void>
  /** Makes calls without effect, in one round trip and on one state, each failing by itself. Errors: `config/no-multicall`, `evm/rpc`, `evm/call-failed`. */
  read(calls: readonly Target[], options?: ReadOptions): Promise<readonly CallResult[]>
}

/** How a node is reached. */
export type EvmReaderOptions = {
  /** A CAIP-2 id, or a friendly name such as "base". */
  readonly network: string
  readonly rpcUrl: string
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Whom calls see as sender of the transaction; Multicall3 unless told. */
  readonly from?: string
}

/** Reads one EVM network. Errors: `config/unknown-network`, `config/not-evm`, `config/bad-rpc-url`. */
export function evmReader({ network: name, rpcUrl: url, timeoutMs = 10_000, fetch, from = multicall3 }: EvmReaderOptions): EvmReader {
  const network = parseNetwork(name)
  const chainId = chainIdOf(network)
  if (chainId === undefined) throw evmErrors('config/not-evm', { network })
  const rpc = httpRpc({ url, fetch, timeoutMs })
  return {
    network,
    chainId,
    rpc,
    start: chainCheck(rpc, { network, chainId }),
    async read(calls, { gas, signal } = {}) {
      const call = { from, to: multicall3, data: encodeAggregate(calls), ...(gas === undefined ? {} : { gas: toQuantity(gas) }) }
      const answer = await rpc.ask({ method: 'eth_call', params: [call, 'latest'], result: hexSchema }, { signal })
      const results = decodeAggregate(answer, calls.length)
      if (results === undefined) throw evmErrors('config/no-multicall', { network, address: multicall3 })
      return results
    },
  }
}
