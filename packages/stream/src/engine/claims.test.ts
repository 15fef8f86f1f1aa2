import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type ChannelPayer, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openShop } from '../fixtures/stream-shop.ts'

let chain: EvmChain
beforeAll(async () => {
  chain = await startEvmChain()
})
afterAll(() => chain?.stop())

const token = 10n
const count = 100
const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((all, one) => all + one, 0n)

test('a hundred channels with live lanes are claimed for what was delivered, once, and one that was drained takes no other along', async () => {
  verifies(['T10', 'T16', 'F23'])
  const facilitator = await escrowFacilitator(chain)
  const store = sqliteStore(join(await mkdtemp(join(tmpdir(), 'flow402x-')), 'books.db'))
  // A lane each for another number of tokens; after those it flows on with three more as soon as it is told.
  let lanes = 0
  let goOn = (): void => {}
  const more = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const source = async function* ({ signal }: { readonly signal: AbortSignal }) {
    lanes += 1
    const first = 5 + (lanes % 20)
    for (let at = 0; at < first; at += 1) yield `token ${at}`
    await more
    for (let at = 0; at < 3; at += 1) yield `more ${at}`
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  }
  const rate = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 60, tick: 20 }
  const shop = await openShop({ chain, facilitator, store, source, rate, streams: { patience: { gated: 90_000 } } })
  const runner = shop.scheme.vouchers?.runner({ facilitator })
  if (runner === undefined) throw new TypeError('no runner')
  const earned = () => chain.balanceOf(chain.seller.address)
  try {
    const payers: ChannelPayer[] = []
    for (let at = 0; at < count; at += 1) payers.push(await shop.newPayer(100n * token))
    const readings = await Promise.all(payers.map((payer) => shop.open(payer.voucher(40n * token), 'B')))
    const arrived = () => readings.map(({ items }) => BigInt(items.length))
    const expected = sum(Array.from({ length: count }, (_, at) => BigInt(5 + ((at + 1) % 20))))
    await expect.poll(() => sum(arrived())).toBe(expected)
    // A tick brings into the books what was used by then; all lanes go on living.
    const tickTo = async (max: bigint, but?: number) => {
      const ticked = readings.map(async ({ sid }, at) =>
        at === but ? undefined : shop.slide(sid, payers[at]?.voucher(max) ?? Promise.reject()),
      )
      for (const answer of await Promise.all(ticked)) if (answer !== undefined) expect(answer.status).toBe(200)
    }
    await tickTo(41n * token)
    const rows = () => Promise.all(payers.map((payer) => shop.row(payer)))
    expect((await rows()).map(({ charged }) => charged)).toEqual(arrived().map((items) => items * token))
    const before = await earned()
    expect(await runner.round({ all: true })).toEqual({ led: true, claimed: count, settled: expected * token })
    expect((await earned()) - before).toBe(expected * token)
    expect((await rows()).every(({ lanes: live = [] }) => live.length === 1)).toBe(true)
    const asked = facilitator.asked.length
    expect(await runner.round({ all: true })).toEqual({ led: true, claimed: 0, settled: 0n })
    expect(facilitator.asked).toHaveLength(asked)

    goOn()
    await expect.poll(() => sum(arrived())).toBe(expected + 3n * BigInt(count))
    const drained = 41
    await tickTo(42n * token, drained)
    await shop.post({ sid: readings[drained]?.sid, op: 'close' })
    const leaving = payers[drained]
    if (leaving === undefined) throw new TypeError('no payer')
    const { charged, funds } = await shop.row(leaving)
    expect(charged - funds.claimed).toBe(3n * token)
    expect(await leaving.withdraw(100n * token - charged + 3n * token)).toBe('done')
    await chain.increaseTime(900)
    expect(await leaving.finish()).toBe('done')
    expect(await runner.round({ all: true })).toEqual({ led: true, claimed: count - 1, settled: 3n * token * BigInt(count - 1) })
    expect((await earned()) - before).toBe((expected + 3n * BigInt(count - 1)) * token)
    const after = await rows()
    expect(after.filter(({ charged: all, funds: { claimed } }) => claimed < all).map(({ id }) => id)).toEqual([leaving.id])
  } finally {
    await runner.close()
    await shop.close()
    await store.close()
  }
})
