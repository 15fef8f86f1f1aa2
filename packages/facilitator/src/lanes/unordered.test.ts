import { defaultRetention, memoryJournal } from '@flow402x/core/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import type { FacilitatorEvent } from '../engine/events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from '../engine/facilitator.ts'
import { lost, refused, type SmallChain, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'

const made: LocalFacilitator[] = []
afterEach(() => Promise.all(made.splice(0).map((facilitator) => facilitator.close({ signal: AbortSignal.abort() }))))

const unorderedChain = (signers?: readonly string[]): SmallChain => smallChain(signers, { ordered: false })

function setUp(options: Partial<FacilitatorOptions> = {}, chain = unorderedChain(), signer?: (id: string) => string) {
  const events: FacilitatorEvent[] = []
  const call = { target: 'token', data: 'transfer', gas: 1n, alone: false }
  const scheme = smallScheme(chain, {
    plan: ({ payment }) => [signer === undefined ? call : { ...call, signer: signer(String(payment.payload.id)) }],
  })
  const facilitator = createFacilitator({
    schemes: [scheme],
    confirmTimeout: 5000,
    finality: 0,
    onEvent: (event) => events.push(event),
    ...options,
  })
  made.push(facilitator)
  const settle = (id: string) => facilitator.settle(smallPayment(id), { claimId: id })
  const lines = (verb: string): string[] => chain.log.filter((line) => line.startsWith(verb))
  return { chain, events, settle, lines, facilitator }
}

describe('where nonces have no order', () => {
  it('each payment has a slot of its own, with a number that the chain is not asked for', async () => {
    const { chain, settle, lines } = setUp()
    const ids = Array.from({ length: 40 }, (_, index) => `payment-${index}`)
    const outcomes = await Promise.all(ids.map(settle))
    expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
    expect(new Set(outcomes.map(({ transaction }) => transaction)).size).toBe(40)
    expect(chain.taken.size).toBe(40)
    expect(lines('nonce')).toEqual([])
  })

  it('one that gets nowhere holds up nobody, is sent again with the same bytes, and is never replaced', async () => {
    const { chain, settle, lines } = setUp({ replaceAfter: 100 })
    chain.onSend = ({ transaction }) => {
      if (transaction === 'tx1') throw lines('send tx1').length > 5 ? lost() : refused()
    }
    const stuck = settle('stuck')
    await expect.poll(() => lines('send tx1').length).toBeGreaterThan(2)
    expect(await Promise.all(['a', 'b', 'c'].map(settle))).toMatchObject(Array(3).fill({ status: 'settled' }))
    chain.onSend = () => {}
    expect(await stuck).toMatchObject({ status: 'settled', transaction: 'tx1' })
    expect(lines('replace')).toEqual([])
    expect(lines('sign').length).toBe(4)
  })

  it('sends what was taken and is not mined again, at the pace of a few blocks', async () => {
    const { chain, settle, lines } = setUp({ confirmTimeout: 10_000 })
    chain.mining = false
    const settling = settle('a')
    await expect.poll(() => lines('send').length).toBe(3)
    const looks = lines('status').length
    expect(looks).toBeGreaterThan(3)
    chain.mining = true
    expect(await settling).toMatchObject({ status: 'settled', transaction: 'tx1' })
  })

  it('a payment whose transaction expired may be signed again, and its slot ends', async () => {
    verifies('M3')
    verifies('M21')
    const journal = memoryJournal(defaultRetention)
    const { chain, settle } = setUp({ store: { journal } })
    chain.onSend = () => {
      throw lost()
    }
    const settling = settle('a')
    await expect.poll(() => chain.log.filter((line) => line === 'send tx1').length).toBeGreaterThan(0)
    chain.expired.add('tx1')
    const outcome = await settling
    expect(outcome).toEqual({
      status: 'notSettled',
      network: 'test:1',
      reason: 'settlement_expired',
      payer: 'payer',
      transaction: 'tx1',
      retry: 'resign',
      deadAfter: 2_000_000_000,
    })
    expect(await journal.slots({ network: 'test:1', signer: 'one' })).toEqual([])
    expect((await journal.find('a'))?.outcome).toEqual(outcome)
  })

  it('what was mined and is lost again is sent again, and told undone when it expires', async () => {
    verifies('M17')
    const { chain, events, settle, lines, facilitator } = setUp({ finality: 50 })
    expect(await settle('a')).toMatchObject({ status: 'settled' })
    chain.mining = false
    await expect.poll(() => lines('send')).toEqual(['send tx1', 'send tx1'])
    expect(events).toContainEqual(expect.objectContaining({ type: 'reorganised', transaction: 'tx1' }))
    chain.expired.add('tx1')
    await expect.poll(() => events).toContainEqual(expect.objectContaining({ type: 'undone', signer: 'one', payments: ['a'] }))
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'a' })).toMatchObject({ status: 'notSettled', retry: 'resign' })
  })

  it('sends each payment from the signer that it names, and writes nothing down for one that is unknown', async () => {
    const journal = memoryJournal(defaultRetention)
    const owners = new Map([...'abcdef'].map((id, index) => [id, index % 2 === 0 ? 'one' : 'two']))
    const { chain, events, settle } = setUp({ store: { journal } }, unorderedChain(['one', 'two']), (id) => owners.get(id) ?? 'stranger')
    const outcomes = await Promise.all([...owners.keys()].map(settle))
    const senders = new Map([...chain.taken.values()].map(({ transaction, signer }) => [transaction, signer]))
    expect(outcomes.map(({ transaction = '' }) => senders.get(transaction))).toEqual([...owners.values()])
    expect(await settle('x')).toMatchObject({ status: 'notSettled', reason: 'settlement_not_sent', retry: 'never' })
    expect(await journal.find('x')).toBeUndefined()
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'notSent', error: expect.objectContaining({ code: 'facilitator/unknown-signer' }) }),
    )
  })

  it('facilitators that share a store and a fee payer send at the same time', async () => {
    verifies('M18')
    const journal = memoryJournal(defaultRetention)
    const chain = unorderedChain()
    chain.mining = false
    const several = [1, 2, 3].map(() => setUp({ store: { journal } }, chain))
    const settling = several.flatMap(({ settle }, index) => [1, 2, 3, 4].map((number) => settle(`${index}-${number}`)))
    await expect.poll(() => chain.taken.size).toBe(12)
    chain.mining = true
    expect(await Promise.all(settling)).toMatchObject(Array(12).fill({ status: 'settled' }))
    expect(new Set([...chain.taken.values()].map(({ signer }) => signer))).toEqual(new Set(['one']))
  })

  it('numbers go on after a restart, even when every slot has been forgotten', async () => {
    const journal = memoryJournal(0)
    const chain = unorderedChain()
    for (const id of ['a', 'b', 'c']) {
      const { settle, facilitator } = setUp({ store: { journal } }, chain)
      expect(await settle(id)).toMatchObject({ status: 'settled' })
      await facilitator.close()
      await journal.purge(4_000_000_000_000)
    }
    expect(chain.taken.size).toBe(3)
  })
})
