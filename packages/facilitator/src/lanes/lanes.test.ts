import type { Submission, Verdict } from '@flow402x/core'
import { defaultRetention, memoryJournal } from '@flow402x/core/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import type { FacilitatorEvent } from '../engine/events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from '../engine/facilitator.ts'
import { lost, refused, type SmallChain, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'

const made: LocalFacilitator[] = []
afterEach(() => Promise.all(made.splice(0).map((facilitator) => facilitator.close({ signal: AbortSignal.abort() }))))

function setUp(options: Partial<FacilitatorOptions> = {}, chain: SmallChain = smallChain()) {
  const events: FacilitatorEvent[] = []
  const facilitator = createFacilitator({
    schemes: [smallScheme(chain)],
    confirmTimeout: 2000,
    finality: 0,
    onEvent: (event) => events.push(event),
    ...options,
  })
  made.push(facilitator)
  const settle = (id: string) => facilitator.settle(smallPayment(id), { claimId: `for ${id}` })
  const lines = (verb: string): string[] => chain.log.filter((line) => line.startsWith(verb))
  return { chain, events, settle, lines, facilitator }
}

describe('a lane', () => {
  it('asks the chain for its nonce once and counts from there', async () => {
    const { chain, settle, lines } = setUp({ batch: false })
    for (const id of ['a', 'b', 'c']) expect(await settle(id)).toMatchObject({ status: 'settled' })
    expect(lines('nonce')).toEqual(['nonce'])
    expect([...chain.taken.keys()]).toEqual(['one 0', 'one 1', 'one 2'])
  })

  it('writes the signed bytes down before it sends them, and sends nothing that could not be written', async () => {
    const journal = memoryJournal(defaultRetention)
    let full = true
    const { chain, settle, lines } = setUp({
      store: {
        journal: {
          ...journal,
          async prepare(...input) {
            if (full) throw lost()
            chain.log.push(`keep ${input[1].transaction}`)
            return journal.prepare(...input)
          },
        },
      },
    })
    const settling = settle('a')
    await expect.poll(() => lines('sign').length).toBeGreaterThan(1)
    expect(lines('send')).toEqual([])
    full = false
    const outcome = await settling
    expect(outcome).toMatchObject({ status: 'settled' })
    expect([...lines('keep'), ...lines('send')]).toEqual([`keep ${outcome.transaction}`, `send ${outcome.transaction}`])
    expect(chain.log.indexOf(`keep ${outcome.transaction}`)).toBeLessThan(chain.log.indexOf(`send ${outcome.transaction}`))
  })

  it('sends the same bytes again after a lost answer, whether or not they had arrived', async () => {
    for (const arrives of [true, false]) {
      const { chain, settle, lines } = setUp({ batch: false })
      let sends = 0
      chain.onSend = (_, arrived) => {
        sends += 1
        if (sends > 1) return
        if (arrives) arrived()
        throw lost()
      }
      expect(await Promise.all([settle('a'), settle('b')])).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
      expect([...chain.taken.keys()]).toEqual(['one 0', 'one 1'])
      expect(new Set(lines('sign')).size).toBe(2)
      expect(lines('send')).toEqual(arrives ? ['send tx1', 'send tx2'] : ['send tx1', 'send tx1', 'send tx2'])
    }
  })

  it('leaves a node time for its answer, and sends again beside a call that hangs', async () => {
    const { chain, settle, lines } = setUp({ batch: false })
    await settle('first')
    chain.mining = false
    // Something unmined has the chain looked at all the time.
    const settling = [settle('a')]
    await expect.poll(() => lines('send tx2').length).toBe(1)
    let answered = (): void => {}
    chain.onSend = () => new Promise((resolve) => (answered = resolve))
    settling.push(settle('b'))
    await expect.poll(() => lines('send tx3').length).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(lines('send tx3')).toHaveLength(1)
    await expect.poll(() => lines('send tx3').length).toBe(2)
    chain.onSend = () => {}
    chain.mining = true
    answered()
    expect(await Promise.all(settling)).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
  })

  it('uses no further nonce while one could not be handed over', async () => {
    const { chain, settle, lines } = setUp({ batch: false })
    let refusing = true
    chain.onSend = () => {
      if (refusing) throw refused()
    }
    const settling = Promise.all([settle('a'), settle('b')])
    await expect.poll(() => lines('send').length).toBeGreaterThan(2)
    expect(new Set(lines('send'))).toEqual(new Set(['send tx1']))
    refusing = false
    expect(await settling).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
  })

  it('replaces what no block takes on the same nonce, and settles by whichever is mined', async () => {
    const { chain, events, settle, lines } = setUp({ replaceAfter: 200 })
    chain.mining = false
    const settling = settle('a')
    await expect.poll(() => lines('replace').length).toBeGreaterThan(0)
    chain.mining = true
    expect(await settling).toMatchObject({ status: 'settled', transaction: 'tx1' })
    expect(new Set(lines('replace').map((line) => line.split(' ').at(-1)))).toEqual(new Set(['0']))
    expect(events).toContainEqual(expect.objectContaining({ type: 'replaced', nonce: 0n, transaction: 'tx2', before: 'tx1' }))
  })

  it('voids on its nonce what was written down, never sent, and is past its end after a restart (K3)', async () => {
    verifies('K3')
    const journal = memoryJournal(defaultRetention)
    const first = setUp({ store: { journal } })
    const { chain } = first
    chain.onSend = () => {
      throw lost()
    }
    const settling = first.settle('a')
    await expect.poll(() => first.lines('send').length).toBeGreaterThan(0)
    await first.facilitator.close({ signal: AbortSignal.abort() })
    expect(await settling).toMatchObject({ status: 'pending', transaction: 'tx1' })
    chain.log.length = 0
    chain.onSend = () => {}
    const expired = { ...smallScheme(chain), verify: async ({ payment }: Submission) => verdicts(payment.payload.id) }
    const verdicts = (id: unknown): Verdict => (id === 'a' ? { valid: false, reason: 'expired' } : { valid: true, payer: 'payer' })
    const second = setUp({ store: { journal }, clock: () => 2_000_000_001_000, schemes: [expired] }, chain)
    await second.facilitator.start()
    expect(await second.settle('a')).toMatchObject({ status: 'notSettled', reason: 'expired', retry: 'never', deadAfter: 2_000_000_000 })
    expect(await second.settle('b')).toMatchObject({ status: 'settled' })
    expect([...chain.taken]).toMatchObject([
      ['one 0', { transaction: 'empty2' }],
      ['one 1', { transaction: 'tx3' }],
    ])
    expect(second.lines('send')).not.toContain('send tx1')
  })

  it('gets past a transaction that every node refuses for what is in it, and tries its payments again', async () => {
    verifies('H60')
    const { chain, events, settle, lines } = setUp({ batch: false, replaceAfter: 1000 })
    chain.onSend = ({ transaction, nonce }) => {
      if (nonce === 0n && transaction.startsWith('tx')) throw refused()
    }
    const settling = Promise.all([settle('a'), settle('b')])
    await expect.poll(() => lines('replace').length).toBe(2)
    expect(await settling).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
    expect(chain.taken.get('one 0')?.transaction).toMatch(/^empty/)
    expect(chain.taken.size).toBe(3)
    expect(events.filter(({ type }) => type === 'replaced')).toHaveLength(2)
  })

  it('halts where somebody else used its nonce, and goes on when the chain has proved the payment unpaid', async () => {
    const { chain, events, settle } = setUp()
    await settle('a')
    chain.taken.set('one 1', { transaction: 'foreign', bytes: '', signer: 'one', nonce: 1n })
    expect(await settle('b')).toMatchObject({ status: 'settled' })
    expect(events).toContainEqual({ type: 'foreign', network: 'test:1', signer: 'one', nonce: 1n, payments: ['b'] })
    expect(chain.taken.get('one 1')?.transaction).toBe('foreign')
    expect(chain.taken.has('one 2')).toBe(true)
  })

  it('still halts after a restart, until what stands in its place is final, and then settles both', async () => {
    verifies('M17')
    const journal = memoryJournal(defaultRetention)
    const lease = { network: 'test:1', signer: 'one' }
    const first = setUp({ store: { journal }, finality: 50 })
    const { chain } = first
    await first.settle('a')
    chain.settled = false
    chain.taken.set('one 1', { transaction: 'foreign', bytes: '', signer: 'one', nonce: 1n })
    const lost = first.settle('b')
    await expect.poll(() => journal.slots(lease)).toContainEqual(expect.objectContaining({ nonce: 1n, state: 'foreign', payments: ['b'] }))
    await first.facilitator.close({ signal: AbortSignal.abort() })
    expect(await lost).toMatchObject({ status: 'pending' })
    const second = setUp({ store: { journal }, finality: 50 }, chain)
    await second.facilitator.start()
    const settling = [second.settle('b'), second.settle('c')]
    await new Promise((resolve) => setTimeout(resolve, 800))
    expect(chain.taken.has('one 2')).toBe(false)
    expect(await journal.slots(lease)).toContainEqual(expect.objectContaining({ nonce: 1n, state: 'foreign', payments: ['b'] }))
    chain.settled = true
    expect(await Promise.all(settling)).toMatchObject([{ status: 'settled' }, { status: 'settled' }])
    expect(chain.taken.get('one 1')?.transaction).toBe('foreign')
    expect(chain.taken.size).toBeLessThanOrEqual(4)
  })

  it('leaves what is mined alone while no block follows, at the price of a question now and then', async () => {
    const { chain, settle, lines } = setUp({ finality: 400 })
    chain.settled = false
    await settle('a')
    const before = lines('status').length
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(lines('status').length - before).toBeLessThanOrEqual(3)
    expect(lines('final').length).toBeGreaterThan(0)
    expect(lines('final').length).toBeLessThanOrEqual(3)
  })

  it('sends again what was mined and is not any more', async () => {
    const { chain, events, settle, lines } = setUp({ finality: 50 })
    await settle('a')
    chain.taken.clear()
    await expect.poll(() => lines('send')).toEqual(['send tx1', 'send tx1'])
    expect(events).toContainEqual(expect.objectContaining({ type: 'reorganised', transaction: 'tx1' }))
  })

  it('waits for a payment that is being verified, and not for long', async () => {
    const chain = smallChain()
    let held = (): void => {}
    const verify = async ({ payment: { payload } }: Submission): Promise<Verdict> => {
      if (String(payload.id).startsWith('held')) await new Promise<void>((resolve) => (held = resolve))
      return { valid: true, payer: 'payer' }
    }
    const { settle } = setUp({ schemes: [smallScheme(chain, { verify })] }, chain)
    // Payments of one payer ride together once one of his was settled.
    await settle('first')
    let together = 0
    for (let pair = 0; pair < 5; pair += 1) {
      const [slow, fast] = [settle(`held ${pair}`), settle(`free ${pair}`)]
      setImmediate(() => held())
      const [one, other] = await Promise.all([slow, fast])
      if (one.transaction === other.transaction) together += 1
    }
    expect(together).toBeGreaterThan(0)
    const never = settle('held for good')
    expect(await settle('free')).toMatchObject({ status: 'settled' })
    held()
    expect(await never).toMatchObject({ status: 'settled' })
  })

  it('gives the next payment to the least loaded signer', async () => {
    const { chain, settle } = setUp({ batch: false }, smallChain(['one', 'two']))
    chain.mining = false
    const settling = ['a', 'b', 'c', 'd'].map(settle)
    await expect.poll(() => chain.taken.size).toBe(4)
    chain.mining = true
    await Promise.all(settling)
    expect([...chain.taken.keys()].sort()).toEqual(['one 0', 'one 1', 'two 0', 'two 1'])
  })
})
