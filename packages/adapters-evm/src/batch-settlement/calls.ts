import { type CallResult, decodeWord, encodeBytes, encodeCall, encodeList, encodeWord, type Target, type Word } from '../chain/abi.ts'
import type { Hex } from '../crypto/bytes.ts'
import type { RidingPermit } from '../permit2/proxy.ts'
import { batchSettlement, type ChannelConfig } from './channel.ts'
import type { VoucherClaim } from './wire.ts'

/** Where the collector of EIP-3009 deposits stands on every chain (wire.md §7.1). */
export const eip3009Collector = '0x4020806089470a89826cB9fB1f4059150b550004'

/** Where the collector of Permit2 deposits stands on every chain (wire.md §7.1): the spender that their payers name. */
export const permit2Collector = '0x4020425FAf3B746C082C2f942b4E5159887B0005'

/** A signed deposit by EIP-3009, as a collector takes it. */
export type Deposit = {
  readonly amount: bigint
  readonly validAfter: bigint
  readonly validBefore: bigint
  readonly salt: bigint
  readonly signature: Hex
}

/** Brings a payer's tokens into his channel. */
export function depositCall(config: ChannelConfig, { amount, validAfter, validBefore, salt, signature }: Deposit): Target {
  const collected = encodeCall('0x', [validAfter, validBefore, salt], signature)
  return escrow(encodeCall('0x140f1e75', [...wordsOf(config), amount, eip3009Collector], collected))
}

/** A signed deposit by Permit2, and the EIP-2612 permit that its payer may have sent along for want of an approval. */
export type Permit2Deposit = {
  readonly amount: bigint
  readonly nonce: bigint
  readonly deadline: bigint
  readonly signature: Hex
  readonly permit?: RidingPermit | undefined
}

/** Brings a payer's tokens into his channel by Permit2. */
export function permit2DepositCall(config: ChannelConfig, { amount, nonce, deadline, signature, permit }: Permit2Deposit): Target {
  // The order is another than the proxies' (wire.md §12.5).
  const words = permit === undefined ? [] : [permit.value, permit.deadline, permit.v, permit.r, permit.s]
  const signed = encodeBytes(signature)
  const head = [nonce, deadline, 128n, BigInt(128 + signed.length / 2)].map(encodeWord).join('')
  const collected: Hex = `0x${head}${signed}${encodeBytes(encodeCall('0x', words))}`
  return escrow(encodeCall('0x140f1e75', [...wordsOf(config), amount, permit2Collector], collected))
}

/** Counts what was consumed as the receivers' own; every row or none (wire.md §12.4). */
export function claimCall(claims: readonly VoucherClaim[], authorizerSignature: Hex): Target {
  const rows = encodeList(claims.map(encodeClaim))
  const offsets = `${encodeWord(64n)}${encodeWord(BigInt(64 + rows.length / 2))}`
  return escrow(`0xe43ce1f2${offsets}${rows}${encodeBytes(authorizerSignature)}`)
}

/** The same without a signature, for the receiver or its authorizer to send. */
export function ownClaimCall(claims: readonly VoucherClaim[]): Target {
  return escrow(`0x29237b0c${encodeWord(32n)}${encodeList(claims.map(encodeClaim))}`)
}

/** Pays a receiver what was claimed on all his channels of a token. */
export function settleCall(receiver: Hex, token: Hex): Target {
  return escrow(encodeCall('0x9db32a8f', [receiver, token]))
}

/** A receiver's consent to give money back. */
export type SignedRefund = { readonly amount: bigint; readonly nonce: bigint; readonly signature: Hex }

/** Gives money that is not claimed back to the payer. */
export function refundCall(config: ChannelConfig, { amount, nonce, signature }: SignedRefund): Target {
  return escrow(encodeCall('0xb77433e9', [...wordsOf(config), amount, nonce], signature))
}

/** Calls of the escrow in one: all of them, or none. */
export function togetherCall(calls: readonly Target[]): Target {
  const [only, ...others] = calls
  if (only !== undefined && others.length === 0) return only
  return escrow(`0xac9650d8${encodeWord(32n)}${encodeList(calls.map(({ data }) => encodeBytes(data)))}`)
}

/** The payer's own way out: to be sent by him, and finished after the delay that his channel names. */
export function withdrawCalls(config: ChannelConfig, amount: bigint): { readonly initiate: Target; readonly finalize: Target } {
  const words = wordsOf(config)
  return { initiate: escrow(encodeCall('0xcf5cf3dc', [...words, amount])), finalize: escrow(encodeCall('0xe88377b1', words)) }
}

/** What the escrow says of a channel. `withdrawRequestedAt` in Unix seconds, 0 where nothing is being withdrawn. */
export type EscrowState = {
  readonly balance: bigint
  readonly totalClaimed: bigint
  readonly withdrawing: bigint
  readonly withdrawRequestedAt: number
  readonly refundNonce: bigint
}

/** Asks the escrow of a channel; `stateIn` reads the answers. */
export function stateCalls(channelId: Hex): readonly Target[] {
  return (['0x7a7ebd7b', '0xb7f06ebe', '0xf0dc792e'] as const).map((selector) => escrow(encodeCall(selector, [channelId])))
}

/** The state of a channel in the answers to `stateCalls`, or nothing where no escrow answered. */
export function stateIn([channel, withdrawal, nonce]: readonly CallResult[]): EscrowState | undefined {
  if (channel?.success !== true || withdrawal?.success !== true || nonce?.success !== true) return undefined
  const [balance, totalClaimed] = [decodeWord(channel.data), decodeWord(channel.data, 1)]
  const [withdrawing, since] = [decodeWord(withdrawal.data), decodeWord(withdrawal.data, 1)]
  const refundNonce = decodeWord(nonce.data)
  if (balance === undefined || totalClaimed === undefined || withdrawing === undefined || since === undefined) return undefined
  return refundNonce === undefined ? undefined : { balance, totalClaimed, withdrawing, withdrawRequestedAt: Number(since), refundNonce }
}

/** Asks what a receiver was credited and what he was paid of a token. */
export function receiverCall(receiver: Hex, token: Hex): Target {
  return escrow(encodeCall('0x21ff6389', [receiver, token]))
}

function escrow(data: Hex): Target {
  return { target: batchSettlement, data }
}

function wordsOf(config: ChannelConfig): readonly Word[] {
  const { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt } = config
  return [payer, payerAuthorizer, receiver, receiverAuthorizer, token, BigInt(withdrawDelay), salt]
}

function encodeClaim({ voucher: { channel, maxClaimableAmount }, signature, totalClaimed }: VoucherClaim): string {
  const head = [...wordsOf(channel), maxClaimableAmount].map(encodeWord).join('')
  return `${head}${encodeWord(320n)}${encodeWord(totalClaimed)}${encodeBytes(signature)}`
}
