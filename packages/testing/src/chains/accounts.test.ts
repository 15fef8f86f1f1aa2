import { mnemonicToAccount, privateKeyToAddress } from 'viem/accounts'
import { expect, test } from 'vitest'
import { developmentAccounts, isDevelopmentKey } from './accounts.ts'

test('the development accounts are those of the published mnemonic', () => {
  const mnemonic = `${'test '.repeat(11)}junk`
  const derived = developmentAccounts.map((_, addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }).address)
  expect(developmentAccounts.map((account) => account.address)).toEqual(derived)
  expect(developmentAccounts.map((account) => privateKeyToAddress(account.privateKey))).toEqual(derived)
})

test('only their keys are development keys, in any case of the hex', () => {
  for (const { privateKey } of developmentAccounts) {
    expect(isDevelopmentKey(privateKey)).toBe(true)
    expect(isDevelopmentKey(`0x${privateKey.slice(2).toUpperCase()}`)).toBe(true)
  }
  expect(isDevelopmentKey(`0x${'11'.repeat(32)}`)).toBe(false)
  expect(isDevelopmentKey('')).toBe(false)
})
