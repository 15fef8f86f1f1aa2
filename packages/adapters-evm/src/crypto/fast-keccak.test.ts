import { keccak_256 } from '@noble/hashes/sha3'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { keccak, toHex } from './bytes.ts'
import { hastenKeccak } from './fast-keccak.ts'

it('hashes by WebAssembly what plain JavaScript hashes, of every length', async () => {
  const plain = keccak(new Uint8Array())
  expect(await hastenKeccak()).toBe(true)
  expect(toHex(plain)).toBe('0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470')
  fc.assert(fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => toHex(keccak(bytes)) === toHex(keccak_256(bytes))))
  for (let length = 0; length < 300; length += 1) {
    const bytes = new Uint8Array(length).fill(length)
    expect(toHex(keccak(bytes)), `${length}`).toBe(toHex(keccak_256(bytes)))
  }
})

it('gives every caller a hash of his own', () => {
  const [one, other] = [keccak(new Uint8Array(1)), keccak(new Uint8Array(2))]
  expect(toHex(one)).toBe(toHex(keccak_256(new Uint8Array(1))))
  expect(one.buffer).not.toBe(other.buffer)
  expect(one.byteLength).toBe(one.buffer.byteLength)
})
