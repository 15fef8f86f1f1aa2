import { keccak_256 } from '@noble/hashes/sha3'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils'

/** Text that begins with `0x`. */
export type Hex = `0x${string}`

/** Hex of bytes, with `0x`. */
export function toHex(bytes: Uint8Array): Hex {
  if (typeof Buffer !== 'undefined') return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`
  return `0x${bytesToHex(bytes)}`
}

/** The bytes of hex with `0x`, of even length. */
export function toBytes(hex: string): Uint8Array {
  const digits = hex.slice(2)
  if (typeof Buffer !== 'undefined') {
    const bytes = new Uint8Array(digits.length >> 1)
    // Node stops without a word at what is no hex; the other reader says so.
    if (Buffer.from(bytes.buffer).write(digits, 'hex') * 2 === digits.length) return bytes
  }
  return hexToBytes(digits)
}

/**
 * Reads hex of so many bytes into the same memory each time, for bytes that are only looked at; nothing for hex of another length. Memory of
 * their own for each takes longer than all else of reading them.
 */
export function bytesReader(length: number): (hex: string) => Uint8Array | undefined {
  if (typeof Buffer === 'undefined') return (hex) => (hex.length === 2 + 2 * length ? hexToBytes(hex.slice(2)) : undefined)
  const bytes = Buffer.alloc(length)
  return (hex) => (hex.length === 2 + 2 * length && bytes.write(hex.slice(2), 'hex') === length ? bytes : undefined)
}

// Not the plain one from the start: then who hashes nothing would load it as well.
let faster: ((bytes: Uint8Array) => Uint8Array) | undefined

/** keccak256 of bytes. */
export function keccak(bytes: Uint8Array): Uint8Array {
  return (faster ?? keccak_256)(bytes)
}

/** Lets another function that gives the same hashes take the place of the one in plain JavaScript. */
export function setKeccak(hash: (bytes: Uint8Array) => Uint8Array): void {
  faster = hash
}

/** Writes `value` as a 256-bit word at `offset`. */
export function putUint(target: Uint8Array, value: bigint, offset: number): void {
  const view = new DataView(target.buffer, target.byteOffset + offset, 32)
  for (let part = 3, rest = value; part >= 0; part -= 1, rest >>= 64n) view.setBigUint64(part * 8, rest & 0xffff_ffff_ffff_ffffn)
}

/** Writes bytes at the end of the 256-bit word at `offset`, as an address stands in it. */
export function putRight(target: Uint8Array, bytes: Uint8Array, offset: number): void {
  target.set(bytes, offset + 32 - bytes.length)
}
