import { transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain, transferProofEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { transferProofEvmServer } from '@flow402x/adapters-evm/server'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { openShop, type ShopMaker, shopSecret, transfer } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ServedFacilitator, serveFacilitator } from '../node.ts'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

let chain: EvmChain
let facilitator: LocalFacilitator
let served: ServedFacilitator
beforeAll(async () => {
  chain = await startEvmChain()
  const { network, rpcUrl } = chain
  const writer = evmChain({ network, rpcUrl, signers: [chain.facilitator.privateKey] })
  facilitator = createFacilitator({ schemes: [transferProofEvmFacilitator({ chain: writer, confirmations: 1n, patience: 300 })] })
  await facilitator.start()
  served = await serveFacilitator(facilitator, { port: 0 })
})
afterAll(async () => {
  await served.close()
  await facilitator.close({ signal: AbortSignal.timeout(1000) })
  await chain.stop()
})

const maker: ShopMaker = {
  newStore: memoryStore,
  make({ price, maxTimeoutSeconds = 300, handler, ...options }) {
    const server = createServer({ ...options, facilitator: httpFacilitator(served.url) })
    return { ...server, charge: paid(server, { price, maxTimeoutSeconds }, handler) }
  },
}

/** A shop that asks its facilitator, and has no node. */
function open() {
  const { network, seller } = chain
  const scheme = transferProofEvmServer({ network, payTo: seller.address, asset: 'USDC', secret: shopSecret, confirmations: 0n })
  return openShop(maker, [scheme], { price: '$0.01' })
}

function payerOf() {
  const { network, rpcUrl, buyer } = chain
  return transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [buyer.privateKey] }), pollMs: 20 })
}

describe('a facilitator that witnesses transfers', () => {
  it('answers for a shop without a node: pending until it is deep enough, then settled, once', async () => {
    verifies('M22')
    const shop = open()
    const payment = await transfer(payerOf(), await shop.offer())
    expect(await shop.pay(payment)).toMatchObject({ status: 503 })
    await chain.mine(2)
    await expect.poll(() => shop.pay(payment)).toMatchObject({ status: 200, receipt: { transaction: payment.payload.transaction } })
    expect(await shop.pay(payment)).toMatchObject({ status: 402, reason: 'duplicate_settlement' })
    // A shop of the same wallet and secret that keeps other books: the facilitator knows what it has told.
    const twin = open()
    expect(await twin.pay(payment)).toMatchObject({ status: 402 })
    expect([shop.state.runs, twin.state.runs]).toEqual([1, 0])
  })

  it('tells what arrived, which a shop lists to be given back where it is not what was asked', async () => {
    verifies('M24')
    const shop = open()
    const offer = await shop.offer()
    const payment = await transfer(payerOf(), offer, { ...offer, amount: '9999' })
    await chain.mine(2)
    await expect.poll(() => shop.pay(payment)).toMatchObject({ status: 402, reason: 'wrong_amount' })
    expect(await shop.books()).toMatchObject([{ outcome: 'unclaimed', amount: '9999' }])
    expect(shop.state.runs).toBe(0)
  })

  it('takes no reference of others, and waits for what it does not see', async () => {
    verifies(['M22', 'H30'])
    const shop = open()
    const payment = await transfer(payerOf(), await shop.offer())
    await chain.mine(2)
    const own = await shop.offer()
    const stolen = { ...payment, accepted: own, payload: { ...payment.payload, reference: own.extra?.reference } }
    expect(await shop.pay(stolen)).toMatchObject({ status: 402, reason: 'foreign_reference' })
    const unseen = { ...payment, payload: { ...payment.payload, transaction: `0x${'ab'.repeat(32)}` } }
    expect(await shop.pay(unseen)).toMatchObject({ status: 503, reason: 'transaction_unconfirmed' })
    expect(await shop.pay(payment)).toMatchObject({ status: 200 })
  })
})
