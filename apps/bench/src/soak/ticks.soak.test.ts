import { verifies } from '@flow402x/testing/requirements'
import { expect, test } from 'vitest'
import { soakForged, soakTicks } from './ticks.ts'

const minutes = 60_000

test('ten minutes at 5,000 ticks a second, or as many as this machine sustains, leave the heap as it was', {
  timeout: 20 * minutes,
}, async () => {
  verifies('FS1-SOAK')
  const { ticks, perSecond, heaps } = await soakTicks({ seconds: 600, perSecond: 5000 })
  const [first = 0] = heaps
  console.log(
    `${ticks} ticks, ${Math.round(perSecond)} in a second; bytes alive beside the first look: ${heaps.map((heap) => heap - first)}`,
  )
  expect(ticks).toBeGreaterThan(10_000)
  for (const heap of heaps) expect(heap - first).toBeLessThan(4 * 1024 * 1024)
})

test('5,000 forged ticks a second at most double what honest payers wait', { timeout: 20 * minutes }, async () => {
  verifies('T19')
  const { quiet, forged, perSecond } = await soakForged({ rounds: 5, ticks: 560 })
  console.log(`p99 ${quiet.toFixed(1)} ms in quiet, ${forged.toFixed(1)} ms beside ${Math.round(perSecond)} forged ticks a second`)
  expect(perSecond).toBeGreaterThan(1000)
  expect(forged / quiet).toBeLessThan(2)
})
