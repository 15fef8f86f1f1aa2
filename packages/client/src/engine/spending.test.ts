import { type Asset, assetId, findAsset, type PaymentRequirements } from '@flow402x/core'
import { memoryBudgets } from '@flow402x/core/memory'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, type Seller, settled, startSeller, usdc } from '../fixtures/seller.ts'
import { createClient } from './client.ts'
import type { BudgetOptions } from './options.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

async function sellerOf(
  offer: PaymentRequirements = cent,
  paid: (response: Parameters<typeof answer>[0]) => void = (response) => answer(response, settled),
) {
  const seller = await startSeller(({ payment }, response) => (payment === undefined ? ask(response, asking([offer])) : paid(response)))
  sellers.push(seller)
  return seller
}

const outcomes = (results: PromiseSettledResult<Response>[]) => ({
  paid: results.filter((result) => result.status === 'fulfilled').length,
  refused: results.filter((result) => result.status === 'rejected' && result.reason.code === 'client/over-budget').length,
})

describe('H7: a budget is never passed', () => {
  verifies('H7')
  it('by 50 parallel calls', async () => {
    const scheme = pen()
    const client = createClient({ schemes: [scheme], budget: { total: '$0.205' } })
    const seller = await sellerOf()
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => client.fetch(seller.url)))
    expect([outcomes(results), scheme.signed.length]).toEqual([{ paid: 20, refused: 30 }, 20])
    expect(await client.spent()).toEqual({ total: { limit: '$0.205', reserved: '$0', committed: '$0.2', left: '$0.005' }, caps: {} })
  })

  it('by two clients of one store', async () => {
    const store = memoryStore()
    const make = () => createClient({ schemes: [pen()], budget: { total: '$0.10' }, store })
    const [one, two, seller] = [make(), make(), await sellerOf()]
    const results = await Promise.allSettled(Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? one : two).fetch(seller.url)))
    expect(outcomes(results)).toEqual({ paid: 10, refused: 20 })
  })

  it('by calls whose outcome is unknown: they stay reserved, and count as spent once their signatures are dead (M32)', async () => {
    let now = Date.now()
    const client = createClient({ schemes: [pen()], budget: { total: '$0.03' }, now: () => now })
    const seller = await sellerOf(cent, (response) => response.writeHead(500).end())
    for (let call = 0; call < 3; call++) expect((await client.fetch(seller.url)).status).toBe(500)
    await expect(client.fetch(seller.url)).rejects.toMatchObject({
      code: 'client/over-budget',
      moneyMoved: 'no',
      context: { left: '$0', scope: 'usd:total' },
    })
    expect((await client.spent()).total).toMatchObject({ reserved: '$0.03', committed: '$0' })
    now += 301_000
    expect((await client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.03', left: '$0' })
  })

  it('of a day, and of an origin', async () => {
    let now = Date.UTC(2030, 5, 1, 23, 59)
    const scheme = pen()
    const clock: Partial<BudgetOptions> = { perDay: '$0.02', perOrigin: '$0.03' }
    const client = createClient({ schemes: [scheme], budget: clock, now: () => now })
    const seller = await startSeller(({ payment }, response) =>
      payment === undefined ? ask(response, asking(), { Date: new Date(now).toUTCString() }) : answer(response, settled),
    )
    sellers.push(seller)
    const call = () => client.fetch(seller.url)
    await call()
    await call()
    await expect(call()).rejects.toMatchObject({ context: { scope: 'usd:day:2030-06-01' } })
    now += 120_000
    expect((await client.spent()).today).toMatchObject({ committed: '$0', left: '$0.02' })
    await call()
    await expect(call()).rejects.toMatchObject({ context: { scope: `usd:origin:${seller.url}` } })
    expect(scheme.signed.length).toBe(3)
  })
})

describe('caps', () => {
  const dai = findAsset('eip155:1', 'DAI')
  const gold: Asset = {
    network: cent.network,
    address: '0x00000000000000000000000000000000000060Ld',
    symbol: 'GOLD',
    decimals: 8,
    transfer: 'eip3009',
  }

  it('compare exactly: a payment of the cap passes, an atomic unit more does not', async () => {
    const client = createClient({ schemes: [pen()], budget: { perPayment: '$0.01' } })
    expect((await client.fetch((await sellerOf()).url)).status).toBe(200)
    await expect(client.fetch((await sellerOf({ ...cent, amount: '10001' })).url)).rejects.toMatchObject({
      code: 'client/no-payable-offer',
      context: { leftOut: [{ why: 'more than the cap of $0.01 a payment' }] },
    })
  })

  it('are $1 unless given', async () => {
    const client = createClient({ schemes: [pen()] })
    expect((await client.fetch((await sellerOf({ ...cent, amount: '1000000' })).url)).status).toBe(200)
    await expect(client.fetch((await sellerOf({ ...cent, amount: '1000001' })).url)).rejects.toMatchObject({
      code: 'client/no-payable-offer',
    })
  })

  it('count 18 decimals exactly', async () => {
    const client = createClient({ schemes: [pen()] })
    const offer = { ...cent, network: 'eip155:1', asset: dai?.address ?? '', amount: '1' }
    expect((await client.fetch((await sellerOf(offer)).url)).status).toBe(200)
    expect((await client.spent()).total.committed).toBe('$0.000000000000000001')
  })

  it('are needed for an asset that is not worth a dollar, and hold in that asset', async () => {
    const scheme = pen()
    const seller = await sellerOf({ ...cent, asset: gold.address.toLowerCase(), amount: '40000000' })
    const unset = createClient({ schemes: [scheme], assets: [gold] })
    await expect(unset.fetch(seller.url)).rejects.toMatchObject({ context: { leftOut: [{ why: `no cap is set for ${assetId(gold)}` }] } })
    const caps = { [`${cent.network}/erc20:${gold.address}`]: { perPayment: '0.4', total: '0.9' } }
    const client = createClient({ schemes: [scheme], assets: [gold], budget: { caps } })
    for (let call = 0; call < 2; call++) expect((await client.fetch(seller.url)).status).toBe(200)
    await expect(client.fetch(seller.url)).rejects.toMatchObject({ code: 'client/over-budget', context: { left: '0.1 GOLD' } })
    const spent = await client.spent()
    expect(spent).toMatchObject({
      total: { committed: '$0' },
      caps: { [assetId(gold)]: { limit: '0.9 GOLD', committed: '0.8 GOLD', left: '0.1 GOLD' } },
    })
  })

  it('narrow a dollar asset too, and free what the other limit refused', async () => {
    const caps = { [`${cent.network}/erc20:${usdc}`]: { perPayment: '1', total: '0.015' } }
    const client = createClient({ schemes: [pen()], budget: { caps } })
    const seller = await sellerOf()
    expect((await client.fetch(seller.url)).status).toBe(200)
    await expect(client.fetch(seller.url)).rejects.toMatchObject({ code: 'client/over-budget', context: { left: '0.005 USDC' } })
    expect((await client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })
})

describe('memoryBudgets', () => {
  it('repeats nothing, and forgets no limit', async () => {
    const store = memoryBudgets()
    const limits = [
      { scope: 'a', limit: 10n },
      { scope: 'b', limit: 6n },
    ]
    expect(await store.reserve({ id: '1', amount: 4n, limits })).toEqual({ granted: true })
    expect(await store.reserve({ id: '1', amount: 4n, limits })).toEqual({ granted: true })
    expect(await store.reserve({ id: '2', amount: 3n, limits })).toEqual({ granted: false, scope: 'b', left: 2n })
    expect([await store.use('a'), await store.use('b')]).toEqual(Array(2).fill({ reserved: 4n, committed: 0n }))
    await store.commit('1')
    await store.commit('1')
    await store.release('1')
    expect(await store.use('a')).toEqual({ reserved: 0n, committed: 4n })
    expect(await store.reserve({ id: '3', amount: 2n, limits })).toEqual({ granted: true })
    await store.release('3')
    await store.commit('3')
    expect(await store.use('b')).toEqual({ reserved: 0n, committed: 4n })
  })
})
