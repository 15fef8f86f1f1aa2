import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryChannels } from '../memory.ts'
import { channelBook } from './book.ts'
import { beforeClaim, type Channel, type ChannelFunds, learnFunds, nextBase, usableFunds, type Withheld } from './channel.ts'
import { extendStretch, finishStretch, leaveStretch, setAside, takeStretch } from './work.ts'

const funds: ChannelFunds = { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 1 }
const empty: Channel = {
  side: 'receiver',
  id: '0xc',
  network: 'eip155:84532',
  config: { salt: '0x0' },
  funds,
  refunding: 0n,
  charged: 0n,
  top: 0n,
  held: [],
  free: [],
  epoch: 1,
}
const until = 100

/** A channel on which things are done one after the other; each says what came of it. */
function ledger(start: Channel = empty) {
  let channel = start
  const keep = <Result>({ channel: next, result }: { channel: Channel; result: Result }): Result => {
    channel = next
    return result
  }
  return {
    now: () => channel,
    take: (id: string, max: bigint, amount: bigint, now = 1, asked: { request?: string } = {}): Withheld | undefined =>
      keep(takeStretch(channel, { id, max, amount, now, until: now + until, ...asked })),
    /** Ends work; its answer leaves unless told. */
    finish(id: string, used: bigint, { now = 2, leaves = true }: { now?: number; leaves?: boolean } = {}): boolean {
      const done = keep(finishStretch(channel, { id, used, signature: `by ${id}`, now }))
      if (leaves) keep(leaveStretch(channel, { id }))
      return done
    },
    lose: (id: string, at = 0, request?: string): void => keep(leaveStretch(channel, { id, lost: { at, request } })),
    extend: (id: string, to: number): boolean => keep(extendStretch(channel, { id, until: to })),
    aside: (amount: bigint, now = 1): bigint | undefined => keep(setAside(channel, { amount, now })),
    claim: (): bigint => keep({ channel: beforeClaim(channel), result: channel.charged }),
    learn: (change: Partial<ChannelFunds>, readAt = 2): boolean => keep(learnFunds(channel, { ...channel.funds, ...change, readAt })),
  }
}

describe('a channel', () => {
  test('sells each stretch once: vouchers in order, copies, and older ones', () => {
    verifies('M26')
    const { take, finish, now } = ledger()
    expect([take('a', 10n, 10n), take('copy', 10n, 10n), take('b', 20n, 10n)]).toEqual([undefined, 'held', undefined])
    expect(take('a', 30n, 10n)).toBe('held')
    expect([finish('b', 10n), finish('a', 10n), finish('a', 10n)]).toEqual([true, true, false])
    expect([take('again', 10n, 10n), take('half', 20n, 5n), take('over', 25n, 10n)]).toEqual(['sold', 'sold', 'sold'])
    expect(now()).toMatchObject({ charged: 20n, top: 20n, held: [], free: [], voucher: { max: 20n, signature: 'by b' }, owedSince: 2 })
  })

  test('takes vouchers out of order, and what was skipped once more', () => {
    const { take, finish, now } = ledger()
    expect([take('c', 30n, 10n), take('a', 10n, 10n), take('b', 20n, 10n)]).toEqual([undefined, undefined, undefined])
    expect(now().free).toEqual([])
    expect([finish('a', 10n), finish('b', 10n), finish('c', 10n)]).toEqual([true, true, true])
    expect(now()).toMatchObject({ charged: 30n, voucher: { max: 30n } })
  })

  test('gives the stretch of failed and of dead work back to the same voucher', () => {
    const { take, finish, now } = ledger()
    take('a', 10n, 10n)
    expect(finish('a', 0n)).toBe(true)
    expect(take('a again', 10n, 10n)).toBeUndefined()
    expect(take('too early', 10n, 10n, until)).toBe('held')
    expect(take('after death', 10n, 10n, until + 1)).toBeUndefined()
    expect(finish('a again', 10n)).toBe(false)
    expect(finish('after death', 10n)).toBe(true)
    expect(now()).toMatchObject({ charged: 10n, top: 10n })
    expect(now().voucher).toEqual({ max: 10n, signature: 'by after death' })
  })

  test('has an answer that nobody had made once more for the request that it was for', () => {
    verifies(['M12', 'M26'])
    const { take, finish, lose, now } = ledger()
    take('a', 10n, 10n, 1, { request: 'mine' })
    finish('a', 10n, { leaves: false })
    lose('a', 0, 'mine')
    expect(now().held).toMatchObject([{ id: 'a', used: 10n, request: 'mine' }])
    expect([take('b', 10n, 10n), take('c', 10n, 10n, 1, { request: 'other' })]).toEqual(['sold', 'sold'])
    expect(take('d', 10n, 10n, 1, { request: 'mine' })).toBeUndefined()
    // Whoever does it now knows himself what it is for.
    expect(now().held).toMatchObject([{ id: 'd', before: 10n, again: 1 }])
    expect(now().held[0]).not.toHaveProperty('request')
  })

  test('has an answer that nobody had made once more for the same voucher, and charges it once', () => {
    verifies('M26')
    const { take, finish, lose, learn, now } = ledger()
    take('b', 20n, 10n)
    finish('b', 10n)
    take('a', 10n, 10n)
    finish('a', 10n, { leaves: false })
    expect(now()).toMatchObject({ charged: 20n, held: [{ id: 'a', used: 10n }] })
    expect(take('copy', 10n, 10n)).toBe('held')
    lose('a')
    expect([take('other price', 10n, 5n), take('a again', 10n, 10n), take('copy', 10n, 10n)]).toEqual(['sold', undefined, 'held'])
    expect([finish('a', 10n), finish('a again', 7n, { leaves: false })]).toEqual([false, true])
    expect(now().charged).toBe(17n)
    // A process that dies with it: its payer comes for it once the hold is over, and a worker that dies then too changes nothing.
    expect(take('third', 10n, 10n, until + 1)).toBeUndefined()
    expect(take('fourth', 10n, 10n, 2 * until + 1)).toBeUndefined()
    expect(now().charged).toBe(17n)
    expect(finish('fourth', 0n)).toBe(true)
    expect(now()).toMatchObject({ charged: 10n, held: [], free: [{ from: 0n, to: 10n }] })
    // What was claimed by then is not given back.
    take('fifth', 10n, 10n)
    finish('fifth', 10n, { leaves: false })
    lose('fifth')
    learn({ claimed: 20n })
    take('sixth', 10n, 10n)
    finish('sixth', 0n, { leaves: false })
    // And is no credit beside: it was paid for this work, which the same voucher has done again.
    expect(now()).toMatchObject({ charged: 20n, held: [{ from: 0n, to: 10n, used: 10n }], free: [] })
    expect([take('other work', 9n, 9n, 2), take('seventh', 10n, 10n, 2)]).toEqual(['sold', undefined])
    expect([finish('seventh', 4n), now().charged, now().top, now().free]).toEqual([true, 20n, 20n, []])
  })

  test('gives back of an answer that was lost what was not claimed, and no more', () => {
    verifies('M26')
    const { take, finish, lose, learn, now } = ledger()
    take('a', 10n, 10n)
    finish('a', 10n, { leaves: false })
    lose('a')
    take('b', 20n, 10n)
    finish('b', 10n)
    learn({ claimed: 13n })
    expect(take('again', 10n, 10n)).toBeUndefined()
    expect(finish('again', 2n)).toBe(true)
    expect(now()).toMatchObject({ charged: 13n, held: [], free: [{ from: 3n, to: 10n, spent: true }] })
  })

  test.each(['claim', 'refund'])('gives nothing back that a %s asks for which has not landed yet', (move) => {
    verifies(['M26', 'M27'])
    const { take, finish, lose, learn, claim, aside, now } = ledger()
    take('a', 10n, 10n)
    finish('a', 10n, { leaves: false })
    lose('a')
    take('b', 20n, 10n)
    finish('b', 10n)
    if (move === 'claim') expect(claim()).toBe(20n)
    else expect(aside(100n)).toBe(100n)
    expect(take('again', 10n, 10n)).toBeUndefined()
    finish('again', 0n, { leaves: false })
    // What others have under way is not lost with it.
    expect(take('c', 30n, 10n)).toBeUndefined()
    learn({ claimed: 20n })
    expect(now()).toMatchObject({ charged: 20n, held: [{ used: 10n }, { id: 'c' }] })
    expect([finish('c', 10n), now().charged]).toEqual([true, 30n])
  })

  test('has it made three times more, and not for ever for who hangs up each time', () => {
    verifies(['M9', 'M8'])
    const { take, finish, lose, now } = ledger()
    let runs = 0
    for (let at = 1; at <= 20; at += 1) {
      if (take(`${at}`, 10n, 10n, at) !== undefined) continue
      runs += 1
      finish(`${at}`, 10n, { leaves: false })
      lose(`${at}`, at)
    }
    expect([runs, now().charged]).toEqual([4, 10n])
    expect([take('late', 10n, 10n, 10 * until), take('next', 20n, 10n, 10 * until)]).toEqual(['sold', undefined])
  })

  test('brings nothing for a voucher that a claim has shown to everybody, nor for what is long gone', () => {
    verifies('M26')
    const { take, finish, lose, learn, now } = ledger()
    take('a', 10n, 10n)
    finish('a', 6n, { leaves: false })
    lose('a')
    learn({ claimed: 6n })
    expect(take('bystander', 10n, 10n)).toBe('sold')
    expect(take('next', 20n, 10n, 3_600_001)).toBeUndefined()
    expect(now()).toMatchObject({ held: [{ id: 'next' }], free: [{ from: 6n, to: 10n, spent: true }] })
  })

  test('lets work go on, and sets nothing aside for its payer meanwhile', () => {
    verifies('M27')
    const { take, finish, extend, aside, learn, now } = ledger()
    take('a', 10n, 10n)
    expect([extend('a', 500), extend('b', 500)]).toEqual([true, false])
    expect([take('copy', 10n, 10n, 499), aside(100n)]).toEqual(['held', undefined])
    finish('a', 10n)
    expect([aside(991n), aside(0n), aside(990n), aside(5n)]).toEqual([undefined, undefined, 990n, 990n])
    expect(take('b', 20n, 10n)).toBe('beyond')
    learn({ refundNonce: 1n, balance: 10n }, 3)
    expect([now().refunding, aside(1n)]).toEqual([0n, undefined])
  })

  test('charges less than was signed, and never lets the served voucher pay again', () => {
    verifies('M26')
    const { take, finish, now } = ledger()
    take('a', 10n, 10n)
    finish('a', 3n)
    expect(take('stolen', 10n, 10n)).toBe('sold')
    expect(take('stolen on a cheaper route', 10n, 7n)).toBe('sold')
    expect(nextBase(now(), 10n)).toBe(3n)
    expect(nextBase(now(), 7n)).toBe(10n)
    expect(take('b', 13n, 10n)).toBeUndefined()
    expect(finish('b', 10n)).toBe(true)
    expect(now()).toMatchObject({ charged: 13n, top: 13n, free: [], voucher: { max: 13n } })
    expect(finish('b', 11n)).toBe(false)
  })

  test('sells no more than is in it, less withdrawals and signed refunds', () => {
    verifies('M27')
    const { take, learn, now } = ledger({ ...empty, refunding: 100n })
    expect(take('a', 901n, 901n)).toBe('beyond')
    learn({ withdrawing: 400n, withdrawalAt: 7 })
    expect(usableFunds(now())).toBe(500n)
    expect([take('a', 501n, 501n), take('b', 500n, 500n)]).toEqual(['beyond', undefined])
    learn({ refundNonce: 1n, balance: 900n, withdrawing: 300n }, 3)
    expect(usableFunds(now())).toBe(600n)
  })

  test('believes the later word of the chain, and raises its numbers after a restored backup', () => {
    const { take, finish, learn, now } = ledger()
    take('a', 10n, 10n)
    finish('a', 10n)
    take('b', 20n, 10n)
    expect(learn({ claimed: 10n }, 5)).toBe(true)
    expect(now().owedSince).toBeUndefined()
    expect(learn({ claimed: 0n, balance: 1n }, 4)).toBe(false)
    expect(learn({ claimed: 50n }, 6)).toBe(true)
    expect(now()).toMatchObject({ charged: 50n, top: 50n, held: [], free: [] })
    expect([take('old', 20n, 10n), take('new', 60n, 10n), nextBase(now(), 10n)]).toEqual(['sold', undefined, 60n])
  })

  test('whatever comes in whatever order: nothing is sold twice, and all charged is covered by a served voucher', () => {
    const action = fc.record({
      kind: fc.constantFrom('take' as const, 'take' as const, 'finish' as const, 'fail' as const),
      max: fc.bigInt({ min: 0n, max: 120n }),
      amount: fc.bigInt({ min: 0n, max: 30n }),
      which: fc.nat(200),
      now: fc.integer({ min: 1, max: 300 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const { take, finish, now } = ledger({ ...empty, funds: { ...funds, balance: 110n } })
        const sold: { from: bigint; to: bigint }[] = []
        const maxes: bigint[] = []
        actions.forEach(({ kind, max, amount, which, now: at }, index) => {
          if (kind === 'take') {
            if (take(`${index}`, max, amount, at) === undefined) expect(maxes).not.toContain(max)
          } else {
            const hold = now().held[which % Math.max(1, now().held.length)]
            if (hold === undefined) return
            const used = kind === 'fail' ? 0n : amount % (hold.to - hold.from + 1n)
            expect(finish(hold.id, used)).toBe(true)
            if (used > 0n) {
              sold.push({ from: hold.from, to: hold.from + used })
              maxes.push(hold.to)
            }
          }
          const { charged, top, held, free, voucher } = now()
          const taken = [...sold, ...held, ...free].sort((a, b) => (a.from < b.from ? -1 : 1))
          taken.reduce((end, { from, to }) => {
            expect(from >= end && to > from).toBe(true)
            return to
          }, 0n)
          expect(charged).toBe(sold.reduce((sum, { from, to }) => sum + to - from, 0n))
          expect(top <= 110n).toBe(true)
          expect(charged <= (voucher?.max ?? 0n)).toBe(true)
          if (held.length < 64 && top <= 80n) {
            const base = nextBase(now(), 30n)
            expect(takeStretch(now(), { id: 'next', max: base + 30n, amount: 30n, now: 0, until: 1 }).result).toBeUndefined()
          }
        })
      }),
      { numRuns: 500 },
    )
  })

  test('gives nothing back that a worker who is only slow could still charge', () => {
    verifies('M27')
    const { take, finish, extend, aside, now } = ledger()
    take('slow', 600n, 600n)
    // It is believed dead, and all of the money is asked back.
    expect(aside(1000n, 1 + until)).toBe(1000n)
    expect([extend('slow', 5000), finish('slow', 600n), now().charged]).toEqual([false, false, 0n])
  })

  test('sells nothing below vouchers of before to who took out what they were for', () => {
    verifies(['M27', 'T15'])
    const { take, finish, aside, learn, now } = ledger()
    take('a', 800n, 800n)
    finish('a', 500n)
    take('b', 1000n, 200n)
    finish('b', 200n)
    expect([now().charged, now().free]).toEqual([700n, [{ from: 500n, to: 800n, spent: true }]])
    expect(aside(300n)).toBe(300n)
    expect(take('while it is on its way', 600n, 100n)).toBe('beyond')
    learn({ balance: 700n, refundNonce: 1n })
    expect(take('when it is out', 600n, 100n)).toBe('beyond')
    learn({ balance: 750n }, 3)
    expect([take('too much', 600n, 100n), take('what is there again', 550n, 50n)]).toEqual(['beyond', undefined])
    finish('what is there again', 50n)
    expect(now().charged).toBe(750n)
  })

  test('makes an answer that was lost once more, for more money only where that is there yet', () => {
    verifies(['M27', 'M9'])
    const { take, finish, lose, aside, learn, now } = ledger()
    const again = (id: string) => take(id, 900n, 900n)
    again('cheap')
    finish('cheap', 10n, { leaves: false })
    lose('cheap')
    expect(aside(990n)).toBe(990n)
    expect(again('dear')).toBe('beyond')
    learn({ balance: 10n, claimed: 0n, refundNonce: 1n })
    expect([again('dear'), now().charged]).toEqual(['beyond', 10n])
    learn({ balance: 900n }, 3)
    expect(again('dear')).toBeUndefined()
    finish('dear', 900n)
    expect(now().charged).toBe(900n)
  })

  test('bounds what a row holds', () => {
    const { take, now } = ledger({ ...empty, funds: { ...funds, balance: 10_000n } })
    for (let index = 1n; index <= 64n; index += 1n) expect(take(`${index}`, index * 2n, 1n)).toBeUndefined()
    expect(take('more', 1000n, 1n)).toBe('busy')
    expect(now().free.length).toBeLessThanOrEqual(32)
  })
})

describe('a book', () => {
  test('writes changes that come together at once, and each upon the last', async () => {
    const store = memoryChannels()
    let writes = 0
    const update: typeof store.update = (...input) => {
      writes += 1
      return store.update(...input)
    }
    const counted = { ...store, update }
    const book = channelBook(counted, { side: 'receiver' })
    await book.open(empty)
    const take = (index: number) => (channel: Channel) =>
      takeStretch(channel, { id: `${index}`, max: BigInt(index + 1), amount: 1n, now: 1, until })
    const results = await Promise.all(Array.from({ length: 50 }, (_, index) => book.change('0xc', take(index))))
    expect(results).toEqual(Array.from({ length: 50 }, () => undefined))
    expect((await book.find('0xc'))?.held).toHaveLength(50)
    expect(writes).toBeLessThan(5)
    expect(await book.change('0xother', take(0))).toBeUndefined()
  })

  test('refuses nothing on the word of an old row, and keeps one step’s error to itself', async () => {
    const store = memoryChannels()
    const [mine, other] = [channelBook(store, { side: 'receiver' }), channelBook(store, { side: 'receiver' })]
    await mine.open(empty)
    await other.open(empty)
    await other.change('0xc', (channel) => learnFunds(channel, { ...funds, balance: 5000n, readAt: 2 }))
    const take = (channel: Channel) => takeStretch(channel, { id: 'a', max: 4000n, amount: 4000n, now: 1, until })
    const fails = mine.change('0xc', () => {
      throw new RangeError('mine')
    })
    const works = mine.change('0xc', take)
    await expect(fails).rejects.toThrow('mine')
    expect(await works).toBeUndefined()
    expect((await mine.find('0xc'))?.top).toBe(4000n)
    expect(await other.change('0xc', take)).toBe('held')
  })

  test('writes what nobody waits for with the next change, and loses none of it where the store fails', async () => {
    const store = memoryChannels()
    let isDown = false
    const update: typeof store.update = async (...input) => {
      if (isDown) throw new RangeError('down')
      return store.update(...input)
    }
    const book = channelBook({ ...store, update }, { side: 'receiver' })
    await book.open(empty)
    const add = (amount: bigint) => (channel: Channel) => ({ ...channel, charged: channel.charged + amount })
    const change = (amount: bigint) => book.change('0xc', (channel) => ({ channel: add(amount)(channel), result: channel.charged }))
    book.later('0xc', add(1n))
    expect((await book.find('0xc'))?.charged).toBe(0n)
    isDown = true
    await expect(change(10n)).rejects.toThrow('down')
    await expect(book.flush()).rejects.toThrow('down')
    isDown = false
    const first = change(100n)
    book.later('0xc', add(1000n))
    expect([await first, await change(10_000n)]).toEqual([1001n, 1101n])
    book.later('0xc', add(100_000n))
    await book.flush()
    await book.flush()
    expect((await book.find('0xc'))?.charged).toBe(111_101n)
  })
})
