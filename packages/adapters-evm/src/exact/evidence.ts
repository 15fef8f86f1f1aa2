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
  // Many payments look through one transaction's events, and hardly one of those is about a nonce: that is asked first.
  const spent = logs.filter(
    (log) => isWord(log.topics[2], key) && spends.some((spend) => hasTopics(log, [spend, payer, key])) && sameAddress(log.address, asset),
  )
  const transfer = [transferred, payer, word(payTo)]
  const paid = spent
    .filter(({ topics }) => isWord(topics[0], authorizationUsed))
    .map(({ index }) => nextEvent(logs, { asset, index }))
    .find((event) => event !== undefined && hasTopics(event, transfer) && isHex(event.data) && decodeWord(event.data) === amount)
  return { used: spent.length > 0, ...(paid === undefined ? {} : { paid }) }
}

const spends = [authorizationUsed, authorizationCanceled]

/** What a contract said next after the event at `index`. */
function nextEvent(logs: readonly Log[], { asset, index }: Pick<Transfer, 'asset'> & Pick<Log, 'index'>): Log | undefined {
  const later = logs.filter((log) => log.index > index && sameAddress(log.address, asset))
  return later.reduce<Log | undefined>((first, log) => (first !== undefined && first.index < log.index ? first : log), undefined)
}

/** The topics by which a node finds the events that use a nonce up. */
export function spendingTopics({ from, nonce }: Pick<Transfer, 'from' | 'nonce'>): readonly (string | readonly string[])[] {
  return [spends, word(from), word(nonce)]
}

function isWord(topic: string | undefined, wanted: string): boolean {
  return topic?.toLowerCase() === wanted
}

function isHex(text: string): text is Hex {
  return /^0x[0-9a-fA-F]*$/.test(text)
}
