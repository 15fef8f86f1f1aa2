import type { LaneCheckpoint, LaneRow, LaneStore } from '@flow402x/core/stream'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { start, unique } from '../stores/journal-rows.ts'
import type { StoreSuite } from '../stores/store.ts'

/** What a store of lanes must do, over several connections to the same data. */
export function testLanes({ noJournal }: StoreSuite, open: () => readonly LaneStore[]): void {
  if (noJournal !== undefined) {
    it.skip(`keeps lanes (${noJournal})`, () => {})
    return
  }
  const at = (index: number): LaneStore => {
    const all = open()
    const lanes = all[index % all.length]
    if (lanes === undefined) throw new Error('no lanes were opened')
    return lanes
  }

  it('keeps a lane as it is, and the first of many', async () => {
    const lane = newLane({ wanted: 'other', reason: 'none', units: 2n ** 90n, used: 2n ** 127n, replayed: 5n })
    expect(await at(0).find(lane.id)).toBeUndefined()
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => at(index).open(lane)))
    expect(answers.filter(Boolean)).toHaveLength(1)
    expect(await at(1).find(lane.id)).toEqual(lane)
  })

  it('writes many lanes of one owner at once, and names those that are not his', async () => {
    verifies('M25')
    const owner = unique()
    const lanes = Array.from({ length: 2100 }, () => newLane({ owner }))
    const [first, other, late] = lanes
    if (first === undefined || other === undefined || late === undefined) throw new Error('no lanes')
    const stranger = { ...other, owner: 'stranger' }
    const older = { ...late, epoch: 2 }
    for (let from = 0; from < lanes.length; from += 100) {
      const some = lanes.slice(from, from + 100)
      await Promise.all(some.map((lane) => at(0).open(lane === other ? stranger : lane === late ? older : lane)))
    }
    const gone = await at(1).checkpoint(
      owner,
      lanes.map((lane, index) => stepOf(lane, { units: BigInt(index), used: 7n, state: 'paused', since: start + 1.5 })),
    )
    expect([...gone].sort()).toEqual([other.id, late.id].sort())
    expect(await at(2).find(first.id)).toEqual({ ...first, units: 0n, used: 7n, state: 'paused', since: start + 1.5 })
    expect(await at(2).find(lanes[2099]?.id ?? '')).toMatchObject({ units: 2099n, used: 7n })
    expect(await at(2).find(other.id)).toEqual(stranger)
    expect(await at(2).find(late.id)).toEqual(older)
    expect(await at(0).checkpoint(owner, [])).toEqual([])
  }, 120_000)

  it('renews what has not run out, and says who wants it', async () => {
    const owner = unique()
    const [kept, wanted, over] = [newLane({ owner }), newLane({ owner }), newLane({ owner, leaseUntil: start })]
    await Promise.all([kept, wanted, over].map((lane) => at(0).open(lane)))
    await at(1).want(wanted.id, 'next')
    const renewed = await at(2).renew(owner, { now: start, until: start + 20_000 })
    expect([...renewed].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
      [{ id: kept.id }, { id: wanted.id, wanted: 'next' }].sort((a, b) => (a.id < b.id ? -1 : 1)),
    )
    expect(await at(0).find(kept.id)).toEqual({ ...kept, leaseUntil: start + 20_000 })
    expect(await at(0).find(over.id)).toEqual(over)
  })

  it('has one new owner of many, once the last one is silent or lets go', async () => {
    verifies(['M25', 'F14'])
    const lane = newLane({})
    await at(0).open(lane)
    const tries = (now: number) =>
      Promise.all(Array.from({ length: 12 }, (_, index) => at(index).take(lane.id, { owner: `next-${index}`, now, until: now + 10_000 })))
    expect(await tries(start + 5000)).toEqual(Array.from({ length: 12 }, () => undefined))
    await at(1).want(lane.id, 'next')
    expect(await at(1).release(lane.owner, stepOf(lane, { units: 9n, used: 3n }))).toBe(true)
    const won = (await tries(start + 5001)).filter((one) => one !== undefined)
    expect(won).toEqual([{ ...lane, owner: won[0]?.owner, epoch: 2, units: 9n, used: 3n, leaseUntil: start + 15_001 }])
    // The last owner is fenced off: it neither writes nor lets go.
    expect(await at(2).checkpoint(lane.owner, [stepOf(lane, { used: 99n })])).toEqual([lane.id])
    expect(await at(2).release(lane.owner, stepOf(lane, { used: 99n }))).toBe(false)
    expect((await tries(start + 15_001)).filter((one) => one !== undefined)).toMatchObject([{ epoch: 3, used: 3n }])
  })

  it('carries messages between those that listen', async () => {
    const inboxes = open().flatMap(({ inbox }) => inbox ?? [])
    const [first] = inboxes
    if (first === undefined) throw new Error('it carries no messages')
    const owner = crypto.randomUUID()
    const heard: string[] = []
    const deafen = await first.listen(owner, (message) => heard.push(message))
    await first.tell(crypto.randomUUID(), 'to another')
    await first.tell(owner, 'credit abc')
    await expect.poll(() => heard).toEqual(['credit abc'])
    await deafen()
    await first.tell(owner, 'too late')
    expect(heard).toEqual(['credit abc'])
  })

  it('lists what was left, ends a lane once, and forgets it', async () => {
    const lanes = Array.from({ length: 70 }, () => newLane({ leaseUntil: 5, since: 5 }))
    const onItsWay = newLane({ leaseUntil: 0, since: 6 })
    await Promise.all([...lanes, onItsWay].map((lane) => at(0).open(lane)))
    const left = async (): Promise<string[]> => {
      const found: string[] = []
      for await (const { id } of at(1).abandoned(6)) if ([...lanes, onItsWay].some((lane) => lane.id === id)) found.push(id)
      return found.sort()
    }
    expect(await left()).toEqual(lanes.map(({ id }) => id).sort())
    const [ended, ...others] = lanes
    if (ended === undefined) throw new Error('no lane')
    const end = stepOf(ended, { used: 4n, state: 'ended', since: 7, reason: 'closed' })
    expect(await at(0).checkpoint(ended.owner, [end])).toEqual([])
    expect(await at(1).checkpoint(ended.owner, [{ ...end, used: 5n }])).toEqual([ended.id])
    expect(await at(1).take(ended.id, { owner: 'next', now: start, until: start })).toBeUndefined()
    expect(await at(2).find(ended.id)).toEqual({ ...ended, used: 4n, state: 'ended', since: 7, reason: 'closed' })
    expect(await left()).toEqual(others.map(({ id }) => id).sort())
    expect(await at(0).purge(7)).toBe(0)
    expect(await at(0).purge(8)).toBe(1)
    expect(await at(0).find(ended.id)).toBeUndefined()
    await Promise.all([...others, onItsWay].map((lane) => at(0).release(lane.owner, stepOf(lane, { state: 'ended', since: 1 }))))
  })
}

function newLane(change: Partial<LaneRow>): LaneRow {
  return {
    id: unique(),
    scheme: 'batch-settlement',
    network: 'eip155:84532',
    channelId: '0xc',
    payer: '0xA',
    resource: '/live',
    route: '/live/tick',
    unit: 'second',
    clock: 'wall',
    rate: { numerator: 2n ** 127n, denominator: 3n },
    grade: 'B',
    refundable: true,
    openedAt: start,
    units: 0n,
    used: 0n,
    replayed: 0n,
    state: 'open',
    owner: unique(),
    epoch: 1,
    leaseUntil: start + 10_000,
    since: start,
    ...change,
  }
}

function stepOf({ id, epoch, units, used, replayed, state, since }: LaneRow, change: Partial<LaneCheckpoint>): LaneCheckpoint {
  return { id, epoch, units, used, replayed, state, since, ...change }
}
