import { type Hex, keccak, putRight, putUint, toBytes, toHex } from './bytes.ts'

/** The domain an EIP-3009 token's authorizations are signed in (wire.md §7.3). */
export type TokenDomain = { readonly name: string; readonly version: string; readonly chainId: bigint; readonly verifyingContract: string }

/** A transfer as EIP-3009 signs it; amounts and times as integers, `nonce` 32 bytes of hex. */
export type Authorization = {
  readonly from: Hex
  readonly to: Hex
  readonly value: bigint
  readonly validAfter: bigint
  readonly validBefore: bigint
  readonly nonce: Hex
}

/** The revocation of an authorization as EIP-3009 signs it. */
export type Cancellation = { readonly authorizer: Hex; readonly nonce: Hex }

/** The payer's word that this much in all may be claimed from a channel. */
export type Voucher = { readonly channelId: Hex; readonly maxClaimableAmount: bigint }

/** What a receiver signs to give money of a channel back. */
export type Refund = { readonly channelId: Hex; readonly nonce: bigint; readonly amount: bigint }

/** One channel's row in what a receiver signs to claim. */
export type ClaimEntry = Voucher & { readonly totalClaimed: bigint }

/** A transfer as Permit2 signs it for a proxy (wire.md §7.3); `facilitator` in the witness of `upto` alone. */
export type Permit2Transfer = {
  readonly permitted: { readonly token: Hex; readonly amount: bigint }
  readonly spender: Hex
  readonly nonce: bigint
  readonly deadline: bigint
  readonly witness: { readonly to: Hex; readonly facilitator?: Hex | undefined; readonly validAfter: bigint }
}

/** A deposit into a channel as Permit2 signs it: the witness names the channel, and nothing else may take the tokens. */
export type Permit2Deposit = Omit<Permit2Transfer, 'witness'> & { readonly witness: { readonly channelId: Hex } }

/** An allowance as EIP-2612 signs it. */
export type TokenPermit = {
  readonly owner: Hex
  readonly spender: Hex
  readonly value: bigint
  readonly nonce: bigint
  readonly deadline: bigint
}

/** What a seller says of an offer or of a payment, as EIP-712 signs it (wire.md §16.4). */
export type StatementMessage =
  | {
      readonly primaryType: 'Offer'
      readonly message: { readonly version: bigint; readonly validUntil: bigint } & Readonly<
        Record<'resourceUrl' | 'scheme' | 'network' | 'asset' | 'payTo' | 'amount', string>
      >
    }
  | {
      readonly primaryType: 'Receipt'
      readonly message: { readonly version: bigint; readonly issuedAt: bigint } & Readonly<
        Record<'network' | 'resourceUrl' | 'payer' | 'transaction', string>
      >
    }

/** EIP-712 typed data, complete with `EIP712Domain`, as `eth_signTypedData_v4` and every wallet library take it (H20). */
export type TypedData = {
  readonly domain: { readonly name: string; readonly version?: string; readonly chainId: number; readonly verifyingContract?: Hex }
  readonly types: Readonly<Record<string, readonly { readonly name: string; readonly type: string }[]>>
} & (
  | { readonly primaryType: 'TransferWithAuthorization'; readonly message: Authorization }
  | { readonly primaryType: 'CancelAuthorization'; readonly message: Cancellation }
  | { readonly primaryType: 'ReceiveWithAuthorization'; readonly message: Authorization }
  | { readonly primaryType: 'Voucher'; readonly message: Voucher }
  | { readonly primaryType: 'Refund'; readonly message: Refund }
  | { readonly primaryType: 'ClaimBatch'; readonly message: { readonly claims: readonly ClaimEntry[] } }
  | { readonly primaryType: 'PermitWitnessTransferFrom'; readonly message: Permit2Transfer | Permit2Deposit }
  | { readonly primaryType: 'Permit'; readonly message: TokenPermit }
  | StatementMessage
)

/** The members of a token's domain. */
export const domainFields = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]
const transferFields = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'validAfter', type: 'uint256' },
  { name: 'validBefore', type: 'uint256' },
  { name: 'nonce', type: 'bytes32' },
]
const permitFields = [
  { name: 'owner', type: 'address' },
  { name: 'spender', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'nonce', type: 'uint256' },
  { name: 'deadline', type: 'uint256' },
]
const cancellationFields = [
  { name: 'authorizer', type: 'address' },
  { name: 'nonce', type: 'bytes32' },
]

// keccak256 of "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)".
const domainType = toBytes('0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f')
// wire.md §20.
const transferType = toBytes('0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267')
const receiveType = '0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8'
// keccak256 of "CancelAuthorization(address authorizer,bytes32 nonce)".
const cancellationType = '0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429'
// keccak256 of "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)".
const permitType = '0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9'

const separators = new Map<string, Uint8Array>()
const mostSeparators = 256

/** The domain separator of a token; kept, for at most 256 domains at a time. */
export function domainSeparator(domain: TokenDomain): Uint8Array {
  const { name, version, chainId, verifyingContract } = domain
  const id = JSON.stringify([name, version, chainId.toString(), verifyingContract.toLowerCase()])
  const kept = separators.get(id)
  if (kept !== undefined) return kept
  const words = new Uint8Array(160)
  words.set(domainType)
  words.set(keccak(utf8.encode(name)), 32)
  words.set(keccak(utf8.encode(version)), 64)
  putUint(words, chainId, 96)
  putRight(words, toBytes(verifyingContract), 128)
  const separator = keccak(words)
  const [oldest] = separators.keys()
  if (separators.size >= mostSeparators && oldest !== undefined) separators.delete(oldest)
  separators.set(id, separator)
  return separator
}

/** The digest of a `TransferWithAuthorization` that the payer signs. */
export function transferDigest(domain: TokenDomain, authorization: Authorization): Uint8Array {
  return authorizationDigest(domain, { type: transferType, authorization })
}

/** The digest of a `ReceiveWithAuthorization`: the same transfer, which its receiver alone may send. */
export function receiveDigest(domain: TokenDomain, authorization: Authorization): Uint8Array {
  return authorizationDigest(domain, { type: toBytes(receiveType), authorization })
}

function authorizationDigest(
  domain: TokenDomain,
  { type, authorization }: { readonly type: Uint8Array; readonly authorization: Authorization },
): Uint8Array {
  const words = new Uint8Array(224)
  words.set(type)
  putRight(words, toBytes(authorization.from), 32)
  putRight(words, toBytes(authorization.to), 64)
  putUint(words, authorization.value, 96)
  putUint(words, authorization.validAfter, 128)
  putUint(words, authorization.validBefore, 160)
  words.set(toBytes(authorization.nonce), 192)
  return typedDigest(domainSeparator(domain), words)
}

/** The digest of a `CancelAuthorization` that the payer signs. */
export function cancellationDigest(domain: TokenDomain, { authorizer, nonce }: Cancellation): Uint8Array {
  const words = new Uint8Array(96)
  words.set(toBytes(cancellationType))
  putRight(words, toBytes(authorizer), 32)
  words.set(toBytes(nonce), 64)
  return typedDigest(domainSeparator(domain), words)
}

/** The digest of an EIP-2612 `Permit` that the owner of tokens signs. */
export function permitDigest(domain: TokenDomain, { owner, spender, value, nonce, deadline }: TokenPermit): Uint8Array {
  const words = new Uint8Array(192)
  words.set(toBytes(permitType))
  putRight(words, toBytes(owner), 32)
  putRight(words, toBytes(spender), 64)
  putUint(words, value, 96)
  putUint(words, nonce, 128)
  putUint(words, deadline, 160)
  return typedDigest(domainSeparator(domain), words)
}

/** The digest of a struct, given as its type hash and encoded members, in the domain of `separator`. */
export function typedDigest(separator: Uint8Array, words: Uint8Array): Uint8Array {
  return typedDigests(separator)(words)
}

/** The digests of structs in one domain. */
export function typedDigests(separator: Uint8Array): (words: Uint8Array) => Uint8Array {
  const message = new Uint8Array(66)
  message.set([0x19, 0x01])
  message.set(separator, 2)
  return (words) => {
    message.set(keccak(words), 34)
    return keccak(message)
  }
}

/** The same as typed data, for signers that make the digest themselves. */
export function transferTypedData(domain: TokenDomain, message: Authorization): TypedData {
  const types = { EIP712Domain: domainFields, TransferWithAuthorization: transferFields }
  return { domain: typedDomain(domain), types, primaryType: 'TransferWithAuthorization', message }
}

/** A transfer that its receiver alone may send, as typed data. */
export function receiveTypedData(domain: TokenDomain, message: Authorization): TypedData {
  const types = { EIP712Domain: domainFields, ReceiveWithAuthorization: transferFields }
  return { domain: typedDomain(domain), types, primaryType: 'ReceiveWithAuthorization', message }
}

/** A revocation as typed data. */
export function cancellationTypedData(domain: TokenDomain, message: Cancellation): TypedData {
  const types = { EIP712Domain: domainFields, CancelAuthorization: cancellationFields }
  return { domain: typedDomain(domain), types, primaryType: 'CancelAuthorization', message }
}

/** An allowance as typed data. */
export function permitTypedData(domain: TokenDomain, message: TokenPermit): TypedData {
  const types = { EIP712Domain: domainFields, Permit: permitFields }
  return { domain: typedDomain(domain), types, primaryType: 'Permit', message }
}

/** A token's domain as typed data has it. */
export function typedDomain({ name, version, chainId, verifyingContract }: TokenDomain): TypedData['domain'] {
  return { name, version, chainId: Number(chainId), verifyingContract: toHex(toBytes(verifyingContract)) }
}

const utf8 = new TextEncoder()
