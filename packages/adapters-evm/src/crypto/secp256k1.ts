import { secp256k1 as curve } from '@noble/curves/secp256k1'
import { keccak, toBytes, toHex } from './bytes.ts'

/** What is asked of the curve; `name` says which implementation it is. Signatures are 65 bytes: r, s, and v of 27 or 28. */
export interface Secp256k1 {
  readonly name: string
  /** The uncompressed public key (65 bytes), or nothing for a private key out of range. */
  publicKey(privateKey: Uint8Array): Uint8Array | undefined
  /** A deterministic signature (RFC 6979) with s in the lower half. */
  sign(digest: Uint8Array, privateKey: Uint8Array): Uint8Array
  /** The uncompressed public key that signed, or nothing. `signature` has v of 27 or 28. */
  recover(digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined
  /** What is faster than `recover` for keys that sign often. */
  readonly often?: KnownKeys
}

/** Keys of which something is kept: each from so many signatures on, and no more than `most` of them. */
export type KnownKeys = {
  readonly from: number
  readonly most: number
  /** Says whether a key signed. v may be any, though by the wrong one contracts recover another key (see `recoverable`). */
  judgeOf(publicKey: Uint8Array): Judge
}

/** Says whether the one that it is of made a signature. */
export type Judge = (digest: Uint8Array, signature: Uint8Array) => boolean

/** The curve in plain JavaScript: runs everywhere. */
export const nobleSecp256k1: Secp256k1 = {
  name: 'noble',
  publicKey(privateKey) {
    return curve.utils.isValidPrivateKey(privateKey) ? curve.getPublicKey(privateKey, false) : undefined
  },
  sign(digest, privateKey) {
    const { r, s, recovery } = curve.sign(digest, privateKey, { lowS: true })
    const signature = new Uint8Array(65)
    signature.set(new curve.Signature(r, s).toCompactRawBytes())
    signature[64] = 27 + recovery
    return signature
  },
  recover(digest, signature) {
    try {
      const recovery = (signature[64] ?? 0) - 27
      return curve.Signature.fromCompact(signature.subarray(0, 64)).addRecoveryBit(recovery).recoverPublicKey(digest).toRawBytes(false)
    } catch {
      // A point that is not on the curve: nobody signed this.
      return undefined
    }
  },
}

/** The address of an uncompressed public key, in lower case. */
export function addressOf(publicKey: Uint8Array): string {
  return toHex(keccak(publicKey.subarray(1)).subarray(12))
}

// Half the order of the curve: tokens refuse a larger s, since each signature has such a twin (EIP-2).
const halfOrder = toBytes(`0x${(curve.CURVE.n / 2n).toString(16)}`)

/**
 * A 65-byte signature as contracts take it: v of 27 or 28 (0 and 1 are read as those) and s in the lower half; nothing
 * for any other. One that is so already is given back itself.
 */
export function canonicalSignature(signature: Uint8Array): Uint8Array | undefined {
  const v = signature[64]
  if (signature.length !== 65 || v === undefined) return undefined
  const recovery = v < 27 ? v : v - 27
  if (recovery > 1) return undefined
  const at = halfOrder.findIndex((byte, index) => byte !== signature[32 + index])
  if (at >= 0 && (signature[32 + at] ?? 0) > (halfOrder[at] ?? 0)) return undefined
  if (v === 27 + recovery) return signature
  // Not by `slice`, by which a Buffer would share its bytes.
  const canonical = new Uint8Array(signature)
  canonical[64] = 27 + recovery
  return canonical
}
