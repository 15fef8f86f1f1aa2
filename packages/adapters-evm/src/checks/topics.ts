import { type Log, sameAddress } from '@flow402x/core'

/** Topic of `Transfer(address,address,uint256)` (wire.md §7.2). */
export const transferred = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'

/** Topic of `Approval(address,address,uint256)`. */
export const approved = '0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925'

/** An address or 32 bytes of hex as a topic has it. */
export function word(value: string): string {
  return `0x${value.slice(2).toLowerCase().padStart(64, '0')}`
}

/** Whether a log is a contract's event with just these topics. */
export function isEvent(log: Log, { address, topics }: { readonly address: string; readonly topics: readonly string[] }): boolean {
  return hasTopics(log, topics) && sameAddress(log.address, address)
}

/** Whether a log has these topics, in whatever letters, and no others. */
export function hasTopics({ topics }: Log, wanted: readonly string[]): boolean {
  return topics.length === wanted.length && wanted.every((value, index) => topics[index]?.toLowerCase() === value)
}
