import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { openShop, receiptIn, type ShopPlan, type StreamShop } from '../fixtures/stream-shop.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
let shops: StreamShop[] = []
beforeAll(async () => {
  chain = await startEvmChain()
  facilitator = await escrowFacilitator(chain)
})
afterEach(async () => {
  for (const shop of shops) await shop.close()
  shops = []
})
afterAll(() => chain?.stop())

const second = 10_000n
async function open(plan: Omit<ShopPlan, 'chain' | 'facilitator'> = {}): Promise<StreamShop> {
  const shop = await openShop({ chain, facilitator, ...plan })
  shops.push(shop)
  return shop
}

describe('windows (grade A)', () => {
  test('are offered in the header and beside it', async () => {
    const { offer, read } = await open()
    const { status, headers } = await read({})
    expect(status).toBe(402)
    expect(
      Object.fromEntries(['payment-rate', 'network', 'payment-stream', 'cache-control'].map((name) => [name, headers.get(name)])),
    ).toEqual({
      'payment-rate': '0.01 USD/second',
      network: chain.network,
      'payment-stream': 'v=1; clock=wall; buy=5; tick=1; window=2; max-window=30; tick-url="/live/tick"; refundable=1',
      'cache-control': 'private, no-store, no-transform',
    })
    const { accepts, extensions } = await offer()
    expect(accepts).toMatchObject([{ scheme: 'batch-settlement', amount: `${5n * second}`, extra: { minDeposit: `${600n * second}` } }])
    expect(extensions).toEqual({
      'flow402x-stream': {
        info: { v: '1', unit: 'second', clock: 'wall', rate: '10000/1', buy: 5, tick: 1, window: 2, windowMax: 30, tickUrl: '/live/tick' },
      },
    })
  })

  test('flow as long as they are paid, and not a chunk longer', async () => {
    const shop = await open({ rate: { buy: 0.5 } })
    const payer = await shop.newPayer(100n * second)
    const half = second / 2n
    const reading = await shop.open(payer.voucher(half))
    expect(reading.status).toBe(200)
    expect(receiptIn(reading.headers)).toMatchObject({ success: true, transaction: '', extra: { chargedAmount: `${half}` } })
    await vi.waitFor(() => expect(reading.controls.map(({ t }) => t)).toContain('gated'), 3000)
    const paidFor = reading.items.length
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reading.items).toHaveLength(paidFor)
    const tick = await shop.buy(reading.sid, payer.voucher(2n * half))
    expect(tick.status).toBe(204)
    expect(receiptIn(tick.headers)).toMatchObject({ extra: { channelState: { chargedCumulativeAmount: `${2n * half}` } } })
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(paidFor), 3000)
    const closed = await shop.post({ sid: reading.sid, op: 'close' })
    expect(closed).toMatchObject({ status: 200, body: { state: 'ended' } })
    await reading.ended
    const receipt = reading.controls.find(({ t }) => t === 'receipt')
    const row = await shop.row(payer)
    expect(row.charged).toBe(receipt?.consumed)
    expect(row.charged).toBeGreaterThan(half)
    expect(row.charged).toBeLessThanOrEqual(2n * half)
    expect(row.lanes).toBeUndefined()
  })
})
