import { ed25519 } from '@noble/curves/ed25519'
import { sha512 } from '@noble/hashes/sha2'
import { concatBytes } from '@noble/hashes/utils'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fastestEd25519, webEd25519 } from './ed25519.ts'

const both = [fastestEd25519(), webEd25519]
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

describe.each(both)('Ed25519 of $name', (curve) => {
  it('signs and verifies as the reference does', async () => {
    await fc.assert(
      fc.asyncProperty(bytes(32), fc.uint8Array({ maxLength: 400 }), fc.nat(), async (seed, message, flip) => {
        const publicKey = ed25519.getPublicKey(seed)
        const signature = await curve.sign(message, seed)
        expect(signature).toEqual(ed25519.sign(message, seed))
        expect(await curve.verify({ signature, message, publicKey })).toBe(true)
        const broken = Uint8Array.from(signature, (byte, at) => (at === flip % 64 ? byte ^ 1 : byte))
        expect(await curve.verify({ signature: broken, message, publicKey })).toBe(false)
        expect(await curve.verify({ signature, message: Uint8Array.from([...message, 0]), publicKey })).toBe(false)
      }),
      { numRuns: 50 },
    )
  })

  it('never throws, whatever it is given', async () => {
    const sizes = fc.oneof(bytes(64), fc.uint8Array({ maxLength: 70 }))
    await fc.assert(
      fc.asyncProperty(sizes, fc.oneof(bytes(32), fc.uint8Array({ maxLength: 40 })), async (signature, publicKey) => {
        expect(await curve.verify({ signature, publicKey, message: new Uint8Array(3) })).toBe(false)
      }),
      { numRuns: 300 },
    )
  })

  it('refuses keys and nonces of small order, which validators refuse', async () => {
    const message = new TextEncoder().encode('paid')
    const torsion = ed25519.ExtendedPoint.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
    for (let times = 0n; times < 8n; times += 1n) {
      const point = times === 0n ? ed25519.ExtendedPoint.ZERO : torsion.multiplyUnsafe(times)
      const signature = nonceOf(point.toRawBytes(), message)
      expect(await curve.verify({ ...signature, message })).toBe(false)
      const asKey = { publicKey: point.toRawBytes(), signature: concatBytes(ed25519.ExtendedPoint.BASE.toRawBytes(), one) }
      expect(await curve.verify({ ...asKey, message })).toBe(false)
    }
  })
})

const one = Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? 1 : 0))
const order = ed25519.CURVE.n

/** A signature whose nonce is this point of small order, valid where nobody looks at the nonce's order: for the identity it always is. */
function nonceOf(nonce: Uint8Array, message: Uint8Array): { readonly signature: Uint8Array; readonly publicKey: Uint8Array } {
  const { scalar, pointBytes: publicKey } = ed25519.utils.getExtendedPublicKey(new Uint8Array(32).fill(5))
  const challenge = little(sha512(concatBytes(nonce, publicKey, message))) % order
  const answer = (challenge * scalar) % order
  return {
    signature: concatBytes(
      nonce,
      Uint8Array.from({ length: 32 }, (_, at) => Number((answer >> BigInt(8 * at)) & 0xffn)),
    ),
    publicKey,
  }
}

function little(digest: Uint8Array): bigint {
  return digest.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}
