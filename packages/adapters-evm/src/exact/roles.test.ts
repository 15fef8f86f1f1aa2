import { packagesLoadedBy } from '@flow402x/testing/suites'
import { expect, test } from 'vitest'

// The parts of core are core: which of them are bundled is a matter of size, and weighed as that.
const loads = (role: string): readonly string[] =>
  packagesLoadedBy(new URL(`../${role}.ts`, import.meta.url)).filter((specifier) => !specifier.startsWith('@flow402x/core/'))

test('the seller loads no chain library, and of cryptography a hash', () => {
  expect(loads('server')).toEqual(['@flow402x/core', '@noble/hashes/sha2', '@noble/hashes/utils', 'zod/mini'])
})

test('the payer loads a curve and hashes, and nothing of Node', () => {
  const hashes = ['@noble/hashes/sha2', '@noble/hashes/sha3', '@noble/hashes/utils']
  expect(loads('client')).toEqual(['@flow402x/core', '@noble/curves/secp256k1', ...hashes, 'zod/mini'])
})

test('the facilitator loads no more than the payer', () => {
  expect(loads('facilitator').filter((specifier) => !loads('client').includes(specifier))).toEqual([])
})
