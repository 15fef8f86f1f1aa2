import { type Hex, keccak, toBytes, toHex } from '../crypto/bytes.ts'

/** An EIP-1559 transaction; `value` in wei, fees in wei per gas. */
export type Transaction = {
  readonly chainId: bigint
  readonly nonce: bigint
  readonly maxPriorityFeePerGas: bigint
  readonly maxFeePerGas: bigint
  readonly gas: bigint
  readonly to: Hex
  readonly value: bigint
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

/** What signed bytes say, or nothing for bytes that are no EIP-1559 transaction. */
export function readTransaction(bytes: Hex): Transaction | undefined {
  if (!bytes.startsWith('0x02')) return undefined
  const [chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas, to, value, data] = items(bytes.slice(4))
  if (data === undefined || to === undefined) return undefined
  const integerOf = (hex: string | undefined): bigint => (hex === undefined || hex === '' ? 0n : BigInt(`0x${hex}`))
  return {
    chainId: integerOf(chainId),
    nonce: integerOf(nonce),
    maxPriorityFeePerGas: integerOf(maxPriorityFeePerGas),
    maxFeePerGas: integerOf(maxFeePerGas),
    gas: integerOf(gas),
    to: `0x${to}`,
    value: integerOf(value),
    data: `0x${data}`,
  }
}

/** A transaction with its signature: 65 bytes with v of 27 or 28. */
export type Signed = { readonly transaction: Transaction; readonly signature: Uint8Array }

/**
 * What signed bytes say and who is to be asked whether he signed them; nothing for any spelling but the one that chains take, and for a
 * transaction with an access list.
 */
export function readSigned(bytes: Hex): Signed | undefined {
  const transaction = readTransaction(bytes)
  const [, , , , , , , , , parity = '', r = '', s = ''] = items(bytes.slice(4))
  if (transaction === undefined || parity.length > 2 || r.length > 64 || s.length > 64) return undefined
  const v = (parity === '' ? 0 : Number.parseInt(parity, 16)) + 27
  const signature = toBytes(`0x${r.padStart(64, '0')}${s.padStart(64, '0')}${v.toString(16).padStart(2, '0')}`)
  return v <= 28 && signedTransaction(transaction, signature) === bytes.toLowerCase() ? { transaction, signature } : undefined
}

function fields({ chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas, to, value, data }: Transaction): string[] {
  const noAccessList = list([])
  return [
    integer(chainId),
    integer(nonce),
    integer(maxPriorityFeePerGas),
    integer(maxFeePerGas),
    integer(gas),
    text(to),
    integer(value),
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

/** The contents of the members of a list, of which one may be a list itself. */
function items(digits: string): string[] {
  const found: string[] = []
  for (let at = contentOf(digits, 0).start; at < digits.length; ) {
    const { start, end } = contentOf(digits, at)
    found.push(digits.slice(start, end))
    at = end
  }
  return found
}

/** Where the content of the item at `at` starts and ends, in hex digits. */
function contentOf(digits: string, at: number): { readonly start: number; readonly end: number } {
  const tag = Number.parseInt(digits.slice(at, at + 2), 16)
  if (tag < 0x80) return { start: at, end: at + 2 }
  const base = tag < 0xc0 ? 0x80 : 0xc0
  const short = tag - base
  if (short <= 55) return { start: at + 2, end: at + 2 + 2 * short }
  const start = at + 2 + 2 * (short - 55)
  return { start, end: start + 2 * Number.parseInt(digits.slice(at + 2, start), 16) }
}
