import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type ChannelPayer, type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ChannelShop, openShop, type ShopPlan } from '../fixtures/channel-shop.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
beforeAll(async () => {
  chain = await startEvmChain()
})
afterAll(() => chain?.stop())
beforeEach(async () => {
  facilitator = await escrowFacilitator(chain)
})

const price = 10_000n
const open = (plan: Omit<ShopPlan, 'chain' | 'facilitator'> = {}) => openShop({ chain, facilitator, ...plan })

/** A channel that holds `prices` prices, of which so many are spent. */
async function spend(shop: ChannelShop, { prices = 5, spent = 1 } = {}): Promise<ChannelPayer> {
  const payer = await shop.newPayer()
  expect(await payer.fill(BigInt(prices) * price, 1n)).toBe('done')
  for (let count = 1; count <= spent; count += 1) expect((await shop.pay(payer.voucher(BigInt(count) * price))).status).toBe(200)
  return payer
}

/** The runner of a shop's own scheme, beside its server. */
function runnerOf({ server }: ChannelShop) {
  const [scheme] = server.engine.schemes
  const runner = scheme?.vouchers?.runner({ facilitator })
  if (runner === undefined) throw new TypeError('no runner')
  return runner
}

const earned = () => chain.balanceOf(chain.seller.address)

describe('what channels owe', () => {
  it('is claimed for a hundred channels in one transaction, but for the one that was drained', async () => {
    verifies(['M14', 'M16', 'H15'])
    const shop = await open()
    const payers: ChannelPayer[] = []
    for (let count = 0; count < 100; count += 1) payers.push(await spend(shop))
    const drained = payers[41]
    expect(await drained?.withdraw(5n * price)).toBe('done')
    await chain.increaseTime(900)
    expect(await drained?.finish()).toBe('done')
    const before = await earned()
    const rounds = await shop.server.collect()
    expect(rounds).toEqual([{ led: true, claimed: 99, settled: 99n * price }])
    expect(facilitator.asked.map(({ type, result }) => [type, result])).toEqual([
      ['claim', 'done'],
      ['settle', 'done'],
    ])
    expect((await earned()) - before).toBe(99n * price)
    expect(shop.events.filter(({ type }) => type.startsWith('channel'))).toMatchObject([
      { type: 'channelPoisoned', channelId: drained?.id, owed: price },
      { type: 'channelsClaimed', channels: 99, amount: 99n * price },
      { type: 'channelsSettled', amount: 99n * price, receiver: chain.seller.address },
    ])
    for (const payer of payers.filter((one) => one !== drained)) {
      expect(await shop.row(payer)).toMatchObject({ charged: price, funds: { claimed: price } })
    }
    // A second round has nothing to do and sends nothing, not for the drained one either.
    expect(await shop.server.collect()).toEqual([{ led: true, claimed: 0, settled: 0n }])
    expect(facilitator.asked).toHaveLength(2)
  })

  it('is claimed by amount and by age, and not for so little that it costs more', async () => {
    verifies('M16')
    let now = Date.now()
    const shop = await open({ clock: () => now, scheme: { claims: { amount: '$0.03', age: 100, atLeast: '$0.02' } } })
    const runner = runnerOf(shop)
    const [little, some, much] = [await spend(shop), await spend(shop, { spent: 2 }), await spend(shop, { spent: 3 })]
    expect(await runner.round()).toMatchObject({ claimed: 1, settled: 3n * price })
    now += 99_000
    expect(await runner.round()).toMatchObject({ claimed: 0 })
    now += 2000
    expect(await runner.round()).toMatchObject({ claimed: 1, settled: 2n * price })
    now += 3_600_000
    expect(await runner.round()).toMatchObject({ claimed: 0 })
    const claimed = await Promise.all([little, some, much].map(async (payer) => (await shop.row(payer))?.funds.claimed))
    expect(claimed).toEqual([0n, 2n * price, 3n * price])
    // What is charged after a claim is as old as itself.
    await shop.pay(some.voucher(3n * price))
    await shop.pay(some.voucher(4n * price))
    expect(await runner.round()).toMatchObject({ claimed: 0 })
    await runner.close()
  })

  it('is claimed, and given back beside it, whatever v was signed with: of keys that sign often nobody looks at it', async () => {
    verifies(['M26', 'M27'])
    const shop = await open()
    const turned = async (payer: ChannelPayer, max: bigint) => {
      const voucher = Object(await payer.voucher(max)).payload.voucher.signature
      return payer.voucher(max, { signature: `${voucher.slice(0, -2)}${voucher.endsWith('1b') ? '1c' : '1b'}` })
    }
    const [often, leaving] = [await spend(shop, { prices: 40, spent: 31 }), await spend(shop)]
    const wrong = await turned(often, 32n * price)
    expect((await shop.pay(wrong)).status).toBe(200)
    expect((await shop.row(often))?.voucher).toEqual({ max: 32n * price, signature: Object(wrong).payload.voucher.signature })
    expect((await shop.pay(turned(leaving, 2n * price))).status).toBe(200)
    const before = await earned()
    expect((await shop.pay(leaving.refund(2n * price))).status).toBe(200)
    expect(await shop.row(leaving)).toMatchObject({ funds: { claimed: 2n * price, balance: 2n * price } })
    await shop.server.collect()
    expect(await shop.row(often)).toMatchObject({ charged: 32n * price, funds: { claimed: 32n * price } })
    expect((await earned()) - before).toBe(34n * price)
    expect(shop.events.filter(({ type }) => type === 'channelPoisoned')).toEqual([])
  })

  it('is claimed as soon as a payer withdraws, found by one query of the escrow, and he gets the rest', async () => {
    verifies(['A24', 'M27'])
    const shop = await open()
    const runner = runnerOf(shop)
    const [leaving, staying] = [await spend(shop, { spent: 2 }), await spend(shop)]
    expect(await runner.round()).toMatchObject({ claimed: 0 })
    // In flight: the handler works while its payer turns to leave.
    expect(await leaving.withdraw(5n * price)).toBe('done')
    expect((await shop.pay(leaving.voucher(3n * price))).status).toBe(200)
    expect(await runner.round()).toMatchObject({ claimed: 1, settled: 3n * price })
    expect((await shop.pay(leaving.voucher(4n * price))).required?.error).toBe('invalid_batch_settlement_evm_cumulative_exceeds_balance')
    await chain.increaseTime(900)
    const held = await chain.balanceOf(chain.buyer.address)
    expect(await leaving.finish()).toBe('done')
    expect((await chain.balanceOf(chain.buyer.address)) - held).toBe(2n * price)
    expect(await runner.round()).toMatchObject({ claimed: 0 })
    expect([await shop.row(leaving), await shop.row(staying)]).toMatchObject([
      { charged: 3n * price, funds: { claimed: 3n * price, balance: 3n * price, withdrawing: 0n } },
      { charged: price, funds: { claimed: 0n } },
    ])
    await runner.close()
  })

  it('is claimed by one of all that share a store, and by another when that is gone', async () => {
    verifies(['M6', 'M18'])
    let now = Date.now()
    const [store, clock] = [memoryStore(), () => now]
    const [one, other] = [await open({ store, clock }), await open({ store, clock })]
    const [first, second] = [runnerOf(one), runnerOf(other)]
    await spend(one)
    expect(await first.round()).toMatchObject({ led: true })
    expect(await second.round({ all: true })).toEqual({ led: false, claimed: 0, settled: 0n })
    now += 60_001
    expect(await second.round({ all: true })).toEqual({ led: true, claimed: 1, settled: price })
    expect(await first.round({ all: true })).toMatchObject({ led: false })
    await second.close()
    expect(await first.round({ all: true })).toMatchObject({ led: true, claimed: 0 })
    await first.close()
  })

  it('survives a facilitator that does not answer, refuses or lies, and is claimed once', async () => {
    verifies(['M5', 'M13', 'M16'])
    const shop = await open()
    await spend(shop)
    const before = await earned()
    for (const answer of ['refused', 'lost'] as const) {
      facilitator.answer = answer
      expect(await shop.server.collect()).toMatchObject([{ claimed: 0, settled: 0n }])
    }
    expect(await shop.server.collect()).toMatchObject([{ claimed: 0, settled: 0n }])
    // Sent and mined, and its answer was lost: the next round sees that on the chain, and pays out what was claimed.
    facilitator.answer = 'silent'
    expect(await shop.server.collect()).toMatchObject([{ claimed: 0 }])
    facilitator.answer = 'ok'
    expect(await shop.server.collect()).toMatchObject([{ claimed: 0 }])
    expect((await earned()) - before).toBe(price)
    expect(facilitator.asked.map(({ type }) => type)).toEqual(['claim', 'settle'])
  })

  it('is no more than was charged, after the books were lost too, and the payer goes on where he was', async () => {
    verifies(['H15', 'M26'])
    const shop = await open()
    const payer = await spend(shop, { prices: 10, spent: 2 })
    await shop.server.collect()
    await shop.pay(payer.voucher(3n * price))
    // A new shop with empty books: what was not claimed is forfeited, and no voucher is refused or sold twice for it.
    const anew = await open()
    expect((await anew.pay(payer.voucher(2n * price))).required).toMatchObject({
      error: 'invalid_batch_settlement_evm_cumulative_amount_mismatch',
      accepts: [{ extra: { channelState: { totalClaimed: `${2n * price}`, chargedCumulativeAmount: `${2n * price}` } } }],
    })
    expect((await anew.pay(payer.voucher(4n * price))).receipt?.extra).toMatchObject({
      chargedAmount: `${price}`,
      channelState: { chargedCumulativeAmount: `${4n * price}`, totalClaimed: `${2n * price}` },
    })
    const before = await earned()
    expect(await anew.server.collect()).toMatchObject([{ claimed: 1, settled: price }])
    expect([(await earned()) - before, await anew.row(payer)]).toMatchObject([
      price,
      { charged: 3n * price, funds: { claimed: 3n * price } },
    ])
    expect((await anew.pay(payer.voucher(5n * price))).status).toBe(200)
  })
})
