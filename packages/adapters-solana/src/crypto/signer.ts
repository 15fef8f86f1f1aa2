import { ed25519 } from '@noble/curves/ed25519'
import * as z from 'zod/mini'
import { sameBytes } from '../chain/address.ts'
import { decodeBase58, encodeBase58 } from '../chain/base58.ts'
import { solanaErrors } from '../chain/errors.ts'
import { fastestEd25519 } from './ed25519.ts'

/** An account that signs messages of transactions. */
export interface SolanaSender {
  readonly address: string
  /** The signature of 64 bytes over the bytes of a message. */
  sign(message: Uint8Array): Promise<Uint8Array>
}

/** A secret key as tools write it: 64 bytes in base58, a JSON array of them, or a seed of 32 bytes in either form or as bytes. */
export type SecretKey = string | Uint8Array

/**
 * An account from its secret key, which stays inside.
 *
 * Errors: `config/bad-secret-key`, which does not show the value.
 */
export function secretKeySender(secretKey: SecretKey): SolanaSender {
  const bytes = typeof secretKey === 'string' ? readSecret(secretKey.trim()) : secretKey
  if (bytes?.length !== 64 && bytes?.length !== 32) throw solanaErrors('config/bad-secret-key', {})
  const seed = Uint8Array.from(bytes.subarray(0, 32))
  const publicKey = ed25519.getPublicKey(seed)
  // The second half repeats the public key: one that differs is a damaged key, or no key at all.
  if (bytes.length === 64 && !sameBytes(bytes.subarray(32), publicKey)) throw solanaErrors('config/bad-secret-key', {})
  const crypto = fastestEd25519()
  return { address: encodeBase58(publicKey), sign: (message) => crypto.sign(message, seed) }
}

/** Who signs: an account as it is, or one from its secret key. Errors: `config/bad-secret-key`. */
export function senderOf(signer: SecretKey | SolanaSender): SolanaSender {
  return typeof signer === 'string' || signer instanceof Uint8Array ? secretKeySender(signer) : signer
}

const byte = z.int().check(z.nonnegative(), z.maximum(255))
const byteList = z.array(byte).check(z.maxLength(64))

function readSecret(text: string): Uint8Array | undefined {
  if (!text.startsWith('[')) return decodeBase58(text)
  const numbers = z.safeParse(
    byteList,
    text
      .slice(1, text.endsWith(']') ? -1 : 0)
      .split(',')
      .map((part) => (/^\s*\d{1,3}\s*$/.test(part) ? Number(part) : undefined)),
  )
  return numbers.success ? Uint8Array.from(numbers.data) : undefined
}
