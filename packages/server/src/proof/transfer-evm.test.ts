import { transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { transferProofEvmServer } from '@flow402x/adapters-evm/server'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { assetOf, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { referenceTag } from '@flow402x/core/transfer'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, multicall3Address, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { openShop, type ShopMaker, shopSecret, type TransferStage, testTransfers, transfer } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { paid } from '../bindings/fetch.ts'
import { createServer } from '../index.ts'

let evm: EvmChain
beforeAll(async () => {
  evm = await startEvmChain()
})
afterAll(() => evm?.stop())

const maker: ShopMaker = {
  newStore: memoryStore,
  make({ price, maxTimeoutSeconds = 300, handler, ...options }) {
    const server = createServer(options)
    return { ...server, charge: paid(server, { price, maxTimeoutSeconds }, handler) }
  },
}

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

testTransfers({ ...maker, name: 'ETH', stageOf: () => onEvm('ETH'), findable: false })
testTransfers({ ...maker, name: 'an ERC-20 token', stageOf: () => onEvm('USDC'), findable: true })

describe('on an EVM chain', () => {
  const shopOf = (stage: TransferStage, change: Parameters<TransferStage['scheme']>[0] = {}) =>
    openShop(maker, [stage.scheme(change)], { price: stage.price })
  const mined = z.looseObject({ transactionHash: z.string() })
  const send = async (transaction: { from: string; to: string; data?: string; value?: bigint; gas?: bigint }) => {
    await evm.rpc('anvil_impersonateAccount', [transaction.from])
    return mined.parse(await evm.rpc('eth_sendTransactionSync', [transaction])).transactionHash
  }
  const word = (value: string | bigint) => (typeof value === 'bigint' ? value.toString(16) : value.slice(2).toLowerCase()).padStart(64, '0')

  it('a transfer that a reorg takes away is pending again, and buys once it is back and deep enough', async () => {
    verifies(['M17', 'M22'])
    const stage = onEvm('USDC')
    const shop = shopOf(stage, { confirmations: 2 })
    const offer = await shop.offer()
    const prepared = await stage.payer.prepare(offer, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
    const payment = { x402Version: 2, accepted: offer, payload: { ...prepared.payload } } as const
    const before = await evm.rpc('evm_snapshot', [])
    const bring = () => evm.rpc('eth_sendRawTransaction', [prepared.transfer])
    await bring()
    await expect
      .poll(() => shop.pay(payment))
      .toMatchObject({ status: 503, reason: 'settlement_pending', receipt: { transaction: prepared.payload.transaction } })
    await evm.rpc('evm_revert', [before])
    await evm.mine(3)
    expect(await shop.pay(payment)).toMatchObject({ status: 503, reason: 'settlement_pending' })
    expect([shop.state.runs, await shop.books()]).toEqual([0, []])
    await bring()
    expect(await shop.pay(payment)).toMatchObject({ status: 503 })
    await evm.mine(2)
    await expect.poll(() => shop.pay(payment)).toMatchObject({ status: 200, text: 'goods 1 ' })
    expect(await shop.pay(payment)).toMatchObject({ status: 402, reason: 'duplicate_settlement' })
  })

  it('a payer waits until his transfer is as deep as it shall be, and shows it then', async () => {
    const stage = onEvm('ETH')
    const shop = shopOf(stage, { confirmations: 2 })
    // The last may be under way while its chain stops.
    const blocks = setInterval(() => void evm.mine().catch(() => {}), 50)
    const payment = await transfer(stage.payer, await shop.offer()).finally(() => clearInterval(blocks))
    expect(await shop.pay(payment)).toMatchObject({ status: 200 })
  })

  it('a transaction that failed buys nothing', async () => {
    verifies('M23')
    const shop = shopOf(onEvm('USDC'))
    const offer = await shop.offer()
    const tag = Buffer.from(await referenceTag(String(offer.extra?.reference))).toString('hex')
    const data = `0xa9059cbb${word(evm.seller.address)}${word(10n ** 30n)}${tag}`
    const transaction = await send({ from: evm.buyer.address, to: evm.usdc.address, data, gas: 200_000n })
    const { reference } = offer.extra ?? {}
    expect(await shop.pay({ x402Version: 2, accepted: offer, payload: { transaction, reference } })).toMatchObject({
      status: 402,
      reason: 'transaction_failed',
    })
    expect(await shop.books()).toEqual([])
  })

  it('what a contract made of a transfer proves nothing, nor does one with more behind it than its tag', async () => {
    verifies('M23')
    const { buyer, seller, usdc } = evm
    const shop = shopOf(onEvm('USDC'))
    const offer = await shop.offer()
    const tag = Buffer.from(await referenceTag(String(offer.extra?.reference))).toString('hex')
    const show = (transaction: string) =>
      shop.pay({ x402Version: 2, accepted: offer, payload: { transaction, reference: offer.extra?.reference } })
    await send({ from: buyer.address, to: usdc.address, data: `0x095ea7b3${word(multicall3Address)}${word(10_000n)}` })
    const inner = `23b872dd${word(buyer.address)}${word(seller.address)}${word(10_000n)}`
    const call = `${word(usdc.address)}${word(0n)}${word(96n)}${word(100n)}${inner}${'0'.repeat(56)}`
    const wrapped = `0x82ad56cb${word(32n)}${word(1n)}${word(32n)}${call}${tag}`
    expect(await show(await send({ from: buyer.address, to: multicall3Address, data: wrapped }))).toMatchObject({
      status: 402,
      reason: 'not_a_plain_transfer',
    })
    const twice = `0xa9059cbb${word(seller.address)}${word(10_000n)}${tag}${tag}`
    expect(await show(await send({ from: buyer.address, to: usdc.address, data: twice }))).toMatchObject({
      status: 402,
      reason: 'foreign_reference',
    })
    const selfPaid = `0xa9059cbb${word(seller.address)}${word(10_000n)}${tag}`
    await evm.mint(seller.address, 10_000n)
    expect(await show(await send({ from: seller.address, to: usdc.address, data: selfPaid }))).toMatchObject({
      status: 402,
      reason: 'wrong_amount',
    })
    expect([shop.state.runs, await shop.books()]).toEqual([0, []])
  })

  it('is asked for in dollars by the seller’s rate, and honoured at the rate it was asked at, also later', async () => {
    verifies('M24')
    const stage = onEvm('ETH')
    let [rate, late] = ['3000', 0]
    const clock = () => Date.now() + late
    const server = createServer({ schemes: [stage.scheme()], store: memoryStore(), origin: 'https://shop.test', rate: () => rate, clock })
    const charge = paid(server, { price: '$0.30' }, async () => new Response('goods'))
    const offered = async () => {
      const asked = await charge(new Request('https://shop.test/'))
      const [offer] = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '').accepts
      if (offer === undefined) throw new TypeError('nothing was offered')
      return offer
    }
    const offer = await offered()
    expect(offer.amount).toBe(`${10n ** 14n}`)
    const payment = await transfer(stage.payer, offer)
    rate = '2000'
    late = 3_600_000
    expect((await offered()).amount).toBe(`${15n * 10n ** 13n}`)
    const headers = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
    expect((await charge(new Request('https://shop.test/', { headers }))).status).toBe(200)
  })

  it('a payer’s parallel transfers take one nonce each', async () => {
    verifies('H35')
    const stage = onEvm('ETH')
    const shop = shopOf(stage)
    const payments = await Promise.all(Array.from({ length: 5 }, async () => transfer(stage.payer, await shop.offer())))
    expect(new Set(payments.map(({ payload }) => payload.transaction)).size).toBe(5)
    const answers = await Promise.all(payments.map((payment) => shop.pay(payment)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  })

  // The clock of the chain does not come back: last.
  it('a transfer that was mined long after its challenge buys nothing, and is listed to be given back', async () => {
    verifies('M24')
    const stage = onEvm('ETH')
    const shop = shopOf(stage)
    const offer = await shop.offer()
    await evm.increaseTime(500)
    expect(await shop.pay(await transfer(stage.payer, offer))).toMatchObject({ status: 402, reason: 'stale_reference' })
    expect(await shop.books()).toMatchObject([{ outcome: 'unclaimed', amount: `${stage.amount}` }])
  })
})
