import { sameAddress } from '@flow402x/core'
import { decodeWord, encodeCall, type Target, type Word } from '../chain/abi.ts'
import type { Hex } from '../crypto/bytes.ts'
import { type Permit2Authorization, type Permit2Scheme, permit2Address } from './wire.ts'

/** An EIP-2612 permit for Permit2 that rides with a payment. */
export type RidingPermit = { readonly value: bigint; readonly deadline: bigint; readonly r: Hex; readonly s: Hex; readonly v: bigint }

/** What a proxy is asked to settle; `amount` is what `upto` takes of the ceiling. */
export type Settling = {
  readonly authorization: Permit2Authorization
  readonly signature: Hex
  readonly amount: bigint
  readonly permit?: RidingPermit | undefined
}

// wire.md §9.
const settle = { exact: '0x13cd3b53', upto: '0xff11e7b4' } as const
const settleWithPermit = { exact: '0xfa340378', upto: '0x016c1748' } as const

/** The call of a scheme's proxy that moves the money. */
export function settleCall({ scheme, proxy }: Permit2Scheme, { authorization, signature, amount, permit }: Settling): Target {
  const { from, permitted, nonce, deadline, witness } = authorization
  const used = scheme === 'upto' ? [amount] : []
  const facilitator = witness.facilitator === undefined ? [] : [witness.facilitator]
  const words: readonly Word[] = [
    ...(permit === undefined ? [] : [permit.value, permit.deadline, permit.r, permit.s, permit.v]),
    ...[permitted.token, permitted.amount, nonce, deadline],
    ...used,
    ...[from, witness.to, ...facilitator, witness.validAfter],
  ]
  return { target: proxy, data: encodeCall((permit === undefined ? settle : settleWithPermit)[scheme], words, signature) }
}

/** The question whether a payer's nonce is spent: a word whose bit `nonce & 255` says so. */
export function nonceWord({ from, nonce }: Pick<Permit2Authorization, 'from' | 'nonce'>): Target {
  return { target: permit2Address, data: encodeCall('0x4fe02b44', [from, nonce >> 8n]) }
}

/** Whether the bit of a nonce is set in its word. */
export function isSet(word: bigint, nonce: bigint): boolean {
  return ((word >> (nonce & 255n)) & 1n) === 1n
}

/** The question what Permit2 may take of an owner's tokens. */
export function allowanceCall(token: Hex, owner: Hex): Target {
  return { target: token, data: encodeCall('0xdd62ed3e', [owner, permit2Address]) }
}

/** Selector of a token's `approve(address,uint256)` (wire.md §7.2). */
export const approve = '0x095ea7b3'

/** Calldata that lets Permit2 take all there is of a token. */
export function approveAll(): Hex {
  return encodeCall(approve, [permit2Address, everything])
}

/** The largest allowance, which tokens do not count down. */
export const everything = (1n << 256n) - 1n

/** A payment as a proxy was told it. */
export type Told = { readonly from: Hex; readonly token: Hex; readonly nonce: bigint; readonly to: Hex; readonly amount: bigint }

/** What a call of a scheme's proxy settles, or nothing for any other call. */
export function settledBy({ scheme, proxy }: Permit2Scheme, { target, data }: Target): Told | undefined {
  const selector = data.slice(0, 10).toLowerCase()
  const first = selector === settle[scheme] ? 0 : selector === settleWithPermit[scheme] ? 5 : undefined
  if (first === undefined || !sameAddress(target, proxy)) return undefined
  const word = (index: number): bigint | undefined => decodeWord(`0x${data.slice(10)}`, first + index)
  const upto = scheme === 'upto' ? 1 : 0
  const [token, permitted, nonce, from, to] = [word(0), word(1), word(2), word(4 + upto), word(5 + upto)]
  const amount = scheme === 'upto' ? word(4) : permitted
  if (token === undefined || nonce === undefined || from === undefined || to === undefined || amount === undefined) return undefined
  return { token: address(token), nonce, from: address(from), to: address(to), amount }
}

function address(word: bigint): Hex {
  return `0x${word.toString(16).padStart(40, '0')}`
}
