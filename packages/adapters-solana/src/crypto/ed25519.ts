import { sameBytes } from '../chain/address.ts'

/** What is to be verified: 64 bytes over a message, by the key of 32 bytes. */
export type Signed = { readonly signature: Uint8Array; readonly message: Uint8Array; readonly publicKey: Uint8Array }

/** Ed25519 as this process has it; `seed` is the private key of 32 bytes. */
export interface Ed25519 {
  readonly name: 'node' | 'webcrypto'
  sign(message: Uint8Array, seed: Uint8Array): Promise<Uint8Array>
  verify(signed: Signed): boolean | Promise<boolean>
}

/** Node's own cryptography where there is one, else that of the web, which is slower to call. */
export function fastestEd25519(): Ed25519 {
  const node = globalThis.process?.getBuiltinModule?.('node:crypto')
  return node === undefined ? webEd25519 : nodeEd25519(node)
}

function nodeEd25519({ createPrivateKey, createPublicKey, sign, verify }: typeof import('node:crypto')): Ed25519 {
  return {
    name: 'node',
    async sign(message, seed) {
      const key = createPrivateKey({ key: Buffer.from(asPkcs8(seed)), format: 'der', type: 'pkcs8' })
      return new Uint8Array(sign(null, message, key))
    },
    verify(signed) {
      if (!isStrict(signed)) return false
      const { signature, message, publicKey } = signed
      // A JWK is imported ten times as fast as the same key in DER.
      const key = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') }
      try {
        return verify(null, message, createPublicKey({ key, format: 'jwk' }), signature)
      } catch {
        // Thrown for a key that is no point of the curve, and for nothing else that reaches it.
        return false
      }
    },
  }
}

/** The web's cryptography, which every runtime has that is no Node. */
export const webEd25519: Ed25519 = {
  name: 'webcrypto',
  async sign(message, seed) {
    const key = await crypto.subtle.importKey('pkcs8', asPkcs8(seed), 'Ed25519', false, ['sign'])
    return new Uint8Array(await crypto.subtle.sign('Ed25519', key, new Uint8Array(message)))
  },
  async verify(signed) {
    if (!isStrict(signed)) return false
    const [signature, message, publicKey] = [signed.signature, signed.message, signed.publicKey].map((bytes) => new Uint8Array(bytes))
    if (signature === undefined || message === undefined || publicKey === undefined) return false
    try {
      const key = await crypto.subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify'])
      return await crypto.subtle.verify('Ed25519', key, signature, message)
    } catch {
      return false
    }
  },
}

// RFC 8410: what stands before the 32 bytes of a private key.
const pkcs8Prefix = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20]

function asPkcs8(seed: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...pkcs8Prefix, ...seed])
}

/** The points of order 1, 2, 4 and 8, in every encoding below 2^255, without the sign bit. */
const smallOrder: readonly Uint8Array[] = [
  `00${'00'.repeat(31)}`,
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
].map((hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)))

/**
 * Whether validators would look at the signature at all: they refuse keys and nonces of small order, which the platform's
 * cryptography takes. A payer who signs so would pass here, be served, and never be settled.
 */
function isStrict({ signature, publicKey }: Signed): boolean {
  return signature.length === 64 && publicKey.length === 32 && !isSmall(publicKey) && !isSmall(signature.subarray(0, 32))
}

function isSmall(point: Uint8Array): boolean {
  // Seldom more than a glance: the first bytes of these points are rare.
  const unsigned = (): Uint8Array => Uint8Array.from(point, (byte, at) => (at === 31 ? byte & 0x7f : byte))
  return smallOrder.some((small) => small[0] === point[0] && small[1] === point[1] && sameBytes(small, unsigned()))
}
