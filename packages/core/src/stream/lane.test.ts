import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Changed, type Channel, type ChannelFunds, learnFunds, nextBase, rowWith, usableFunds } from '../channel/channel.ts'
import { finishStretch, leaveStretch, setAside, takeStretch } from '../channel/work.ts'
import { adoptLane, buyWindow, creditOf, endLane, grantedIn, growLane, type LaneResult, laneOf, raiseVoucher } from './lane.ts'

const funds: ChannelFunds = { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 }
const empty: Channel = {
  side: 'receiver',
  id: '0xc',
  network: 'eip155:84532',
  config: {},
  funds,
  refunding: 0n,
  charged: 0n,
  top: 0n,
  held: [],
  free: [],
  epoch: 1,
}
const slice = 100n
const now = 5

/** A channel of which lanes are paid one step after the other; each step says what came of it. */
function ledger(start: Channel = empty) {
  let channel = start
  const keep = <Result>({ channel: next, result }: Changed<Result>): Result => {
    channel = next
    return result
  }
  type Options = { opens?: boolean; used?: bigint; epoch?: number; slice?: bigint }
  const step = (id: string, options: Options = {}) => ({ id, slice, now, opens: laneOf(channel, id) === undefined, ...options })
  return {
    row: () => channel,
    set(next: Channel): void {
      channel = next
    },
    buy: (id: string, max: bigint, amount: bigint, options?: Options) =>
      keep(buyWindow(channel, { ...step(id, options), max, amount, signature: `to ${max}` })),
    raise: (id: string, max: bigint, options?: Options) =>
      keep(raiseVoucher(channel, { ...step(id, options), max, signature: `to ${max}` })),
    grow: (id: string, options?: Options) => keep(growLane(channel, step(id, options))),
    adopt: (id: string, epoch: number, used?: bigint) =>
      keep(adoptLane(channel, { ...step(id), epoch, ...(used === undefined ? {} : { used }) })),
    end: (id: string, options?: Options & { refundable?: boolean }) => keep(endLane(channel, { refundable: true, ...step(id, options) })),
  }
}

const outcome = (result: LaneResult) => (typeof result === 'string' ? result : { used: result.used, granted: result.granted })

describe('windows (grade A)', () => {
  test('pay exactly from where the channel stands, and what was not used is sold again', () => {
    verifies('T20')
    const { buy, end, row } = ledger()
    expect(outcome(buy('a', 50n, 50n))).toEqual({ used: 0n, granted: 50n })
    expect(buy('a', 50n, 50n)).toBe('sold')
    expect(buy('a', 110n, 50n)).toBe('sold')
    expect(outcome(buy('a', 100n, 50n, { used: 20n }))).toEqual({ used: 20n, granted: 100n })
    expect(outcome(end('a', { used: 70n }))).toEqual({ used: 70n, granted: 70n })
    expect(row()).toMatchObject({ charged: 70n, top: 100n, free: [{ from: 70n, to: 100n, spent: true }], owedSince: now })
    expect(row().lanes).toBeUndefined()
    // From there on, below what was signed: it is claimed with the higher voucher, which covers it.
    expect(buy('b', 150n, 50n)).toBe('sold')
    expect(nextBase(row(), 50n)).toBe(70n)
    expect(outcome(buy('b', 120n, 50n))).toEqual({ used: 0n, granted: 50n })
    expect(outcome(end('b', { used: 50n }))).toEqual({ used: 50n, granted: 50n })
    expect(row()).toMatchObject({ charged: 120n, top: 120n, voucher: { max: 120n }, free: [] })
  })

  test('never sell by a voucher that a claim may have shown to everybody', () => {
    verifies('M26')
    const { buy, end, row } = ledger()
    buy('a', 50n, 50n)
    buy('a', 100n, 50n)
    end('a', { used: 10n })
    // The credit from 10 on would be sold by the vouchers up to 50 and 100, at other prices: they were served.
    for (const amount of [40n, 90n]) {
      expect(nextBase(row(), amount)).toBe(100n)
      expect(buy('thief', 10n + amount, amount)).toBe('sold')
    }
    expect(outcome(buy('payer', 40n, 30n))).toEqual({ used: 0n, granted: 30n })
  })
})

describe('sliding vouchers (grade B)', () => {
  test('give what they add to the lane that ticked, in slices', () => {
    verifies(['M29', 'F3'])
    const { raise, grow, row } = ledger()
    expect(outcome(raise('a', 500n))).toEqual({ used: 0n, granted: 100n })
    expect(grantedIn(row())).toBe(100n)
    expect(outcome(grow('a', { used: 60n }))).toEqual({ used: 60n, granted: 160n })
    for (const stale of [10n, 499n]) expect(raise('a', stale)).toBe('stale')
    expect(outcome(raise('a', 500n, { used: 90n }))).toEqual({ used: 90n, granted: 190n })
    expect(row()).toMatchObject({ charged: 90n, top: 500n, voucher: { max: 500n } })
    expect(raise('a', 1001n)).toBe('beyond')
    // More than was granted was never used, whatever an owner says.
    expect(outcome(grow('a', { used: 900n }))).toEqual({ used: 190n, granted: 290n })
  })

  test('the highest voucher again opens no lane: it may be public', () => {
    verifies(['M26', 'F4'])
    const { raise, end, row } = ledger()
    raise('a', 100n)
    expect(raise('thief', 100n)).toBe('stale')
    end('a', { used: 30n })
    expect(raise('thief', 100n)).toBe('stale')
    // What was left of it is the next lane's, which a higher voucher opens.
    const next = raise('b', 101n)
    expect(outcome(next)).toEqual({ used: 0n, granted: 71n })
    expect(row().free).toEqual([])
  })

  test('one grade at a time, a few lanes, and no voucher beyond what is usable', () => {
    verifies(['M29', 'M27'])
    const { buy, raise, row, set } = ledger()
    for (let lane = 1n; lane <= 8n; lane += 1n) raise(`${lane}`, lane * 10n)
    expect(raise('more', 90n)).toBe('crowded')
    expect(buy('window', 130n, 50n)).toBe('grade')
    set({ ...row(), funds: { ...funds, withdrawing: 900n } })
    expect(raise('1', 101n)).toBe('beyond')
    expect(setAside(row(), { amount: 1n, now }).result).toBeUndefined()
  })

  test('bound what a row holds', () => {
    const { raise, row } = ledger()
    const results = Array.from({ length: 40 }, (_, index) => raise('a', BigInt(index + 1)))
    expect(results.filter((result) => result === 'busy')).toHaveLength(8)
    expect(laneOf(row(), 'a')?.credit).toHaveLength(32)
  })
})

describe('owners', () => {
  test('an owner who was replaced changes nothing more', () => {
    verifies(['M25', 'F14'])
    const { raise, grow, adopt, end, row } = ledger()
    raise('a', 300n)
    expect(outcome(adopt('a', 2, 40n))).toEqual({ used: 40n, granted: 140n })
    const standing = row()
    for (const late of [
      grow('a', { epoch: 1, used: 100n }),
      raise('a', 400n, { epoch: 1, used: 100n }),
      end('a', { epoch: 1, used: 100n }),
    ]) {
      expect(late).toBe('gone')
    }
    expect(adopt('a', 2)).toBe('gone')
    expect(row()).toBe(standing)
    // A checkpoint that is older than what the books know takes nothing back.
    expect(outcome(adopt('a', 3, 10n))).toMatchObject({ used: 40n })
    expect(outcome(end('a', { epoch: 3, used: 45n }))).toEqual({ used: 45n, granted: 45n })
    expect(end('a', { epoch: 3 })).toBe('gone')
    expect(row().charged).toBe(45n)
  })

  test('what is not refundable is charged when it ends', () => {
    const { buy, end, row } = ledger()
    buy('a', 50n, 50n)
    expect(outcome(end('a', { used: 20n, refundable: false }))).toEqual({ used: 50n, granted: 50n })
    expect(row()).toMatchObject({ charged: 50n, free: [] })
  })

  test('books that were lost forget lanes and nothing that was claimed', () => {
    const { raise, row, set, grow } = ledger()
    raise('a', 300n)
    set(learnFunds(row(), { ...funds, claimed: 200n, readAt: 2 }).channel)
    expect(row()).toMatchObject({ charged: 200n, top: 300n, free: [] })
    expect(grow('a')).toBe('gone')
  })
})

test('of a row nothing is lost where some of it changes, and all rows look alike, so that no tick leaves a shape of its own behind', () => {
  verifies('FS1-SOAK')
  const { raise, row } = ledger()
  raise('a', 50n)
  const lane = laneOf(row(), 'a')
  const credit = [{ from: 0n, to: 50n, spent: true as const }]
  expect(lane).toStrictEqual({ id: 'a', epoch: 1, grade: 'B', used: 0n, granted: 50n, credit, until: undefined })
  const whole: Required<Channel> = {
    ...empty,
    held: [{ id: 'w', from: 50n, to: 60n, until: 9 }],
    free: [{ from: 60n, to: 70n }],
    lanes: lane === undefined ? [] : [lane],
    filling: { amount: 1n, until: 9, by: 'w', authorization: {} },
    voucher: { max: 50n, signature: 's' },
    claiming: 5n,
    owedSince: 7,
  }
  expect(rowWith(whole, {})).toStrictEqual(whole)
  expect(rowWith(whole, { top: 80n, lanes: undefined })).toStrictEqual({ ...whole, top: 80n, lanes: undefined })
  raise('a', 60n, { used: 20n })
  const shapes = [rowWith(empty, {}), rowWith(whole, { top: 80n }), row()].map((one) => Object.keys(one))
  expect(new Set(shapes.map(String)).size).toBe(1)
  expect(Object.keys(laneOf(row(), 'a') ?? {})).toEqual(Object.keys(lane ?? {}))
})

test('lets a lane deliver nothing of credit whose money has left the channel since', () => {
  verifies(['T15', 'F5', 'F24'])
  const { raise, grow, end, row, set } = ledger()
  raise('patient', 1000n)
  grow('patient', { used: 50n })
  // Its payer was paused until his withdrawal was over; what was granted by then was claimed.
  set(learnFunds(row(), { ...funds, balance: 180n, claimed: 50n, readAt: 9 }).channel)
  for (let used = 100n; used < 1000n; used += 50n) grow('patient', { used })
  expect(outcome(grow('patient', { used: 1000n }))).toEqual({ used: 180n, granted: 180n })
  expect(row().charged).toBe(180n)
  // Money that comes in again is there for it, and for who else has credit.
  set(learnFunds(row(), { ...funds, balance: 200n, claimed: 50n, readAt: 10 }).channel)
  expect(outcome(grow('patient', { used: 180n }))).toEqual({ used: 180n, granted: 200n })
  expect(outcome(end('patient', { used: 190n }))).toEqual({ used: 190n, granted: 190n })
  expect(usableFunds(row())).toBe(200n)
})

test('whatever comes in whatever order: charged is what was used, and the highest voucher covers it', () => {
  verifies('M29')
  const lane = fc.constantFrom('a', 'b', 'c')
  const small = fc.bigInt({ min: 1n, max: 60n })
  const acts = fc.oneof(
    fc.record({ act: fc.constant('buy' as const), lane, amount: small, skew: fc.constantFrom(0n, 0n, 0n, 1n) }),
    fc.record({ act: fc.constant('raise' as const), lane, amount: small, skew: fc.constantFrom(0n, 0n, 20n) }),
    fc.record({ act: fc.constant('grow' as const), lane, amount: small, skew: fc.constant(0n) }),
    fc.record({ act: fc.constant('end' as const), lane, amount: small, skew: fc.constant(0n) }),
    fc.record({ act: fc.constant('work' as const), lane, amount: small, skew: fc.constant(0n) }),
  )
  fc.assert(
    fc.property(fc.array(acts, { maxLength: 40 }), (list) => {
      const { buy, raise, grow, end, row, set } = ledger()
      let delivered = 0n
      for (const { act, lane: id, amount, skew } of list) {
        const before = laneOf(row(), id)
        const used = (before?.used ?? 0n) + amount
        const step = { used, slice: 30n }
        let result: LaneResult | undefined
        if (act === 'buy') result = buy(id, nextBase(row(), amount) + amount + skew, amount, step)
        if (act === 'raise') result = raise(id, row().top + amount - skew, step)
        if (act === 'grow') result = grow(id, step)
        if (act === 'end') result = end(id, step)
        if (act === 'work') {
          const max = nextBase(row(), amount) + amount
          const taken = takeStretch(row(), { id: 'work', max, amount, now, until: now + 1 })
          const done = finishStretch(taken.channel, { id: 'work', used: amount, signature: `to ${max}`, now })
          if (taken.result === undefined) {
            set(leaveStretch(done.channel, { id: 'work' }).channel)
            delivered += amount
          }
        }
        if (typeof result === 'object') {
          delivered += result.used - (before?.used ?? 0n)
          if (before !== undefined) expect(result.used).toBeLessThanOrEqual(before.granted)
        }
        const { charged, top, free, lanes = [], voucher } = row()
        const credit = lanes.reduce((sum, one) => sum + creditOf(one), 0n)
        const open = free.reduce((sum, { from, to }) => sum + to - from, 0n)
        expect(charged).toBe(delivered)
        expect(charged + credit + open).toBe(top)
        expect(top).toBeLessThanOrEqual(usableFunds(row()))
        expect(voucher?.max ?? 0n).toBe(top)
        for (const one of lanes) expect(one.granted).toBeLessThanOrEqual(one.used + creditOf(one))
      }
    }),
    { numRuns: 400 },
  )
})
