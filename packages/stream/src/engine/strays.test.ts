import type { Store } from '@flow402x/core'
import type { LaneStore } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import type { StreamShop } from '../fixtures/stream-shop.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }
const streams = { lease: 400, checkpointEvery: 50, patience: { detached: 300 }, ticksPerSecond: 100 }

/** Books that can be away; they go with the next call of `last`, which is done, and whose answer never arrives. */
function shakyStore() {
  const store = memoryStore()
  let isAway = false
  let last = ''
  const shaken = <Part extends object>(part: Part, name: string): Part =>
    new Proxy(part, {
      get(target, member) {
        const own: unknown = Reflect.get(target, member)
        if (typeof own !== 'function') return own
        return (...given: unknown[]) => {
          if (isAway) throw new RangeError('no database')
          const done: unknown = Reflect.apply(own, target, given)
          if (last !== `${name}.${String(member)}`) return done
          last = ''
          isAway = true
          return Promise.resolve(done).then(() => Promise.reject(new RangeError('no answer')))
        }
      },
    })
  const books: Store = { ...store, lanes: shaken<LaneStore>(store.lanes, 'lanes'), channels: shaken(store.channels, 'channels') }
  const away = (is: boolean): void => {
    isAway = is
  }
  const leaveWith = (call: string): void => {
    last = call
  }
  return { store, books, away, leaveWith, isAway: () => isAway }
}

async function settled(payer: Awaited<ReturnType<StreamShop['newPayer']>>, store: Store): Promise<void> {
  await vi.waitFor(async () => expect((await store.channels.find({ side: 'receiver', id: payer.id }))?.lanes).toBeUndefined(), {
    timeout: 12_000,
    interval: 100,
  })
  // Its row is over as well: nobody can resume what was given back.
  await vi.waitFor(async () => {
    for await (const row of store.lanes.abandoned(Number.POSITIVE_INFINITY)) expect(row).toBeUndefined()
  }, 5000)
}

test.each([
  ['less than a lease', 12_000],
  ['more than a lease', 400],
])('a lane that ends while the books are away, for %s, is ended in them once they are back', { timeout: 30_000 }, async (_, lease) => {
  verifies(['F12', 'T24', 'M25'])
  const { store, books, away } = shakyStore()
  const shop = await ground.open({ rate: tokens, source: slowTokens, store: books, streams: { ...streams, lease } })
  const payer = await shop.newPayer(100_000n)
  const reading = await shop.open(payer.voucher(100n * token))
  await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(5))
  away(true)
  // It ends with its reader's patience.
  reading.stop()
  await new Promise((resolve) => setTimeout(resolve, 6500))
  away(false)
  await settled(payer, store)
  const { charged, free } = await shop.row(payer)
  expect(charged).toBeGreaterThanOrEqual(BigInt(reading.items.length) * token)
  expect(free).toEqual([{ from: charged, to: 100n * token, spent: true }])
})

test('a lane whose beginning was written and never answered is ended by who began it, and its money is its payer’s again', {
  timeout: 30_000,
}, async () => {
  verifies(['F8', 'M25'])
  const { store, books, away, leaveWith, isAway } = shakyStore()
  const shop = await ground.open({ rate: tokens, source: slowTokens, store: books, streams })
  const payer = await shop.newPayer(100_000n)
  const known = await shop.open(payer.voucher(100n * token))
  await shop.post({ sid: known.sid, op: 'close' })
  const { charged } = await shop.row(payer)
  const paying = await shop.paying(payer.voucher(charged + 100n * token))
  leaveWith('channels.update')
  expect((await shop.get(paying)).status).toBe(503)
  expect([isAway(), (await store.channels.find({ side: 'receiver', id: payer.id }))?.lanes]).toMatchObject([true, [{ used: 0n }]])
  away(false)
  await settled(payer, store)
  expect(await shop.row(payer)).toMatchObject({ charged })
})

test('a lane whose owner was not told that it has it goes on where its payer asks for it, and is billed once', {
  timeout: 30_000,
}, async () => {
  verifies(['M25', 'F12'])
  const { store, books, away, leaveWith, isAway } = shakyStore()
  const first = await ground.open({ rate: tokens, source: slowTokens, store: books, streams })
  const payer = await first.newPayer(100_000n)
  const reading = await first.open(payer.voucher(100n * token))
  await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(5))
  const heir = await ground.open({ rate: tokens, source: slowTokens, store: books, streams: { ...streams, lease: 5000 } })
  // It is handed over, and what the books say to that is lost.
  leaveWith('lanes.take')
  const resume = { 'Payment-Resume': `${reading.sid}; from=0` }
  expect((await heir.read(resume)).status).toBe(503)
  expect(isAway()).toBe(true)
  away(false)
  await vi.waitFor(async () => expect((await heir.read(resume)).status).toBe(200), { timeout: 15_000, interval: 500 })
  const { body } = await heir.post({ sid: reading.sid, op: 'close' })
  await settled(payer, store)
  expect(await heir.row(payer)).toMatchObject({ charged: BigInt(String(body.consumed)) })
})
