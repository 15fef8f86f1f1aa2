import { findAsset, type Log, sameAddress } from '@flow402x/core'
import { decodeCalls, decodeWord, hexSchema, multicall3, type Target } from '../chain/abi.ts'
import { approved, transferred, word } from '../checks/topics.ts'
import { settledBy, type Told } from './proxy.ts'
import type { Permit2Scheme } from './wire.ts'

/** The payment that is looked for, and what it moves. */
export type Sought = {
  readonly scheme: Permit2Scheme
  readonly network: string
  readonly nonce: bigint
  readonly asset: string
  readonly from: string
  readonly payTo: string
  readonly amount: bigint
}

// wire.md §9: how a proxy ends a payment, without and with an EIP-2612 permit.
const settled = [
  '0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6',
  '0xde5b89d10fc800c459329c382fabfcad0be0ed7e5328e01fae04e507b09ef5d8',
]

/**
 * The logs of transfers that a scheme's proxy made of just this token, payer, payee and amount. Permit2 tells no nonce, so that who
 * cannot exclude a second such payment in the same transaction must look at its calls (M1, M16).
 */
export function transfersIn(logs: readonly Log[], sought: Sought): readonly Log[] {
  const events = logs.toSorted((a, b) => a.index - b.index)
  return events.flatMap((event, at) => {
    const ends = sameAddress(event.address, sought.scheme.proxy) && settled.includes(event.topics[0]?.toLowerCase() ?? '')
    // Some tokens tell what is left of an allowance after the transfer.
    const moved = ends ? events.slice(0, at).findLast((before) => !isOf(before, sought.asset, approved)) : undefined
    return moved !== undefined && isTransfer(moved, sought) ? [moved] : []
  })
}

/**
 * The log of this very payment's transfer, by what its transaction called; `unclear` where that does not tell it from a payment which
 * leaves the same logs. `ours` is a transaction of the facilitator's own, whose calls make no others of the proxy.
 */
export function ownTransfer(
  sought: Sought,
  { logs, call, ours = false }: { readonly logs: readonly Log[]; readonly call: Target; readonly ours?: boolean },
): Log | 'unclear' | undefined {
  const transfers = transfersIn(logs, sought)
  const [first] = transfers
  if (first === undefined) return undefined
  const calls = sameAddress(call.target, multicall3) ? decodeCalls(call.data) : [call]
  const alike = likeIt(sought, calls ?? [])
  // Tokens of the table never call the proxy, so that nothing but what is seen can have made the transfer.
  const { scheme, network } = sought
  const isOpen = ours || calls?.every(({ target }) => sameAddress(target, scheme.proxy) || findAsset(network, target) !== undefined)
  if (isOpen !== true || transfers.length !== alike.length) return 'unclear'
  return transfers[alike.findIndex(({ nonce }) => nonce === sought.nonce)]
}

/** The log of this very payment's transfer, where every call is known that took effect. */
export function nthTransfer(
  sought: Sought,
  { logs, calls }: { readonly logs: readonly Log[]; readonly calls: readonly Target[] },
): Log | undefined {
  return transfersIn(logs, sought)[likeIt(sought, calls).findIndex(({ nonce }) => nonce === sought.nonce)]
}

/** The payments among these calls that leave the very same logs. */
function likeIt({ scheme, asset, from, payTo, amount }: Sought, calls: readonly Target[]): readonly Told[] {
  return calls.flatMap((call) => {
    const told = settledBy(scheme, call)
    if (told === undefined || told.amount !== amount || !sameAddress(told.token, asset)) return []
    return sameAddress(told.from, from) && sameAddress(told.to, payTo) ? [told] : []
  })
}

/** The topics by which a node finds the transfers from a payer to a payee. */
export function transferTopics({ from, payTo }: Pick<Sought, 'from' | 'payTo'>): readonly string[] {
  return [transferred, word(from), word(payTo)]
}

function isOf({ address, topics }: Log, asset: string, topic: string): boolean {
  return sameAddress(address, asset) && topics[0]?.toLowerCase() === topic
}

function isTransfer(log: Log, { asset, from, payTo, amount }: Sought): boolean {
  const { topics, data } = log
  const [, sender = '', receiver = ''] = topics
  const value = hexSchema.safeParse(data).data
  const isBetween = sender.toLowerCase() === word(from) && receiver.toLowerCase() === word(payTo)
  return isOf(log, asset, transferred) && isBetween && value !== undefined && decodeWord(value) === amount
}
