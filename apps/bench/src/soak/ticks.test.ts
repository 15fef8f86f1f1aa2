import { verifies } from '@flow402x/testing/requirements'
import { expect, test } from 'vitest'
import { soakForged, soakTicks } from './ticks.ts'

test('a seller keeps nothing of the ticks that it took', async () => {
  verifies('FS1-SOAK')
  const { ticks, heaps } = await soakTicks({ seconds: 8, perSecond: 5000 })
  const [first = 0] = heaps
  // What is made of the code while it warms up, and half of what one standing takes that is kept.
  expect(ticks).toBeGreaterThan(1000)
  expect((heaps.at(-1) ?? Number.POSITIVE_INFINITY) - first).toBeLessThan(400_000 + 150 * ticks)
})

test('forged ticks leave room for honest ones', async () => {
  verifies('T19')
  // How long they wait is for the long form: here all of them are answered, as they are without.
  expect(await soakForged({ rounds: 1, ticks: 56 })).toMatchObject({ quiet: expect.any(Number), forged: expect.any(Number) })
})
