import { type Log, sameAddress } from '@flow402x/core'
import { hasTopics, isEvent, transferred, word } from '../../checks/topics.ts'
import type { Hex } from '../../crypto/bytes.ts'
import { authorizationUsed } from '../../exact/evidence.ts'
import { eip3009Collector } from '../calls.ts'
import { batchSettlement } from '../channel.ts'
import { isEscrows, wordIn } from '../events.ts'

// wire.md §12.2.
const deposited = '0x6c2a09353b5e75e70d0b9778b80a413809bb235d46c211811c474b3346791d89'
const refunded = '0xa84286cf8ebc7903a663c77c8d99aa92b600d4c2fcca872a5d4a663db4eb394b'

/** The deposit that is looked for; `nonce` of its authorization where EIP-3009 makes it, since the events then tell. */
export type SoughtDeposit = {
  readonly channelId: Hex
  readonly payer: Hex
  readonly token: Hex
  readonly amount: bigint
  readonly nonce?: Hex | undefined
}

/** The topics by which a node finds the deposits into a channel. */
export function depositTopics(channelId: Hex): readonly string[] {
  return [deposited, word(channelId)]
}

/**
 * The log by which the escrow says that a deposit came in. By EIP-3009 the collector's own use of just this authorization leads up to
 * it: a payer who signs its nonce twice spends it otherwise (M1).
 */
export function depositIn(logs: readonly Log[], sought: SoughtDeposit): Log | undefined {
  const events = logs.toSorted((a, b) => a.index - b.index)
  return events.find((log, at) => {
    const isIts = isEscrows(log, depositTopics(sought.channelId)) && wordIn(log) === sought.amount
    return isIts && (sought.nonce === undefined || isCollected(events.slice(0, at), { ...sought, nonce: sought.nonce }))
  })
}

/** What went back to a channel's payer in a transaction; nothing where nothing did. */
export function refundedIn(logs: readonly Log[], channelId: Hex): bigint | undefined {
  const found = logs.find((log) => isEscrows(log, [refunded, word(channelId)]))
  return found && wordIn(found)
}

function isCollected(before: readonly Log[], { payer, token, amount, nonce }: SoughtDeposit & { readonly nonce: Hex }): boolean {
  const [used, taken, brought] = before.filter(({ address }) => sameAddress(address, token)).slice(-3)
  if (used === undefined || taken === undefined || brought === undefined) return false
  const isMove = (log: Log, from: string, to: string) =>
    isEvent(log, { address: token, topics: [transferred, word(from), word(to)] }) && wordIn(log) === amount
  return (
    hasTopics(used, [authorizationUsed, word(payer), word(nonce)]) &&
    isMove(taken, payer, eip3009Collector) &&
    isMove(brought, eip3009Collector, batchSettlement)
  )
}
