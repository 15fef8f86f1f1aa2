import type { Channel } from '@flow402x/core'
import { inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { browserChannels } from '../browser.ts'
import { openStoredPages } from '../fixtures/stored-pages.ts'

type Stored = typeof globalThis & { browserChannels: typeof browserChannels; channel: (id: string) => Channel }

describe.skipIf(noChromium !== undefined)(`channels ${inChromium}`, () => {
  let pages: Awaited<ReturnType<typeof openStoredPages>>
  beforeAll(async () => {
    pages = await openStoredPages(`import { browserChannels } from './browser.ts'
      const funds = { balance: 5n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 }
      const channel = (id) => ({ side: 'payer', id, network: 'eip155:1', config: { a: [1] }, funds, refunding: 0n, charged: 0n, top: 2n ** 100n, held: [], free: [], epoch: 0 })
      Object.assign(globalThis, { browserChannels, channel })`)
  })
  afterAll(() => pages?.close())

  it('come back after a reload as they were, each under its side and id, and no other is written over them', async () => {
    verifies('FS1-PAGE')
    const page = await pages.open()
    const first = await page.evaluate(async () => {
      // The page's script put both there.
      const { browserChannels: make, channel } = globalThis as Stored
      const [kept, mine] = [make(), channel('a')]
      await kept.open(mine)
      await kept.open({ ...mine, charged: 9n })
      await kept.open({ ...channel('a'), side: 'receiver', owedSince: 4 })
      await kept.open(channel('b'))
      return (await kept.update(mine, { ...mine, charged: 3n, voucher: { max: 4n, signature: '0x' } }))?.epoch
    })
    await pages.reload(page)
    const again = await page.evaluate(async () => {
      // As above.
      const { browserChannels: make, channel } = globalThis as Stored
      const kept = make()
      const found = await kept.find({ side: 'payer', id: 'a' })
      const listed: string[] = []
      for await (const { side, id } of kept.list({ side: 'payer' })) listed.push(`${side} ${id}`)
      const owed: string[] = []
      for await (const { id } of kept.list({ side: 'receiver', owed: true })) owed.push(id)
      const stale = await kept.update(channel('a'), channel('a'))
      const missing = [await kept.find({ side: 'payer', id: 'c' }), await kept.update(channel('c'), channel('c'))]
      return [found?.charged, found?.top === 2n ** 100n, found?.voucher?.max, found?.epoch, listed, owed, stale, missing]
    })
    expect([first, again]).toEqual([1, [3n, true, 4n, 1, ['payer a', 'payer b'], ['a'], undefined, [undefined, undefined]]])
  })

  it('are changed by one page at a time: of two that change a row at once none loses what the other did', async () => {
    verifies('FS1-PAGE')
    const first = await pages.open()
    const both = [first, await pages.open(first.context())]
    const rounds = 40
    const wins = await Promise.all(
      both.map((page) =>
        page.evaluate(async (times) => {
          // As above.
          const { browserChannels: make, channel } = globalThis as Stored
          const kept = make()
          await kept.open(channel('race'))
          let [done, lost] = [0, 0]
          while (done < times) {
            const row = await kept.find({ side: 'payer', id: 'race' })
            if (row === undefined) continue
            if ((await kept.update(row, { ...row, charged: row.charged + 1n })) === undefined) lost += 1
            else done += 1
          }
          return lost
        }, rounds),
      ),
    )
    const end = await first.evaluate(async () => {
      // As above.
      const { browserChannels: make } = globalThis as Stored
      return (await make().find({ side: 'payer', id: 'race' }))?.charged
    })
    expect(end).toBe(BigInt(2 * rounds))
    // They did meet.
    expect(wins.reduce((sum, lost) => sum + lost, 0)).toBeGreaterThan(0)
  })
})
