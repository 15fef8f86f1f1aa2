import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/contracts.json'
import fc from 'fast-check'
import { hashTypedData } from 'viem'
import { expect, test } from 'vitest'
import { type Hex, toHex } from '../crypto/bytes.ts'
import type { Permit2Transfer } from '../crypto/eip712.ts'
import { permit2Digest, permit2TypedData } from './typed-data.ts'
import { exactPermit2, uptoPermit2 } from './wire.ts'

const address = fc.uint8Array({ minLength: 20, maxLength: 20 }).map(toHex)
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n })
const terms = { permitted: fc.record({ token: address, amount: uint256 }), spender: address, nonce: uint256, deadline: uint256 }
const transfer = fc.oneof(
  fc.record({ ...terms, witness: fc.record({ to: address, validAfter: uint256 }) }),
  fc.record({ ...terms, witness: fc.record({ to: address, facilitator: address, validAfter: uint256 }) }),
  fc.record({ ...terms, witness: fc.record({ channelId: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex) }) }),
)

test('the digest is the one viem makes of the typed data, for any transfer on any chain', () => {
  const chainId = fc.bigInt({ min: 1n, max: BigInt(Number.MAX_SAFE_INTEGER) })
  fc.assert(
    fc.property(chainId, transfer, (chain, message) => {
      expect(toHex(permit2Digest(chain, message))).toBe(hashTypedData(permit2TypedData(chain, message)))
    }),
    { numRuns: 300 },
  )
})

test('the digests are those of the published vectors', () => {
  verifies(['EVM-DIGEST', 'PERMIT2-EVM'])
  const { token, amount, nonce, deadline, to, validAfter, facilitator, exactDigest, uptoDigest } = vectors.permit2
  const hex = (text: string): Hex => `0x${text.slice(2)}`
  const common = {
    permitted: { token: hex(token), amount: BigInt(amount) },
    nonce: BigInt(nonce),
    deadline: BigInt(deadline),
  }
  const witness = { to: hex(to), validAfter: BigInt(validAfter) }
  const exact: Permit2Transfer = { ...common, spender: exactPermit2.proxy, witness }
  const upto: Permit2Transfer = { ...common, spender: uptoPermit2.proxy, witness: { ...witness, facilitator: hex(facilitator) } }
  expect(toHex(permit2Digest(84_532n, exact))).toBe(exactDigest)
  expect(toHex(permit2Digest(84_532n, upto))).toBe(uptoDigest)
})
