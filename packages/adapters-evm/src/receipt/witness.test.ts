import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { evmPaymentWitness } from '../bazaar.ts'
import { privateKeySigner } from '../crypto/signer.ts'
import { evmTextSigner } from './text.ts'

let chain: EvmChain
beforeAll(async () => {
  chain = await startEvmChain()
})
afterAll(() => chain?.stop())

const witnessOf = (confirmations: bigint | 'finalized' = 0n) => {
  const { network, rpcUrl } = chain
  return evmPaymentWitness({ network, rpcUrl, confirmations })
}

const word = (value: string | bigint) => (typeof value === 'string' ? value.slice(2).toLowerCase() : value.toString(16)).padStart(64, '0')
const send = async (from: string, to: string, amount: bigint) =>
  String(await chain.rpc('eth_sendTransaction', [{ from, to: chain.usdc.address, data: `0xa9059cbb${word(to)}${word(amount)}` }]))

it('knows the texts of keys and of contract wallets', async () => {
  verifies('M34')
  const { buyer, seller } = chain
  const signature = await evmTextSigner(privateKeySigner(buyer.privateKey)).signText('I paid')
  const witness = witnessOf()
  const contract = await chain.deploySmartAccount(buyer.address)
  expect(await witness.signed('I paid', { address: buyer.address, signature })).toBe(true)
  expect(await witness.signed('I paid', { address: contract, signature })).toBe(true)
  for (const address of [seller.address, chain.usdc.address, '0x1'])
    expect(await witness.signed('I paid', { address, signature })).toBe(false)
  for (const address of [buyer.address, contract]) {
    expect(await witness.signed('I paid.', { address, signature })).toBe(false)
    for (const bad of ['0x', 'nonsense', `${signature}00`, `0x${'00'.repeat(65)}`])
      expect(await witness.signed('I paid', { address, signature: bad })).toBe(false)
  }
})

it('tells the transfers of a transaction that succeeded and lies deep enough, and who funded whom with enough', async () => {
  verifies('M34')
  const { buyer, seller, usdc } = chain
  const poor = `0x${'7'.repeat(39)}a`
  const transaction = await send(buyer.address, poor, 5n)
  const [moved, ...more] = (await witnessOf().transfers(transaction)) ?? []
  expect(more).toEqual([])
  expect({ ...moved, to: moved?.to.toLowerCase(), asset: moved?.asset.toLowerCase() }).toEqual({
    asset: usdc.address.toLowerCase(),
    from: buyer.address,
    to: poor,
    amount: 5n,
    index: 0,
  })
  expect(await witnessOf(3n).transfers(transaction)).toBeUndefined()
  await chain.mine(3)
  expect(await witnessOf(3n).transfers(transaction)).toEqual([moved])
  expect(await witnessOf().transfers(`0x${'a'.repeat(64)}`)).toBeUndefined()
  expect(await witnessOf().transfers('0x1')).toBeUndefined()

  await chain.mint(seller.address, 100n)
  await send(seller.address, poor, 50n)
  const funder = (of: string, least: bigint) => witnessOf().funder(of, { asset: usdc.address, least })
  expect(await funder(poor, 5n)).toBe(buyer.address)
  // Dust makes nobody a funder.
  expect(await funder(poor, 6n)).toBe(seller.address)
  expect(await funder(poor, 51n)).toBeUndefined()
  // What was minted has no giver.
  expect(await funder(buyer.address, 1n)).toBeUndefined()
})
