import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTimers } from './timers.ts'

test('rings in order, once, and not at all what was called off', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ after: fc.integer({ min: 0, max: 20 }), off: fc.boolean() }), { maxLength: 300 }),
      async (plans) => {
        const timers = createTimers(() => performance.now())
        const start = performance.now()
        const rung: number[] = []
        const alarms = plans.map(({ after }, index) => timers.at(start + after, { ring: () => rung.push(index) }))
        for (const [index, alarm] of alarms.entries()) if (plans[index]?.off) timers.cancel(alarm)
        const wanted = plans.flatMap(({ off }, index) => (off ? [] : [index]))
        await expect.poll(() => rung.length, { interval: 2 }).toBe(wanted.length)
        expect([...rung].sort((a, b) => a - b)).toEqual(wanted)
        const times = rung.map((index) => plans[index]?.after ?? 0)
        expect(times).toEqual([...times].sort((a, b) => a - b))
      },
    ),
    { numRuns: 20 },
  )
})
