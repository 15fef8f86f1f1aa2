import { findAsset } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { testTokenAdapter } from '@flow402x/testing/suites'
import { address, generateKeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SolanaTokenAdapterOptions, solanaTokenAdapter } from '../token.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 25 })
})
afterAll(() => local?.stop())

const adapterOf = (options: Partial<SolanaTokenAdapterOptions> = {}) => {
  const { network, rpcUrl, buyer } = local
  return solanaTokenAdapter({ network, rpcUrl, signer: buyer.privateKey, pollMs: 20, commitment: 'confirmed', ...options })
}
const stranger = async () => (await generateKeyPairSigner()).address

for (const [asset, amount] of [
  ['USDC', '0.01'],
  ['SOL', '0.001'],
] as const)
  testTokenAdapter({
    name: `${asset} on Solana`,
    amount,
    paysFees: asset === 'SOL',
    async mount() {
      const { buyer, seller, accounts } = local
      return {
        adapter: adapterOf({ asset, commitment: 'finalized' }),
        sender: buyer.address,
        recipient: seller.address,
        stranger: accounts.at(-1)?.address ?? '',
        balanceOf: (owner) => (asset === 'USDC' ? local.balanceOf(address(owner)) : local.solBalance(address(owner))),
        settle: async () => void (await local.advance(34)),
        close: async () => {},
      }
    },
  })

describe('a recipient on Solana', () => {
  it('without a token account is refused, with the command that opens it', async () => {
    verifies('H18')
    const recipient = await stranger()
    const refused = { code: 'config/no-token-account', moneyMoved: 'no', message: expect.stringContaining('wallet init-accounts') }
    await expect(adapterOf().createPayment(recipient, '1')).rejects.toMatchObject(refused)
    await expect(adapterOf().estimatePayment?.(recipient, '1')).rejects.toMatchObject(refused)
  })

  it('gets a token account along with the payment where that is meant, at the price that was told', async () => {
    const { buyer, seller } = local
    const [recipient, adapter] = [await stranger(), adapterOf({ openAccounts: true })]
    const cost = await adapter.estimatePayment?.(recipient, '1')
    expect(cost).toMatchObject({ sender: buyer.address, rent: 2_039_280n })
    const before = await local.solBalance(buyer.address)
    const transaction = await adapter.createPayment(recipient, '1')
    expect(await adapter.validatePayment(transaction, { recipient, amount: '1', sender: buyer.address })).toBe(true)
    expect(await local.balanceOf(recipient)).toBe(1_000_000n)
    expect(before - (await local.solBalance(buyer.address))).toBe((cost?.fee ?? 0n) + (cost?.rent ?? 0n))
    expect((await adapter.estimatePayment?.(seller.address, '1'))?.rent).toBeUndefined()
  })

  it('that is no wallet is refused: a token account, a mint, a program', async () => {
    const account = await local.createTokenAccount(local.seller.address)
    for (const recipient of [account, local.usdc.address, local.usdc.tokenProgram])
      for (const asset of ['USDC', 'SOL'])
        await expect(adapterOf({ asset, openAccounts: true }).createPayment(recipient, '0.1')).rejects.toMatchObject({
          code: 'config/bad-owner',
          moneyMoved: 'no',
        })
    await expect(adapterOf({ asset: 'SOL' }).createPayment('1'.repeat(32), '0.1')).rejects.toMatchObject({ code: 'token/bad-recipient' })
  })
})

describe('a payment on Solana', () => {
  it('is none of a block’s equal ones: each is a transaction of its own', async () => {
    const still = await startSolanaChain({ slotTime: 0 })
    try {
      const adapter = adapterOf({ network: still.network, rpcUrl: still.rpcUrl })
      const paying = Promise.all([1, 2].map(() => adapter.createPayment(still.seller.address, '0.5')))
      await expect.poll(() => still.balanceOf(still.seller.address)).toBe(1_000_000n)
      await still.advance()
      expect(new Set(await paying).size).toBe(2)
    } finally {
      await still.stop()
    }
  })

  it('that would fail is not sent', async () => {
    const recipient = await stranger()
    // Less than an account must hold to exist.
    await expect(adapterOf({ asset: 'SOL' }).createPayment(recipient, 5n)).rejects.toMatchObject({
      code: 'token/would-fail',
      moneyMoved: 'no',
    })
    expect(await local.solBalance(recipient)).toBe(0n)
  })

  it('in a token that takes a fee on the way is refused before it is sent', async () => {
    const mint = await local.createMint({ decimals: 6, program: 'spl-token-2022', transferFee: { basisPoints: 100, maximum: 10_000n } })
    await local.mint(local.buyer.address, 1_000_000n, { mint })
    await local.createTokenAccount(local.seller.address, { mint })
    const asset = { network: local.network, address: mint, symbol: 'FEE', decimals: 6, transfer: 'token-2022' } as const
    await expect(adapterOf({ asset }).createPayment(local.seller.address, '0.5')).rejects.toMatchObject({ code: 'config/mint-mismatch' })
  })

  it('in a token of the newer program is paid like any', async () => {
    const pyusd = findAsset(local.network, 'PYUSD')?.address ?? ''
    const mint = address(pyusd)
    await local.mint(local.buyer.address, 1_000_000n, { mint })
    const recipient = await stranger()
    const adapter = adapterOf({ asset: 'PYUSD', openAccounts: true })
    const transaction = await adapter.createPayment(recipient, '0.5')
    expect(await adapter.validatePayment(transaction, { recipient, amount: '0.5' })).toBe(true)
    expect(await local.balanceOf(recipient, { mint })).toBe(500_000n)
  })

  it('is not valid before it is final, unless confirmed is enough', async () => {
    const still = await startSolanaChain({ slotTime: 0 })
    try {
      const { network, rpcUrl, seller } = still
      const adapter = adapterOf({ network, rpcUrl, commitment: 'finalized', waitMs: 100 })
      const paying = adapterOf({ network, rpcUrl }).createPayment(seller.address, '0.5')
      await expect.poll(() => still.balanceOf(seller.address)).toBe(500_000n)
      await still.advance()
      const transaction = await paying
      await expect(adapter.validatePayment(transaction, { recipient: seller.address })).rejects.toMatchObject({ code: 'token/unconfirmed' })
      expect(await adapter.validatePayment(transaction, { recipient: seller.address, amount: '0.4' })).toBe(false)
      await still.advance(32)
      expect(await adapter.validatePayment(transaction, { recipient: seller.address, amount: '0.5' })).toBe(true)
    } finally {
      await still.stop()
    }
  })
})

describe('a key on Solana', () => {
  it('that is real signs nothing for a mainnet on this machine', () => {
    const real = new Uint8Array(32).fill(7)
    expect(() => adapterOf({ network: 'solana', signer: real })).toThrow(expect.objectContaining({ code: 'config/unsafe-local-key' }))
    expect(() => adapterOf({ signer: 'no key' })).toThrow(expect.objectContaining({ code: 'config/bad-secret-key' }))
  })

  it('that is not there pays nothing and can look', async () => {
    const { network, rpcUrl, buyer, seller } = local
    const reader = solanaTokenAdapter({ network, rpcUrl, commitment: 'confirmed', payTo: seller.address, pollMs: 20 })
    await expect(reader.createPayment(seller.address, '1')).rejects.toMatchObject({ code: 'token/no-signer' })
    const transaction = await adapterOf().createPayment(seller.address, '0.25')
    expect(await reader.validatePayment(transaction, { amount: '0.25' })).toBe(true)
    expect(await reader.getBalance(buyer.address)).toBe(await local.balanceOf(buyer.address))
    const nobody = solanaTokenAdapter({ network, rpcUrl })
    await expect(nobody.validatePayment(transaction)).rejects.toMatchObject({ code: 'token/no-recipient' })
  })
})
