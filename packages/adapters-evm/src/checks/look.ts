import type { Sighting } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeWord, encodeCall, hexSchema, type Target } from '../chain/abi.ts'
import { quantity, toQuantity } from '../chain/fees.ts'
import { type Asking, type Receipt, receiptOf } from '../chain/receipt.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { Hex } from '../crypto/bytes.ts'

/** With what a chain is looked at: a JSON-RPC connection, and the highest block that nothing undoes. */
export type LookOptions = {
  readonly rpc: Rpc
  readonly final: () => Promise<bigint>
  readonly transaction?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What is looked for: a payment that is made at most once, before a time, and leaves a log. */
export type Search = {
  readonly network: string
  readonly payer: string
  readonly deadAfter: number
  /** The last second in which it can be made, and for how long before it can have been made at all. */
  readonly until: bigint
  readonly maxTimeoutSeconds: number
  /** A question whose answer is zero, or has this bit unset, as long as the payment is not spent in any way. */
  readonly spent: Target & { readonly bit?: bigint }
  /** The logs among which its own is. */
  readonly logs: { readonly address: string; readonly topics: readonly (string | readonly string[])[] }
  /** Whether only spending it leaves such a log, in whatever way it is spent. */
  readonly telling: boolean
  /** The payment in a transaction; `unclear` where that cannot be told. */
  settledIn(receipt: Receipt): Promise<(Sighting & { readonly status: 'settled' }) | 'unclear' | undefined>
  readonly reasons: { readonly expired: string; readonly spent: string }
}

/**
 * What the chain says of a payment: settled by the transaction that was named once that is mined, and by anybody else's once it is
 * final (M1); not settled, to be signed anew, where a final block shows that it was spent otherwise or has expired unused (M3); else
 * pending, naming what settles it as soon as it is final.
 *
 * Errors: `evm/rpc`, `evm/call-failed`.
 */
export async function lookFor(search: Search, options: LookOptions): Promise<Sighting> {
  const { transaction: hint, final } = options
  const { network, payer, deadAfter, until, reasons } = search
  const shown = hint === undefined || !isHash(hint) ? undefined : await receiptOf(options, hint)
  const seen = shown === undefined ? undefined : await search.settledIn(shown)
  if (typeof seen === 'object') return seen
  // The transaction that was named is another's, or did nothing of this.
  const denied = shown === undefined || seen === 'unclear' ? {} : { denied: true as const }
  const pending: Sighting = { status: 'pending', network, payer, ...denied }
  const refused = (reason: string): Sighting => ({
    status: 'notSettled',
    network,
    payer,
    reason,
    retry: 'resign',
    deadAfter,
    ...denied,
  })
  const head = await blockOf(options, 'latest')
  const deepest = await final()
  const finalNumber = deepest > 0n ? deepest : 0n
  const spentFinally = () => isSpent(search, options, toQuantity(finalNumber))
  if (!(await isSpent(search, options, 'latest'))) {
    const { timestamp } = await blockOf(options, toQuantity(finalNumber))
    return timestamp <= until || (await spentFinally()) ? pending : refused(reasons.expired)
  }
  const found = await findSpending(search, { ...options, head: head.number })
  if (found === 'unknown') return pending
  if (found === 'otherwise') return (await spentFinally()) ? refused(reasons.spent) : pending
  return found.block > finalNumber ? { ...pending, transaction: found.sighting.transaction } : found.sighting
}

/** What an account holds of a token. Errors: `evm/rpc`, `evm/call-failed`. */
export async function balanceOf(
  { token, of }: { readonly token: Hex; readonly of: Hex },
  { rpc, signal }: Pick<LookOptions, 'rpc' | 'signal'>,
): Promise<bigint | undefined> {
  const call = { to: token, data: encodeCall('0x70a08231', [of]) }
  return decodeWord(await rpc.ask({ method: 'eth_call', params: [call, 'latest'], result: hexSchema }, { signal }))
}

// A window is signed by the payer's clock, and blocks have times of their own.
const clockMargin = 900n
// What public nodes search at once.
const blocksAtOnce = 2000n
const mostSearches = 20

function isHash(text: string): boolean {
  return /^0x[0-9a-fA-F]{64}$/.test(text)
}

const blockSchema = z.looseObject({ number: quantity, timestamp: quantity })
const foundSchema = z.array(z.looseObject({ transactionHash: hexSchema }))

function blockOf({ rpc, signal }: Asking, block: string): Promise<z.infer<typeof blockSchema>> {
  return rpc.ask({ method: 'eth_getBlockByNumber', params: [block, false], result: blockSchema }, { signal })
}

async function isSpent({ spent }: Search, { rpc, signal }: Asking, block: string): Promise<boolean> {
  const call = { to: spent.target, data: spent.data }
  const word = decodeWord(await rpc.ask({ method: 'eth_call', params: [call, block], result: hexSchema }, { signal }))
  return spent.bit === undefined || word === undefined ? word !== 0n : ((word >> spent.bit) & 1n) === 1n
}

type Spending = { readonly sighting: Sighting & { readonly status: 'settled' }; readonly block: bigint }

/** How it was spent: looked for backwards from the head, to the time before which it cannot have been. */
async function findSpending(
  search: Search,
  { head, ...options }: Asking & { readonly head: bigint },
): Promise<Spending | 'otherwise' | 'unknown'> {
  const { rpc, signal } = options
  const earliest = search.until - BigInt(Math.ceil(search.maxTimeoutSeconds)) - clockMargin
  let to = head
  let unclear = search.telling
  for (let searches = 0; searches < mostSearches; searches += 1) {
    const from = to > blocksAtOnce ? to - blocksAtOnce : 0n
    const range = { ...search.logs, fromBlock: toQuantity(from), toBlock: toQuantity(to) }
    const logs = await rpc.ask({ method: 'eth_getLogs', params: [range], result: foundSchema }, { signal })
    for (const transaction of new Set(logs.map(({ transactionHash }) => transactionHash))) {
      const receipt = await receiptOf(options, transaction)
      const seen = receipt === undefined ? 'unclear' : await search.settledIn(receipt)
      if (receipt !== undefined && typeof seen === 'object') return { sighting: seen, block: receipt.block }
      if (search.telling) return seen === 'unclear' ? 'unknown' : 'otherwise'
      unclear ||= seen === 'unclear'
    }
    if (from === 0n || (await blockOf(options, toQuantity(from))).timestamp < earliest) return unclear ? 'unknown' : 'otherwise'
    to = from - 1n
  }
  return 'unknown'
}
