import { sha256 } from '@noble/hashes/sha2'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils'

const label = utf8ToBytes('flow402x nonce 1\n')

/** How many bytes of a committing nonce are random. */
export const nonceSalt = 12

/**
 * A nonce that commits an authorization to one request (M2): the salt and the first 20 bytes of the SHA-256 of label, salt and
 * `binding` (`requestBinding`). To the token and to everybody else it is a nonce like any other.
 */
export function committingNonce(salt: Uint8Array, binding: string): `0x${string}` {
  const digest = sha256(concatBytes(label, salt, utf8ToBytes(binding)))
  return `0x${bytesToHex(salt)}${bytesToHex(digest.subarray(0, 32 - nonceSalt))}`
}

/** Whether the payer made this nonce for the request of `binding`. */
export function commitsTo(nonce: string, binding: string): boolean {
  return committingNonce(hexToBytes(nonce.slice(2, 2 + 2 * nonceSalt)), binding) === nonce.toLowerCase()
}
