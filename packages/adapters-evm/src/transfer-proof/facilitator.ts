import { coinOf, type FacilitatorScheme } from '@flow402x/core'
import { type TransferSightOptions, transferSight, transferWitness } from '@flow402x/core/transfer'
import type { EvmChain } from '../chain/evm-chain.ts'
import { type Confirmations, depthOf } from '../chain/finality.ts'
import { evmTransfers } from './see.ts'

/** What witnessing transfers on an EVM network takes. */
export type TransferProofEvmFacilitatorOptions = Omit<TransferSightOptions, 'unbound'> & {
  readonly chain: EvmChain
  /** How many blocks must lie on a transfer: as many as suit the network unless told. */
  readonly confirmations?: Confirmations
}

/** Says what payers transferred on an EVM network (`transfer-proof`), for sellers without a node of their own. */
export function transferProofEvmFacilitator({ chain, ...options }: TransferProofEvmFacilitatorOptions): FacilitatorScheme {
  const { network, rpc } = chain
  const confirmations = options.confirmations ?? depthOf(network)
  const transfers = evmTransfers(rpc, { network, coin: coinOf(network)?.address ?? '', confirmations })
  return transferWitness({
    writer: chain,
    spell: transfers.spell,
    start: (given) => chain.start(given),
    sight: transferSight(transfers, options),
  })
}
