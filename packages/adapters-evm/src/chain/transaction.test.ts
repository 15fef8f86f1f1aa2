import fc from 'fast-check'
import { keccak256, parseSignature, serializeTransaction } from 'viem'
import { expect, test } from 'vitest'
import { toHex } from '../crypto/bytes.ts'
import { readTransaction, signedTransaction, transactionDigest, transactionHash } from './transaction.ts'

const hexOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(toHex)
const amount = fc.bigInt({ min: 0n, max: 2n ** 100n })

test('a transaction is serialised, hashed and signed as viem does it', () => {
  const transaction = fc.record({
    chainId: fc.bigInt({ min: 1n, max: 2n ** 40n }),
    nonce: fc.bigInt({ min: 0n, max: 2n ** 32n }),
    maxPriorityFeePerGas: amount,
    gas: amount,
    to: hexOf(20),
    value: amount,
    data: fc.uint8Array({ minLength: 0, maxLength: 400 }).map(toHex),
  })
  // Parts with leading zeros: r and s are integers in the transaction.
  const half = fc.tuple(fc.nat(3), fc.uint8Array({ minLength: 32, maxLength: 32 })).map(([zeros, bytes]) => bytes.fill(0, 0, zeros))
  fc.assert(
    fc.property(transaction, amount, half, half, fc.constantFrom(27, 28), (rest, more, r, s, v) => {
      const ours = { ...rest, maxFeePerGas: rest.maxPriorityFeePerGas + more }
      const viems = { ...ours, type: 'eip1559', chainId: Number(ours.chainId), nonce: Number(ours.nonce) } as const
      expect(toHex(transactionDigest(ours))).toBe(keccak256(serializeTransaction(viems)))
      const signature = Uint8Array.from([...r, ...s, v])
      const bytes = signedTransaction(ours, signature)
      expect(bytes).toBe(serializeTransaction(viems, parseSignature(toHex(signature))))
      expect(transactionHash(bytes)).toBe(keccak256(bytes))
      expect(readTransaction(bytes)).toEqual(ours)
    }),
    { numRuns: 300 },
  )
})
