import type { JournalStore, Outcome, Settlement, SignerLease } from '@flow402x/core'
import { afterAll, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { testAskers } from './askers.ts'
import {
  began,
  begun,
  deadAfter,
  lease,
  leased,
  newLane,
  newSettlement,
  order,
  refused,
  retention,
  settledWith,
  signed,
  start,
  unique,
  withoutClaim,
} from './journal-rows.ts'
import { startStoreProcess } from './processes.ts'
import type { StoreSuite } from './store.ts'

/** What every journal must do; `open` gives all connections to the same one. */
export function testJournal(suite: StoreSuite, open: () => readonly JournalStore[]): void {
  if (suite.noJournal !== undefined) {
    it.skip(`keeps what a facilitator signed and sent (${suite.noJournal})`, () => {})
    return
  }
  const stage: Stage = () => {
    const all = open()
    const [journal] = all
    if (journal === undefined) throw new Error(`${suite.name} has no journal, and no reason for it`)
    return { journal, at: (index) => all[index % all.length] ?? journal }
  }
  describe('settlements', () => testSettlements(stage))
  describe('who asks', () => testAskers(stage))
  describe('leases of signers', () => testLeases(stage))
  describe('what is signed', () => testPrepare(stage))
  describe('what became of a slot', () => testResolve(stage))
  describe('what is left and what is forgotten', () => testLeft(stage))
  describe('kill -9', () => testKill(suite))
}

/** One journal, and connections to it. */
export type Stage = () => { readonly journal: JournalStore; at(index: number): JournalStore }

function testSettlements(stage: Stage): void {
  it('begin once, and then show what stands', async () => {
    const { journal, at } = stage()
    for (const request of [newSettlement(), withoutClaim(newSettlement())]) {
      const settlement = { ...request, epoch: 1 }
      expect(await journal.begin(request, start)).toEqual({ begun: true, settlement })
      expect(await at(1).begin({ ...request, owner: 'b' }, start)).toEqual({ begun: false, settlement })
      expect(await at(2).find(request.id)).toEqual(settlement)
    }
    expect(await journal.find(unique())).toBeUndefined()
  })

  it('begin for one of 100 at once over four connections', async () => {
    verifies(['A3', 'H4'])
    const request = newSettlement()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        stage()
          .at(index)
          .begin({ ...request, owner: `p${index}` }, start),
      ),
    )
    const begun = answers.filter((answer) => answer.begun)
    expect(begun).toHaveLength(1)
    expect(answers.map(({ settlement }) => settlement)).toEqual(answers.map(() => begun[0]?.settlement))
  })

  it('pass to one of 20 when their owner is silent, with the claim they were begun with', async () => {
    verifies(['M2', 'M6'])
    const { journal, at } = stage()
    const request = newSettlement()
    const settlement = await began(journal, request)
    const again = { ...request, claimId: 'a thief', submission: newSettlement({ amount: '1' }).submission, leaseUntil: lease + 50 }
    expect(await journal.begin({ ...again, owner: 'b' }, lease - 1)).toEqual({ begun: false, settlement })
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => at(index).begin({ ...again, owner: `p${index}` }, lease)))
    const [taken, ...more] = answers.filter(({ begun }) => begun)
    expect(more).toEqual([])
    const standing = taken?.settlement
    expect(standing).toEqual({ ...settlement, owner: standing?.owner, leaseUntil: lease + 50, epoch: 2 })
    expect(await journal.conclude(settlement, refused)).toBe(false)
    expect(await journal.find(request.id)).toEqual(standing)
  })

  it('end once, with what they came to', async () => {
    const { journal, at } = stage()
    for (const outcome of [settledWith('0xaa'), refused]) {
      const settlement = await began(journal, newSettlement())
      expect(await journal.conclude(settlement, { status: 'pending', network: 'eip155:84532' })).toBe(false)
      const ended = await Promise.all(Array.from({ length: 8 }, (_, index) => at(index).conclude(settlement, outcome)))
      expect(ended.filter((one) => one)).toHaveLength(1)
      const standing = { ...settlement, outcome, epoch: 2 }
      expect(await journal.find(settlement.id)).toEqual(standing)
      expect(await journal.conclude(standing, undefined)).toBe(false)
      expect(await journal.begin(newSettlement({ id: settlement.id }), lease + 1)).toEqual({ begun: false, settlement: standing })
    }
  })

  it('are forgotten where nothing came of them, and may be begun again', async () => {
    const { journal } = stage()
    const request = newSettlement()
    const settlement = await began(journal, request)
    expect(await journal.conclude({ ...settlement, epoch: 2 }, undefined)).toBe(false)
    expect(await journal.conclude(settlement, undefined)).toBe(true)
    expect(await journal.find(request.id)).toBeUndefined()
    expect(await journal.conclude(settlement, undefined)).toBe(false)
    expect(await journal.begin(request, start)).toEqual({ begun: true, settlement })
  })
}

function testLeases(stage: Stage): void {
  it('are held by one over four connections, and handed on after their end with a higher epoch', async () => {
    verifies(['M6', 'M18'])
    const { journal, at } = stage()
    const lane = newLane()
    const take = (now: number) =>
      Promise.all(Array.from({ length: 20 }, (_, index) => at(index).lease({ ...lane, owner: `p${index}-${now}`, now, until: now + 100 })))
    const holder = async (now: number): Promise<SignerLease | undefined> => {
      const [held, ...more] = (await take(now)).filter((one) => one !== undefined)
      expect(more).toEqual([])
      return held
    }
    const first = await holder(start)
    expect(first).toEqual({ ...lane, owner: first?.owner, epoch: 1, until: start + 100 })
    expect(await holder(start + 99)).toBeUndefined()
    const renewed = await journal.lease({ ...lane, owner: first?.owner ?? '', now: start + 99, until: start + 150 })
    expect(renewed).toEqual({ ...first, until: start + 150 })
    expect(await holder(start + 149)).toBeUndefined()
    const second = await holder(start + 150)
    expect(second?.epoch).toBe(2)
    expect(await journal.lease({ ...newLane(), owner: 'p', now: start, until: start + 1 })).toMatchObject({ epoch: 1 })
  })

  it('are given up by their holder alone, and count on', async () => {
    const { journal, at } = stage()
    const held = await leased(journal, newLane())
    await at(1).release({ ...held, owner: 'another' })
    await at(1).release({ ...held, epoch: 2 })
    expect(await at(2).lease({ ...held, owner: 'b', now: start, until: lease })).toBeUndefined()
    await journal.release(held)
    await journal.release(held)
    const next = await at(1).lease({ ...held, owner: 'b', now: start, until: lease })
    expect(next?.epoch).toBeGreaterThan(held.epoch)
    expect(await journal.prepare(held, signed(held, 0n), { payments: [], now: start })).toBe(false)
    expect(await journal.lease({ ...held, now: start, until: lease })).toBeUndefined()
  })

  it('that were given up are another even for who gave them up', async () => {
    const { journal } = stage()
    const held = await leased(journal, newLane())
    await journal.release(held)
    const again = await leased(journal, held)
    expect(again.epoch).toBeGreaterThan(held.epoch)
    expect(await journal.prepare(held, signed(held, 0n), { payments: [], now: start })).toBe(false)
    expect(await journal.prepare(again, signed(held, 0n), { payments: [], now: start })).toBe(true)
  })
}

function testPrepare(stage: Stage): void {
  it('is there with its payments, and its attempts in order', async () => {
    verifies('M17')
    const { journal, at } = stage()
    const held = await leased(journal, newLane())
    const riders = await begun(journal, 3)
    const payments = riders.map(({ id }) => id).reverse()
    const attempts = ['first', 'second', 'third'].map((name) => signed(held, 7n, name))
    const [first, second, third] = attempts
    if (first === undefined || second === undefined || third === undefined) throw new Error('three were signed')
    const key = { network: held.network, signer: held.signer, nonce: 7n }

    expect(await journal.prepare(held, first, { payments: [...payments, payments[0] ?? ''], now: start })).toBe(true)
    expect(await at(1).slots(held)).toEqual([{ ...key, attempts: [first], payments, state: 'open', since: start }])
    expect(await journal.prepare(held, second, { payments: [], now: start + 10 })).toBe(true)
    expect(await at(1).prepare(held, third, { payments, now: start + 20 })).toBe(true)
    expect(await journal.prepare(held, second, { payments, now: start + 30 })).toBe(true)
    expect(await at(2).slots(held)).toEqual([{ ...key, attempts, payments, state: 'open', since: start + 20 }])
    for (const rider of riders) expect(await at(3).find(rider.id)).toEqual({ ...rider, slot: key, epoch: 2 })
  })

  it('is refused whole to a lease that has passed on, and to another signer', async () => {
    verifies(['M6', 'M17'])
    const { journal, at } = stage()
    const lane = newLane()
    const held = await leased(journal, lane)
    const [rider] = await begun(journal, 1)
    const payments = [rider?.id ?? '']
    const next = await at(1).lease({ ...lane, owner: 'b', now: lease, until: lease + 100 })
    expect(next?.epoch).toBe(2)
    const stale = [held, { ...held, owner: 'b' }, { ...held, epoch: 2 }, { ...held, signer: unique() }, { ...held, network: 'eip155:1' }]
    for (const one of stale) expect(await journal.prepare(one, signed(one, 0n), { payments, now: lease })).toBe(false)
    if (next === undefined) throw new Error('the lease was free')
    expect(await at(1).prepare(next, signed(newLane(), 0n), { payments, now: lease })).toBe(false)
    expect(await journal.slots(lane)).toEqual([])
    expect(await journal.find(payments[0] ?? '')).toEqual(rider)
    expect(await at(1).prepare(next, signed(next, 0n), { payments, now: lease })).toBe(true)
  })

  it('is refused whole where the nonce is taken or a payment is not queued', async () => {
    verifies('M17')
    const { journal, at } = stage()
    const held = await leased(journal, newLane())
    const [riding, ended, ...free] = await begun(journal, 4)
    if (riding === undefined || ended === undefined) throw new Error('four were begun')
    await journal.conclude(ended, refused)
    await journal.prepare(held, signed(held, 0n), { payments: [riding.id], now: start })
    const before = await journal.slots(held)
    const ids = free.map(({ id }) => id)

    expect(await at(1).prepare(held, signed(held, 0n, 'other'), { payments: ids, now: start })).toBe(false)
    for (const taken of [riding.id, ended.id, unique()]) {
      expect(await at(1).prepare(held, signed(held, 1n), { payments: [...ids, taken], now: start })).toBe(false)
    }
    expect(await journal.slots(held)).toEqual(before)
    for (const one of free) expect(await journal.find(one.id)).toEqual(one)
    expect(await journal.conclude((await journal.find(riding.id)) ?? riding, refused)).toBe(false)
    expect(await journal.begin(newSettlement({ id: riding.id }), lease + 1)).toMatchObject({ begun: false, settlement: { epoch: 2 } })
  })

  it('lets each payment into one slot, however many lanes reach for it', { timeout: 120_000 }, async () => {
    verifies('M17')
    const { journal, at } = stage()
    const riders = await begun(journal, 12)
    const lanes = await Promise.all(Array.from({ length: 4 }, () => leased(journal, newLane())))
    const asked = Array.from({ length: 24 }, (_, index) => [0, 5, 7].map((step) => riders[(index * step + index) % 12]?.id ?? ''))
    const written = await Promise.all(
      asked.map((payments, index) => {
        const held = lanes[index % 4] ?? lanes[0]
        if (held === undefined) throw new Error('four lanes were leased')
        return at(index).prepare(held, signed(held, BigInt(index)), { payments, now: start })
      }),
    )
    const slots = (await Promise.all(lanes.map((lane) => journal.slots(lane)))).flat()
    const ridden = slots.flatMap(({ payments }) => payments)
    expect(slots).toHaveLength(written.filter((one) => one).length)
    expect(ridden).not.toEqual([])
    expect(new Set(ridden).size).toBe(ridden.length)
    for (const { id } of riders) {
      const slot = slots.find(({ payments }) => payments.includes(id))
      expect((await journal.find(id))?.slot).toEqual(slot && { network: slot.network, signer: slot.signer, nonce: slot.nonce })
    }
  })

  it('takes 300 payments at once', async () => {
    const { journal } = stage()
    const held = await leased(journal, newLane())
    const riders = await begun(journal, 300)
    const payments = riders.map(({ id }) => id)
    expect(await journal.prepare(held, signed(held, 0n), { payments, now: start })).toBe(true)
    const outcomes = new Map(payments.slice(1).map((id) => [id, settledWith(id)]))
    expect(await journal.resolve(held, { ...held, nonce: 0n }, { state: 'final', outcomes, now: start })).toBe(true)
    const found = await Promise.all(payments.map((id) => journal.find(id)))
    expect(found.map((one) => one?.outcome)).toEqual([undefined, ...payments.slice(1).map(settledWith)])
  })

  it('keeps nonces of any size, in their order', async () => {
    const { journal } = stage()
    const held = await leased(journal, newLane())
    const nonces = [10n, 2n ** 64n, 0n, 9n, 10n ** 77n + 1n, 2n ** 53n + 1n, 2n ** 53n, 10n ** 77n]
    for (const nonce of nonces) {
      const payments = (await begun(journal, 1)).map(({ id }) => id)
      expect(await journal.prepare(held, signed(held, nonce), { payments, now: start })).toBe(true)
      expect((await journal.find(payments[0] ?? ''))?.slot?.nonce).toBe(nonce)
    }
    const sorted = nonces.toSorted((a, b) => (a < b ? -1 : 1))
    const slots = await journal.slots(held)
    expect(slots.map(({ nonce }) => nonce)).toEqual(sorted)
    expect(slots.flatMap(({ attempts }) => attempts)).toEqual(sorted.map((nonce) => signed(held, nonce)))
  })
}

function testResolve(stage: Stage): void {
  /** A slot that carries `count` payments. */
  const ridden = async (count: number) => {
    const { journal, at } = stage()
    const held = await leased(journal, newLane())
    const key = { network: held.network, signer: held.signer, nonce: 3n }
    const riders = await begun(journal, count)
    const ids = riders.map(({ id }) => id)
    expect(await journal.prepare(held, signed(held, 3n), { payments: ids, now: start })).toBe(true)
    const resolve = (state: 'open' | 'mined' | 'final' | 'foreign', outcomes: readonly (readonly [string, Outcome])[], now: number) =>
      at(1).resolve(held, key, { state, outcomes: new Map(outcomes), now })
    return { journal, held, key, riders, ids, resolve, find: (id = '') => journal.find(id) }
  }

  it('is mined, taken back by a reorg, mined again and final: nobody leaves before', async () => {
    verifies('M17')
    const { journal, held, key, riders, ids, resolve, find } = await ridden(2)
    const [a = '', b = ''] = ids
    expect(await resolve('mined', [[a, settledWith('0xaa')]], start + 10)).toBe(true)
    expect(await find(a)).toEqual({ ...riders[0], slot: key, outcome: settledWith('0xaa'), epoch: 3 })
    expect(await find(b)).toEqual({ ...riders[1], slot: key, epoch: 2 })
    expect(await journal.slots(held)).toMatchObject([{ state: 'mined', payments: ids, since: start + 10 }])
    expect(await journal.prepare(held, signed(held, 3n, 'more'), { payments: [], now: start })).toBe(false)

    expect(await resolve('open', [[a, { status: 'pending', network: 'eip155:84532' }]], start + 20)).toBe(true)
    expect(await find(a)).toEqual({ ...riders[0], slot: key, epoch: 4 })
    expect(await journal.prepare(held, signed(held, 3n, 'more'), { payments: [], now: start + 25 })).toBe(true)

    expect(await resolve('mined', [[a, settledWith('0xbb')]], start + 30)).toBe(true)
    expect(await resolve('mined', [[a, settledWith('0xcc')]], start + 40)).toBe(true)
    expect(await journal.slots(held)).toMatchObject([{ state: 'mined', since: start + 30 }])
    expect(await resolve('final', [[b, refused]], start + 50)).toBe(true)
    expect(await find(a)).toMatchObject({ slot: key, outcome: settledWith('0xcc') })
    expect(await find(b)).toMatchObject({ slot: key, outcome: refused })
    expect(await journal.slots(held)).toEqual([])
  })

  it('is final: what it did not decide is queued again, with the holder of the lease', async () => {
    verifies('M17')
    const { journal, held, key, riders, ids, resolve, find } = await ridden(3)
    const [a = '', b = '', c = ''] = ids
    expect(
      await resolve(
        'final',
        [
          [b, settledWith('0xbb')],
          [c, { status: 'pending', network: 'eip155:84532' }],
        ],
        start + 10,
      ),
    ).toBe(true)
    expect(await find(a)).toEqual({ ...riders[0], owner: held.owner, leaseUntil: held.until, epoch: 3 })
    expect(await find(b)).toEqual({ ...riders[1], slot: key, outcome: settledWith('0xbb'), epoch: 3 })
    expect(await find(c)).toMatchObject({ owner: held.owner, leaseUntil: held.until })
    expect((await find(c))?.slot).toBeUndefined()
    expect(await journal.slots(held)).toEqual([])
    expect(await journal.prepare(held, signed(held, 4n), { payments: [a, c], now: start + 20 })).toBe(true)
    expect(await resolve('final', [[a, refused]], start + 30)).toBe(true)
    expect(await find(a)).toMatchObject({ slot: { nonce: 4n } })
    expect((await find(a))?.outcome).toBeUndefined()
  })

  it('is another transaction’s: its payments stay, and nothing is signed for it, until that is final or undone', async () => {
    verifies('M17')
    const { journal, held, key, riders, ids, resolve, find } = await ridden(2)
    const [a = ''] = ids
    const standing = (state: 'open' | 'foreign', since: number) => [{ ...key, attempts: [signed(held, 3n)], payments: ids, state, since }]
    expect(await resolve('foreign', [], start + 10)).toBe(true)
    expect(await journal.slots(held)).toEqual(standing('foreign', start + 10))
    expect(await find(a)).toMatchObject({ slot: key, epoch: 2 })
    expect(await journal.prepare(held, signed(held, 3n, 'more'), { payments: [], now: start })).toBe(false)
    expect(await resolve('open', [], start + 20)).toBe(true)
    expect(await journal.slots(held)).toEqual(standing('open', start + 20))
    expect(await resolve('foreign', [], start + 30)).toBe(true)
    expect(await resolve('final', [[a, refused]], start + 40)).toBe(true)
    expect(await find(a)).toMatchObject({ slot: key, outcome: refused })
    expect(await find(ids[1])).toEqual({ ...riders[1], owner: held.owner, leaseUntil: held.until, epoch: 3 })
  })

  it('stays final, and decides nothing for payments that ride elsewhere or nowhere', async () => {
    const { journal, held, key, ids, resolve, find } = await ridden(1)
    const [elsewhere] = await begun(journal, 1)
    if (elsewhere === undefined) throw new Error('one was begun')
    expect(await resolve('final', [[elsewhere.id, refused], ...ids.map((id) => [id, settledWith('0xaa')] as const)], start)).toBe(true)
    expect(await find(elsewhere.id)).toEqual(elsewhere)
    expect(await resolve('open', [[ids[0] ?? '', refused]], start)).toBe(false)
    expect(await resolve('final', [[ids[0] ?? '', refused]], start)).toBe(true)
    expect(await find(ids[0])).toMatchObject({ outcome: settledWith('0xaa') })
    expect(await journal.prepare(held, signed(held, 3n, 'late'), { payments: [], now: start })).toBe(false)
    expect(await journal.resolve(held, { ...key, nonce: 4n }, { state: 'final', outcomes: new Map(), now: start })).toBe(false)
  })

  it('is not told by a holder whose lease has passed on, nor for another signer', async () => {
    verifies('M6')
    const { journal, held, key, ids, resolve, find } = await ridden(1)
    const before = await find(ids[0])
    const next = await leased(journal, { ...held, owner: 'b' }, lease)
    const told = { state: 'final' as const, outcomes: new Map(ids.map((id) => [id, refused])), now: lease }
    expect(await resolve('final', [[ids[0] ?? '', refused]], lease)).toBe(false)
    expect(await journal.resolve(await leased(journal, newLane()), key, told)).toBe(false)
    expect(await find(ids[0])).toEqual(before)
    expect(await journal.slots(held)).toMatchObject([{ state: 'open' }])
    expect(await journal.resolve(next, key, told)).toBe(true)
    expect(await find(ids[0])).toMatchObject({ outcome: refused })
  })
}

function testLeft(stage: Stage): void {
  it('lists what rides nowhere, has no end and whose owner is silent', async () => {
    const { journal, at } = stage()
    const held = await leased(journal, newLane())
    const riders = await begun(journal, 2)
    const [riding, ended] = riders
    if (riding === undefined || ended === undefined) throw new Error('two were begun')
    await journal.prepare(held, signed(held, 0n), { payments: [riding.id], now: start })
    await journal.conclude(ended, refused)
    const left = await begun(journal, 70, lease + 1000)
    const listed = async (now: number): Promise<Settlement[]> => {
      const found: Settlement[] = []
      for await (const one of at(1).abandoned(now)) if ([...left, ...riders].some(({ id }) => id === one.id)) found.push(one)
      return found.sort((x, y) => order(x.id) - order(y.id))
    }
    expect(await listed(lease + 999)).toEqual([])
    expect(await listed(lease + 1000)).toEqual(left)
    await journal.resolve(held, { ...held, nonce: 0n }, { state: 'final', outcomes: new Map(), now: start })
    expect((await listed(lease + 1000)).map(({ id }) => id)).toEqual([riding.id, ...left.map(({ id }) => id)])
  })

  it('forgets what ended for good long ago, and nothing that has no end', async () => {
    verifies(['D5', 'M12'])
    const { journal } = stage()
    const held = await leased(journal, newLane())
    const [queued, concluded, open, mined, final, lost] = await begun(journal, 6)
    if (!queued || !concluded || !open || !mined || !final || !lost) throw new Error('six were begun')
    await journal.conclude(concluded, refused)
    const slots = [
      { rider: open, state: 'open' },
      { rider: mined, state: 'mined' },
      { rider: final, state: 'final' },
      { rider: lost, state: 'foreign' },
    ] as const
    for (const [index, { rider, state }] of slots.entries()) {
      const nonce = BigInt(index)
      await journal.prepare(held, signed(held, nonce), { payments: [rider.id], now: start })
      const outcomes = new Map(state === 'mined' || state === 'final' ? [[rider.id, settledWith('0xaa')]] : [])
      await journal.resolve(held, { ...held, nonce }, { state, outcomes, now: start })
    }
    const all = { queued, concluded, open, mined, final, lost }
    const left = async (): Promise<string[]> => {
      const found = await Promise.all(
        Object.entries(all).map(async ([name, { id }]) => ((await journal.find(id)) === undefined ? [] : [name])),
      )
      return found.flat()
    }
    const dead = deadAfter * 1000 + retention
    await journal.purge(dead)
    expect(await left()).toEqual(Object.keys(all))
    expect(await journal.purge(dead + 1000)).toBeGreaterThanOrEqual(2)
    expect(await left()).toEqual(['queued', 'open', 'mined', 'lost'])
    expect(await journal.purge(dead + 1000)).toBe(0)
    expect((await journal.slots(held)).map(({ state }) => state)).toEqual(['open', 'mined', 'foreign'])
    // The nonce of a slot that is forgotten is free in the journal; the chain knows that it is used.
    expect(await journal.prepare(held, signed(held, 2n, 'anew'), { payments: [], now: start })).toBe(true)
  })

  it('forgets along the way', async () => {
    verifies('D5')
    const { journal } = stage()
    const [ended] = await begun(journal, 1)
    if (ended === undefined) throw new Error('one was begun')
    await journal.conclude(ended, refused)
    const later = deadAfter * 1000 + retention + 1000
    for (let count = 0; count < 256; count += 1) await journal.begin(newSettlement(), later)
    expect(await journal.find(ended.id)).toBeUndefined()
  })
}

function testKill(suite: StoreSuite): void {
  const { program } = suite
  if (typeof program !== 'function') {
    it.skip(`takes nothing that was acknowledged (${program.none})`, () => {})
    return
  }
  const kills: (() => Promise<void>)[] = []
  afterAll(() => Promise.all(kills.map((kill) => kill())))

  it('right after a slot was acknowledged: it is there, to the byte, and the next process takes it over', {
    timeout: 120_000,
  }, async () => {
    verifies(['H9', 'H21', 'M5', 'M17', 'M18'])
    const writer = await startStoreProcess(program())
    kills.push(writer.kill)
    const lane = newLane()
    const held = await writer.journal.lease({ ...lane, owner: 'a', now: start, until: lease })
    if (held === undefined) throw new Error('the lease was free')
    const requests = Array.from({ length: 60 }, () => newSettlement({ owner: 'a' }))
    const buried = newSettlement()
    await writer.journal.bury(buried.claimId ?? '', deadAfter)
    const acknowledged: bigint[] = []
    const written = requests.map(async (request, index) => {
      await writer.journal.begin(request, start)
      const nonce = BigInt(index)
      const prepared = await writer.journal.prepare(held, signed(held, nonce), { payments: [request.id], now: start })
      if (!prepared) return
      acknowledged.push(nonce)
      if (acknowledged.length === 10) await writer.kill()
    })
    await Promise.allSettled(written)
    await suite.crash?.()

    const store = await suite.open()
    const journal = store.journal
    if (journal === undefined) throw new Error('the journal was there before')
    expect(acknowledged.length).toBeGreaterThanOrEqual(10)
    const slots = await journal.slots(lane)
    expect(slots.map(({ nonce }) => nonce)).toEqual(expect.arrayContaining(acknowledged))
    for (const { nonce, attempts, payments, state } of slots) {
      const { id = '' } = requests[Number(nonce)] ?? {}
      expect({ attempts, payments, state }).toEqual({ attempts: [signed(held, nonce)], payments: [id], state: 'open' })
      expect((await journal.find(id))?.slot).toEqual({ ...lane, nonce })
    }
    expect(await journal.begin(buried, start)).toEqual({ begun: false })
    const ridden = new Set(slots.flatMap(({ payments }) => payments))
    const found = await Promise.all(requests.map(({ id }) => journal.find(id)))
    for (const one of found) expect(one === undefined || (one.slot !== undefined) === ridden.has(one.id)).toBe(true)

    expect(await journal.lease({ ...lane, owner: 'b', now: lease - 1, until: lease + 100 })).toBeUndefined()
    const next = await leased(journal, { ...lane, owner: 'b' }, lease)
    expect(next.epoch).toBe(held.epoch + 1)
    expect(await journal.prepare(held, signed(held, 99n), { payments: [], now: lease })).toBe(false)
    expect(await journal.prepare(next, signed(next, 99n), { payments: [], now: lease })).toBe(true)
    await store.close()
  })
}
