import type { Log } from '@flow402x/core'
import * as z from 'zod/mini'
import type { Hex } from '../crypto/bytes.ts'
import { hexSchema } from './abi.ts'
import { quantity } from './fees.ts'
import type { Rpc } from './rpc.ts'

/** A mined transaction with its events; `from` and `to` as far as the node tells them. */
export type Receipt = {
  readonly transaction: Hex
  readonly success: boolean
  readonly block: bigint
  readonly blockHash: Hex | undefined
  readonly from: Hex | undefined
  readonly to: Hex | undefined
  readonly logs: readonly Log[]
}

/** With what a chain is asked. */
export type Asking = { readonly rpc: Rpc; readonly signal?: AbortSignal | undefined }

const receiptSchema = z.nullable(
  z.looseObject({
    transactionHash: hexSchema,
    status: quantity,
    from: z.nullish(hexSchema),
    to: z.nullish(hexSchema),
    blockNumber: quantity,
    blockHash: z.nullish(hexSchema),
    logs: z.array(z.looseObject({ address: hexSchema, topics: z.array(hexSchema), data: hexSchema, logIndex: quantity })),
  }),
)

/** The receipt of a transaction, or nothing where the node knows none. Errors: `evm/rpc`, `evm/call-failed`. */
export async function receiptOf({ rpc, signal }: Asking, transaction: string): Promise<Receipt | undefined> {
  const found = await rpc.ask({ method: 'eth_getTransactionReceipt', params: [transaction], result: receiptSchema }, { signal })
  if (found === null) return undefined
  return {
    transaction: found.transactionHash,
    success: found.status === 1n,
    block: found.blockNumber,
    blockHash: found.blockHash ?? undefined,
    from: found.from ?? undefined,
    to: found.to ?? undefined,
    logs: found.logs.map(({ address, topics, data, logIndex }) => ({ address, topics, data, index: Number(logIndex) })),
  }
}
