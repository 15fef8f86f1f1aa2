import { secretKeySender, transferProofSolanaClient } from '@flow402x/adapters-solana/client'
import { transferProofSolanaServer } from '@flow402x/adapters-solana/server'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { assetOf } from '@flow402x/core'
import { type SolanaChain, solanaDevelopmentAccounts, startSolanaChain } from '@flow402x/testing'
import { afterAll, beforeAll } from 'vitest'
import { shopSecret, type TransferStage } from '../fixtures/transfer-shop.ts'
import { testTransfers } from '../fixtures/transfer-suite.ts'

let solana: SolanaChain
beforeAll(async () => {
  solana = await startSolanaChain({ slotTime: 20 })
  await solana.createTokenAccount(solana.owner.address)
})
afterAll(() => solana?.stop())

const patience = 600

function onSolana(symbol: 'SOL' | 'USDC'): TransferStage {
  const { network, rpcUrl, seller, buyer } = solana
  const [, other] = solanaDevelopmentAccounts.filter(({ role }) => role === 'buyer')
  const payerOf = (key = '') => transferProofSolanaClient({ signer: secretKeySender(key), rpcUrl, pollMs: 20 })
  const facts = { SOL: ['0.001 SOL', 1_000_000n], USDC: ['$0.01', 10_000n] } as const
  const [price, amount] = facts[symbol]
  return {
    price,
    amount,
    scheme: ({ confirmations: _, ...more } = {}) =>
      transferProofSolanaServer({ rpcUrl, payTo: seller.address, asset: symbol, secret: shopSecret, patience, ...more }),
    payer: payerOf(buyer.privateKey),
    stranger: payerOf(other?.privateKey),
    held: () => (symbol === 'SOL' ? solana.solBalance(seller.address) : solana.balanceOf(seller.address)),
    untagged: (units) =>
      solanaTokenAdapter({ network, rpcUrl, asset: symbol, signer: buyer.privateKey, pollMs: 20 }).createPayment(seller.address, units),
    other: { payTo: solana.owner.address, asset: assetOf(network, symbol === 'SOL' ? 'USDC' : 'SOL').address },
    unknown: '5'.repeat(87),
  }
}

testTransfers({ name: 'SOL', stageOf: () => onSolana('SOL'), findable: true })
testTransfers({ name: 'an SPL token', stageOf: () => onSolana('USDC'), findable: true })
