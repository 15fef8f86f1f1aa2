import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { payerChannels, privateKeySigner } from '@flow402x/adapters-evm/client'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ChannelStage, channelBuyer, channelStage, type Shop } from '../fixtures/channel-stage.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-channels-'))
let stage: ChannelStage
beforeAll(async () => {
  stage = await channelStage()
})
afterAll(async () => {
  await stage?.close()
  rmSync(folder, { recursive: true })
})

const price = 1000n
let files = 0
const file = () => {
  files += 1
  return join(folder, `${files}.db`)
}

/** Holds the payer's books, the seller's and the chain against each other, to the atomic unit. */
async function expectAgreement(shop: Shop, buyer: ReturnType<typeof channelBuyer>, charged: bigint): Promise<void> {
  expect({ payer: (await buyer.row()).charged, seller: (await shop.row()).charged }).toEqual({ payer: charged, seller: charged })
  await shop.server.collect()
  await vi.waitFor(async () => expect(await stage.earned()).toBe(charged))
}

describe('payer, seller and chain agree', () => {
  it('over many calls at once: each is one run, one charge and no corrected payment', async () => {
    verifies(['H15', 'M20'])
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const told: string[] = []
    const buyer = channelBuyer(stage, { client: { onEvent: ({ type }) => told.push(type) } })
    await buyer.buy(shop.url)
    const answers = await Promise.all(Array.from({ length: 40 }, () => buyer.buy(shop.url)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect([shop.runs(), buyer.deposited(), told.includes('corrected')]).toEqual([41, 100n * price, false])
    await expectAgreement(shop, buyer, 41n * price)
  })

  it('when forty calls meet before there is a channel: one deposit, and the others wait for it', async () => {
    verifies('M20')
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const buyer = channelBuyer(stage, { account: 4 })
    const answers = await Promise.all(Array.from({ length: 40 }, () => buyer.buy(shop.url)))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(buyer.deposited()).toBe(100n * price)
    await expectAgreement(shop, buyer, 40n * price)
  })

  it('when a channel runs low among calls: the next deposit goes along, and nobody is turned away', async () => {
    verifies('M20')
    const shop = await stage.openShop()
    const buyer = channelBuyer(stage, { account: 5 })
    for (let round = 0; round < 4; round += 1) {
      const answers = await Promise.all(Array.from({ length: 9 }, () => buyer.buy(shop.url)))
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    }
    expect(buyer.deposited()).toBeGreaterThanOrEqual(36n * price)
    await expectAgreement(shop, buyer, 36n * price)
  })

  it('when handlers charge less than the price, or fail', async () => {
    let calls = 0
    const shop = await stage.openShop({
      minDeposit: '$0.1',
      handler: async () => {
        calls += 1
        return calls % 3 === 0 ? 500 : 200
      },
    })
    const buyer = channelBuyer(stage, { account: 6 })
    const answers = []
    for (let call = 0; call < 12; call += 1) answers.push((await buyer.buy(shop.url)).status)
    expect(answers.filter((status) => status === 200)).toHaveLength(8)
    // What failed was signed again, and not beside it.
    expect((await buyer.row()).top).toBeLessThanOrEqual(9n * price)
    await expectAgreement(shop, buyer, 8n * price)
  })

  it('after the payer lost his books, and the seller his', async () => {
    verifies('H15')
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const first = channelBuyer(stage, { account: 7 })
    for (let call = 0; call < 3; call += 1) await first.buy(shop.url)
    const again = channelBuyer(stage, { account: 7 })
    expect(await again.buy(shop.url)).toEqual({ status: 200, body: 'run 4' })
    expect(again.deposited()).toBe(0n)
    await expectAgreement(shop, again, 4n * price)
    const both = channelBuyer(stage, { account: 7 })
    expect((await both.buy(shop.url)).status).toBe(200)
    await expectAgreement(shop, both, 5n * price)
  })

  it('after a refund, which the chain shows, and after the next deposit into the same channel', async () => {
    verifies('CHANNEL-EXIT')
    const shop = await stage.openShop({ price: '$0.01', minDeposit: '$0.1' })
    const buyer = channelBuyer(stage, { account: 8, store: sqliteStore(file()) })
    const before = await stage.chain.balanceOf(buyer.who.address)
    for (let call = 0; call < 3; call += 1) await buyer.buy(shop.url)
    const receipt = await buyer.refund(shop.url)
    expect(receipt).toMatchObject({ success: true, amount: `${70n * price}` })
    expect(before - (await stage.chain.balanceOf(buyer.who.address))).toBe(30n * price)
    expect(await buyer.row()).toMatchObject({ charged: 30n * price, funds: { balance: 30n * price } })
    expect((await buyer.buy(shop.url)).status).toBe(200)
    expect(before - (await stage.chain.balanceOf(buyer.who.address))).toBe(130n * price)
    await expectAgreement(shop, buyer, 40n * price)
    await buyer.store.close()
  })

  it('after a top-up was killed before it was sent, and two went on with it at once: it lands once', async () => {
    verifies(['M20', 'A22'])
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const buyer = channelBuyer(stage, { account: 5, store: sqliteStore(file()) })
    await buyer.buy(shop.url)
    const { id } = await buyer.row()
    const by = (chain: typeof buyer.own) => payerChannels({ signer: buyer.signer, store: buyer.store, chains: [chain] })
    const killed = by({ ...buyer.own, send: () => Promise.reject(new Error('killed')) })
    await expect(killed.topUp(id, 50n * price)).rejects.toThrow('killed')
    expect((await buyer.row()).filling).toMatchObject({ amount: 50n * price })
    const ends = await Promise.allSettled([by(buyer.own).topUp(id, 50n * price), by(buyer.own).topUp(id, 50n * price)])
    // Both may send the very same transaction; what another one would bring the escrow has had.
    expect(new Set(ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value.transaction] : []))).size).toBe(1)
    for await (const channel of by(buyer.own).list()) {
      expect(channel).toMatchObject({ books: { balance: 150n * price, depositing: 0n }, chain: { balance: 150n * price } })
    }
    expect(await by(buyer.own).topUp(id, price)).toMatchObject({ amount: price })
    expect((await buyer.row()).funds.balance).toBe(151n * price)
    await expect(by(buyer.own).topUp(id, 5_000_000n)).rejects.toMatchObject({ code: 'evm/deposit-cap', moneyMoved: 'no' })
    await expectAgreement(shop, buyer, price)
    await buyer.store.close()
  })

  it('where two tabs keep books of their own: a call may fail between them, and nobody is charged for it', async () => {
    verifies('H15')
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const tabs = [channelBuyer(stage, { account: 6 }), channelBuyer(stage, { account: 6 })]
    let served = 0
    for (let call = 0; call < 12; call += 1) {
      const end = await tabs[call % 3 === 2 ? 1 : 0]?.buy(shop.url).then(
        ({ status }) => status,
        (error: { code?: string; moneyMoved?: string }) => `${error.code} ${error.moneyMoved}`,
      )
      served += end === 200 ? 1 : 0
      expect([200, 'evm/channel-disagrees unknown']).toContain(end)
    }
    expect([shop.runs(), (await shop.row()).charged]).toEqual([served, BigInt(served) * price])
    expect(served).toBeGreaterThanOrEqual(6)
    // Neither signed past what both were to pay.
    for (const { row } of tabs) expect((await row()).top).toBeLessThanOrEqual(12n * price)
    await shop.server.collect()
    await vi.waitFor(async () => expect(await stage.earned()).toBe(BigInt(served) * price))
  })

  it('where the payer is a smart wallet, whose vouchers and way out are those of a key', async () => {
    verifies(['CHANNEL-EXIT', 'H20', 'M28'])
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const key = stage.chain.accounts[4] ?? stage.chain.buyer
    const wallet = await stage.chain.deploySmartAccount(key.address)
    const voucherSigner = privateKeySigner(key.privateKey)
    const buyer = channelBuyer(stage, { account: 4, paying: { signer: { ...voucherSigner, address: wallet }, voucherSigner } })
    for (let call = 0; call < 3; call += 1) expect((await buyer.buy(shop.url)).status).toBe(200)
    expect((await buyer.row()).config).toMatchObject({ payer: wallet, payerAuthorizer: key.address })
    await expectAgreement(shop, buyer, 3n * price)
    const channels = payerChannels({ signer: buyer.signer, store: buyer.store, chains: [buyer.own] })
    expect(await channels.startWithdrawal((await buyer.row()).id)).toMatchObject({ amount: 97n * price })
  })

  it('after the payer took his money out alone, against a seller who is gone', async () => {
    verifies(['CHANNEL-EXIT', 'M31'])
    const shop = await stage.openShop({ minDeposit: '$0.1' })
    const buyer = channelBuyer(stage, { account: 9 })
    const before = await stage.chain.balanceOf(buyer.who.address)
    for (let call = 0; call < 3; call += 1) await buyer.buy(shop.url)
    await shop.server.collect()
    await shop.close()
    const { id } = await buyer.row()
    const channels = payerChannels({ signer: buyer.signer, store: buyer.store, chains: [buyer.own] })
    await expect(channels.finishWithdrawal(id)).rejects.toMatchObject({ code: 'evm/not-withdrawable' })
    expect(await channels.startWithdrawal(id)).toMatchObject({ amount: 97n * price })
    await expect(channels.startWithdrawal(id)).rejects.toMatchObject({ code: 'evm/not-withdrawable' })
    await expect(channels.finishWithdrawal(id)).rejects.toMatchObject({ code: 'evm/not-withdrawable' })
    await stage.chain.rpc('evm_increaseTime', [901])
    await stage.chain.mine()
    expect(await channels.finishWithdrawal(id)).toMatchObject({ amount: 97n * price })
    expect(before - (await stage.chain.balanceOf(buyer.who.address))).toBe(3n * price)
    for await (const channel of channels.list()) {
      expect(channel).toMatchObject({
        books: { balance: 3n * price, charged: 3n * price, left: 0n },
        chain: { balance: 3n * price, claimed: 3n * price, withdrawing: 0n },
      })
    }
  })
})
