import type { Claim, ClaimRequest, ClaimStore, Outcome, StoredResponse } from '@flow402x/core'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'

const maxAttempts = 3
const settled: Outcome = { status: 'settled', network: 'eip155:84532', transaction: '0xaa' }

/** Whose claim is asked for, and for what; its own of each where nothing is said. */
type Wanted = { readonly payer?: string; readonly binding?: string }

/** What was paid or worked for and not delivered is found for its payer (M4); `request` makes a request for a claim that nobody else makes. */
export function testUndelivered(open: () => ClaimStore, request: (wanted: Wanted) => ClaimRequest): void {
  const { now: start, key } = request({})
  it('finds the oldest that the asker does not serve himself, for the same payer and purchase', async () => {
    verifies('M4')
    const claims = open()
    const [payer, binding] = [crypto.randomUUID(), crypto.randomUUID()]
    const me = crypto.randomUUID()
    const seek = (now = start) => claims.undelivered(payer, binding, { maxAttempts, now, holder: me })
    const claimed = async (now: number, more: { payer?: string; binding?: string } = {}): Promise<Claim> =>
      (await claims.claim({ ...request({ payer, binding, ...more }), now }, { maxAttempts })).claim
    const advance = async (claim: Claim, change: Parameters<typeof claims.update>[1]): Promise<Claim> =>
      (await claims.update(claim, { leaseUntil: 0, ...change })) ?? claim

    await claimed(start)
    await advance(await claimed(start), { state: 'open' })
    await advance(await claimed(start), { state: 'failed' })
    await advance(await advance(await claimed(start), { state: 'settled' }), { state: 'delivered' })
    await advance(await claimed(start, { payer: crypto.randomUUID() }), { state: 'settled' })
    await advance(await claimed(start, { binding: crypto.randomUUID() }), { state: 'settled' })
    await advance(await claimed(start), { state: 'settled', attempts: maxAttempts })
    expect(await seek()).toBeUndefined()

    const [first, second] = [await claimed(start + 10), await claimed(start + 20)]
    const younger = await advance(second, { state: 'settled', outcome: settled })
    expect(await seek()).toEqual(younger)
    const older = await advance(first, { state: 'settling', attempts: maxAttempts, leaseUntil: start + 50, holder: me })
    expect(await seek()).toEqual(younger)
    expect(await seek(start + 50)).toEqual(older)
    await advance(older, { state: 'delivered' })
    expect(await seek(start + 50)).toEqual(younger)
    await advance(younger, { state: 'delivered' })
    expect(await seek(start + 50)).toBeUndefined()
    expect(await seek(start + 50)).toBeUndefined()
  })

  it('lists what has not ended and nobody holds', async () => {
    const claims = open()
    const states = ['claimed', 'open', 'settling', 'settled', 'delivered', 'failed'] as const
    const left: Claim[] = []
    for (const state of states) {
      const { claim } = await claims.claim(request({}), { maxAttempts })
      const changed = await claims.update(claim, { state, leaseUntil: start + 100 })
      if (changed !== undefined) left.push(changed)
    }
    const listed = async (now: number): Promise<Claim[]> => {
      const found: Claim[] = []
      for await (const claim of claims.unfinished({ now })) if (left.some(({ id }) => id === claim.id)) found.push(claim)
      return found.sort((a, b) => states.indexOf(a.state) - states.indexOf(b.state))
    }
    expect(await listed(start + 99)).toEqual([])
    expect(await listed(start + 100)).toEqual(left.slice(0, 4))
  })

  it('finds what somebody else holds, for he may be dead, or be finding out what became of it', async () => {
    verifies('M4')
    const claims = open()
    const [me, payer, binding] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
    const seek = () => claims.undelivered(payer, binding, { maxAttempts, now: start, holder: me })
    const asked = { ...request({ payer, binding }), holder: me }
    const { claim } = await claims.claim(asked, { maxAttempts })
    expect([claim.holder, (await claims.find(claim.id))?.holder, await seek()]).toEqual([me, me, undefined])
    const settling = await claims.update(claim, { state: 'settling' })
    expect(await seek()).toBeUndefined()
    const left = settling && (await claims.update(settling, { holder: '' }))
    expect(await seek()).toEqual(left)
    const other = left && (await claims.update(left, { state: 'settled', holder: crypto.randomUUID() }))
    expect(await seek()).toEqual(other)
    expect(other?.leaseUntil).toBeGreaterThan(start)
    const mine = other && (await claims.update(other, { holder: me }))
    expect([mine?.state, await seek()]).toEqual(['settled', undefined])
  })

  it('finds what was worked for and not paid, after everything that may be paid, until it is taken or its payment is dead', async () => {
    verifies('M4')
    const claims = open()
    const [me, payer, binding] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
    const seek = (now = start) => claims.undelivered(payer, binding, { maxAttempts, now, holder: me })
    const response: StoredResponse = { status: 200, headers: [['x', 'y']], body: new Uint8Array([1, 2]) }
    const worked = async (attempts: number): Promise<[ClaimRequest, Claim | undefined]> => {
      const asked = request({ payer, binding })
      const { claim } = await claims.claim(asked, { maxAttempts })
      const settling = await claims.update(claim, { state: 'settling', response })
      return [asked, settling && (await claims.update(settling, { state: 'open', leaseUntil: 0, attempts }))]
    }
    await worked(maxAttempts)
    expect(await seek()).toBeUndefined()
    const [asked, left] = await worked(1)
    expect(await seek()).toEqual(left)
    expect(await seek((key.deadAfter + 1) * 1000)).toBeUndefined()
    const { claim: later } = await claims.claim({ ...request({ payer, binding }), now: start + 10 }, { maxAttempts })
    const paid = await claims.update(later, { state: 'settled', leaseUntil: 0 })
    expect(await seek()).toEqual(paid)
    if (paid !== undefined) await claims.update(paid, { state: 'delivered' })
    const other = { ...asked.submission, requirements: { ...asked.submission.requirements, amount: '99999' } }
    const { granted, claim } = await claims.claim(
      { ...asked, submission: other, claimId: crypto.randomUUID(), holder: me },
      { maxAttempts },
    )
    expect([granted, claim.response, claim.holder, await seek()]).toEqual([true, response, me, undefined])
    expect([claim.submission, (await claims.find(claim.id))?.submission]).toEqual([asked.submission, asked.submission])
  })
}
