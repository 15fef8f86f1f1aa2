import { secretKeySender, transferProofSolanaClient } from '@flow402x/adapters-solana/client'
import { transferProofSolanaServer } from '@flow402x/adapters-solana/server'
import { solanaTokenAdapter } from '@flow402x/adapters-solana/token'
import { assetOf } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type SolanaChain, solanaDevelopmentAccounts, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { openShop, type ShopMaker, shopSecret, type TransferStage, testTransfers, transfer } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { paid } from '../bindings/fetch.ts'
import { createServer } from '../index.ts'

let solana: SolanaChain
beforeAll(async () => {
  solana = await startSolanaChain({ slotTime: 20 })
  await solana.createTokenAccount(solana.owner.address)
})
afterAll(() => solana?.stop())

const maker: ShopMaker = {
  newStore: memoryStore,
  make({ price, maxTimeoutSeconds = 300, handler, ...options }) {
    const server = createServer(options)
    return { ...server, charge: paid(server, { price, maxTimeoutSeconds }, handler) }
  },
}

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

testTransfers({ ...maker, name: 'SOL', stageOf: () => onSolana('SOL'), findable: true })
testTransfers({ ...maker, name: 'an SPL token', stageOf: () => onSolana('USDC'), findable: true })

describe('the plain challenge of SOL (DESIGN §8.3)', () => {
  const stand = () => {
    const stage = onSolana('SOL')
    return { ...stage, shop: openShop(maker, [stage.scheme()], { price: stage.price }) }
  }
  const challenge = z.looseObject({ receiver: z.string(), amount_lamports: z.int(), reference: z.string(), accepts: z.array(z.unknown()) })

  it('names receiver, amount and reference, takes the transfer by two headers, once', async () => {
    verifies('PLAIN-CHALLENGE')
    const { shop, payer } = stand()
    const asked = await shop.ask('/premium')
    const { receiver, amount_lamports: amount, reference } = challenge.parse(await asked.json())
    expect([asked.status, receiver, amount]).toEqual([402, solana.seller.address, 1_000_000])
    const offer = { ...(await shop.offer('/premium')), extra: { reference } }
    const { payload } = await transfer(payer, offer)
    const proof = { 'X-Payment-Signature': String(payload.transaction), 'X-Payment-Reference': reference }
    expect(await shop.plain(proof, '/other')).toMatchObject({ status: 400, reason: 'foreign_reference' })
    expect(await shop.plain(proof, '/premium')).toMatchObject({
      status: 200,
      text: 'goods 1 ',
      receipt: { transaction: payload.transaction },
    })
    expect(await shop.plain(proof, '/premium')).toMatchObject({ status: 400, reason: 'duplicate_settlement' })
  })

  it('finds the transfer by its reference alone', async () => {
    verifies('PLAIN-CHALLENGE')
    const { shop, payer } = stand()
    const offer = await shop.offer('/premium')
    const reference = String(offer.extra?.reference)
    const alone = { 'X-Payment-Reference': reference }
    expect(await shop.plain(alone, '/premium')).toMatchObject({ status: 400, reason: 'transaction_unconfirmed', retryAfter: '2' })
    await transfer(payer, offer)
    expect(await shop.plain(alone, '/premium')).toMatchObject({ status: 200 })
    expect(await shop.plain(alone, '/premium')).toMatchObject({ status: 400, reason: 'duplicate_settlement' })
  })

  it('says why a transfer is none', async () => {
    verifies('PLAIN-CHALLENGE')
    const { shop, payer, other, untagged, amount, unknown } = stand()
    const show = async (transaction: unknown, reference: unknown) =>
      shop.plain({ 'X-Payment-Signature': String(transaction), 'X-Payment-Reference': String(reference) }, '/premium')
    const offer = await shop.offer('/premium')
    const { reference } = offer.extra ?? {}
    const to = await transfer(payer, offer, { ...offer, payTo: other.payTo })
    expect(await show(to.payload.transaction, reference)).toMatchObject({ status: 400, reason: 'wrong_receiver' })
    const less = await transfer(payer, offer, { ...offer, amount: '999999' })
    expect(await show(less.payload.transaction, reference)).toMatchObject({ status: 400, reason: 'wrong_amount' })
    expect(await show(await untagged(amount), reference)).toMatchObject({ status: 400, reason: 'transfer_without_reference' })
    expect(await show(unknown, reference)).toMatchObject({ status: 400, reason: 'transaction_unconfirmed' })
    expect(await show(less.payload.transaction, 'not ours')).toMatchObject({ status: 400, reason: 'invalid_payload' })
    expect(shop.state.runs).toBe(0)
  })
})
