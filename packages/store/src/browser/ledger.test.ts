import { inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { browserLedger } from '../browser.ts'
import { openStoredPages } from '../fixtures/stored-pages.ts'

type Stored = typeof globalThis & { browserLedger: typeof browserLedger }

const call = { id: 'a', binding: 'one', reservation: 'r', deadAfter: 100 }
const payment = {
  x402Version: 2 as const,
  resource: { url: 'https://shop.example/' },
  accepted: {
    scheme: 'exact',
    network: 'eip155:1',
    amount: '1',
    asset: '0x1',
    payTo: '0x2',
    maxTimeoutSeconds: 60,
    extra: { unknown: [1] },
  },
  payload: { signature: '0x3' },
}
const signed = {
  key: { id: 'k', payer: '0x4', deadAfter: 90 },
  payment,
  version: 2 as const,
  url: 'https://shop.example/',
  method: 'GET',
  maxTimeoutSeconds: 60,
}

describe.skipIf(noChromium !== undefined)(`a ledger ${inChromium}`, () => {
  let pages: Awaited<ReturnType<typeof openStoredPages>>
  beforeAll(async () => {
    pages = await openStoredPages(`import { browserLedger } from './browser.ts'\nObject.assign(globalThis, { browserLedger })`)
  })
  afterAll(() => pages?.close())

  it('has what was signed after a reload, as it was, and begins no call again that was not given back', async () => {
    verifies('H2')
    const page = await pages.open()
    await page.evaluate(
      async (given) => {
        // The page's script put it there.
        const ledger = (globalThis as Stored).browserLedger()
        const { entry } = await ledger.begin(given.call, 0)
        await ledger.update(entry, { state: 'open', deadAfter: 90, signed: given.signed })
        const other = (await ledger.begin({ ...given.call, id: 'b' }, 0)).entry
        await ledger.update(other, { state: 'released' })
      },
      { call, signed },
    )
    await pages.reload(page)
    const after = await page.evaluate(
      async (given) => {
        // As above.
        const ledger = (globalThis as Stored).browserLedger()
        const again = await ledger.begin(given.call, 0)
        const stale = await ledger.update({ ...again.entry, epoch: 1 }, { state: 'released' })
        const anew = await ledger.begin({ ...given.call, id: 'b', reservation: 's' }, 0)
        const elsewhere = await ledger.begin({ ...given.call, id: 'b', binding: 'two' }, 0)
        const dead: string[] = []
        for await (const { id } of ledger.overdue(95_000)) dead.push(id)
        return { again, stale, anew: anew.begun, elsewhere: elsewhere.begun, dead, none: await ledger.find('c') }
      },
      { call },
    )
    expect(after).toEqual({
      again: { begun: false, entry: { ...call, state: 'open', epoch: 2, deadAfter: 90, signed } },
      stale: undefined,
      anew: true,
      elsewhere: false,
      dead: ['a'],
      none: undefined,
    })
  })

  it('lets one of many pages begin a call, and forgets only what is long over', async () => {
    verifies('H2')
    const first = await pages.open()
    const all = [first, await pages.open(first.context()), await pages.open(first.context())]
    const begun = await Promise.all(
      all.map((page) =>
        page.evaluate(async (given) => {
          // As above.
          const ledger = (globalThis as Stored).browserLedger()
          const tries = Array.from({ length: 20 }, (_, at) => ledger.begin({ ...given, id: `race ${at}` }, 0))
          return (await Promise.all(tries)).map((answer) => Number(answer.begun))
        }, call),
      ),
    )
    const wins = Array.from({ length: 20 }, (_, at) => begun.reduce((sum, each) => sum + (each[at] ?? 0), 0))
    expect(wins).toEqual(Array.from({ length: 20 }, () => 1))
    const [early, late, left] = await first.evaluate(async () => {
      // As above.
      const ledger = (globalThis as Stored).browserLedger({ retention: 1000 })
      for (const [id, state] of [
        ['race 1', 'paid'],
        ['race 2', 'released'],
      ] as const) {
        const entry = await ledger.find(id)
        if (entry !== undefined) await ledger.update(entry, { state })
      }
      const counts = [await ledger.purge(100_500), await ledger.purge(101_500)]
      return [...counts, (await Promise.all(['race 0', 'race 1', 'race 2'].map((id) => ledger.find(id)))).filter(Boolean).length]
    })
    expect([early, late, left]).toEqual([0, 2, 1])
  })
})
