import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner } from '@flow402x/adapters-evm/receipt'
import type { SignedReceipt } from '@flow402x/core/receipt'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Market, newWallet, openMarket, sendUsdc, signRating, type Wallet } from '../fixtures/payers.ts'
import { allBooks, offer, openTown, type Town } from '../fixtures/town.ts'
import type { Bazaar } from '../server.ts'

let chain: EvmChain
let town: Town
beforeAll(async () => {
  ;[chain, town] = await Promise.all([startEvmChain(), openTown()])
})
afterAll(async () => {
  await town.close()
  await chain.stop()
})

describe.each(Object.entries(allBooks))('payers, heard with %s', (_, openBooks) => {
  let market: Market
  beforeAll(async () => {
    market = await openMarket({ chain, town, books: await openBooks() })
  })
  afterAll(() => market.close())

  it('takes a rating of who paid, once, and shows it', async () => {
    verifies('M34')
    const shop = await market.openShop()
    const transaction = await market.buy(market.buyer(0), shop)
    const rating = await signRating(market.buyer(0), { resource: shop.url, transaction, stars: 4, comment: 'good <b>work</b>' })
    expect(await market.bazaar.rate(rating)).toEqual({ accepted: true })
    expect(await market.bazaar.rate(rating)).toMatchObject({ accepted: false, reason: 'not_newer' })
    const better = await signRating(market.buyer(0), { resource: shop.url, transaction, stars: 5, issuedAt: rating.issuedAt + 1 })
    expect(await market.bazaar.rate(better)).toEqual({ accepted: true })
    expect(await market.ratingsOf(shop)).toMatchObject({ average: 5, count: 1, payers: 1 })
    expect(await market.bazaar.ratings({ url: shop.url })).toEqual({
      resource: shop.url,
      ratings: [
        {
          payer: market.buyer(0).address.toLowerCase(),
          network: chain.network,
          transaction,
          stars: 5,
          issuedAt: better.issuedAt,
          weight: expect.any(Number),
        },
      ],
    })
  })

  it('lets one transaction pay for one of a seller’s resources, however it is spelled', async () => {
    verifies('M34')
    const first = await market.openShop()
    const page = { accepts: [offer({ payTo: first.payee.address })] }
    const second = { url: town.put(`${first.url}2`, page), payee: first.payee }
    await market.bazaar.register({ url: second.url })
    const transaction = await market.buy(market.buyer(0), first)
    const say = async (resource: string, spelling: string) =>
      (await market.bazaar.rate(await signRating(market.buyer(0), { resource, transaction: spelling, stars: 5, comment: 'a\u202E\nb' })))
        .reason
    expect(await say(first.url, transaction)).toBeUndefined()
    expect(await say(second.url, transaction)).toBe('not_newer')
    expect(await say(second.url, `0x${transaction.slice(2).toUpperCase()}`)).toBe('not_newer')
    expect(await market.ratingsOf(second)).toMatchObject({ count: 0, payers: 0 })
    expect((await market.bazaar.ratings({ url: first.url })).ratings).toMatchObject([{ comment: 'a b', transaction }])
  })

  it('hears nobody who did not pay this seller, this price, in this token', async () => {
    verifies('M34')
    const [shop, other] = [await market.openShop(), await market.openShop()]
    const mine = await market.buy(market.buyer(1), shop)
    const attempts: readonly (readonly [string, () => Promise<Parameters<Bazaar['rate']>[0]>])[] = [
      [
        'bad_signature',
        async () => ({ ...(await signRating(market.buyer(1), { resource: shop.url, transaction: mine, stars: 5 })), stars: 1 }),
      ],
      [
        'bad_signature',
        async () => ({
          ...(await signRating(market.buyer(2), { resource: shop.url, transaction: mine, stars: 1 })),
          payer: market.buyer(1).address,
        }),
      ],
      ['payment_of_other', () => signRating(market.buyer(2), { resource: shop.url, transaction: mine, stars: 1 })],
      ['payment_of_other', () => signRating(market.buyer(1), { resource: other.url, transaction: mine, stars: 1 })],
      [
        'payment_of_other',
        async () =>
          signRating(market.buyer(1), { resource: shop.url, transaction: await market.buy(market.buyer(1), shop, 9999n), stars: 1 }),
      ],
      ['payment_unseen', () => signRating(market.buyer(1), { resource: shop.url, transaction: `0x${'a'.repeat(64)}`, stars: 1 })],
      ['payment_unseen', () => signRating(market.buyer(1), { resource: shop.url, transaction: 'nonsense', stars: 1 })],
      [
        'unwitnessed_network',
        () => signRating(market.buyer(1), { resource: shop.url, transaction: mine, stars: 1, network: 'eip155:8453' }),
      ],
      ['not_listed', () => signRating(market.buyer(1), { resource: `${shop.url}x`, transaction: mine, stars: 1 })],
      ['bad_time', () => signRating(market.buyer(1), { resource: shop.url, transaction: mine, stars: 1, issuedAt: 1 })],
      ['bad_time', () => signRating(market.buyer(1), { resource: shop.url, transaction: mine, stars: 1, issuedAt: 4e9 })],
    ]
    for (const [reason, make] of attempts)
      expect({ reason, answer: await market.bazaar.rate(await make()) }).toMatchObject({ reason, answer: { accepted: false, reason } })
    expect(await market.ratingsOf(shop)).toMatchObject({ count: 0 })
  })

  it('asks for the receipt where the seller signs them, and believes only his', async () => {
    verifies('M34')
    const payee = newWallet()
    const host = market.newHost()
    const url = town.put(`${town.at(host)}/x`, {
      accepts: [offer({ payTo: payee.address })],
      extensions: { 'offer-receipt': { info: { offers: [] } } },
    })
    await market.bazaar.register({ url })
    const transaction = await sendUsdc(chain, { from: market.buyer(0).address, to: payee.address })
    const payload = { version: 1 as const, network: chain.network, resourceUrl: url, payer: market.buyer(0).address, issuedAt: 1 }
    const receipt = async (by: Wallet, change = {}): Promise<SignedReceipt> => {
      const said = { ...payload, ...change }
      const { signature } = await evmStatementSigner(privateKeySigner(by.privateKey)).sign({ kind: 'receipt', payload: said })
      return { format: 'eip712', payload: said, signature }
    }
    const rate = async (one?: SignedReceipt) =>
      (await market.bazaar.rate(await signRating(market.buyer(0), { resource: url, transaction, stars: 5, receipt: one }))).reason
    expect(await rate()).toBe('no_receipt')
    expect(await rate(await receipt(market.buyer(0)))).toBe('bad_receipt')
    expect(await rate(await receipt(payee, { resourceUrl: `${url}y` }))).toBe('bad_receipt')
    expect(await rate(await receipt(payee, { payer: market.buyer(1).address }))).toBe('bad_receipt')
    expect(await rate(await receipt(payee))).toBeUndefined()
  })

  it('counts the wallets of one funder as one, the seller’s own as none, and who pays many as more', async () => {
    verifies('M34')
    const shop = await market.openShop()
    const [first, second] = [newWallet(), newWallet()]
    for (const { address: to } of [first, second]) await sendUsdc(chain, { from: market.buyer(3).address, to, amount: 100_000n })
    // Bought with the seller's own money, handed on once more.
    await sendUsdc(chain, { from: market.buyer(4).address, to: shop.payee.address, amount: 1_000_000n })
    const [puppet, far] = [newWallet(), newWallet()]
    await sendUsdc(chain, { from: shop.payee.address, to: puppet.address, amount: 200_000n })
    await sendUsdc(chain, { from: puppet.address, to: far.address, amount: 100_000n })
    for (const wallet of [market.buyer(3), first, second, puppet, far])
      expect(await market.say(wallet, shop, wallet === market.buyer(3) ? 5 : 1)).toEqual({ accepted: true })
    const alone = await market.ratingsOf(shop)
    expect(alone).toMatchObject({ count: 1, payers: 1, weight: 0.1, average: 2.333 })
    const others = [await market.openShop(), await market.openShop(), await market.openShop(), await market.openShop()]
    for (const other of others) await market.say(first, other, 3)
    await market.bazaar.register({ url: shop.url })
    // Sellers that nobody else pays may be its own.
    expect((await market.ratingsOf(shop))?.weight).toBe(0.1)
    for (const other of others) await market.say(market.buyer(5), other, 3)
    await market.bazaar.register({ url: shop.url })
    const trusted = await market.ratingsOf(shop)
    expect(trusted).toMatchObject({ count: 1, payers: 1 })
    expect(trusted?.weight).toBeGreaterThan(0.6)
  })
})
