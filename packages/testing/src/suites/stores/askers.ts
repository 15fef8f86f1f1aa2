import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { Stage } from './journal.ts'
import {
  began,
  deadAfter,
  lease,
  leased,
  newLane,
  newSettlement,
  refused,
  retention,
  settledWith,
  signed,
  start,
  unique,
  withoutClaim,
} from './journal-rows.ts'

/** What a journal knows of those who ask it: their claims, what they promised, and who may hear of a payment without a claim. */
export function testAskers(stage: Stage): void {
  it('find the settlement of their claim, whatever became of it', async () => {
    verifies('M5')
    const { journal, at } = stage()
    const request = newSettlement()
    const settlement = await began(journal, request)
    expect(await at(1).bury(request.claimId ?? '', deadAfter)).toEqual(settlement)
    const held = await leased(journal, newLane())
    await journal.prepare(held, signed(held, 0n), { payments: [request.id], now: start })
    const outcomes = new Map([[request.id, settledWith('0xaa')]])
    expect(await at(2).bury(request.claimId ?? '', deadAfter)).toMatchObject({ id: request.id, slot: { nonce: 0n } })
    await journal.resolve(held, { ...held, nonce: 0n }, { state: 'mined', outcomes, now: start })
    expect(await at(1).bury(request.claimId ?? '', deadAfter)).toEqual(await journal.find(request.id))
  })

  it('bury a claim nobody has seen, and nothing is begun for it any more', async () => {
    verifies('M5')
    const { journal, at } = stage()
    const request = newSettlement()
    expect(await journal.bury(request.claimId ?? '', deadAfter)).toBeUndefined()
    expect(await at(1).begin(request, start)).toEqual({ begun: false })
    expect(await at(2).bury(request.claimId ?? '', deadAfter)).toBeUndefined()
    expect(await journal.find(request.id)).toBeUndefined()
    const left: string[] = []
    for await (const { id } of at(3).abandoned(lease + 1)) left.push(id)
    expect(left).not.toContain(request.id)
    // The payment itself is as good as before, for another claim.
    expect(await journal.begin({ ...request, claimId: unique() }, start)).toMatchObject({ begun: true })
    expect(await at(1).begin(request, lease - 1)).toMatchObject({ begun: false, settlement: { id: request.id } })
  })

  it('are answered either by a settlement or by a grave, when they ask while it is begun', async () => {
    verifies('M5')
    const { at } = stage()
    const rounds = Array.from({ length: 40 }, async (_, index) => {
      const request = newSettlement()
      const claimId = request.claimId ?? ''
      const asked = [0, 1].map((more) => at(index + more).bury(claimId, deadAfter))
      const [first, second, begin] = await Promise.all([...asked, at(index + 2).begin(request, start)])
      const standing = await at(index + 3).find(request.id)
      expect(begin).toMatchObject({ begun: standing !== undefined })
      if (standing === undefined) expect([first, second]).toEqual([undefined, undefined])
      // Asked before it began, it could not have begun.
      else expect([first, second]).toEqual([standing, standing])
    })
    await Promise.all(rounds)
  })

  it('settle one payment with one claim', async () => {
    verifies('M2')
    const { journal, at } = stage()
    const request = newSettlement()
    const settlement = await began(journal, request)
    const other = newSettlement()
    expect(await at(1).begin({ ...other, claimId: settlement.claimId ?? '' }, start)).toEqual({ begun: false })
    expect(await journal.find(other.id)).toBeUndefined()
    // What was never sent is forgotten, and its claim with it.
    await journal.conclude(settlement, undefined)
    expect(await at(1).begin({ ...other, claimId: settlement.claimId ?? '' }, start)).toMatchObject({ begun: true })
  })

  it('are refused for as long as their payment could arrive, and a grave outlives the longest life it was told', async () => {
    verifies(['M12', 'D5'])
    const { journal } = stage()
    const request = newSettlement()
    const claimId = request.claimId ?? ''
    await journal.bury(claimId, deadAfter)
    await journal.bury(claimId, deadAfter + 1000)
    await journal.bury(claimId, deadAfter + 10)
    const forgotten = (deadAfter + 1000) * 1000 + retention
    await journal.purge(forgotten)
    expect(await journal.begin(request, start)).toEqual({ begun: false })
    await journal.purge(forgotten + 1)
    expect(await journal.begin(request, start)).toMatchObject({ begun: true })
  })

  it('see what of an account is promised and not paid', async () => {
    verifies('M8')
    const { journal, at } = stage()
    const account = unique()
    const amounts = [1n, 10n ** 40n, 3n, 5n]
    const all = await Promise.all(amounts.map((amount) => began(journal, { ...newSettlement(), draw: { account, amount } })))
    const { draw: _, ...free } = newSettlement()
    await began(journal, free)
    expect(await at(1).drawn(account)).toEqual(new Map(all.map(({ id }, index) => [id, amounts[index]])))
    const [ended, forgotten, riding, queued] = all
    if (ended === undefined || forgotten === undefined || riding === undefined || queued === undefined) throw new Error('four were begun')
    await journal.conclude(ended, refused)
    await journal.conclude(forgotten, undefined)
    const held = await leased(journal, newLane())
    await journal.prepare(held, signed(held, 0n), { payments: [riding.id], now: start })
    expect(await at(2).drawn(account)).toEqual(
      new Map([
        [riding.id, 3n],
        [queued.id, 5n],
      ]),
    )
    await journal.resolve(held, { ...held, nonce: 0n }, { state: 'mined', outcomes: new Map([[riding.id, refused]]), now: start })
    expect(await at(3).drawn(account)).toEqual(new Map([[queued.id, 5n]]))
    expect(await journal.drawn(unique())).toEqual(new Map())
  })

  it('without a claim hear of a payment one at a time', async () => {
    verifies('M2')
    const { journal, at } = stage()
    const settlement = await began(journal, withoutClaim(newSettlement()))
    const hear = (from: number, until: number) =>
      Promise.all(Array.from({ length: 20 }, (_, index) => at(index).hear({ ...settlement, heardUntil: from }, until)))
    expect(await hear(lease - 1, 0)).not.toContain(true)
    expect((await hear(lease, 0)).filter((heard) => heard)).toHaveLength(1)
    expect((await hear(0, lease + 1)).filter((heard) => heard)).toHaveLength(1)
    expect(await at(1).find(settlement.id)).toEqual({ ...settlement, heardUntil: lease + 1 })
    const next = { ...withoutClaim(newSettlement({ id: settlement.id, owner: 'b' })), heardUntil: lease + 2 }
    expect(await journal.begin(next, lease)).toMatchObject({ begun: true, settlement: { owner: 'b', heardUntil: lease + 2 } })
    const claimed = await began(journal, newSettlement())
    expect(await journal.hear(claimed, 0)).toBe(false)
  })
}
