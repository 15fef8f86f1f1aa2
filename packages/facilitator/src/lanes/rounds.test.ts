import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createRounds } from './rounds.ts'

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => vi.useRealTimers())

/** Sends one transaction after the other to a chain that takes so many milliseconds for each: how often it looks, and how late it sees. */
async function watch(delays: readonly number[]) {
  let [sentAt, delay, looks, late]: [number | undefined, number, number, number] = [undefined, 0, 0, 0]
  const rounds = createRounds({
    network: 'test:1',
    onEvent: () => {},
    async look() {
      looks += 1
      const age = sentAt === undefined ? 0 : performance.now() - sentAt
      if (sentAt === undefined || age < delay) return undefined
      sentAt = undefined
      late = age - delay
      return age
    },
    waiting: () => sentAt !== undefined,
    sleeping: () => false,
  })
  const seen: { looks: number; late: number }[] = []
  for (const next of delays) {
    ;[sentAt, delay, looks] = [performance.now(), next, 0]
    rounds.poke()
    while (sentAt !== undefined) await vi.advanceTimersByTimeAsync(1)
    seen.push({ looks, late })
  }
  return { last: seen.at(-1), quick: rounds.quick }
}

const times = (count: number, delay: number): number[] => Array.from({ length: count }, () => delay)

describe('how often a chain is looked at', () => {
  it('sees at once what is mined at once, after a few transactions', async () => {
    expect((await watch([6])).last?.late).toBeGreaterThan(40)
    const { last, quick } = await watch(times(10, 6))
    expect(quick).toBe(true)
    expect(last?.looks).toBeLessThanOrEqual(4)
    expect(last?.late).toBeLessThanOrEqual(4)
  })

  it('asks a chain that takes its time no oftener, also when a block came just in time', async () => {
    const usual = await watch(times(10, 1000))
    expect(usual).toMatchObject({ quick: false, last: { looks: 7 } })
    expect(await watch([...times(10, 1000), 6, 1000])).toEqual(usual)
  })

  it('asks one that has become slow a few times more, and once', async () => {
    const { last, quick } = await watch([...times(10, 6), 1000])
    expect(quick).toBe(false)
    expect(last?.looks).toBeLessThanOrEqual(16)
    expect((await watch([...times(10, 6), 1000, 1000])).last).toMatchObject({ looks: 7 })
  })
})
