import { findAsset } from '@flow402x/core'
import vectors from '@flow402x/testing/vectors/evm.json'
import { domainSeparator, getAddress, type Hex, hashTypedData, isHex, keccak256, recoverAddress, toHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, test } from 'vitest'

const fields = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'validAfter', type: 'uint256' },
  { name: 'validBefore', type: 'uint256' },
  { name: 'nonce', type: 'bytes32' },
] as const

test.each(Object.entries(vectors.typeHashes))('the type hash of %s is that of its EIP-3009 text', (name, hash) => {
  expect(keccak256(toHex(`${name}(${fields.map((field) => `${field.type} ${field.name}`).join(',')})`))).toBe(hash)
})

test.each(vectors.domainSeparators)(
  'the domain separator of USDC on $network follows from the asset table',
  ({ network, domain, separator }) => {
    const { address, eip712 } = findAsset(network, 'USDC') ?? {}
    expect({ ...eip712, verifyingContract: address, chainId: Number(network.slice('eip155:'.length)) }).toEqual(domain)
    expect(domainSeparator({ domain: { ...domain, verifyingContract: getAddress(domain.verifyingContract) } })).toBe(separator)
  },
)

describe.each(vectors.authorizations)('$type on $network', ({ type, domain, message, privateKey, digest, signature }) => {
  const typed = {
    domain: { ...domain, verifyingContract: getAddress(domain.verifyingContract) },
    types: { [type]: fields },
    primaryType: type,
    message: {
      from: getAddress(message.from),
      to: getAddress(message.to),
      value: BigInt(message.value),
      validAfter: BigInt(message.validAfter),
      validBefore: BigInt(message.validBefore),
      nonce: hex(message.nonce),
    },
  }

  test('the digest and the signature are what viem makes of the message', async () => {
    expect(hashTypedData(typed)).toBe(digest)
    expect(await privateKeyToAccount(hex(privateKey)).signTypedData(typed)).toBe(signature)
  })

  test('the signature is the payer’s', async () => {
    expect(await recoverAddress({ hash: hex(digest), signature: hex(signature) })).toBe(message.from)
  })
})

function hex(text: string): Hex {
  if (!isHex(text)) throw new TypeError(`${text} is not hex`)
  return text
}
