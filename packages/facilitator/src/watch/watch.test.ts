import { memoryJournal } from '@flow402x/core/memory'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { createFacilitator, type FacilitatorOptions } from '../engine/facilitator.ts'
import { refused, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import { serveFacilitator } from '../node.ts'

const far = 3_600_000

function setUp({
  chain = smallChain(),
  ...options
}: Partial<FacilitatorOptions> & { readonly chain?: ReturnType<typeof smallChain> } = {}) {
  const { journal, outbox } = memoryStore()
  const time = { now: Date.now() }
  const facilitator = createFacilitator({
    schemes: [smallScheme(chain)],
    store: { journal },
    clock: () => time.now,
    confirmTimeout: 300,
    ...options,
  })
  const told = async () => {
    const messages = await outbox.take({ now: time.now + far, until: time.now + far, most: 100 })
    return messages.map(({ topic, body }) => ({ topic, data: JSON.parse(body) }))
  }
  return { facilitator, chain, journal, time, told }
}

describe('what is told', () => {
  it('is each end of a payment, in the commit of that end', async () => {
    verifies('H43')
    const { facilitator, told } = setUp({ tell: ['settlement.settled', 'settlement.notSettled'] })
    const outcome = await facilitator.settle(smallPayment('a'), { claimId: 'a' })
    expect(outcome).toMatchObject({ status: 'settled' })
    expect(await told()).toEqual([{ topic: 'settlement.settled', data: { payment: 'a', outcome } }])
    await facilitator.settle(smallPayment('a'), { claimId: 'a' })
    expect(await told()).toHaveLength(1)
    await facilitator.close()
  })

  it('is nothing where the journal did not take the end down', async () => {
    const { journal, outbox } = memoryStore()
    const failing = { ...journal, resolve: () => Promise.reject(new TypeError('The disk is full.')) }
    const { facilitator } = setUp({ store: { journal: failing }, tell: ['settlement.settled'] })
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'a' })).toMatchObject({ status: 'pending' })
    expect(await outbox.waiting()).toEqual({ count: 0 })
    await facilitator.close({ signal: AbortSignal.abort() })
  })

  it('is what was asked for and nothing else', async () => {
    const { facilitator, told } = setUp({ tell: ['settlement.undone'] })
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'a' })).toMatchObject({ status: 'settled' })
    expect(await told()).toEqual([])
    await facilitator.close()
  })

  it('is that a signer runs dry, once an hour', async () => {
    verifies(['H33', 'H43'])
    const chain = { ...smallChain(['one', 'two']), balance: async (signer: string) => ({ held: signer === 'one' ? 1n : 9n, least: 5n }) }
    const { journal, outbox } = memoryStore()
    const time = { now: 1_763_700_000_000 }
    const run = async () => {
      const { facilitator } = setUp({ chain, store: { journal }, tell: ['signer.runningDry'], clock: () => time.now })
      await facilitator.start()
      expect((await facilitator.health()).dry).toEqual([{ network: 'test:1', signer: 'one' }])
      await facilitator.close()
    }
    await run()
    await run()
    const [message, ...more] = await outbox.take({ now: time.now + far, until: time.now + far, most: 100 })
    expect(more).toEqual([])
    expect(message).toMatchObject({ topic: 'signer.runningDry', body: '{"network":"test:1","signer":"one","held":"1","least":"5"}' })
    time.now += far
    await run()
    expect(await outbox.waiting()).toMatchObject({ count: 2 })
  })

  it('needs a store that has an outbox', () => {
    const { outbox: _, ...journal } = memoryJournal(1000)
    const tell = ['settlement.settled'] as const
    const schemes = [smallScheme(smallChain())]
    const without = expect.objectContaining({ code: 'config/no-outbox' })
    expect(() => createFacilitator({ schemes, store: { journal }, tell })).toThrow(without)
    expect(() => createFacilitator({ schemes, tell })).toThrow(without)
  })
})

describe('health', () => {
  it('says what is under way and overdue, over all processes of a store, and counts ends', async () => {
    verifies('H43')
    const { facilitator, chain, time, journal } = setUp({ overdueAfter: 60_000 })
    await facilitator.start()
    const idle = { network: 'test:1', signer: 'one', payments: 0 }
    const outcomes = { settled: 0, pending: 0, notSettled: 0 }
    const networks = [{ network: 'test:1', scheme: 'small', ready: true }]
    const well = { status: 'ok', networks, dry: [], pending: 0, overdue: 0, counts: { outcomes, inFlight: [idle] } }
    expect(await facilitator.health()).toEqual(well)

    chain.mining = false
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'a' })).toMatchObject({ status: 'pending' })
    const waiting = { outcomes: { ...outcomes, pending: 1 }, inFlight: [{ ...idle, payments: 1 }] }
    expect(await facilitator.health()).toEqual({ ...well, pending: 1, counts: waiting })
    const { facilitator: another } = setUp({ store: { journal }, overdueAfter: 60_000, clock: () => time.now })
    time.now += 60_000
    expect(await facilitator.health()).toMatchObject({ status: 'ok', overdue: 0 })
    time.now += 20_000
    expect(await facilitator.health()).toMatchObject({ status: 'degraded', pending: 1, overdue: 1 })
    expect(await another.health()).toMatchObject({ pending: 1, overdue: 1 })

    chain.mining = true
    await expect.poll(() => facilitator.health()).toMatchObject({ status: 'ok', pending: 0, overdue: 0 })
    await expect.poll(() => facilitator.counts()).toMatchObject({ outcomes: { settled: 1, pending: 1 }, inFlight: [idle] })
    await facilitator.close()
    await another.close()
  })

  it('is down where nobody is served: over HTTP 503, and 200 as soon as somebody is', async () => {
    verifies('H43')
    let broken = true
    const start = async () => {
      if (broken) throw refused()
    }
    const { facilitator } = setUp({ schemes: [smallScheme(smallChain(), { start })], clock: Date.now })
    const { url, close } = await serveFacilitator(facilitator, { authorize: (_, route) => route === 'health' })
    const first = await fetch(`${url}/health`)
    expect([first.status, await first.json()]).toMatchObject([503, { status: 'down', networks: [{ ready: false }] }])
    broken = false
    await expect.poll(async () => (await fetch(`${url}/health`)).status, { interval: 200 }).toBe(200)
    expect((await fetch(`${url}/supported`)).status).toBe(401)
    await close()
    await facilitator.close()
  })

  it('is down where the journal does not answer', async () => {
    const { journal } = memoryStore()
    const silent = { ...journal, slots: () => Promise.reject(new TypeError('The disk is gone.')) }
    const { facilitator } = setUp({ store: { journal: silent } })
    await facilitator.start()
    const health = await facilitator.health()
    expect(health.status).toBe('down')
    expect(health).not.toHaveProperty('pending')
    await facilitator.close({ signal: AbortSignal.abort() })
  })
})
