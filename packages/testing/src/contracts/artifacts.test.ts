import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/contracts.json'
import { type Abi, toEventSelector, toFunctionSelector } from 'viem'
import { describe, expect, test } from 'vitest'
import { artifactsPath, compile } from '../../contracts/compile.mjs'
import { batchSettlement, eip3009Collector, exactPermit2Proxy, permit2Collector, uptoPermit2Proxy } from './artifacts.ts'
import { permit2Code, permit2Template } from './permit2.ts'

test('the placed code is what the Solidity of this package compiles to', { timeout: 120_000 }, () => {
  expect(compile()).toBe(readFileSync(artifactsPath, 'utf8'))
})

test('Permit2 is the code that Ethereum holds, made for the chain', () => {
  const source = createRequire(import.meta.url).resolve('@eth-optimism/contracts-bedrock/src/libraries/Preinstalls.sol')
  const [, template] = /Permit2TemplateCode =\s+hex"([0-9a-f]+)"/.exec(readFileSync(source, 'utf8')) ?? []
  expect(permit2Template).toBe(`0x${template}`)
  expect(permit2Code(1)).toBe(permit2Template)
})

// OpenZeppelin's own, and that of a constructor that ours do not have.
const furtherErrors = /^(ECDSAInvalid|SafeERC20Failed|AddressEmptyCode|FailedCall|InvalidX402BatchSettlementAddress)/
const furtherEvents = /^EIP712DomainChanged/

describe.each(Object.entries({ batchSettlement, eip3009Collector, exactPermit2Proxy, permit2Collector, uptoPermit2Proxy }))(
  'the interface of %s',
  (name, { abi: literal }) => {
    verifies('X402-CONTRACTS')
    const abi: Abi = literal
    const published = Object.entries(vectors.interfaces).find(([contract]) => contract === name)?.[1]

    test('has the published functions and no other', () => {
      const selectors = abi.flatMap((entry) => (entry.type === 'function' ? [toFunctionSelector(entry)] : []))
      expect(selectors.sort()).toEqual(published?.functions)
    })

    test('has the published events', () => {
      const topics = abi.flatMap((entry) =>
        entry.type === 'event' && !furtherEvents.test(entry.name) ? [[entry.name, toEventSelector(entry)]] : [],
      )
      expect(Object.fromEntries(topics)).toEqual(published?.events)
    })

    test('has the published errors', () => {
      const selectors = abi.flatMap((entry) =>
        entry.type === 'error' && !furtherErrors.test(entry.name)
          ? [[entry.name, toFunctionSelector({ ...entry, type: 'function', outputs: [], stateMutability: 'pure' })]]
          : [],
      )
      expect(Object.fromEntries(selectors)).toEqual(published?.errors)
    })
  },
)
