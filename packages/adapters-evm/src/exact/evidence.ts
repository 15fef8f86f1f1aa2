import { type Log, sameAddress } from '@flow402x/core'
import { decodeWord } from '../chain/abi.ts'
import { hasTopics, transferred, word } from '../checks/topics.ts'
import type { Hex } from '../crypto/bytes.ts'

// wire.md §7.2.
/** Topic of `AuthorizationUsed(address,bytes32)`. */
export const authorizationUsed = '0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5'
const authorizationCanceled = '0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81'

/** The transfer that is looked for. */
export type Transfer = {
  readonly asset: string
  readonly from: string
  readonly nonce: string
  readonly payTo: string
  readonly amount: bigint
}

/** What a transaction's events show of an authorization: the log of its transfer, if that is there, and whether it is used up. */
export type Evidence = { readonly paid?: Log; readonly used: boolean }

/**
 * A used nonce proves nothing: the payer can sign it twice and mine the other transfer (M1). Paid is only what shows the
 * nonce's use and, as the token's very next event, this transfer.
 */
export function evidenceIn(logs: readonly Log[], { asset, from, nonce, payTo, amount }: Transfer): Evidence {
  const [payer, key] = [word(from), word(nonce)]
  const { inOrder, spending } = sorted(logs)
  const spent = (spending.get(key) ?? []).filter(
    (log) => spends.some((spend) => hasTopics(log, [spend, payer, key])) && sameAddress(log.address, asset),
  )
  const transfer = [transferred, payer, word(payTo)]
  const paid = spent
    .filter(({ topics }) => topics[0]?.toLowerCase() === authorizationUsed)
    .map(({ index }) => inOrder.find((log) => log.index > index && sameAddress(log.address, asset)))
    .find((event) => event !== undefined && hasTopics(event, transfer) && isHex(event.data) && decodeWord(event.data) === amount)
  return { used: spent.length > 0, ...(paid === undefined ? {} : { paid }) }
}

const spends = [authorizationUsed, authorizationCanceled]

/** A transaction's events as they followed each other, and those that use a nonce up by that nonce. */
type Sorted = { readonly inOrder: readonly Log[]; readonly spending: ReadonlyMap<string, readonly Log[]> }

const sortedLogs = new WeakMap<readonly Log[], Sorted>()

/** Sorts the events of a transaction once: all payments of a batch look through them. */
function sorted(logs: readonly Log[]): Sorted {
  const known = sortedLogs.get(logs)
  if (known !== undefined) return known
  const spending = new Map<string, Log[]>()
  for (const log of logs) {
    const [event = '', , nonce = ''] = log.topics.map((topic) => topic.toLowerCase())
    if (spends.includes(event)) spending.set(nonce, [...(spending.get(nonce) ?? []), log])
  }
  const made = { inOrder: logs.toSorted((a, b) => a.index - b.index), spending }
  sortedLogs.set(logs, made)
  return made
}

/** The topics by which a node finds the events that use a nonce up. */
export function spendingTopics({ from, nonce }: Pick<Transfer, 'from' | 'nonce'>): readonly (string | readonly string[])[] {
  return [spends, word(from), word(nonce)]
}

function isHex(text: string): text is Hex {
  return /^0x[0-9a-fA-F]*$/.test(text)
}
