import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address, generateKeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { solanaPaymentWitness } from '../bazaar.ts'
import { solanaTokenAdapter } from '../token.ts'
import { solanaTextSigner } from './text.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 25 })
})
afterAll(() => local?.stop())

const witnessOf = (change: { network?: string; confirmations?: 'confirmed' | 'finalized' } = {}) => {
  const { network, rpcUrl } = local
  return solanaPaymentWitness({ network, rpcUrl, confirmations: 'confirmed', ...change })
}
const pay = (privateKey: string, recipient: string, amount: string) => {
  const { network, rpcUrl } = local
  const adapter = solanaTokenAdapter({ network, rpcUrl, signer: privateKey, pollMs: 20, commitment: 'confirmed', openAccounts: true })
  return adapter.createPayment(recipient, amount)
}

it('knows who signed a text, to the letter', async () => {
  verifies('M34')
  const { buyer, seller } = local
  const signature = await solanaTextSigner(buyer.privateKey).signText('I paid')
  const witness = witnessOf()
  expect(await witness.signed('I paid', { address: buyer.address, signature })).toBe(true)
  for (const change of [
    { address: seller.address },
    { signature: `1${signature.slice(1)}` },
    { signature: 'nonsense' },
    { address: '0xab' },
  ])
    expect(await witness.signed('I paid', { address: buyer.address, signature, ...change })).toBe(false)
  expect(await witness.signed('I paid ', { address: buyer.address, signature })).toBe(false)
})

it('tells what a transaction moved once it is as deep as was asked, and who funded whom', async () => {
  verifies('M34')
  const { buyer, seller, usdc } = local
  const transaction = await pay(buyer.privateKey, seller.address, '0.5')
  const [moved, ...more] = (await witnessOf().transfers(transaction)) ?? []
  expect(more).toEqual([])
  expect(moved).toEqual({ asset: usdc.address, from: buyer.address, to: seller.address, amount: 500_000n, index: expect.any(Number) })
  expect(await witnessOf({ confirmations: 'finalized' }).transfers(transaction)).toBeUndefined()
  await local.advance(34)
  expect(await witnessOf({ confirmations: 'finalized' }).transfers(transaction)).toEqual([moved])
  expect(await witnessOf().transfers('1'.repeat(64))).toBeUndefined()
  expect(await witnessOf().transfers('nonsense')).toBeUndefined()

  const poor = (await generateKeyPairSigner()).address
  await pay(buyer.privateKey, poor, '0.1')
  await pay(local.accounts.find((one) => one.role === 'buyer' && one.address !== buyer.address)?.privateKey ?? '', poor, '0.2')
  const funder = (of: string, least: bigint) => witnessOf().funder(of, { asset: usdc.address, least })
  expect(await funder(poor, 100_000n)).toBe(buyer.address)
  expect(await funder(poor, 100_001n)).not.toBe(buyer.address)
  expect(await funder(poor, 1_000_000n)).toBeUndefined()
  // What was minted to it has no giver.
  expect(await funder(address(buyer.address), 1n)).toBeUndefined()
  expect(await funder((await generateKeyPairSigner()).address, 1n)).toBeUndefined()
})

it('refuses to speak of a chain that is another', async () => {
  const witness = witnessOf({ network: 'solana' })
  await expect(witness.transfers('1'.repeat(64))).rejects.toMatchObject({ code: 'config/wrong-chain' })
})
