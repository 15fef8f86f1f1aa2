import { addressBytes } from '../chain/address.ts'

/** The bytes of an address; zeros for what is none, which no program accepts. */
export function bytesOf(named: string): Uint8Array {
  return addressBytes(named) ?? new Uint8Array(32)
}

/** Parts one after the other. */
export function joined(parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

/** A number in eight bytes, as the program reads it: lowest first. */
export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

/** A number in four bytes. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

/** A number in two bytes. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}
