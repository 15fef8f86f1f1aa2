import { oneUnit } from '@flow402x/core/stream'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import type { SourceFacts } from '../transports/pump.ts'

const { open } = useGround(escrowFacilitator)

const cent = 10_000n

// What people count by, and what only a seller does.
test.each(['view', 'byte', 'KB', 'MB', 'token', 'request', 'segment', 'job', 'epoch', 'frame'])(
  'a %s is sold as often as it was paid, and counted by whoever makes it',
  async (unit) => {
    verifies('FS1-UNITS')
    // Each third item is worth three.
    const items = [1n, 1n, 3n, 1n, 1n, 3n]
    const source = async function* () {
      yield* items.map(String)
    }
    const shop = await open({
      source,
      rate: { rate: `0.01 USD/${unit}`, buy: 6 },
      pump: { units: (item) => BigInt(String(item)) * oneUnit },
    })
    const payer = await shop.newPayer(100n * cent)
    const reading = await shop.open(payer.voucher(6n * cent))
    await vi.waitFor(() => expect(reading.controls.at(-1)?.t).toBe('need'), 3000)
    expect([reading.items, await shop.row(payer)]).toMatchObject([['1', '1', '3', '1'], { lanes: [{ granted: 6n * cent }] }])
    expect((await shop.buy(reading.sid, payer.voucher(12n * cent))).status).toBe(204)
    await reading.ended
    expect(reading.items).toEqual(items.map(String))
    expect(reading.controls.slice(-2)).toMatchObject([{ t: 'receipt', consumed: 10n * cent, units: 10n * oneUnit }, { t: 'end' }])
    expect((await shop.row(payer)).charged).toBe(10n * cent)
  },
)

test.each([
  ['minute', '0.60'],
  ['hour', '36'],
])('a rate by the %s is one by the second', async (unit, price) => {
  verifies('FS1-UNITS')
  const shop = await open({ rate: { rate: `${price} USD/${unit}` } })
  const { extensions, accepts } = await shop.offer()
  expect(extensions).toMatchObject({ 'flow402x-stream': { info: { unit: 'second', clock: 'wall', rate: '10000/1', buy: 5 } } })
  expect(accepts).toMatchObject([{ amount: `${5n * cent}` }])
})

test('what a source debits itself while it makes one item is paid before it goes on', async () => {
  verifies('FS1-UNITS')
  const done: bigint[] = []
  const train = async function* ({ lane }: SourceFacts) {
    for (let epoch = 1n; epoch <= 5n; epoch += 1n) {
      if (!(await lane.debit(oneUnit))) return
      done.push(epoch)
    }
    yield 'trained'
  }
  const shop = await open({ source: train, rate: { rate: '0.01 USD/epoch', buy: 3 }, pump: { units: () => 0n } })
  const payer = await shop.newPayer(100n * cent)
  const reading = await shop.open(payer.voucher(3n * cent))
  await vi.waitFor(() => expect(reading.controls.at(-1)?.t).toBe('need'), 3000)
  expect([done, reading.items]).toEqual([[1n, 2n, 3n], []])
  expect((await shop.buy(reading.sid, payer.voucher(6n * cent))).status).toBe(204)
  await reading.ended
  expect([done, reading.items]).toEqual([[1n, 2n, 3n, 4n, 5n], ['trained']])
  expect((await shop.row(payer)).charged).toBe(5n * cent)
})
