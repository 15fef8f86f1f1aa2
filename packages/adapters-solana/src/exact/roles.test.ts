import { packagesLoadedBy } from '@flow402x/testing/suites'
import { expect, test } from 'vitest'

// The parts of core are core: which of them are bundled is a matter of size, and weighed as that.
const loads = (role: string): readonly string[] =>
  packagesLoadedBy(new URL(`../${role}.ts`, import.meta.url)).filter((specifier) => !specifier.startsWith('@flow402x/core/'))

const light = ['@flow402x/core', '@noble/curves/ed25519', '@noble/hashes/sha2', '@noble/hashes/utils', 'zod/mini']
const kit = '@solana/kit'
const programs = ['@solana-program/compute-budget', '@solana-program/memo', '@solana-program/token']

test('the seller loads no chain library: a curve and a hash, by which token accounts are derived', () => {
  expect(loads('server')).toEqual(light)
})

test('the payer loads kit and its programs, which build what is signed', () => {
  expect(loads('client')).toEqual([...light, kit, ...programs].sort())
})

test('the facilitator loads kit, for signers of kit, and the one program by which it opens token accounts', () => {
  expect(loads('facilitator')).toEqual([...light, kit, '@solana-program/token'].sort())
})

test('nobody loads web3.js but who asks for it', () => {
  expect(loads('web3js')).toContain('@solana/web3.js')
  expect(['client', 'server', 'facilitator'].flatMap(loads)).not.toContain('@solana/web3.js')
})
