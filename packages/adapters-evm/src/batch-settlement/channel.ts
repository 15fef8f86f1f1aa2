import { type Hex, keccak, putRight, putUint, toBytes, toHex } from '../crypto/bytes.ts'
import {
  type ClaimEntry,
  domainFields,
  domainSeparator,
  type Refund,
  type TokenDomain,
  type TypedData,
  typedDigest,
  typedDigests,
  typedDomain,
  type Voucher,
} from '../crypto/eip712.ts'

/** The escrow of all channels, at one address on every chain (wire.md §7.1). */
export const batchSettlement = '0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003'

/** What makes a channel; all of it is fixed in the channel's id. `withdrawDelay` in seconds. */
export type ChannelConfig = {
  readonly payer: Hex
  readonly payerAuthorizer: Hex
  readonly receiver: Hex
  readonly receiverAuthorizer: Hex
  readonly token: Hex
  readonly withdrawDelay: number
  readonly salt: Hex
}

/** The domain in which channels, vouchers, claims and refunds are signed. */
export function batchDomain(chainId: bigint): TokenDomain {
  return { name: 'x402 Batch Settlement', version: '1', chainId, verifyingContract: batchSettlement }
}

/** The id of a channel, in lower case: it binds the chain and the contract too. */
export function channelIdOf(chainId: bigint, config: ChannelConfig): Hex {
  return toHex(digest(chainId, channelWords(config)))
}

/** The digest of a channel's voucher for this much in all. */
export type VoucherDigest = (maxClaimableAmount: bigint) => Uint8Array

/** The digests of one channel's vouchers: all but the amount is written once. */
export function voucherDigests(chainId: bigint, channelId: Hex): VoucherDigest {
  const words = structWords(voucherType, [channelId, 0n])
  const digestOf = typedDigests(domainSeparator(batchDomain(chainId)))
  return (maxClaimableAmount) => {
    putUint(words, maxClaimableAmount, 64)
    return digestOf(words)
  }
}

/** The digest of a voucher. */
export function voucherDigest(chainId: bigint, { channelId, maxClaimableAmount }: Voucher): Uint8Array {
  return voucherDigests(chainId, channelId)(maxClaimableAmount)
}

/** The digest of a refund. */
export function refundDigest(chainId: bigint, { channelId, nonce, amount }: Refund): Uint8Array {
  return digest(chainId, structWords(refundType, [channelId, nonce, amount]))
}

/** The digest of a batch of claims. */
export function claimBatchDigest(chainId: bigint, claims: readonly ClaimEntry[]): Uint8Array {
  const rows = new Uint8Array(32 * claims.length)
  for (const [index, { channelId, maxClaimableAmount, totalClaimed }] of claims.entries()) {
    rows.set(keccak(structWords(claimEntryType, [channelId, maxClaimableAmount, totalClaimed])), 32 * index)
  }
  return digest(chainId, structWords(claimBatchType, [toHex(keccak(rows))]))
}

/** The nonce that ties an EIP-3009 deposit to its channel: nobody can bring it into another one. */
export function depositNonce(channelId: Hex, salt: bigint): Hex {
  const words = new Uint8Array(64)
  words.set(toBytes(channelId))
  putUint(words, salt, 32)
  return toHex(keccak(words))
}

/** A voucher as typed data, for signers that make the digest themselves. */
export function voucherTypedData(chainId: bigint, message: Voucher): TypedData {
  return { ...typed(chainId, { Voucher: voucherFields }), primaryType: 'Voucher', message }
}

/** A refund as typed data. */
export function refundTypedData(chainId: bigint, message: Refund): TypedData {
  return { ...typed(chainId, { Refund: refundFields }), primaryType: 'Refund', message }
}

/** A batch of claims as typed data. */
export function claimBatchTypedData(chainId: bigint, claims: readonly ClaimEntry[]): TypedData {
  const types = { ClaimBatch: [{ name: 'claims', type: 'ClaimEntry[]' }], ClaimEntry: claimEntryFields }
  return { ...typed(chainId, types), primaryType: 'ClaimBatch', message: { claims } }
}

// wire.md §20.
const channelConfigType = toBytes('0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308')
const voucherType = toBytes('0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69')
const refundType = toBytes('0xbe23ad087435072cd69b49cc5b92de10ee610fce7ae0ab428307972d764bb216')
const claimBatchType = toBytes('0x42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57')
const claimEntryType = toBytes('0x30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5')

const voucherFields = [
  { name: 'channelId', type: 'bytes32' },
  { name: 'maxClaimableAmount', type: 'uint128' },
]
const refundFields = [
  { name: 'channelId', type: 'bytes32' },
  { name: 'nonce', type: 'uint256' },
  { name: 'amount', type: 'uint128' },
]
const claimEntryFields = [...voucherFields, { name: 'totalClaimed', type: 'uint128' }]

function digest(chainId: bigint, words: Uint8Array): Uint8Array {
  return typedDigest(domainSeparator(batchDomain(chainId)), words)
}

function typed(chainId: bigint, types: TypedData['types']): Pick<TypedData, 'domain' | 'types'> {
  return { domain: typedDomain(batchDomain(chainId)), types: { EIP712Domain: domainFields, ...types } }
}

function channelWords({ payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt }: ChannelConfig): Uint8Array {
  return structWords(channelConfigType, [payer, payerAuthorizer, receiver, receiverAuthorizer, token, BigInt(withdrawDelay), salt])
}

/** A type hash and the members of its struct: integers, addresses and 32 bytes of hex, each in one word. */
function structWords(type: Uint8Array, members: readonly (bigint | Hex)[]): Uint8Array {
  const words = new Uint8Array(32 * (members.length + 1))
  words.set(type)
  for (const [index, member] of members.entries()) {
    if (typeof member === 'bigint') putUint(words, member, 32 * (index + 1))
    else putRight(words, toBytes(member), 32 * (index + 1))
  }
  return words
}
