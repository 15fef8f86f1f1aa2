import { fastestSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import { type PaymentPayload, paymentSignatureHeader } from '@flow402x/core'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import { receiptIn, type StreamShop } from '../fixtures/stream-shop.ts'

const ground = useGround(escrowFacilitator)
const { open } = ground

const second = 10_000n
const window = 5n * second

/** What a payment comes to at the tick URL: a lane, or why not. */
async function tried(shop: StreamShop, payment: PaymentPayload): Promise<number> {
  const { status } = await shop.post(undefined, { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) })
  return status
}

/** A payment with another part of its voucher or channel. */
function changed(payment: PaymentPayload, change: { voucher?: object; channelConfig?: object }): PaymentPayload {
  const { voucher, channelConfig } = payment.payload
  return {
    ...payment,
    payload: {
      ...payment.payload,
      voucher: { ...Object(voucher), ...change.voucher },
      channelConfig: { ...Object(channelConfig), ...change.channelConfig },
    },
  }
}

describe('vouchers that buy nothing', () => {
  test('beyond the balance, of another channel, of another chain, and in other writings of a signature', async () => {
    verifies('T13')
    const shop = await open()
    const payer = await shop.newPayer(2n * window)
    const other = await shop.newPayer(2n * window)
    const good = await payer.voucher(window)
    const signature = String(Object(good.payload.voucher).signature)
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
    const s = BigInt(`0x${signature.slice(66, 130)}`)
    const high = `${signature.slice(0, 66)}${(order - s).toString(16).padStart(64, '0')}${signature.endsWith('1b') ? '1c' : '1b'}`
    const hostile = [
      await payer.voucher(3n * window),
      changed(good, { voucher: { maxClaimableAmount: `${2n * window}` } }),
      changed(good, { voucher: { channelId: other.id } }),
      changed(good, { channelConfig: { salt: other.config.salt } }),
      changed(good, { voucher: { signature: high } }),
      changed(good, { voucher: { signature: `${signature.slice(0, -2)}1d` } }),
      { ...good, accepted: { ...good.accepted, network: 'eip155:8453' } },
    ]
    const statuses = []
    for (const payment of hostile) statuses.push(await tried(shop, payment))
    expect(statuses).toEqual(hostile.map(() => 402))
    expect(await tried(shop, good)).toBe(204)
    expect((await shop.row(payer)).lanes).toMatchObject([{ granted: window }])
  })

  test('that claims have shown to everybody: no lane, no credit, and not the one that is higher', async () => {
    verifies(['M26', 'F4'])
    const shop = await open()
    const payer = await shop.newPayer(10n * window)
    const [first, second] = [await payer.voucher(window), await payer.voucher(2n * window)]
    const reading = await shop.open(first)
    expect((await shop.buy(reading.sid, second)).status).toBe(204)
    await shop.post({ sid: reading.sid, op: 'close' })
    const standing = await shop.row(payer)
    // A bystander has both, and not the name of a lane.
    expect([await tried(shop, first), await tried(shop, second), (await shop.open(second, 'B')).status]).toEqual([402, 402, 402])
    expect(await shop.buy(reading.sid, second)).toMatchObject({ status: 410 })
    expect(await shop.row(payer)).toMatchObject({ charged: standing.charged, top: standing.top, free: standing.free })
    const stale = await shop.post({ sid: 'AAECAwQFBgcICQoLDA0ODw', voucher: second.payload.voucher })
    expect(stale.status).toBe(404)
  })

  test('to a lane of another channel, and those of the other grade', async () => {
    verifies('M29')
    const shop = await open({ streams: { ticksPerSecond: 100 } })
    const [payer, other] = [await shop.newPayer(10n * window), await shop.newPayer(10n * window)]
    const reading = await shop.open(payer.voucher(window))
    expect((await shop.buy(reading.sid, other.voucher(window))).status).toBe(402)
    expect((await shop.slide(reading.sid, payer.voucher(2n * window))).status).toBe(400)
    expect((await shop.open(payer.voucher(3n * window), 'B')).status).toBe(402)
    expect((await shop.row(payer)).top).toBe(window)
  })

  test('to who names a lane in a header without our code for it', async () => {
    verifies('FS1-LANE-BEARER')
    const shop = await open({ streams: { ticksPerSecond: 100 } })
    const [payer, other] = [await shop.newPayer(10n * window), await shop.newPayer(10n * window)]
    const [mine, his] = [await shop.open(payer.voucher(window)), await shop.open(other.voucher(window))]
    const bearer = mine.headers.get('flow402x-lane') ?? ''
    expect(bearer).toMatch(new RegExp(`^${mine.sid}\\.[-\\w]{43}$`))
    const ticked = async (header: string, payment: PaymentPayload): Promise<number> =>
      (await shop.post(undefined, { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment), 'Flow402x-Lane': header })).status
    const voucher = await payer.voucher(2n * window)
    const [, hisCode] = his.headers.get('flow402x-lane')?.split('.') ?? []
    const forged = [
      `${mine.sid}.${'A'.repeat(43)}`,
      `${mine.sid}.${hisCode}`,
      `${bearer.slice(0, -2)}${bearer.at(-2) === 'A' ? 'B' : 'A'}${bearer.at(-1)}`,
    ]
    for (const header of forged) expect(await ticked(header, voucher)).toBe(404)
    expect(await ticked(mine.sid, voucher)).toBe(400)
    expect((await shop.row(payer)).top).toBe(window)
    expect(await ticked(bearer, voucher)).toBe(204)
    expect((await shop.row(payer)).top).toBe(2n * window)
  })

  test('malformed words are 400, and too many are 429', async () => {
    verifies('F21')
    const shop = await open()
    const payer = await shop.newPayer(10n * window)
    const { sid } = await shop.open(payer.voucher(second), 'B')
    for (const body of [{}, { sid }, { sid, op: 'steal' }, { sid, voucher: {} }, 7]) expect((await shop.post(body)).status).toBe(400)
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => (await shop.slide(sid, payer.voucher(second + BigInt(index) + 1n))).status),
    )
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(0)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0)
  })
})

describe('money on its way out', () => {
  test('a payer who withdraws gets what he was granted, and no more', async () => {
    verifies(['T15', 'F5'])
    const shop = await open({ rate: { window: 0.5, windowMax: 0.5, tick: 0.1 }, streams: { ticksPerSecond: 100 } })
    const payer = await shop.newPayer(10n * window)
    const reading = await shop.open(payer.voucher(second / 2n), 'B')
    expect(reading.status).toBe(200)
    expect(await payer.withdraw(9n * window)).toBe('done')
    const runner = await runnerOf(shop)
    await runner.round({ all: false })
    const tick = await shop.slide(reading.sid, payer.voucher(second))
    expect(tick).toMatchObject({ status: 423 })
    await reading.ended
    expect(reading.controls.map(({ t, reason }) => [t, reason])).toContainEqual(['gated', 'withdrawing'])
    expect(reading.controls.at(-1)).toMatchObject({ t: 'end', reason: 'withdrawn' })
    const row = await shop.row(payer)
    expect([row.charged, row.lanes]).toEqual([second / 2n, undefined])
    // What he had is claimed before his money is his, with the voucher that covers it.
    await runner.round({ all: true })
    expect((await shop.row(payer)).funds.claimed).toBe(second / 2n)
    await runner.close()
  })

  test('nothing is given back while a lane lives', async () => {
    verifies('M27')
    const shop = await open()
    const payer = await shop.newPayer(10n * window)
    const reading = await shop.open(payer.voucher(window))
    expect(await tried(shop, await payer.refund(window))).toBe(402)
    expect((await shop.row(payer)).refunding).toBe(0n)
    expect(reading.status).toBe(200)
  })

  test('a deposit opens a lane, and another fills the channel while it flows', async () => {
    verifies(['T9', 'F15'])
    const shop = await open({ rate: { buy: 1 }, streams: { ticksPerSecond: 100 } })
    const payer = await shop.newPayer(0n)
    expect((await shop.open(payer.voucher(second))).status).toBe(402)
    const reading = await shop.open(payer.deposit(second, { amount: 2n * second, salt: 1n }))
    expect(reading.status).toBe(200)
    expect(receiptIn(reading.headers)).toMatchObject({ transaction: expect.stringMatching(/^0x/), amount: `${2n * second}` })
    expect((await shop.buy(reading.sid, payer.voucher(2n * second))).status).toBe(204)
    expect((await shop.buy(reading.sid, payer.voucher(3n * second))).status).toBe(402)
    const topUp = await shop.buy(reading.sid, payer.deposit(3n * second, { amount: 2n * second, salt: 2n }))
    expect(topUp.status).toBe(204)
    expect(receiptIn(topUp.headers)).toMatchObject({ success: true, transaction: expect.stringMatching(/^0x/) })
    expect(reading.controls.filter(({ t }) => t === 'gated')).toEqual([])
    expect(await shop.row(payer)).toMatchObject({ funds: { balance: 4n * second }, top: 3n * second })
  })

  test('a deposit that fails opens nothing', async () => {
    verifies('F15')
    const shop = await open()
    const payer = await shop.newPayer(0n)
    ground.facilitator.answer = 'refused'
    const reading = await shop.open(payer.deposit(window, { amount: window, salt: 1n }))
    ground.facilitator.answer = 'ok'
    expect(reading.status).toBe(402)
    expect(shop.events.filter(({ type }) => type === 'laneOpened')).toEqual([])
  })
})

test('forged ticks cost nobody else anything: they are refused before any signature is looked at', async () => {
  verifies(['T19', 'F21'])
  const found = vi.fn()
  const shop = await open({ streams: { ticksPerSecond: 1000 } })
  const { find } = shop.store.lanes
  Object.assign(shop.store.lanes, {
    find: (id: string) => {
      found()
      return find(id)
    },
  })
  const payer = await shop.newPayer(10n * window)
  const { sid } = await shop.open(payer.voucher(second), 'B')
  const forged = await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      const guessed = Buffer.from(`guess ${String(index).padStart(10, '0')}`).toString('base64url')
      return (await shop.post({ sid: guessed, voucher: { channelId: payer.id, maxClaimableAmount: '1', signature: '0xab' } })).status
    }),
  )
  expect(new Set(forged)).toEqual(new Set([404]))
  expect(found).not.toHaveBeenCalled()
  expect((await shop.slide(sid, payer.voucher(2n * second))).status).toBe(200)
})

test('forged ticks on one lane cost no more signatures than it may tick, and nobody else waits for them', async () => {
  verifies(['T19', 'F21'])
  const { often: _, ...curve } = fastestSecp256k1()
  const recover = vi.fn(curve.recover)
  const shop = await open({ scheme: { secp256k1: { ...curve, recover } }, streams: { monotonic: () => 0 } })
  const [forger, honest] = [await shop.newPayer(10n * window), await shop.newPayer(10n * window)]
  const [his, mine] = [await shop.open(forger.voucher(second), 'B'), await shop.open(honest.voucher(second), 'B')]
  const forgery = changed(await forger.voucher(2n * second), { voucher: { maxClaimableAmount: `${3n * second}` } })
  recover.mockClear()
  // The clock stands still: all of them come in one second.
  const forged = Array.from({ length: 200 }, () => shop.slide(his.sid, forgery))
  const tick = await shop.slide(mine.sid, honest.voucher(2n * second))
  expect(tick.status).toBe(200)
  const statuses = (await Promise.all(forged)).map(({ status }) => status)
  expect([...new Set(statuses)].sort()).toEqual([402, 429])
  expect(statuses.filter((status) => status === 402).length).toBe(5)
  expect(recover.mock.calls.length).toBe(6)
})

/** Claims for the shop's channels. */
async function runnerOf(shop: StreamShop) {
  const { batchSettlementServer } = await import('@flow402x/adapters-evm/server')
  const { network, rpcUrl } = ground.chain
  const scheme = batchSettlementServer({ network, payTo: ground.chain.seller.address, rpcUrl, store: shop.store })
  await scheme.start?.()
  const runner = scheme.vouchers?.runner({ facilitator: ground.facilitator })
  if (runner === undefined) throw new RangeError('no runner')
  return runner
}
