import type { Claim, ClaimRequest } from '@flow402x/core'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { OpenedStore } from './store.ts'

/** The stores of one suite, and how it asks for a claim of 10,000 atomic units. */
export type FundsSuite = {
  readonly stores: () => readonly OpenedStore[]
  readonly request: (payer: string) => ClaimRequest
}

const maxAttempts = 3
let made = 0

/** What a payer's money is spoken for by, what was settled, and what stands on somebody's word. */
export function testFunds({ stores, request }: FundsSuite): void {
  const claims = (index = 0) => {
    const all = stores()
    const store = all[index % all.length]
    if (store === undefined) throw new TypeError('a suite has stores')
    return store.claims
  }
  const payer = () => {
    made += 1
    return `${crypto.randomUUID()}-${made}`
  }
  const ask = (of: string, held: bigint, more: Partial<ClaimRequest> = {}) => {
    const asked = request(of)
    return { ...asked, funds: { held, since: asked.now }, ...more }
  }
  const take = async (asked: ClaimRequest): Promise<Claim> => (await claims().claim(asked, { maxAttempts })).claim

  it('grants no more at once, over four connections, than the payer can pay', async () => {
    verifies('M8')
    const of = payer()
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => claims(index).claim(ask(of, 100_000n), { maxAttempts })))
    expect(answers.filter(({ granted }) => granted)).toHaveLength(10)
    expect(answers.filter(({ overdrawn }) => overdrawn === true)).toHaveLength(30)
    // Another payer's money, and another token of this one, are not touched.
    expect((await claims().claim(ask(payer(), 10_000n), { maxAttempts })).granted).toBe(true)
    const other = request(of)
    const requirements = { ...other.submission.requirements, asset: '0x00000000000000000000000000000000000000ff' }
    const euro = ask(of, 10_000n, { submission: { ...other.submission, requirements } })
    expect((await claims().claim(euro, { maxAttempts })).granted).toBe(true)
  })

  it('what is over frees the money: nothing was settled, or it was settled before the funds were seen', async () => {
    verifies('M8')
    const of = payer()
    const first = ask(of, 10_000n)
    const claim = await take(first)
    const refused = await claims().claim(ask(of, 10_000n), { maxAttempts })
    expect([refused.granted, refused.overdrawn, refused.claim.payer]).toEqual([false, true, of])
    expect(await claims().find(refused.claim.id)).toBeUndefined()

    const settling = await claims().update(claim, { state: 'settling' })
    if (settling === undefined) throw new TypeError('its holder changes it')
    expect((await claims().claim(ask(of, 10_000n), { maxAttempts })).overdrawn).toBe(true)
    await claims().update(settling, { state: 'delivered', settledAt: first.now + 5 })
    const seen = (since: number) => claims().claim(ask(of, 10_000n, { funds: { held: 10_000n, since } }), { maxAttempts })
    expect((await seen(first.now + 4)).overdrawn).toBe(true)
    const next = await seen(first.now + 5)
    expect(next.granted).toBe(true)
    await claims().update(next.claim, { state: 'failed' })
    expect((await seen(first.now + 5)).granted).toBe(true)
  })

  it('a claim that was opened again is counted once, and its copies say what stands', async () => {
    verifies('M8')
    const asked = ask(payer(), 10_000n)
    const claim = await take(asked)
    expect(await claims().claim({ ...asked, claimId: 'copy' }, { maxAttempts })).toEqual({ granted: false, claim })
    const open = await claims().update(claim, { state: 'open' })
    expect(await claims().claim({ ...asked, funds: { held: 9_999n, since: 0 } }, { maxAttempts })).toEqual({
      granted: false,
      overdrawn: true,
      claim: open,
    })
    expect((await claims().claim(asked, { maxAttempts })).granted).toBe(true)
  })

  it('keeps whether the payer committed to the request, also when it is claimed again', async () => {
    verifies('M2')
    const asked = { ...request(payer()), committed: true }
    const claim = await take(asked)
    expect([claim.committed, (await claims().find(claim.id))?.committed]).toEqual([true, true])
    await claims().update(claim, { state: 'open' })
    expect((await take({ ...asked, committed: false })).committed).toBe(false)
    expect((await claims().find((await take(request(payer()))).id))?.committed).toBeUndefined()
  })

  it('lists what was settled, from any time on', async () => {
    verifies('H42')
    const now = 2_000_000_000_000
    const of = payer()
    const settled = await Promise.all(
      [now, now, now + 1, now + 2].map(async (settledAt) => {
        const claim = await take(request(of))
        await claims().update(claim, { state: 'settled', settledAt })
        return claim.id
      }),
    )
    await take(request(of))
    const listed = async (since: number) => {
      const ids: string[] = []
      for await (const claim of claims(1).settlements({ since })) if (claim.payer === of) ids.push(claim.id)
      return ids.sort()
    }
    expect(await listed(now)).toEqual([...settled].sort())
    expect(await listed(now + 1)).toEqual(settled.slice(2).sort())
    expect(await listed(now + 3)).toEqual([])
  })

  it('lists what stands on a word, and forgets none of it', async () => {
    verifies(['M12', 'M13'])
    const asked = request(payer())
    const claim = await take(asked)
    const vouched = await claims().update(claim, { state: 'delivered', settledAt: asked.now, vouchedBy: 'https://facilitator.example' })
    const listed = async () => {
      const found: Claim[] = []
      for await (const one of claims(1).vouched()) if (one.id === claim.id) found.push(one)
      return found
    }
    expect(await listed()).toEqual([vouched])
    const never = asked.key.deadAfter * 1000 + 86_400_000
    await claims().purge(never)
    if (vouched === undefined) throw new TypeError('its holder changes it')
    expect(await claims().find(claim.id)).toEqual(vouched)
    await claims().update(vouched, { vouchedBy: '' })
    expect(await listed()).toEqual([])
    await claims().purge(never)
    expect(await claims().find(claim.id)).toBeUndefined()
  })
}
