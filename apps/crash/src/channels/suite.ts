import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Trap } from '../processes/trap.ts'
import type { Place } from '../world/places.ts'
import { type ChannelShop, openChannelShop, price, sendUntilServed } from './shop.ts'

type Case = readonly [name: string, trap: Trap]

// Where a seller may die with a voucher, and how often its handler may have run for the one purchase by the end.
const selling: readonly (readonly [...Case, runs: number])[] = [
  ['before its voucher is taken', { at: 'channels.update', when: 'before' }, 1],
  ['when its voucher was taken', { at: 'channels.update', when: 'after' }, 1],
  ['in the handler', { at: 'handler.work', when: 'during' }, 2],
  ['after the handler', { at: 'handler.work', when: 'after' }, 2],
  ['when the answer has left', { at: 'response.end', when: 'after' }, 2],
]

// Where it may die with a claim.
const claiming: readonly Case[] = [
  ['before a claim is asked for', { at: 'facilitator.settle', when: 'before' }],
  ['while a claim is under way', { at: 'facilitator.settle', when: 'during' }],
  ['after a claim was made, before it is written down', { at: 'facilitator.settle', when: 'after' }],
]

/** Kills sellers over channels on the books of one engine: what was served is charged once, claimed once, and nothing is lost. */
export function testChannelCrashes(open: () => Promise<{ readonly books?: Place; stop?(): Promise<void> }>): void {
  let chain: EvmChain
  let shop: ChannelShop
  let places: Awaited<ReturnType<typeof open>>
  let owed = 0n
  beforeAll(async () => {
    ;[chain, places] = await Promise.all([startEvmChain(), open()])
    shop = await openChannelShop(chain, { ...(places.books === undefined ? {} : { books: places.books }) })
  })
  afterAll(async () => {
    await shop?.stop()
    await places?.stop?.()
    await chain?.stop()
  })

  /** Chain, books and payee say the same in the end, to the atomic unit: the chain a moment before the books. */
  const agreed = (): Promise<void> =>
    vi.waitFor(
      async () => {
        expect(await shop.earned()).toBe(owed)
        let [charged, claimed] = [0n, 0n]
        for await (const { charged: one, funds } of shop.store.channels.list({ side: 'receiver' })) {
          charged += one
          claimed += funds.claimed
          expect(funds.claimed <= one).toBe(true)
        }
        expect([charged, claimed]).toEqual([owed, owed])
      },
      { timeout: 15_000, interval: 100 },
    )

  it.each(selling)('a seller that dies %s', async (name, trap, runs) => {
    verifies(['H15', 'M26'])
    const payer = await shop.newPayer()
    const path = `/${name.replaceAll(' ', '-')}`
    await shop.seller.arm({ ...trap, about: [payer.id.slice(2), path] })
    const served = sendUntilServed(() => `${shop.seller.url}${path}`, await payer.voucher(price))
    await shop.seller.died()
    await shop.seller.restart()
    const got = await served
    owed += price
    // Who had the whole answer before is told that he paid for it.
    expect(['goods', '402 invalid_batch_settlement_evm_cumulative_amount_mismatch']).toContain(got)
    expect(shop.log().filter((line) => line === `ran ${path}`).length).toBeLessThanOrEqual(runs)
    await agreed()
  })

  it.each(claiming)('a runner that dies %s', async (_, trap) => {
    verifies(['M6', 'M16', 'H15'])
    const payer = await shop.newPayer()
    await shop.seller.arm({ ...trap, about: [payer.config.payer] })
    const first = sendUntilServed(() => `${shop.seller.url}/first`, await payer.voucher(price))
    await shop.seller.died()
    await shop.seller.restart()
    expect(await first).toMatch(/goods|mismatch/)
    expect(await sendUntilServed(() => `${shop.seller.url}/next`, await payer.voucher(2n * price))).toBe('goods')
    owed += 2n * price
    await agreed()
    expect(shop.log().filter((line) => line.startsWith('poisoned'))).toEqual([])
  })
}
