import { findAsset } from '@flow402x/core'
import vectors from '@flow402x/testing/vectors/evm.json'
import { type Address, domainSeparator, getAddress, type Hex, hashTypedData, isHex, keccak256, recoverAddress, toHex } from 'viem'
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
    const hash = domainSeparator({ domain: { ...domain, verifyingContract: getAddress(domain.verifyingContract) } })

    test('the signature is the payer’s', async () => {
      const payer: Address = await recoverAddress({ hash: hex(digest), signature: hex(signature) })
      expect(payer).toBe(message.from)
    })
  },
)

function hex(text: string): Hex {
  if (!isHex(text)) throw new TypeError(`${text} is not hex`)
  return text
}
