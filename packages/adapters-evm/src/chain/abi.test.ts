import fc from 'fast-check'
import {
  encodeAbiParameters,
  encodeErrorResult,
  encodeFunctionData,
  encodeFunctionResult,
  getAddress,
  parseAbi,
  serializeErc6492Signature,
} from 'viem'
import { expect, test } from 'vitest'
import { toHex } from '../crypto/bytes.ts'
import { decodeAggregate, decodeWrapped, encodeAggregate, encodeCall, isWrapped, revertReason } from './abi.ts'

const abi = parseAbi([
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
  'function isValidSignature(bytes32 hash, bytes signature) view returns (bytes4)',
  'function aggregate3((address target, bool allowFailure, bytes callData)[] calls) returns ((bool success, bytes returnData)[])',
  'error Error(string)',
])
const bytesOverload = parseAbi([
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
])

const hexOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(toHex)
const bytes = fc.uint8Array({ maxLength: 200 }).map(toHex)
const address = hexOf(20).map((text) => getAddress(text))
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n })
const transfer = fc.tuple(address, address, uint256, uint256, uint256, hexOf(32))

test('both overloads of transferWithAuthorization are encoded as viem encodes them', () => {
  fc.assert(
    fc.property(transfer, fc.constantFrom(27, 28), hexOf(32), hexOf(32), bytes, (words, v, r, s, signature) => {
      expect(encodeCall('0xe3ee160e', [...words, BigInt(v), r, s])).toBe(
        encodeFunctionData({ abi, functionName: 'transferWithAuthorization', args: [...words, v, r, s] }),
      )
      expect(encodeCall('0xcf092995', words, signature)).toBe(
        encodeFunctionData({ abi: bytesOverload, functionName: 'transferWithAuthorization', args: [...words, signature] }),
      )
    }),
  )
})

test('isValidSignature is encoded as viem encodes it', () => {
  fc.assert(
    fc.property(hexOf(32), bytes, (hash, signature) => {
      expect(encodeCall('0x1626ba7e', [hash], signature)).toBe(
        encodeFunctionData({ abi, functionName: 'isValidSignature', args: [hash, signature] }),
      )
    }),
  )
})

test('aggregate3 is encoded and its answer decoded as viem does', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ target: address, data: bytes }), { maxLength: 5 }), (calls) => {
      const args = calls.map(({ target, data }) => ({ target, allowFailure: true, callData: data }))
      expect(encodeAggregate(calls)).toBe(encodeFunctionData({ abi, functionName: 'aggregate3', args: [args] }))
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.record({ success: fc.boolean(), data: bytes }), { maxLength: 5 }), (results) => {
      const result = results.map(({ success, data }) => ({ success, returnData: data }))
      const answer = encodeFunctionResult({ abi, functionName: 'aggregate3', result })
      expect(decodeAggregate(answer, results.length)).toEqual(results)
      expect(decodeAggregate(answer, results.length + 1)).toBeUndefined()
    }),
  )
})

test('no answer makes the decoders throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }).map(toHex), fc.nat(4), (answer, count) => {
      decodeAggregate(answer, count)
      decodeWrapped(answer)
      revertReason(answer)
    }),
  )
})

test('an ERC-6492 wrapper is read as viem writes it', () => {
  fc.assert(
    fc.property(address, bytes, fc.uint8Array({ minLength: 1, maxLength: 200 }).map(toHex), (factory, data, signature) => {
      const wrapped = serializeErc6492Signature({ address: factory, data, signature })
      expect(isWrapped(wrapped)).toBe(true)
      expect(decodeWrapped(wrapped)).toEqual({ factory: factory.toLowerCase(), factoryData: data, signature })
    }),
  )
  expect(isWrapped(`0x${'11'.repeat(65)}`)).toBe(false)
})

test('a revert tells its sentence', () => {
  expect(revertReason(encodeErrorResult({ abi, errorName: 'Error', args: ['FiatTokenV2: invalid signature'] }))).toBe(
    'FiatTokenV2: invalid signature',
  )
  expect(revertReason(encodeAbiParameters([{ type: 'uint256' }], [7n]))).toBe(`0x${'0'.repeat(63)}7`)
  expect(revertReason('0x')).toBe('no reason was given')
})
