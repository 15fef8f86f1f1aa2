import type { ChainWriter, FacilitatorScheme } from '../protocol/scheme.ts'
import { type TransferChain, type TransferSight, transferKey, transferProof } from './transfer.ts'

/** What a facilitator for transfers is made of; its writer sends nothing for them. */
export type TransferWitness = Pick<TransferChain, 'spell'> &
  Pick<FacilitatorScheme, 'start'> & { readonly writer: ChainWriter; readonly sight: TransferSight }

/** Says for sellers without a node of their own what their payers transferred (`transfer-proof`), each transfer for one claim. */
export function transferWitness({ writer, spell, start, sight }: TransferWitness): FacilitatorScheme {
  const { network } = writer
  return {
    scheme: transferProof,
    network,
    writer,
    byPayer: true,
    supported: () => ({ x402Version: 2, scheme: transferProof, network }),
    start,
    key: (payment) => transferKey(payment, { network, spell }),
    ...sight,
    plan: () => [],
    outcome: (_, { transaction }) => ({ status: 'pending', network, transaction }),
  }
}
