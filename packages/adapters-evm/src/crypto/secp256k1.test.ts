import { isX402Error } from '@flow402x/core'
import vectors from '@flow402x/testing/vectors/evm.json'
import fc from 'fast-check'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, test } from 'vitest'
import { toBytes, toHex } from './bytes.ts'
import { fastestSecp256k1 } from './native-secp256k1.ts'
import { addressOf, canonicalSignature, nobleSecp256k1 } from './secp256k1.ts'
import { privateKeySigner } from './signer.ts'
import { tabledSecp256k1 } from './tabled-secp256k1.ts'

const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const privateKey = fc.bigInt({ min: 1n, max: order - 1n }).map((key) => toBytes(`0x${key.toString(16).padStart(64, '0')}`))

test('the native curve is in use where its binary is published', () => {
  const published = ['linux-x64', 'darwin-arm64', 'win32-x64'].includes(`${process.platform}-${process.arch}`)
  expect(fastestSecp256k1().name).toBe(published ? 'native' : 'noble')
})

test.each([tabledSecp256k1, fastestSecp256k1()])(
  '$name says of a known key what recovering by either v says, of whole signatures and of damaged ones',
  (curve) => {
    const judgeOf = curve.often?.judgeOf
    const damage = fc.record({ at: fc.nat(64), to: fc.nat(255) })
    fc.assert(
      fc.property(bytes32, privateKey, bytes32, fc.array(damage, { maxLength: 2 }), (digest, key, other, damages) => {
        const publicKey = nobleSecp256k1.publicKey(key)
        const judge = publicKey && judgeOf?.(publicKey)
        if (publicKey === undefined || judge === undefined) throw new TypeError('no key')
        const signature = nobleSecp256k1.sign(digest, key)
        expect(judge(digest, signature)).toBe(true)
        const withV = (v: number) => Uint8Array.from([...signature.subarray(0, 64), v])
        expect([27, 28].map((v) => judge(digest, withV(v)))).toEqual([true, true])
        for (const { at, to } of damages) signature[at] = to
        for (const said of [digest, other]) {
          const recovered = [27, 28].flatMap((v) => nobleSecp256k1.recover(said, withV(v)) ?? [])
          expect(judge(said, signature)).toBe(recovered.some((one) => toHex(one) === toHex(publicKey)))
        }
      }),
      { numRuns: 40 },
    )
  },
)

describe.each([nobleSecp256k1, fastestSecp256k1()])('the curve $name', (curve) => {
  test.each(vectors.authorizations)('signs and recovers the published vector', ({ digest, privateKey: key, signature, message }) => {
    expect(toHex(curve.sign(toBytes(digest), toBytes(key)))).toBe(signature)
    expect(addressOf(curve.recover(toBytes(digest), toBytes(signature)) ?? new Uint8Array())).toBe(message.from.toLowerCase())
  })

  test('signs as viem does, and recovers whom viem names', async () => {
    await fc.assert(
      fc.asyncProperty(bytes32, privateKey, async (digest, key) => {
        const account = privateKeyToAccount(toHex(key))
        const signature = curve.sign(digest, key)
        expect(toHex(signature)).toBe(await account.sign({ hash: toHex(digest) }))
        expect(addressOf(curve.recover(digest, signature) ?? new Uint8Array())).toBe(account.address.toLowerCase())
      }),
      { numRuns: 25 },
    )
  })

  test('recovers what the other curve recovers from any bytes, and never throws', () => {
    fc.assert(
      fc.property(bytes32, bytes32, bytes32, fc.constantFrom(27, 28), (digest, r, s, v) => {
        const signature = Uint8Array.from([...r, ...s, v])
        expect(curve.recover(digest, signature)).toEqual(nobleSecp256k1.recover(digest, signature))
      }),
      { numRuns: 50 },
    )
  })

  test('has no public key for what is no private key', () => {
    expect(curve.publicKey(new Uint8Array(32))).toBeUndefined()
    expect(curve.publicKey(new Uint8Array(32).fill(255))).toBeUndefined()
  })
})

describe('a canonical signature', () => {
  const low = Uint8Array.from([...new Uint8Array(32).fill(1), ...new Uint8Array(32).fill(2), 27])
  const withV = (v: number) => Uint8Array.from([...low.subarray(0, 64), v])

  test('reads v of 0 and 1 as 27 and 28', () => {
    expect([0, 1, 27, 28].map((v) => canonicalSignature(withV(v))?.[64])).toEqual([27, 28, 27, 28])
    // What came over a socket is a part of what else came, and stays as it came.
    const came = Buffer.from(withV(0))
    expect([canonicalSignature(came)?.[64], came[64]]).toEqual([27, 0])
  })

  test('is nothing else', () => {
    expect([2, 26, 29, 255].map((v) => canonicalSignature(withV(v)))).toEqual(Array(4).fill(undefined))
    expect(canonicalSignature(low.subarray(0, 64))).toBeUndefined()
    const half = toBytes(`0x${(order / 2n).toString(16).padStart(64, '0')}`)
    const above = toBytes(`0x${(order / 2n + 1n).toString(16).padStart(64, '0')}`)
    expect(canonicalSignature(Uint8Array.from([...low.subarray(0, 32), ...half, 27]))).toBeDefined()
    expect(canonicalSignature(Uint8Array.from([...low.subarray(0, 32), ...above, 27]))).toBeUndefined()
  })
})

describe('a private key signer', () => {
  test('has the checksummed address viem gives the key', () => {
    fc.assert(
      fc.property(privateKey, (key) => {
        expect(privateKeySigner(toHex(key)).address).toBe(privateKeyToAccount(toHex(key)).address)
      }),
      { numRuns: 25 },
    )
  })

  test('refuses what is no key without showing it', () => {
    const secret = `0x${'f'.repeat(64)}`
    for (const key of [secret, '0x12', '', secret.slice(2), `0x${'0'.repeat(64)}`]) {
      const error = caught(() => privateKeySigner(key))
      expect(isX402Error(error, 'config/bad-private-key')).toBe(true)
      expect(JSON.stringify(error)).not.toContain('fff')
      expect(String(error)).not.toContain('fff')
    }
  })
})

function caught(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
