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

/** EIP-712 typed data, complete with `EIP712Domain`, as `eth_signTypedData_v4` and every wallet library take it (H20). */
export type TypedData = {
  readonly domain: { readonly name: string; readonly version: string; readonly chainId: number; readonly verifyingContract: Hex }
  readonly types: Readonly<Record<string, readonly { readonly name: string; readonly type: string }[]>>
} & (
  | { readonly primaryType: 'TransferWithAuthorization'; readonly message: Authorization }
  | { readonly primaryType: 'CancelAuthorization'; readonly message: Cancellation }
)

const domainFields = [
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
const cancellationFields = [
  { name: 'authorizer', type: 'address' },
  { name: 'nonce', type: 'bytes32' },
]

// keccak256 of "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)".
const domainType = toBytes('0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f')
// wire.md §20.
const transferType = toBytes('0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267')
// keccak256 of "CancelAuthorization(address authorizer,bytes32 nonce)".
const cancellationType = '0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429'

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
  const words = new Uint8Array(224)
  words.set(transferType)
  putRight(words, toBytes(authorization.from), 32)
  putRight(words, toBytes(authorization.to), 64)
  putUint(words, authorization.value, 96)
  putUint(words, authorization.validAfter, 128)
  putUint(words, authorization.validBefore, 160)
  words.set(toBytes(authorization.nonce), 192)
  return digestOf(domain, words)
}

/** The digest of a `CancelAuthorization` that the payer signs. */
export function cancellationDigest(domain: TokenDomain, { authorizer, nonce }: Cancellation): Uint8Array {
  const words = new Uint8Array(96)
  words.set(toBytes(cancellationType))
  putRight(words, toBytes(authorizer), 32)
  words.set(toBytes(nonce), 64)
  return digestOf(domain, words)
}

function digestOf(domain: TokenDomain, words: Uint8Array): Uint8Array {
  const message = new Uint8Array(66)
  message.set([0x19, 0x01])
  message.set(domainSeparator(domain), 2)
  message.set(keccak(words), 34)
  return keccak(message)
}

/** The same as typed data, for signers that make the digest themselves. */
export function transferTypedData(domain: TokenDomain, message: Authorization): TypedData {
  const types = { EIP712Domain: domainFields, TransferWithAuthorization: transferFields }
  return { domain: typedDomain(domain), types, primaryType: 'TransferWithAuthorization', message }
}

/** A revocation as typed data. */
export function cancellationTypedData(domain: TokenDomain, message: Cancellation): TypedData {
  const types = { EIP712Domain: domainFields, CancelAuthorization: cancellationFields }
  return { domain: typedDomain(domain), types, primaryType: 'CancelAuthorization', message }
}

function typedDomain({ name, version, chainId, verifyingContract }: TokenDomain): TypedData['domain'] {
  return { name, version, chainId: Number(chainId), verifyingContract: toHex(toBytes(verifyingContract)) }
}

const utf8 = new TextEncoder()
