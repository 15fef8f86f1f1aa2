import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BuyerOptions, type ChannelStage, channelBuyer, channelStage } from '../fixtures/channel-stage.ts'
import { type Answer, correcting, type Exchange, refusing, type Shown, startLiar } from '../fixtures/liar.ts'

let stage: ChannelStage
beforeAll(async () => {
  stage = await channelStage()
})
afterAll(() => stage?.close())

const price = 1000n
let accounts = 2

/** A buyer with an account of his own, and a seller who is honest but for `lie`. */
async function meet(lie: (exchange: Exchange) => Promise<Answer | undefined>, buyer: BuyerOptions = {}) {
  const shop = await stage.openShop({ minDeposit: '$0.1' })
  const seller = await startLiar(shop, lie)
  accounts = accounts === 9 ? 3 : accounts + 1
  const retry = { attempts: 2, firstDelayMs: 1 }
  return { shop, seller, ...channelBuyer(stage, { account: accounts, ...buyer, client: { retry, ...buyer.client } }) }
}

const disagrees = { code: 'evm/channel-disagrees', phase: 'settle', moneyMoved: 'unknown', retry: 'never' }

describe('a seller who lies', () => {
  it('and says that more was charged gets the price, and from later calls no more than theirs', async () => {
    verifies(['H15', 'A22'])
    const { seller, buy, row } = await meet(async ({ forward }) => {
      const { receipt, ...answer } = await forward()
      const extra = { chargedAmount: '50000', channelState: { chargedCumulativeAmount: '90000' } }
      return { ...answer, receipt: receipt && { ...receipt, extra } }
    })
    for (let call = 1n; call <= 5n; call += 1n) {
      expect((await buy(seller.url)).status).toBe(200)
      expect([(await row()).charged, seller.signed()]).toEqual([call * price, call * price])
    }
  })

  it.each([
    ['with nothing to show', () => undefined],
    ['with a voucher it made up', () => ({ max: 80_000n, signature: `0x${'11'.repeat(65)}` })],
    ['with the voucher that it refuses', ({ voucher }: Exchange) => voucher],
  ] as const)(
    'and counts more as charged %s gets no second signature',
    async (_, shown: (exchange: Exchange) => Omit<Shown, 'channelId'> | undefined) => {
      verifies(['H15', 'A22', 'A15'])
      const { seller, buy, client, row } = await meet(async (exchange) => {
        const voucher = shown(exchange)
        return exchange.payment === undefined ? exchange.forward() : correcting(exchange, voucher?.max ?? 80_000n, voucher)
      })
      await expect(buy(seller.url)).rejects.toMatchObject(disagrees)
      expect([seller.payments.length, seller.signed()]).toEqual([1, price])
      expect((await client.spent()).total).toMatchObject({ reserved: '$0.001', committed: '$0' })
      // However often that is tried, what is signed in all is at most what the calls were to pay.
      for (let call = 2n; call <= 4n; call += 1n) {
        await buy(seller.url).catch(() => undefined)
        expect(seller.signed()).toBeLessThanOrEqual(call * price)
        expect((await row()).top).toBe(seller.signed())
      }
    },
  )

  it('and says the same old position for ever is signed one voucher below the last, once for each call', async () => {
    verifies(['H15', 'A30'])
    const { seller, buy } = await meet(async (exchange) => (exchange.nth > 3 ? correcting(exchange, 0n) : exchange.forward()))
    for (let call = 0; call < 3; call += 1) await buy(seller.url)
    for (let call = 0; call < 4; call += 1) expect((await buy(seller.url)).status).toBe(402)
    expect(seller.payments.length).toBeLessThanOrEqual(3 + 2 * 4)
    expect(seller.signed()).toBeLessThanOrEqual(4n * price)
  })

  it('and advises to deposit a thousand dollars, or refuses every smaller deposit, gets five at most', async () => {
    verifies(['A22', 'M20'])
    const { seller, buy, deposited } = await meet(async ({ offer, forward, ...exchange }) => {
      const rich = offer.accepts.map((one) => ({ ...one, extra: { ...one.extra, minDeposit: '1000000000' } }))
      if (exchange.payment === undefined) return { status: 402, required: { ...offer, accepts: rich }, body: '{}' }
      return forward()
    })
    // The shop behind takes the terms it knows, which are a subset of these.
    await buy(seller.url)
    expect(deposited()).toBeLessThanOrEqual(5_000_000n)
    const refused = await meet(async (exchange) =>
      exchange.payment === undefined ? exchange.forward() : refusing(exchange, 'deposit_below_min_deposit'),
    )
    const deposits = new Set<unknown>()
    for (let call = 0; call < 4; call += 1) expect((await refused.buy(refused.seller.url)).status).toBe(402)
    for (const { payload } of refused.seller.payments) deposits.add(JSON.stringify(payload.deposit))
    // One deposit was signed, and each call brought the same one: it can land once.
    expect([deposits.size, refused.seller.signed()]).toEqual([1, price])
  })

  it('and names another authorizer or delay with each call opens channels within one cap', async () => {
    verifies(['A22', 'M20'])
    const { seller, buy, rows } = await meet(
      async (exchange) => {
        if (exchange.payment !== undefined) return { status: 200, body: 'goods' }
        const extra = { receiverAuthorizer: `0x${String(++sellers).padStart(40, '7')}`, minDeposit: '3000000' }
        return refusing(exchange, 'x', extra)
      },
      { sees: false },
    )
    let sellers = 0
    const ends: string[] = []
    for (let call = 0; call < 6; call += 1) {
      ends.push(
        await buy(seller.url).then(
          ({ status }) => String(status),
          (error: { code?: string }) => String(error.code),
        ),
      )
    }
    expect(ends).toEqual(ends.map(() => '200'))
    const locked = (await rows()).reduce((sum, { funds, filling, charged }) => sum + funds.balance + (filling?.amount ?? 0n) - charged, 0n)
    expect(locked).toBeLessThanOrEqual(5_000_000n)
    expect(seller.signed()).toBe(6n * price)
  })

  it('and asks to be paid elsewhere is refused before anything is signed', async () => {
    const { seller, buy } = await meet(async ({ offer, forward, payment }) => {
      asks += 1
      if (payment !== undefined || asks < 3) return forward()
      return {
        status: 402,
        required: { ...offer, accepts: offer.accepts.map((one) => ({ ...one, payTo: stage.chain.owner.address })) },
        body: '{}',
      }
    })
    let asks = 0
    expect((await buy(seller.url)).status).toBe(200)
    await expect(buy(seller.url)).rejects.toMatchObject({ code: 'client/payee-changed', moneyMoved: 'no' })
    expect(seller.signed()).toBe(price)
  })

  it('and never sends a receipt is paid each call once, and its deposit is known by the chain', async () => {
    verifies('H15')
    const { shop, seller, buy, row } = await meet(async ({ forward }) => ({ ...(await forward()), receipt: undefined }))
    for (let call = 0; call < 4; call += 1) expect((await buy(seller.url)).status).toBe(200)
    expect([(await row()).charged, (await shop.row()).charged, seller.signed()]).toEqual([4n * price, 4n * price, 4n * price])
    expect(await row()).toMatchObject({ funds: { balance: 100n * price } })
  })

  it('and takes a voucher and hangs up is signed no other for that call; later calls go on above', async () => {
    verifies(['H2', 'H7', 'H15'])
    const { shop, seller, buy, client, row } = await meet(async ({ payment, nth, forward }) => {
      const answer = await forward()
      return payment !== undefined && (nth === 2 || nth === 3) ? undefined : answer
    })
    await buy(seller.url)
    await expect(buy(seller.url)).rejects.toMatchObject({ moneyMoved: 'unknown' })
    expect(new Set(seller.payments.slice(1).map(({ payload }) => JSON.stringify(payload))).size).toBe(1)
    expect((await client.spent()).total).toMatchObject({ reserved: '$0.001', committed: '$0.001' })
    expect((await buy(seller.url)).status).toBe(200)
    expect([(await row()).charged, (await shop.row()).charged, seller.signed()]).toEqual([3n * price, 3n * price, 3n * price])
  })

  it('and says the channel is empty makes no second deposit where the chain shows the first', async () => {
    verifies('M20')
    const { seller, buy, deposited, rows } = await meet(async (exchange) =>
      exchange.nth > 1 ? refusing(exchange, 'channel_not_found') : exchange.forward(),
    )
    await buy(seller.url)
    for (let call = 0; call < 3; call += 1) expect((await buy(seller.url)).status).toBe(402)
    expect([deposited(), (await rows())[0]?.filling]).toEqual([100n * price, undefined])
    const blind = await meet(async (exchange) => (exchange.nth > 1 ? refusing(exchange, 'channel_not_found') : exchange.forward()), {
      sees: false,
    })
    await blind.buy(blind.seller.url)
    await expect(blind.buy(blind.seller.url)).rejects.toMatchObject(disagrees)
  })

  it('and gives back nothing is told apart from one who does: the books are the chain’s', async () => {
    verifies('CHANNEL-EXIT')
    const { seller, buy, refund, row } = await meet(async ({ payment, forward, nth }) => {
      if (payment?.payload.type !== 'refund') return forward()
      const receipt = { success: true, transaction: `0x${'ab'.repeat(32)}`, network: stage.chain.network, amount: '99000' }
      return nth > 0 ? { status: 200, receipt, body: '{}' } : forward()
    })
    await buy(seller.url)
    await refund(seller.url)
    expect(await row()).toMatchObject({ charged: price, funds: { balance: 100n * price } })
  })
})

it('deposits nothing for a payer who could not take it out again, unless he says so', async () => {
  verifies('M31')
  const { seller, buy, who } = await meet(({ forward }) => forward())
  await stage.chain.rpc('anvil_setBalance', [who.address, '0x1'])
  await expect(buy(seller.url)).rejects.toMatchObject({ code: 'evm/no-exit', moneyMoved: 'no' })
  expect(seller.payments).toEqual([])
  const daring = await meet(({ forward }) => forward(), { paying: { allowStuckDeposits: true } })
  await stage.chain.rpc('anvil_setBalance', [daring.who.address, '0x1'])
  expect((await daring.buy(daring.seller.url)).status).toBe(200)
})

it('counts vouchers as spending and deposits apart: a budget of two calls buys two, whatever was deposited', async () => {
  verifies(['M20', 'H7'])
  const { seller, buy, client, deposited } = await meet(({ forward }) => forward(), { client: { budget: { total: '$0.002' } } })
  expect([(await buy(seller.url)).status, (await buy(seller.url)).status]).toEqual([200, 200])
  await expect(buy(seller.url)).rejects.toMatchObject({ code: 'client/over-budget' })
  expect(deposited()).toBe(100n * price)
  expect((await client.spent()).total).toMatchObject({ committed: '$0.002', reserved: '$0' })
})
