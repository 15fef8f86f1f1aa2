import { memoryStore } from '@flow402x/store/memory'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const rate = { rate: '0.00001 USD/token', buy: 100, window: 100, windowMax: 100, tick: 20 }

test('a close while ticks are being written ends the lane once, with its receipt, and all that was not used is its payer’s', async () => {
  verifies(['M25', 'F8'])
  const store = memoryStore()
  let write = (): void => {}
  const written = new Promise<void>((resolve) => {
    write = resolve
  })
  let isSlow = false
  const { update } = store.channels
  const { checkpoint } = store.lanes
  Object.assign(store.channels, {
    update: async (...given: Parameters<typeof update>) => {
      if (isSlow) await written
      return update(...given)
    },
  })
  Object.assign(store.lanes, {
    checkpoint: async (...given: Parameters<typeof checkpoint>) => {
      const [, rows] = given
      if (rows.some(({ state }) => state === 'ended')) await new Promise((resolve) => setTimeout(resolve, 300))
      return checkpoint(...given)
    },
  })
  const shop = await ground.open({ rate, source: slowTokens, store, streams: { ticksPerSecond: 100 } })
  const payer = await shop.newPayer(10_000n)
  const reading = await shop.open(payer.voucher(20n * token), 'B')
  await vi.waitFor(() => expect(reading.items).toHaveLength(20))
  isSlow = true
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100))
  const first = shop.slide(reading.sid, payer.voucher(30n * token))
  await pause()
  const second = shop.slide(reading.sid, payer.voucher(40n * token))
  await pause()
  const closed = shop.post({ sid: reading.sid, op: 'close' })
  await pause()
  write()
  expect((await first).status).toBe(200)
  expect((await second).status).toBe(410)
  expect((await closed).body).toMatchObject({ state: 'ended', reason: 'closed', consumed: `${20n * token}`, charged: `${20n * token}` })
  await reading.ended
  expect(reading.controls.slice(-2).map(({ t, reason }) => [t, reason])).toEqual([
    ['receipt', 'closed'],
    ['end', 'closed'],
  ])
  expect(shop.events.map(({ type }) => type)).toEqual(['laneOpened', 'laneEnded'])
  expect(await shop.row(payer)).toMatchObject({ charged: 20n * token, top: 30n * token, free: [{ from: 20n * token, to: 30n * token }] })
  expect((await shop.row(payer)).lanes).toBeUndefined()
})
