import * as z from 'zod/mini'
import { decodeWord, hexSchema } from '../../chain/abi.ts'
import { quantity, toQuantity } from '../../chain/fees.ts'
import type { EvmReader } from '../../chain/reader.ts'
import { batchSettlement } from '../channel.ts'

/** One log query for all channels: whose payer withdraws (FS/1 §9). */
export interface EscrowWatch {
  /** The channels of which a withdrawal began or ended since the last look; nothing where that cannot be told. */
  look(options: { readonly signal?: AbortSignal | undefined }): Promise<readonly string[] | undefined>
  /** Lets go of where it was. */
  forget(): void
}

type Log = { readonly address: string; readonly topics: readonly string[]; readonly data: `0x${string}` }

// wire.md §12.2.
const claimed = '0x6c2a09353b5e75e70d0b9778b80a413809bb235d46c211811c474b3346791d89'
const withdrawInitiated = '0xe4280d0d903c7f258f62b07c62f262377cbaa23f7791d78126e6446e0f0e3c23'
const withdrawFinalized = '0x546ce1e2242cd930c196bd08b894443562d709b4fffe4f028a75a6d233efc6e3'

// Blocks that may have been replaced since the last look, and the most that nodes look through at once.
const overlap = 32n
const mostBlocks = 2000n

const logSchema = z.looseObject({ address: hexSchema, topics: z.array(hexSchema), data: hexSchema })

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
        topics: [[withdrawInitiated, withdrawFinalized]],
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

/** What was claimed of channels, and up to which total, by the events of a transaction. */
export function claimsIn(logs: readonly Log[]): ReadonlyMap<string, { readonly amount: bigint; readonly total: bigint }> {
  const found = new Map<string, { amount: bigint; total: bigint }>()
  for (const { address, topics, data } of logs) {
    const [topic, id] = topics
    const [amount, total] = [decodeWord(data), decodeWord(data, 1)]
    if (topic !== claimed || address.toLowerCase() !== batchSettlement.toLowerCase()) continue
    if (id === undefined || amount === undefined || total === undefined) continue
    found.set(id.toLowerCase(), { amount: amount + (found.get(id.toLowerCase())?.amount ?? 0n), total })
  }
  return found
}

const receiptSchema = z.nullable(z.looseObject({ logs: z.array(logSchema) }))

// How long a node may lag behind the facilitator's, and how often it is asked meanwhile (ms).
const seenWithin = 2000
const askedEvery = 150

/** The events of a mined transaction; none where the node does not show it in time: the chain is read again anyway. */
export async function receiptLogs({ rpc }: Pick<EvmReader, 'rpc'>, transaction: string): Promise<readonly Log[]> {
  for (let waited = 0; ; waited += askedEvery) {
    const found = await rpc.ask({ method: 'eth_getTransactionReceipt', params: [transaction], result: receiptSchema })
    if (found !== null) return found.logs
    if (waited >= seenWithin) return []
    await new Promise((resolve) => setTimeout(resolve, askedEvery))
  }
}
