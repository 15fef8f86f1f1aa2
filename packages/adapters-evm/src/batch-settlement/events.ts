import { type Log, sameAddress } from '@flow402x/core'
import { decodeWord, hexSchema } from '../chain/abi.ts'
import { hasTopics, word } from '../checks/topics.ts'
import type { Hex } from '../crypto/bytes.ts'
import { batchSettlement } from './channel.ts'

// wire.md §12.2.
const claimed = '0x36bd546bb573e8921fdbfd934bbed62d872796b01792cd240cce27f79dd3eddd'
const settled = '0x7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d'

/** What the events of a transaction say was claimed in all of each channel, by its id in lower case (M16). */
export function claimedIn(logs: readonly Log[]): ReadonlyMap<string, bigint> {
  const totals = logs.flatMap((log) => {
    const [, id] = log.topics
    const total = isEscrows(log, [claimed]) ? wordIn(log, 1) : undefined
    return id !== undefined && total !== undefined ? [[id.toLowerCase(), total] as const] : []
  })
  return new Map(totals)
}

/** What a receiver was paid of a token in a transaction; nothing where nothing was to be paid. */
export function sweptIn(logs: readonly Log[], { receiver, token }: { readonly receiver: Hex; readonly token: Hex }): bigint | undefined {
  const found = logs.find((log) => isEscrows(log, [settled, word(receiver), word(token)]))
  return found && wordIn(found)
}

/** Whether a log is the escrow's with these topics first; who sent a transaction stands last. */
export function isEscrows(log: Log, topics: readonly string[]): boolean {
  return sameAddress(log.address, batchSettlement) && hasTopics({ ...log, topics: log.topics.slice(0, topics.length) }, topics)
}

/** A word of a log's data. */
export function wordIn({ data }: Log, at = 0): bigint | undefined {
  const hex = hexSchema.safeParse(data).data
  return hex === undefined ? undefined : decodeWord(hex, at)
}
