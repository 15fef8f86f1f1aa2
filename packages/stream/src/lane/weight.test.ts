import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { oneUnit, type StreamTerms } from '@flow402x/core/stream'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createLive, type LaneFacts, type LaneKeeper, type LiveLane } from './live.ts'
import { type Alarm, createTimers } from './timers.ts'

setFlagsFromString('--allow-natives-syntax')
// The flag counts in contexts that are made from then on. An object whose layout no other has keeps a description of it, of half a kilobyte.
const isAlike: (one: object, other: object) => boolean = runInNewContext('(one, other) => %HaveSameMap(one, other)')

const network = 'eip155:84532'
const payTo = '0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC'
const scheme = batchSettlementServer({ network, payTo, rpcUrl: 'http://127.0.0.1:9', store: memoryStore() })

const terms: StreamTerms = {
  unit: 'second',
  clock: 'wall',
  rate: { numerator: 10n, denominator: 1n },
  buy: 5n * oneUnit,
  tick: oneUnit,
  window: 2n * oneUnit,
  windowMax: 30n * oneUnit,
  tickUrl: '/live/tick',
  refundable: true,
}

afterEach(() => {
  vi.useRealTimers()
})

/** What lanes are kept by, and how many alarms are set for all of them. */
function keeping(): { readonly keeper: LaneKeeper; readonly alarms: () => number } {
  vi.useFakeTimers()
  const now = (): number => performance.now()
  const timers = createTimers(now)
  const all: Alarm[] = []
  const counting: LaneKeeper['timers'] = {
    ...timers,
    at(time, bell) {
      const alarm = timers.at(time, bell)
      all.push(alarm)
      return alarm
    },
  }
  const patience = { gated: 10_000, paused: 10_000, detached: 10_000 }
  const leaseEnd = (): number => Number.MAX_SAFE_INTEGER
  const books = { grow: async () => {}, finish: async () => 0n }
  return {
    keeper: { now, clock: Date.now, timers: counting, patience, leaseEnd, ...books },
    alarms: () => all.filter(({ bell }) => bell !== undefined).length,
  }
}

/** A lane with credit for one second. */
function laneOf(keeper: LaneKeeper, sid: string, given = terms): LiveLane {
  const { rail } = scheme
  if (rail === undefined) throw new RangeError('channels carry streams')
  const lane: LaneFacts = {
    id: `id of ${sid}`,
    scheme: 'batch-settlement',
    network,
    channelId: `channel of ${sid}`,
    payer: `payer of ${sid}`,
    resource: '/live',
    route: '/live/tick',
    rate: terms.rate,
    grade: 'B',
    refundable: true,
  }
  const figures = { balance: 1000n, claimed: 0n, withdrawRequestedAt: 0 }
  const standing = { granted: 10n, used: 0n, ahead: 0n, accepted: 10n, consumed: 0n, charged: 10n, isDraining: false, channel: figures }
  return createLive({ sid, lane, terms: given, rail, epoch: 1, standing, units: 0n, replayed: 0n, keeper })
}

/** What two lanes have each of their own that all could share: functions, and layouts of objects. */
function unshared(one: object, other: object, { path = 'lane', seen = new Set<object>() } = {}): readonly string[] {
  if (seen.has(one)) return []
  seen.add(one)
  const found = isAlike(one, other) ? [] : [`${path} has a layout of its own`]
  const others = new Map<string, unknown>(Object.entries(other))
  for (const [key, value] of Object.entries(one)) {
    const same = others.get(key)
    if (value === same || value === null) continue
    if (typeof value === 'function') found.push(`${path}.${key} is a function of its own`)
    else if (typeof value === 'object' && typeof same === 'object' && same !== null)
      found.push(...unshared(value, same, { path: `${path}.${key}`, seen }))
  }
  return found
}

describe('a lane that waits', () => {
  test('shares with all others what it does, and how it is laid out, in each of its states', () => {
    verifies('FS1-IDLE')
    const { keeper } = keeping()
    // Some before those that are compared: it is in code that ran for a while that layouts part.
    const lanes = Array.from({ length: 50 }, (_, index) => laneOf(keeper, `lane ${index}`))
    const states: string[] = []
    const alike = (): void => {
      const [one, other] = lanes.slice(-2)
      if (one === undefined || other === undefined) throw new RangeError('no lanes')
      states.push(one.state())
      expect(unshared(one, other)).toEqual([])
    }
    alike()
    const held = lanes.map((lane) => lane.hold())
    expect(held.flatMap((handle) => Object.values(handle)).filter((value) => typeof value === 'function')).toEqual([])
    alike()
    for (const lane of lanes) lane.checkpoint()
    for (const handle of held) expect(handle.debit(0n)).toBe(true)
    vi.advanceTimersByTime(1100)
    alike()
    for (const lane of lanes) lane.credit({ ...lane.standing, granted: 100n, accepted: 100n })
    const listener = (): void => {}
    for (const handle of held) handle.hear(listener)
    alike()
    for (const lane of lanes) lane.pause()
    alike()
    for (const lane of lanes) lane.fence('left')
    alike()
    expect(states).toEqual(['detached', 'flowing', 'gated', 'flowing', 'paused', 'ended'])
  })

  test('has one alarm at most, all of them one timer, and silence costs none of them anything', () => {
    verifies('FS1-IDLE')
    const { keeper, alarms } = keeping()
    const lanes = Array.from({ length: 50 }, (_, index) => laneOf(keeper, `lane ${index}`))
    const counts: (readonly [alarms: number, timers: number])[] = []
    const count = (): void => void counts.push([alarms(), vi.getTimerCount()])
    count()
    const held = lanes.map((lane) => lane.hold())
    count()
    for (const handle of held) expect(handle.debit(0n)).toBe(true)
    vi.advanceTimersByTime(1100)
    count()
    for (const lane of lanes) lane.credit({ ...lane.standing, granted: 100n, accepted: 100n })
    for (const handle of held) handle.left()
    // Silence is no time, however long it is: none is lower on credit after it.
    vi.advanceTimersByTime(3_600_000)
    count()
    expect(lanes.map((lane) => [lane.state(), lane.used()])).toEqual(lanes.map(() => ['flowing', 20n]))
    for (const lane of lanes) lane.pause()
    count()
    for (const lane of lanes) lane.fence('left')
    count()
    expect(counts.slice(0, 5)).toEqual([
      [0, 0],
      [50, 1],
      [50, 1],
      [50, 1],
      [50, 1],
    ])
    expect(counts[5]?.[0]).toBe(0)
  })

  test.each(['wall', 'media'] as const)(
    'is looked at now and then in silence (clock %s), and ends where its payer takes his money out meanwhile',
    async (clock) => {
      verifies(['FS1-SILENCE', 'F5'])
      const { keeper, alarms } = keeping()
      let looks = 0
      const grow = async (one: LiveLane): Promise<void> => {
        looks += 1
        one.credit(one.standing)
      }
      const lane = laneOf({ ...keeper, grow }, 'one', clock === 'wall' ? terms : { ...terms, unit: 'token', clock })
      lane.credit({ ...lane.standing, granted: 100n, accepted: 100n })
      const [held, told]: [ReturnType<LiveLane['hold']>, unknown[]] = [lane.hold(), []]
      held.hear(({ t, reason }) => told.push([t, reason]))
      expect(held.debit(clock === 'wall' ? 0n : oneUnit)).toBe(true)
      held.left()
      await vi.advanceTimersByTimeAsync(600_000)
      expect([looks, lane.state(), lane.used(), alarms()]).toEqual([3, 'flowing', 10n, 1])
      lane.credit({ ...lane.standing, isDraining: true })
      // What is sold piece by piece has until the next look.
      if (clock === 'media') await vi.advanceTimersByTimeAsync(180_000)
      expect(await lane.end('again')).toMatchObject({ used: 10n, reason: 'withdrawn' })
      expect([held.debit(0n), told[0], alarms()]).toEqual([false, ['gated', 'withdrawing'], 0])
    },
  )

  test('is looked at as often where it never rests, and where books that say nothing are asked again', async () => {
    verifies('F5')
    const { keeper } = keeping()
    const looks: number[] = []
    let says = true
    const grow = async (one: LiveLane): Promise<void> => {
      looks.push(Math.round(performance.now() / 1000))
      if (says) one.credit(one.standing)
    }
    // A window of an hour.
    const lane = laneOf({ ...keeper, grow }, 'one')
    lane.credit({ ...lane.standing, granted: 36_000n, accepted: 36_000n })
    const began = Math.round(performance.now() / 1000)
    const held = lane.hold()
    for (let at = 0; at < 400; at += 1) {
      expect(held.debit(0n)).toBe(true)
      await vi.advanceTimersByTimeAsync(1000)
    }
    says = false
    for (let at = 400; at < 555; at += 1) {
      expect(held.debit(0n)).toBe(true)
      await vi.advanceTimersByTimeAsync(1000)
    }
    expect(looks.map((at) => at - began)).toEqual([180, 360, 540, 550])
    says = true
    lane.credit({ ...lane.standing, isDraining: true })
    // It delivers what it was granted, but not for so long that its payer has his money by then.
    expect(held.debit(0n)).toBe(true)
    await vi.advanceTimersByTimeAsync(10_000)
    expect([lane.state(), lane.used()]).toEqual(['ended', 5600n])
  })

  test('makes a signal for who asks, which says the same as if it had always been there', () => {
    verifies('FS1-IDLE')
    const { keeper } = keeping()
    const lane = laneOf(keeper, 'one')
    const [first, told]: [ReturnType<LiveLane['hold']>, string[]] = [lane.hold(), []]
    first.hear(({ t }) => told.push(t))
    const { signal } = first
    expect([signal.aborted, first.signal === signal]).toEqual([false, true])
    const second = lane.hold()
    expect([signal.aborted, first.state, second.state, told]).toEqual([true, 'detached', 'flowing', ['over']])
    second.release()
    // Asked for when it is over already.
    expect([second.signal.aborted, second.state, second.debit(1n)]).toEqual([true, 'detached', false])
    expect(told).toEqual(['over'])
  })
})
