import type { FacilitatorScheme } from '@flow402x/core'
import { type TransferSightOptions, transferSight, transferWitness } from '@flow402x/core/transfer'
import { httpRpc } from '../chain/rpc.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import { type SolanaConfirmations, solanaTransfers } from './see.ts'

/** What witnessing transfers on Solana takes. */
export type TransferProofSolanaFacilitatorOptions = Omit<TransferSightOptions, 'unbound'> & {
  readonly chain: SolanaChain
  /** A node of the chain that keeps its history. */
  readonly rpcUrl: string
  /** How deep a transfer must lie; `confirmed` unless told. */
  readonly confirmations?: SolanaConfirmations
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
}

/** Says what payers transferred on Solana (`transfer-proof`), for sellers without a node of their own. */
export function transferProofSolanaFacilitator(options: TransferProofSolanaFacilitatorOptions): FacilitatorScheme {
  const { chain, rpcUrl, confirmations = 'confirmed', timeoutMs = 10_000, fetch } = options
  const transfers = solanaTransfers(httpRpc({ url: rpcUrl, fetch, timeoutMs }), { network: chain.network, confirmations })
  return transferWitness({
    writer: chain,
    spell: transfers.spell,
    start: (given) => chain.start(given),
    sight: transferSight(transfers, options),
  })
}
