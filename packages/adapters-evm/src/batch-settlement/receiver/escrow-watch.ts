import type { Log } from '@flow402x/core'
import * as z from 'zod/mini'
import { hexSchema } from '../../chain/abi.ts'
import { quantity, toQuantity } from '../../chain/fees.ts'
import type { EvmReader } from '../../chain/reader.ts'
import { receiptOf } from '../../chain/receipt.ts'
import { batchSettlement } from '../channel.ts'

/** One log query for all channels: which money leaves (FS/1 §9). */
export interface EscrowWatch {
  /** The channels of which a withdrawal began or ended, or money was given back, since the last look; nothing where that cannot be told. */
  look(options: { readonly signal?: AbortSignal | undefined }): Promise<readonly string[] | undefined>
  /** Lets go of where it was. */
  forget(): void
}

// wire.md §12.2.
const withdrawInitiated = '0xe4280d0d903c7f258f62b07c62f262377cbaa23f7791d78126e6446e0f0e3c23'
const withdrawFinalized = '0x546ce1e2242cd930c196bd08b894443562d709b4fffe4f028a75a6d233efc6e3'
// Nobody but the receiver’s side gives back, and who stole its key does so past these books (F19).
const refunded = '0xa84286cf8ebc7903a663c77c8d99aa92b600d4c2fcca872a5d4a663db4eb394b'

// Blocks that may have been replaced since the last look, and the most that nodes look through at once.
const overlap = 32n
const mostBlocks = 2000n

const logSchema = z.looseObject({ topics: z.array(hexSchema) })

/** Watches the escrow of a chain. */
export function escrowWatch({ rpc }: Pick<EvmReader, 'rpc'>): EscrowWatch {
  let seen: bigint | undefined
  return {
    async look({ signal }) {
      const head = await rpc.ask({ method: 'eth_blockNumber', params: [], result: quantity }, { signal })
      const from = seen === undefined ? undefined : seen > overlap ? seen - overlap : 0n
      if (from === undefined || head - from > mostBlocks) {
        seen = head
        return undefined
      }
      const range = {
        address: batchSettlement,
        topics: [[withdrawInitiated, withdrawFinalized, refunded]],
        fromBlock: toQuantity(from),
        toBlock: toQuantity(head),
      }
      const logs = await rpc.ask({ method: 'eth_getLogs', params: [range], result: z.array(logSchema) }, { signal })
      seen = head
      return [...new Set(logs.flatMap(({ topics: [, id] }) => (id === undefined ? [] : [id.toLowerCase()])))]
    },
    forget() {
      seen = undefined
    },
  }
}

// How long a node may lag behind the facilitator's, and how often it is asked meanwhile (ms).
const seenWithin = 2000
const askedEvery = 150

/** The events of a mined transaction; none where the node does not show it in time: the chain is read again anyway. */
export async function eventsOf({ rpc }: Pick<EvmReader, 'rpc'>, transaction: string): Promise<readonly Log[]> {
  for (let waited = 0; ; waited += askedEvery) {
    const found = await receiptOf({ rpc }, transaction)
    if (found !== undefined) return found.logs
    if (waited >= seenWithin) return []
    await new Promise((resolve) => setTimeout(resolve, askedEvery))
  }
}
