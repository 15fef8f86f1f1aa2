import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { postgresPlaces, type ServedPlaces } from '../world/servers.ts'
import { type ChannelShop, openChannelShop, price, sendOnce } from './shop.ts'

describe('four processes on one PostgreSQL', () => {
  let chain: EvmChain
  let places: ServedPlaces
  let shop: ChannelShop
  beforeAll(async () => {
    ;[chain, places] = await Promise.all([startEvmChain(), postgresPlaces()])
    shop = await openChannelShop(chain, { books: places.claims, sellers: 4, claims: true })
  })
  afterAll(async () => {
    await shop?.stop()
    await places?.stop()
    await chain?.stop()
  })

  it('100 copies of one voucher: one run, one answer with goods, one charge', async () => {
    verifies(['A1', 'M26'])
    const payer = await shop.newPayer()
    const voucher = await payer.voucher(price)
    const at = (index: number): string => `${shop.sellers[index % 4]?.url}/copies`
    const together = await Promise.all(Array.from({ length: 100 }, (_, index) => sendOnce(at(index), voucher)))
    expect(together.filter((got) => got === 'goods')).toHaveLength(1)
    for (let index = 0; index < 20; index += 1) {
      expect(await sendOnce(at(index), voucher)).toBe('402 invalid_batch_settlement_evm_cumulative_amount_mismatch')
    }
    expect(shop.log().filter((line) => line === 'ran /copies')).toHaveLength(1)
  })

  it('vouchers of one channel over all of them: each served once, and all of it claimed once by one of them', async () => {
    verifies(['M18', 'M26'])
    const payer = await shop.newPayer()
    const before = await shop.store.channels.find({ side: 'receiver', id: payer.id })
    expect(before).toBeUndefined()
    const vouchers = await Promise.all(Array.from({ length: 40 }, (_, index) => payer.voucher(BigInt(index + 1) * price)))
    const got = await Promise.all(
      vouchers.map(async (voucher, index) => sendOnce(`${shop.sellers[index % 4]?.url}/many/${index}`, voucher)),
    )
    expect(new Set(got)).toEqual(new Set(['goods']))
    await vi.waitFor(async () => expect(await shop.earned()).toBe(41n * price), { interval: 100 })
    expect(await shop.store.channels.find({ side: 'receiver', id: payer.id })).toMatchObject({ charged: 40n * price, top: 40n * price })
    const claimed = shop.log().flatMap((line) => (line.startsWith('claimed ') ? [BigInt(line.slice(8))] : []))
    expect(claimed.reduce((sum, one) => sum + one, 0n)).toBe(41n * price)
  })
})
