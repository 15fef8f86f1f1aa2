import { transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { transferProofEvmServer } from '@flow402x/adapters-evm/server'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { assetOf } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { afterAll, beforeAll } from 'vitest'
import { shopSecret, type TransferStage } from '../fixtures/transfer-shop.ts'
import { testTransfers } from '../fixtures/transfer-suite.ts'

let evm: EvmChain
beforeAll(async () => {
  evm = await startEvmChain()
})
afterAll(() => evm?.stop())

const patience = 600

function onEvm(symbol: 'ETH' | 'USDC'): TransferStage {
  const { network, rpcUrl, seller, buyer, accounts } = evm
  const [, other] = accounts.filter(({ role }) => role === 'buyer')
  const payerOf = (key = '') => transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [key] }), pollMs: 20 })
  const facts = { ETH: ['0.0001 ETH', 10n ** 14n], USDC: ['$0.01', 10_000n] } as const
  const [price, amount] = facts[symbol]
  return {
    price,
    amount,
    scheme: ({ confirmations = 0, ...more } = {}) =>
      transferProofEvmServer({
        network,
        rpcUrl,
        payTo: seller.address,
        asset: symbol,
        secret: shopSecret,
        patience,
        confirmations: BigInt(confirmations),
        ...more,
      }),
    payer: payerOf(buyer.privateKey),
    stranger: payerOf(other?.privateKey),
    held: () => (symbol === 'ETH' ? evm.ethBalance(seller.address) : evm.balanceOf(seller.address)),
    untagged: (units) =>
      evmTokenAdapter({ network, rpcUrl, asset: symbol, signer: buyer.privateKey, confirmations: 0n, pollMs: 20 }).createPayment(
        seller.address,
        units,
      ),
    other: { payTo: evm.owner.address, asset: assetOf(network, symbol === 'ETH' ? 'USDC' : 'ETH').address },
    unknown: `0x${'ab'.repeat(32)}`,
  }
}

testTransfers({ name: 'ETH', stageOf: () => onEvm('ETH'), findable: false })
testTransfers({ name: 'an ERC-20 token', stageOf: () => onEvm('USDC'), findable: true })
