import type { Log, Sighting, Submission } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeWord, encodeCall, hexSchema } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { quantity, toQuantity } from '../chain/fees.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { Hex } from '../crypto/bytes.ts'
import { type Evidence, evidenceIn, spendingTopics, type Transfer } from './evidence.ts'
import { keyOf, readPayload } from './wire.ts'

/** With what a chain is looked at: a JSON-RPC connection, and the highest block that nothing undoes. */
export type LookOptions = {
  readonly rpc: Rpc
  readonly final: () => Promise<bigint>
  readonly transaction?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * What the chain says of a payment by EIP-3009: settled by the transaction that was named once that is mined, and by anybody
 * else's once it is final (M1); not settled, to be signed anew, where a final block shows that it was spent otherwise or has
 * expired unused (M3); else pending, naming what settles it as soon as it is final.
 *
 * Errors: `evm/rpc`, `evm/call-failed`.
 */
export async function lookAt({ payment, requirements }: Submission, options: LookOptions): Promise<Sighting> {
  const { network, asset, payTo, amount } = requirements
  const authorization = readPayload(payment)?.authorization
  const { transaction: hint } = options
  if (authorization === undefined || !isAddress(asset)) return { status: 'pending', network }
  const { from, nonce } = authorization
  const terms: Terms = { ...options, network, asset, from, nonce, payTo, amount: BigInt(amount) }
  const shown = hint === undefined || !isHash(hint) ? undefined : await receiptOf(terms, hint)
  const seen = shown === undefined ? undefined : settledIn(terms, shown)
  if (seen !== undefined) return seen
  // The transaction that was named is another's, or did nothing of this.
  const denied = shown === undefined ? {} : { denied: true as const }
  const { deadAfter } = keyOf(authorization, { network, asset })
  const pending: Sighting = { status: 'pending', network, payer: from, ...denied }
  const refused = (reason: string): Sighting => ({
    status: 'notSettled',
    network,
    payer: from,
    reason,
    retry: 'resign',
    deadAfter,
    ...denied,
  })
  const head = await blockOf(terms, 'latest')
  const deepest = await options.final()
  const finalNumber = deepest > 0n ? deepest : 0n
  if (!(await isUsed(terms, 'latest'))) {
    const final = await blockOf(terms, toQuantity(finalNumber))
    if (final.timestamp <= authorization.validBefore || (await isUsed(terms, toQuantity(finalNumber)))) return pending
    return refused('invalid_exact_evm_payload_authorization_valid_before')
  }
  const earliest = authorization.validBefore - BigInt(Math.ceil(requirements.maxTimeoutSeconds)) - clockMargin
  const spending = await findSpending(terms, { head: head.number, earliest })
  if (spending === undefined) return pending
  const settled = settledIn(terms, spending)
  if (spending.block > finalNumber) return settled === undefined ? pending : { ...pending, transaction: spending.transaction }
  return settled ?? refused('invalid_exact_evm_nonce_already_used')
}

/** What a payer holds of the asset that is asked for. Errors: `evm/rpc`, `evm/call-failed`. */
export async function fundsOf(
  { payment, requirements }: Submission,
  { rpc, signal }: Pick<LookOptions, 'rpc' | 'signal'>,
): Promise<bigint | undefined> {
  const from = readPayload(payment)?.authorization.from
  if (from === undefined || !isAddress(requirements.asset)) return undefined
  const call = { to: requirements.asset, data: encodeCall('0x70a08231', [from]) }
  return decodeWord(await rpc.ask({ method: 'eth_call', params: [call, 'latest'], result: hexSchema }, { signal }))
}

type Terms = Omit<LookOptions, 'transaction'> &
  Transfer & { readonly asset: Hex; readonly from: Hex; readonly nonce: Hex; readonly network: string }
type Receipt = { readonly transaction: string; readonly success: boolean; readonly block: bigint; readonly logs: readonly Log[] }

// A window is signed by the payer's clock, and blocks have times of their own.
const clockMargin = 900n
// What public nodes search at once.
const blocksAtOnce = 2000n
const mostSearches = 20

function settledIn(terms: Terms, { transaction, success, logs }: Receipt): Sighting | undefined {
  const { paid }: Evidence = success ? evidenceIn(logs, terms) : { used: false }
  if (paid === undefined) return undefined
  const { network, from, amount } = terms
  return { status: 'settled', transaction, network, payer: from, amount: amount.toString(), logIndex: paid.index }
}

function isHash(text: string): boolean {
  return /^0x[0-9a-fA-F]{64}$/.test(text)
}

const receiptSchema = z.nullable(
  z.looseObject({
    transactionHash: hexSchema,
    status: quantity,
    blockNumber: quantity,
    logs: z.array(z.looseObject({ address: hexSchema, topics: z.array(hexSchema), data: hexSchema, logIndex: quantity })),
  }),
)
const blockSchema = z.looseObject({ number: quantity, timestamp: quantity })
const foundSchema = z.array(z.looseObject({ transactionHash: hexSchema }))

async function receiptOf({ rpc, signal }: Terms, transaction: string): Promise<Receipt | undefined> {
  const found = await rpc.ask({ method: 'eth_getTransactionReceipt', params: [transaction], result: receiptSchema }, { signal })
  if (found === null) return undefined
  const logs = found.logs.map(({ address, topics, data, logIndex }) => ({ address, topics, data, index: Number(logIndex) }))
  return { transaction: found.transactionHash, success: found.status === 1n, block: found.blockNumber, logs }
}

function blockOf({ rpc, signal }: Terms, block: string): Promise<z.infer<typeof blockSchema>> {
  return rpc.ask({ method: 'eth_getBlockByNumber', params: [block, false], result: blockSchema }, { signal })
}

async function isUsed({ rpc, signal, asset, from, nonce }: Terms, block: string): Promise<boolean> {
  const call = { to: asset, data: encodeCall('0xe94a0102', [from, nonce]) }
  return decodeWord(await rpc.ask({ method: 'eth_call', params: [call, block], result: hexSchema }, { signal })) !== 0n
}

/** The transaction that used the nonce up: looked for backwards from the head, to the time before which it cannot have been. */
async function findSpending(
  terms: Terms,
  { head, earliest }: { readonly head: bigint; readonly earliest: bigint },
): Promise<Receipt | undefined> {
  const { rpc, signal, asset } = terms
  let to = head
  for (let search = 0; search < mostSearches; search += 1) {
    const from = to > blocksAtOnce ? to - blocksAtOnce : 0n
    const range = { address: asset, topics: spendingTopics(terms), fromBlock: toQuantity(from), toBlock: toQuantity(to) }
    const [found] = await rpc.ask({ method: 'eth_getLogs', params: [range], result: foundSchema }, { signal })
    if (found !== undefined) return receiptOf(terms, found.transactionHash)
    if (from === 0n || (await blockOf(terms, toQuantity(from))).timestamp < earliest) return undefined
    to = from - 1n
  }
  return undefined
}
