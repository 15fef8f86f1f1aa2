import { type Hex, keccak, toBytes, toHex } from '../crypto/bytes.ts'

/** An EIP-1559 transaction that carries no ether; fees in wei per gas. */
export type Transaction = {
  readonly chainId: bigint
  readonly nonce: bigint
  readonly maxPriorityFeePerGas: bigint
  readonly maxFeePerGas: bigint
  readonly gas: bigint
  readonly to: Hex
  readonly data: Hex
}

/** The digest its sender signs. */
export function transactionDigest(transaction: Transaction): Uint8Array {
  return keccak(toBytes(typed(fields(transaction))))
}

/** The bytes that are sent; `signature` is 65 bytes with v of 27 or 28. */
export function signedTransaction(transaction: Transaction, signature: Uint8Array): Hex {
  const r = BigInt(toHex(signature.subarray(0, 32)))
  const s = BigInt(toHex(signature.subarray(32, 64)))
  const parity = (signature[64] ?? 0) - 27
  return typed([...fields(transaction), integer(BigInt(parity)), integer(r), integer(s)])
}

/** The hash by which a chain knows signed bytes. */
export function transactionHash(bytes: Hex): Hex {
  return toHex(keccak(toBytes(bytes)))
}

function fields({ chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas, to, data }: Transaction): string[] {
  const noEther = integer(0n)
  const noAccessList = list([])
  return [
    integer(chainId),
    integer(nonce),
    integer(maxPriorityFeePerGas),
    integer(maxFeePerGas),
    integer(gas),
    text(to),
    noEther,
    text(data),
    noAccessList,
  ]
}

function typed(items: readonly string[]): Hex {
  return `0x02${list(items)}`
}

// RLP: integers without leading zeros, a short byte as itself, everything else behind its length.
function integer(value: bigint): string {
  if (value === 0n) return text('0x')
  const digits = value.toString(16)
  return text(`0x${digits.length % 2 === 0 ? digits : `0${digits}`}`)
}

function text(hex: Hex): string {
  const digits = hex.slice(2).toLowerCase()
  return digits.length === 2 && digits < '80' ? digits : `${prefix(digits.length / 2, 0x80)}${digits}`
}

function list(items: readonly string[]): string {
  const body = items.join('')
  return `${prefix(body.length / 2, 0xc0)}${body}`
}

function prefix(length: number, base: number): string {
  if (length <= 55) return (base + length).toString(16)
  const digits = length.toString(16)
  const even = digits.length % 2 === 0 ? digits : `0${digits}`
  return `${(base + 55 + even.length / 2).toString(16)}${even}`
}
