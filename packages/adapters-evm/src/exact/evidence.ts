import { type Log, sameAddress } from '@flow402x/core'
import { decodeWord } from '../chain/abi.ts'
import type { Hex } from '../crypto/bytes.ts'

// wire.md §7.2.
const authorizationUsed = '0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5'
const authorizationCanceled = '0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81'
const transferred = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'

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
  const events = logs.filter(({ address }) => sameAddress(address, asset)).toSorted((a, b) => a.index - b.index)
  const paid = events.find((event, at) => {
    const before = events[at - 1]
    const isOurs =
      before !== undefined && hasTopics(before, [authorizationUsed, from, nonce]) && hasTopics(event, [transferred, from, payTo])
    return isOurs && isHex(event.data) && decodeWord(event.data) === amount
  })
  const used = events.some((event) => spends.some((spend) => hasTopics(event, [spend, from, nonce])))
  return { used, ...(paid === undefined ? {} : { paid }) }
}

const spends = [authorizationUsed, authorizationCanceled]

/** The topics by which a node finds the events that use a nonce up. */
export function spendingTopics({ from, nonce }: Pick<Transfer, 'from' | 'nonce'>): readonly (string | readonly string[])[] {
  return [spends, word(from), word(nonce)]
}

function hasTopics({ topics }: Log, wanted: readonly string[]): boolean {
  return topics.length === wanted.length && wanted.every((value, index) => topics[index]?.toLowerCase() === word(value))
}

function word(value: string): string {
  return `0x${value.slice(2).toLowerCase().padStart(64, '0')}`
}

function isHex(text: string): text is Hex {
  return /^0x[0-9a-fA-F]*$/.test(text)
}
