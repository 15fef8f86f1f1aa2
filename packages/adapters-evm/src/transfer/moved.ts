import { type Log, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeWord, hexSchema } from '../chain/abi.ts'
import { quantity, toQuantity } from '../chain/fees.ts'
import { type Asking, receiptOf } from '../chain/receipt.ts'
import { transferred, word } from '../checks/topics.ts'
import type { Hex } from '../crypto/bytes.ts'

/** A mined transaction as its chain has it: who sent what to whom, and what came of it. */
export type MinedTransaction = {
  readonly transaction: Hex
  readonly success: boolean
  readonly from: Hex
  /** Nothing for one that made a contract. */
  readonly to: Hex | undefined
  /** In wei. */
  readonly value: bigint
  readonly input: Hex
  readonly block: bigint
  readonly blockHash: Hex
  readonly logs: readonly Log[]
}

/**
 * What a transaction moved as its sender's own plain transfer: of a token by `transfer`, or of the chain's coin. `amount` is what arrived;
 * `trailing` are the bytes behind the transfer, which mean nothing to the chain; `logIndex` is its event, which a coin has none of.
 */
export type DirectTransfer = {
  readonly from: Hex
  readonly to: Hex
  readonly amount: bigint
  readonly trailing: Hex
  readonly logIndex?: number
}

const sentSchema = z.nullable(
  z.looseObject({ from: hexSchema, to: z.nullish(hexSchema), value: quantity, input: hexSchema, blockHash: z.nullish(hexSchema) }),
)

/**
 * Reads a mined transaction; nothing for one that is not mined, or whose two halves a node tells of different blocks, as while it
 * follows a reorg. Errors: `evm/rpc`, `evm/call-failed`.
 */
export async function readMined(asking: Asking, transaction: string): Promise<MinedTransaction | undefined> {
  const { rpc, signal } = asking
  const [sent, receipt] = await Promise.all([
    rpc.ask({ method: 'eth_getTransactionByHash', params: [transaction], result: sentSchema }, { signal }),
    receiptOf(asking, transaction),
  ])
  if (sent === null || receipt?.blockHash === undefined || sent.blockHash !== receipt.blockHash) return undefined
  const { success, block, blockHash, logs } = receipt
  const { from, value, input } = sent
  return { transaction: receipt.transaction, success, from, to: sent.to ?? undefined, value, input, block, blockHash, logs }
}

const blockSchema = z.nullable(z.looseObject({ hash: hexSchema, timestamp: quantity }))

/** When a transaction's block was made, in Unix seconds; nothing where that block is not the chain's any more. Errors: `evm/rpc`, `evm/call-failed`. */
export async function minedAt({ rpc, signal }: Asking, { block, blockHash }: MinedTransaction): Promise<bigint | undefined> {
  const found = await rpc.ask({ method: 'eth_getBlockByNumber', params: [toQuantity(block), false], result: blockSchema }, { signal })
  return found?.hash === blockHash ? found.timestamp : undefined
}

/** The blocks on top of a transaction's own, by a node's head; 0 while it is the newest. Errors: `evm/rpc`, `evm/call-failed`. */
export async function confirmationsOf({ rpc, signal }: Asking, { block }: Pick<MinedTransaction, 'block'>): Promise<bigint> {
  const head = await rpc.ask({ method: 'eth_blockNumber', params: [], result: quantity }, { signal })
  return head > block ? head - block : 0n
}

/** The transaction's own transfer of the chain's coin, which is all but what contracts sent on: those leave no trace in it. */
export function coinTransfer({ success, from, to, value, input }: MinedTransaction): DirectTransfer | undefined {
  return success && to !== undefined && value > 0n ? { from, to, amount: value, trailing: input } : undefined
}

// `transfer(address,uint256)`: four bytes and two words.
const transferSelector = '0xa9059cbb'
const transferDigits = 2 + 2 * 68

/**
 * The transaction's own `transfer` of a token: called by its sender at the token itself, with exactly one event of the token from the
 * sender to whom it names. Nothing for a transfer that another contract made (M23).
 */
export function tokenTransfer({ success, from, to, input, logs }: MinedTransaction, token: string): DirectTransfer | undefined {
  if (!success || to === undefined || !sameAddress(to, token)) return undefined
  if (!input.toLowerCase().startsWith(transferSelector) || input.length < transferDigits) return undefined
  const recipient: Hex = `0x${input.slice(34, 74)}`
  const own = transfersOf(logs, token).filter((one) => one.from === from.toLowerCase() && one.to === recipient.toLowerCase())
  const [paid, ...more] = own
  if (paid === undefined || more.length > 0) return undefined
  return { from, to: recipient, amount: paid.amount, trailing: `0x${input.slice(transferDigits)}`, logIndex: paid.index }
}

/** One event of a token: addresses in lower case. */
export type TokenTransfer = { readonly from: string; readonly to: string; readonly amount: bigint; readonly index: number }

/** Every transfer of a token in a transaction, by the token's own events, whoever asked for it. */
export function transfersOf(logs: readonly Log[], token: string): readonly TokenTransfer[] {
  return logs.flatMap(({ address, topics: [topic, from = '', to = '', ...more], data, index }) => {
    const amount = hexSchema.safeParse(data).data
    const isTransfer = sameAddress(address, token) && topic?.toLowerCase() === transferred && more.length === 0
    const units = isTransfer && amount !== undefined ? decodeWord(amount) : undefined
    return units === undefined ? [] : [{ from: holder(from), to: holder(to), amount: units, index }]
  })
}

function holder(topic: string): string {
  return `0x${word(topic).slice(-40)}`
}
