import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Channel, type ChannelFunds, nextBase, shared } from './channel.ts'
import { adoptPosition, endStretch, landFilling, learnPayerFunds, lockedFunds, type Signing, signStretch } from './payer.ts'

const funds: ChannelFunds = { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 }
const empty: Channel = {
  side: 'payer',
  id: '0x1',
  network: 'eip155:1',
  config: {},
  funds,
  refunding: 0n,
  charged: 0n,
  top: 0n,
  held: [],
  free: [],
  epoch: 1,
}
const filling = { amount: 500n, until: 1000, by: 'a', authorization: { salt: '1' } }

/** A payer who signs and ends; each step gives what came of it. */
function payer(start: Channel = empty) {
  let row = start
  return {
    row: () => row,
    sign(id: string, amount: bigint, { now = 1, deposit = false } = {}) {
      const { channel, result } = signStretch(row, { id, amount, now, until: now + 100, ...(deposit ? { filling } : {}) })
      row = channel
      return result
    },
    end(id: string, used: bigint): boolean {
      const { channel, result } = endStretch(row, { id, used, signature: `by ${id}`, now: 2 })
      row = channel
      return result
    },
    adopt(position: bigint, except = '') {
      row = adoptPosition(row, { position, except })
    },
    learn(change: Partial<ChannelFunds>, readAt = 5) {
      row = learnPayerFunds(row, { ...row.funds, ...change, readAt })
    },
    land() {
      row = landFilling(row)
    },
  }
}

test('signs one stretch after the other, and credit before anything new', () => {
  verifies('M26')
  const { sign, end, row } = payer()
  expect([sign('a', 10n), sign('b', 10n)]).toEqual([
    { from: 0n, to: 10n, raised: 10n },
    { from: 10n, to: 20n, raised: 10n },
  ])
  expect([end('b', 0n), end('b', 0n)]).toEqual([true, false])
  expect(sign('c', 15n)).toEqual({ from: 10n, to: 25n, raised: 5n })
  expect([end('a', 10n), end('c', 4n), end('c', 4n)]).toEqual([true, true, false])
  // The voucher up to 25 was served: the next one is another.
  expect(sign('d', 11n)).toEqual({ from: 25n, to: 36n, raised: 11n })
  expect(row()).toMatchObject({ charged: 14n, top: 36n, voucher: { max: 25n, signature: 'by c' } })
})

test('signs no stretch again whose worker was killed, until the receiver says that he was not paid with it', () => {
  verifies('H15')
  const { sign, adopt, row } = payer()
  sign('killed', 10n)
  expect(sign('next', 10n, { now: 500 })).toEqual({ from: 10n, to: 20n, raised: 10n })
  expect(row()).toMatchObject({ charged: 10n, held: [{ id: 'next' }] })
  adopt(0n, 'next')
  expect(sign('again', 10n, { now: 501 })).toEqual({ from: 0n, to: 10n, raised: 0n })
  expect(row()).toMatchObject({ charged: 0n, top: 20n })
})

test('goes on from a position without taking what other work holds', () => {
  const { sign, adopt, row } = payer()
  for (const id of ['a', 'b', 'c']) sign(id, 10n)
  adopt(5n, 'c')
  expect(row()).toMatchObject({ charged: 0n, held: [{ id: 'a' }, { id: 'b' }], free: [{ from: 20n, to: 30n }] })
  adopt(50n, 'b')
  expect(row()).toMatchObject({ charged: 40n, top: 50n, held: [{ id: 'a' }], free: [] })
})

test('counts a deposit as there for the payment it comes with, and for others once it has landed', () => {
  const { sign, learn, row } = payer()
  expect(sign('a', 1200n)).toBe('beyond')
  expect(sign('a', 1200n, { deposit: true })).toMatchObject({ to: 1200n })
  expect([sign('b', 10n), lockedFunds(row())]).toEqual(['beyond', 1500n])
  learn({ balance: 1499n })
  expect(row().filling).toEqual(filling)
  learn({ balance: 1999n })
  expect(row().filling).toBeUndefined()
  expect(sign('b', 10n)).toMatchObject({ from: 1200n })
  const other = payer()
  other.sign('a', 1200n, { deposit: true })
  other.land()
  expect(other.row().funds.balance).toBe(1500n)
  other.land()
  expect(other.row().funds.balance).toBe(1500n)
  const late = payer({ ...empty, filling })
  late.learn({}, 1001)
  expect(late.row().filling).toBeUndefined()
})

test('believes the chain: what was claimed was charged, and no more than is there', () => {
  verifies('H15')
  const { sign, end, learn, row } = payer()
  sign('a', 100n)
  end('a', 60n)
  learn({ claimed: 80n }, 0)
  expect(row().charged).toBe(60n)
  learn({ claimed: 80n })
  expect(row()).toMatchObject({ charged: 80n, top: 100n })
  learn({ balance: 80n, claimed: 80n })
  sign('b', 10n)
  expect(row().held).toEqual([])
  const closed = payer()
  closed.sign('a', 100n)
  closed.end('a', 100n)
  closed.learn({ balance: 40n, claimed: 40n })
  expect(closed.row()).toMatchObject({ charged: 40n, top: 100n, free: [{ from: 40n, to: 100n }] })
})

test('whatever is signed, ended and named: every unit is charged, held or credit, and nothing is raised unsaid', () => {
  verifies('H15')
  const step = fc.record({
    kind: fc.constantFrom('sign' as const, 'end' as const, 'adopt' as const),
    amount: fc.bigInt(1n, 40n),
    pick: fc.nat(5),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { sign, end, adopt, row } = payer()
      let raised = 0n
      for (const [index, { kind, amount, pick }] of steps.entries()) {
        const hold = row().held[pick]
        if (kind === 'sign') raised += raiseOf(sign(`${index}`, amount))
        else if (kind === 'end' && hold !== undefined) end(hold.id, amount > hold.to - hold.from ? 0n : amount)
        else if (kind === 'adopt' && amount < row().top) adopt(amount)
        const { charged, held, free, top } = row()
        const lengths = [...held, ...free].reduce((sum, { from, to }) => sum + to - from, 0n)
        expect(charged + lengths).toBe(top)
        expect(top).toBe(raised)
        for (const one of held) for (const other of free) expect(shared(one, other)).toBe(0n)
        expect(nextBase(row(), 1n)).toBeLessThanOrEqual(top)
      }
    }),
    { numRuns: 300 },
  )
})

function raiseOf(result: Signing | string): bigint {
  return typeof result === 'string' ? 0n : result.raised
}
