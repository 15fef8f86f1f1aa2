import { assets } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/evm.json'
import fc from 'fast-check'
import { getAddress, hashTypedData, keccak256, domainSeparator as separatorOfViem, toHex as textToHex } from 'viem'
import { describe, expect, test } from 'vitest'
import { type Hex, toHex } from './bytes.ts'
import { domainSeparator, permitDigest, permitTypedData, transferDigest, transferTypedData } from './eip712.ts'

const hexOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(toHex)
const address = hexOf(20)
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n })
const authorization = fc.record({ from: address, to: address, value: uint256, validAfter: uint256, validBefore: uint256, nonce: hexOf(32) })
const permit = fc.record({ owner: address, spender: address, value: uint256, nonce: uint256, deadline: uint256 })
const domain = fc.record({
  name: fc.string({ unit: 'binary' }),
  version: fc.string(),
  chainId: fc.bigInt({ min: 1n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
  verifyingContract: address,
})

test('the digest is the one viem makes of the typed data, for any domain and message', () => {
  fc.assert(
    fc.property(domain, authorization, permit, (where, what, allowance) => {
      expect(toHex(transferDigest(where, what))).toBe(hashTypedData(transferTypedData(where, what)))
      expect(toHex(permitDigest(where, allowance))).toBe(hashTypedData(permitTypedData(where, allowance)))
    }),
    { numRuns: 300 },
  )
})

test('the domain separator of every asset of the table is the one viem makes', () => {
  verifies('EVM-DIGEST')
  for (const { network, address, eip712 } of assets.filter((asset) => asset.transfer === 'eip3009')) {
    const { name, version } = eip712 ?? { name: '', version: '' }
    const chainId = BigInt(network.slice(7))
    const expected = separatorOfViem({ domain: { name, version, chainId: Number(chainId), verifyingContract: getAddress(address) } })
    expect(toHex(domainSeparator({ name, version, chainId, verifyingContract: address }))).toBe(expected)
  }
})

test('domains that join to the same text stay apart', () => {
  const common = { chainId: 1n, verifyingContract: `0x${'11'.repeat(20)}` }
  const one = toHex(domainSeparator({ name: 'a","b', version: 'c', ...common }))
  expect(one).not.toBe(toHex(domainSeparator({ name: 'a', version: 'b","c', ...common })))
})

test('more domains than are kept give right separators still', () => {
  const make = (index: number) => ({ name: `token ${index}`, version: '1', chainId: 1n, verifyingContract: `0x${'22'.repeat(20)}` })
  const first = toHex(domainSeparator(make(0)))
  for (let index = 1; index <= 300; index += 1) domainSeparator(make(index))
  expect(toHex(domainSeparator(make(0)))).toBe(first)
})

describe('the published vectors', () => {
  test('type hash of a transfer', () => {
    const typed = transferTypedData(domainOf(vectors.authorizations[0]), messageOf(vectors.authorizations[0]))
    const fields = typed.types.TransferWithAuthorization?.map(({ type, name }) => `${type} ${name}`).join(',')
    expect(keccak256(textToHex(`TransferWithAuthorization(${fields})`))).toBe(vectors.typeHashes.TransferWithAuthorization)
  })

  test.each(vectors.domainSeparators)('separator of USDC on $network', (vector) => {
    expect(toHex(domainSeparator({ ...vector.domain, chainId: BigInt(vector.domain.chainId) }))).toBe(vector.separator)
  })

  test.each(vectors.authorizations)('digest on $network', (vector) => {
    verifies('EVM-DIGEST')
    expect(toHex(transferDigest(domainOf(vector), messageOf(vector)))).toBe(vector.digest)
  })
})

type Vector = (typeof vectors.authorizations)[number]

function domainOf(vector: Vector | undefined) {
  if (vector === undefined) throw new Error('no vector')
  return { ...vector.domain, chainId: BigInt(vector.domain.chainId) }
}

function messageOf(vector: Vector | undefined) {
  if (vector === undefined) throw new Error('no vector')
  const { from, to, value, validAfter, validBefore, nonce } = vector.message
  const times = { validAfter: BigInt(validAfter), validBefore: BigInt(validBefore) }
  return { from: hex(from), to: hex(to), value: BigInt(value), ...times, nonce: hex(nonce) }
}

function hex(text: string): Hex {
  return `0x${text.slice(2)}`
}
