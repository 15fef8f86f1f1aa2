import type { Network } from '@flow402x/core'
import * as z from 'zod/mini'
import { quantity } from './fees.ts'
import type { Rpc } from './rpc.ts'

/**
 * Blocks on top of a transaction's own after which it is taken for final, or `finalized` for the node's own word.
 *
 * That word comes late: after 13 minutes on Ethereum, and later still on a rollup, which asks Ethereum. A payment is answered when it
 * is mined either way. What waits longer is what a reorg may have undone, so the depth is what no reorg of these chains has
 * reached since they work as they do, and is the default.
 */
export type Confirmations = bigint | 'finalized'

// A state older than 128 blocks is asked of archives only, so no depth comes near that.
const deep = 64n
const depths: Readonly<Record<Network, bigint>> = {
  // Two and a half minutes; no block deeper than seven was ever replaced under proof of stake.
  'eip155:1': 12n,
  // One sequencer orders the blocks, of two seconds, and replaces some only where it fails itself.
  'eip155:8453': 12n,
  'eip155:84532': 12n,
  // The same with blocks of a quarter of a second, so that it is as many seconds.
  'eip155:42161': deep,
  'eip155:421614': deep,
  // Validators take turns of 16 blocks, and another's turn may be built on another tip.
  'eip155:137': deep,
  // A block that its validators accepted is never replaced; two, for a node that shows one before.
  'eip155:43114': 2n,
}

/** How deep a chain's blocks must lie; of a chain that is not known, twelve blocks. */
export function depthOf(network: Network): bigint {
  return depths[network] ?? 12n
}

const blockSchema = z.nullable(z.looseObject({ number: quantity }))

/** The highest block that is final; -1 before there is one. Errors: `evm/rpc`, `evm/call-failed`. */
export async function finalBlock(rpc: Rpc, confirmations: Confirmations): Promise<bigint> {
  if (confirmations === 'finalized') {
    const block = await rpc.ask({ method: 'eth_getBlockByNumber', params: ['finalized', false], result: blockSchema })
    return block?.number ?? -1n
  }
  const head = await rpc.ask({ method: 'eth_blockNumber', params: [], result: quantity })
  return head < confirmations ? -1n : head - confirmations
}
