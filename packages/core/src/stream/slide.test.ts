import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Channel } from '../channel/channel.ts'
import { learnPayerFunds } from '../channel/payer.ts'
import { creditOf, endLane, growLane, laneOf, raiseVoucher } from './lane.ts'
import { leaveLane, type Slid, slideVoucher } from './slide.ts'

const empty: Channel = {
  side: 'payer',
  id: '0xc',
  network: 'eip155:84532',
  config: {},
  funds: { balance: 1_000_000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 0 },
  refunding: 0n,
  charged: 0n,
  top: 0n,
  held: [],
  free: [],
  epoch: 1,
}

function slid(channel: Channel, step: Partial<Parameters<typeof slideVoucher>[1]>): { channel: Channel; result: Slid } {
  const { channel: next, result } = slideVoucher(channel, {
    id: 'a',
    used: 0n,
    window: 20n,
    least: 10n,
    now: 1,
    until: 100,
    opens: false,
    ...step,
  })
  if (typeof result === 'string') throw result
  return { channel: next, result }
}

describe('a payer’s sliding voucher', () => {
  it('signs one window, and then only for what was delivered', () => {
    verifies('M29')
    const opened = slid(empty, { opens: true })
    expect(opened.result).toEqual({ max: 20n, used: 0n, credit: 20n, grown: 20n })
    const idle = slid(opened.channel, { used: 0n })
    expect(idle.result).toEqual({ max: 20n, used: 0n, credit: 20n, grown: 0n })
    const little = slid(idle.channel, { used: 9n })
    expect(little.result).toEqual({ max: 20n, used: 9n, credit: 11n, grown: 0n })
    const ticked = slid(little.channel, { used: 10n })
    expect(ticked.result).toEqual({ max: 30n, used: 10n, credit: 20n, grown: 10n })
    expect(ticked.channel.charged).toBe(10n)
  })

  it('counts no more as delivered than it had signed for, and nothing back', () => {
    verifies('M29')
    const opened = slid(empty, { opens: true })
    const lied = slid(opened.channel, { used: 1_000n })
    expect(lied.result).toMatchObject({ max: 40n, used: 20n, credit: 20n })
    expect(slid(lied.channel, { used: 3n }).result).toMatchObject({ max: 40n, used: 20n })
  })

  it('opens above all that was ever signed, with the credit of ended lanes first', () => {
    verifies('M26')
    const opened = slid(empty, { opens: true })
    const left = leaveLane(opened.channel, { id: 'a', used: 5n, now: 2 }).channel
    expect([left.charged, left.top, left.free, left.lanes]).toEqual([5n, 20n, [{ from: 5n, to: 20n, spent: true }], undefined])
    const again = slid(left, { id: 'b', opens: true, window: 10n })
    expect(again.result).toEqual({ max: 21n, used: 0n, credit: 16n, grown: 16n })
  })

  it('gives itself back what its receiver did not count', () => {
    verifies('M29')
    const ticked = slid(slid(empty, { opens: true }).channel, { used: 15n }).channel
    const left = leaveLane(ticked, { id: 'a', used: 12n, now: 2 }).channel
    expect([left.charged, left.top, left.free]).toEqual([
      12n,
      35n,
      [
        { from: 12n, to: 15n, spent: true },
        { from: 15n, to: 20n, spent: true },
        { from: 20n, to: 35n, spent: true },
      ],
    ])
    expect(slid(left, { id: 'b', opens: true, window: 23n }).result).toMatchObject({ max: 36n, credit: 24n })
    expect(leaveLane(left, { id: 'a', used: 1n, now: 2 }).channel).toBe(left)
  })

  it('takes what a dead process had signed for its lanes as spent', () => {
    verifies('F1')
    const opened = slid(empty, { opens: true, until: 50 })
    const other = slid(opened.channel, { id: 'b', opens: true, now: 50 })
    expect([other.channel.charged, other.result.max, laneOf(other.channel, 'a')]).toEqual([20n, 40n, undefined])
  })

  it('has what a dead process had signed again where its receiver says that he charged less, and nothing was signed since', () => {
    verifies(['F1', 'FS1-CLIENT-KILLED'])
    const dead = slid(empty, { opens: true, until: 50 }).channel
    const { channel, result } = slid(dead, { id: 'b', opens: true, now: 50 })
    const closing = { id: 'b', used: 5n, now: 51, told: { charged: 12n, max: result.max } }
    const left = leaveLane(channel, closing).channel
    expect([left.charged, left.top, left.free]).toEqual([12n, 40n, [{ from: 12n, to: 40n }]])
    expect(slid(left, { id: 'c', opens: true }).result).toMatchObject({ max: 41n, credit: 29n })

    // He may say less than what was claimed, or more than these books: neither is believed.
    const claimed = { ...channel, funds: { ...channel.funds, claimed: 15n } }
    expect(leaveLane(claimed, closing).channel.charged).toBe(15n)
    expect(leaveLane(channel, { ...closing, told: { charged: 26n, max: 40n } }).channel.charged).toBe(25n)
    // What another process signed meanwhile he may not have counted yet.
    const other = slid(channel, { id: 'c', opens: true, now: 50 })
    expect(leaveLane(other.channel, closing).channel.charged).toBe(25n)
    const gone = leaveLane(other.channel, { id: 'c', used: 20n, now: 51 }).channel
    expect(leaveLane(gone, closing).channel.charged).toBe(45n)
  })

  it('knows of a channel that is empty what was charged, whatever dead processes had signed', () => {
    verifies(['F1', 'FS1-CLIENT-KILLED'])
    const { channel } = slid(slid(empty, { opens: true, until: 50 }).channel, { used: 7n, until: 50 })
    const paid = { ...channel.funds, balance: 9n, claimed: 9n, readAt: 60 }
    const learned = learnPayerFunds(channel, paid)
    expect([learned.charged, learned.lanes, learned.free]).toEqual([9n, undefined, [{ from: 9n, to: 20n }]])
    // As long as more can be claimed it counts as spent.
    expect(learnPayerFunds(channel, { ...paid, balance: 100n }).charged).toBe(20n)
  })

  it('signs nothing for a lane that is not there, nor beyond what the channel holds', () => {
    verifies('M29')
    expect(slideVoucher(empty, { id: 'x', used: 0n, window: 20n, least: 1n, now: 1, until: 9, opens: false }).result).toBe('gone')
    const poor = { ...empty, funds: { ...empty.funds, balance: 19n } }
    expect(slideVoucher(poor, { id: 'x', used: 0n, window: 20n, least: 1n, now: 1, until: 9, opens: true })).toEqual({
      channel: poor,
      result: 'beyond',
    })
  })

  it('agrees with the receiver’s books to the last unit, whatever lanes come, go and share', () => {
    verifies('M29')
    const moves = fc.array(
      fc.record({ lane: fc.constantFrom('a', 'b', 'c'), delivered: fc.bigInt(0n, 30n), window: fc.bigInt(1n, 30n), ends: fc.boolean() }),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(moves, (all) => {
        let [payer, receiver]: Channel[] = [empty, { ...empty, side: 'receiver' as const }]
        const used = new Map<string, bigint>()
        for (const { lane, delivered, window, ends } of all) {
          if (payer === undefined || receiver === undefined) return
          const opens = !used.has(lane)
          const granted = laneOf(receiver, lane)?.granted ?? 0n
          const now = opens ? 0n : (used.get(lane) ?? 0n) + delivered
          const due = now < granted || opens ? now : granted
          used.set(lane, due)
          const before = payer.top
          const step = slid(payer, { id: lane, used: due, window, least: 1n, opens })
          payer = step.channel
          const grant = { id: lane, used: due, slice: 1_000n, now: 1, opens }
          const taken: ReturnType<typeof growLane> =
            step.result.max > before
              ? raiseVoucher(receiver, { ...grant, max: step.result.max, signature: 's' })
              : growLane(receiver, grant)
          expect(typeof taken.result).toBe('object')
          receiver = taken.channel
          if (ends) {
            payer = leaveLane(payer, { id: lane, used: due, now: 1 }).channel
            receiver = endLane(receiver, { id: lane, used: due, slice: 0n, now: 1, refundable: true }).channel
            used.delete(lane)
          }
          const credit = (payer.lanes ?? []).reduce((sum, one) => sum + creditOf(one), 0n)
          const free = payer.free.reduce((sum, { from, to }) => sum + to - from, 0n)
          expect([payer.charged, payer.top, credit]).toEqual([
            receiver.charged,
            receiver.top,
            (receiver.lanes ?? []).reduce((sum, one) => sum + creditOf(one), 0n),
          ])
          expect(payer.charged + credit + free).toBe(payer.top)
        }
      }),
    )
  })
})
