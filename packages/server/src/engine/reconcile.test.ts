import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type Facilitator, type Message, paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type ServerEvent, type ServerOptions } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
const id = 'a_secret_of_the_payer_0001'

/** A shop whose server can be started anew on what the one before left in the store. */
function town(clock?: () => number) {
  const store = memoryStore()
  const facilitator = answeringFacilitator(scheme)
  const events: ServerEvent[] = []
  const state = {
    now: Date.now(),
    runs: 0,
    hang: false,
    wait: Promise.resolve(),
    /** Lets handlers wait until what it gives is called. */
    hold() {
      let release = (): void => {}
      state.wait = new Promise((resolve) => {
        release = resolve
      })
      return release
    },
  }
  const start = (options: Partial<Pick<ServerOptions, 'facilitator' | 'lease' | 'reconcileEvery' | 'tell'>> = {}) => {
    const server = createServer({
      facilitator,
      schemes: [scheme],
      store,
      clock: clock ?? (() => state.now),
      onEvent: (event) => events.push(event),
      ...options,
    })
    const charge = paid(server, { price: '$0.01' }, async () => {
      state.runs += 1
      if (state.hang) await new Promise(() => {})
      await state.wait
      return new Response(`goods ${state.runs}`)
    })
    const get = (headers: Record<string, string> = {}) => charge(new Request('http://shop.test/', { headers }))
    return { server, get }
  }
  /** What is in the outbox, told or not. */
  const told = async () => (await store.outbox.take({ now: state.now + 3_600_000, until: state.now, most: 100 })).map(readMessage)
  return { facilitator, events, state, start, told }
}

function readMessage({ topic, body }: Message) {
  return { topic, data: JSON.parse(body) }
}

const everything: ServerOptions['tell'] = ['claim.settled', 'claim.pending', 'claim.undelivered', 'claim.refundDue']

async function payment(get: (headers?: Record<string, string>) => Promise<Response>): Promise<Record<string, string>> {
  const required = paymentRequiredHeader.decode((await get()).headers.get('PAYMENT-REQUIRED') ?? '')
  return { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await preparePayment(payer, { required, id })) }
}

describe('what a seller is told', () => {
  it('is that money moved, with the claim it moved for, once', async () => {
    verifies(['H43', 'H42'])
    const { facilitator, start, told } = town()
    const { server, get } = start({ tell: everything })
    const held = await payment(get)
    expect((await get(held)).status).toBe(200)
    expect((await get(held)).status).toBe(200)
    await server.reconcile()
    const { claimId, transaction } = facilitator.settled[0] ?? {}
    expect(await told()).toMatchObject([{ topic: 'claim.settled', data: { claimId, transaction, amount: '10000' } }])
  })

  it('is what hangs beyond its time, and then what was paid and not delivered, also by a server that came later', async () => {
    verifies(['H43', 'H32'])
    const { facilitator, state, start, told } = town()
    facilitator.answer = 'throws'
    const before = start({ tell: everything })
    const held = await payment(before.get)
    expect((await before.get(held)).status).toBe(503)
    await before.server.reconcile()
    expect(await told()).toEqual([])
    const topics = async () => (await told()).map(({ topic }) => topic).sort()
    state.now += 400_000
    for (const _ of [1, 2]) await start({ tell: everything }).server.reconcile()
    expect(await topics()).toEqual(['claim.pending'])
    facilitator.answer = 'ok'
    for (const _ of [1, 2]) await start({ tell: everything }).server.reconcile()
    expect(await topics()).toEqual(['claim.pending', 'claim.settled', 'claim.undelivered'])
  })

  it('is what will never be delivered, once: it is to be given back', async () => {
    verifies(['H43', 'H32', 'M9'])
    const { state, start, told } = town()
    const { server } = start({ tell: everything })
    const sell = paid(server, { price: '$0.01', flow: 'upfront' }, () => {
      state.runs += 1
      return new Response('sold out', { status: 500 })
    })
    const get = (headers: Record<string, string> = {}) => sell(new Request('http://shop.test/', { headers }))
    const held = await payment(get)
    const topics = async () => (await told()).map(({ topic }) => topic).sort()
    for (const _ of [1, 2]) expect((await get(held)).status).toBe(500)
    await server.reconcile()
    expect(await topics()).toEqual(['claim.settled', 'claim.undelivered'])
    expect((await get(held)).status).toBe(500)
    for (const _ of [1, 2]) await server.reconcile()
    expect(await topics()).toEqual(['claim.refundDue', 'claim.settled', 'claim.undelivered'])
    const last = await get(held)
    const answer = { code: 'payment/refund-due', moneyMoved: 'yes', retry: 'never' }
    expect([last.status, last.headers.get('Retry-After'), await last.json(), state.runs]).toMatchObject([500, null, answer, 3])
  })

  it('is nothing unless it was asked for, and needs a store with an outbox', async () => {
    const { facilitator, start, told } = town()
    const { get } = start()
    expect((await get(await payment(get))).status).toBe(200)
    expect(await told()).toEqual([])
    const { claims, logs, budgets } = memoryStore()
    const { outbox: _, ...without } = claims
    const make = () => createServer({ facilitator, schemes: [scheme], store: { claims: without, logs, budgets }, tell: everything })
    expect(make).toThrow(expect.objectContaining({ code: 'config/no-outbox' }))
  })
})

describe('what was left is finished', () => {
  it('asks again about a settlement nobody answered, lists it, and serves its payer once', async () => {
    const { facilitator, events, state, start } = town()
    facilitator.answer = 'throws'
    const before = start()
    const held = await payment(before.get)
    expect((await before.get(held)).status).toBe(503)

    const after = start()
    expect(await after.server.reconcile()).toEqual({ ended: 0, pending: 1, undelivered: [] })
    facilitator.answer = 'ok'
    const { undelivered } = await after.server.reconcile()
    expect(undelivered).toEqual([
      {
        claimId: facilitator.settled[0]?.claimId,
        payer: buyer?.address.toLowerCase(),
        network: 'eip155:84532',
        asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
        amount: '10000',
        transaction: facilitator.settled.at(-1)?.transaction,
      },
    ])
    expect(new Set(facilitator.settled.map(({ claimId }) => claimId)).size).toBe(1)

    const delivered = await after.get(held)
    expect([delivered.status, await delivered.text(), state.runs]).toEqual([200, 'goods 1', 1])
    expect(await after.server.reconcile()).toEqual({ ended: 0, pending: 0, undelivered: [] })
    expect(events.filter(({ type }) => type === 'settled')).toHaveLength(1)
  })

  it('asks who was asked: that another facilitator never heard of a settlement says nothing', async () => {
    verifies('M5')
    const { facilitator, state, start } = town()
    const first: Facilitator = { ...facilitator, url: 'https://first.example' }
    const second: Facilitator = { ...answeringFacilitator(scheme), url: 'https://second.example' }
    // The money moves, and its word is lost.
    const settle: Facilitator['settle'] = async (submission, options) => {
      await first.settle(submission, options)
      throw new TypeError('the line is cut')
    }
    const before = start({ facilitator: { ...first, settle } })
    const held = await payment(before.get)
    expect((await before.get(held)).status).toBe(503)
    for (const _ of [1, 2]) expect(await start({ facilitator: second }).server.reconcile()).toMatchObject({ ended: 0, pending: 1 })
    expect((await start({ facilitator: second }).get(held)).status).toBe(503)
    expect(await start({ facilitator: first }).server.reconcile()).toMatchObject({ pending: 0, undelivered: [{}] })
    expect([(await start({ facilitator: second }).get(held)).status, state.runs]).toEqual([200, 1])
  })

  it('leaves a refusal in doubt until the payment has died, then ends it', async () => {
    const { facilitator, state, start } = town()
    facilitator.answer = 'throws'
    const { server, get } = start()
    await get(await payment(get))
    facilitator.answer = 'refused'
    expect(await server.reconcile()).toEqual({ ended: 0, pending: 1, undelivered: [] })
    state.now += 400_000
    expect(await server.reconcile()).toEqual({ ended: 1, pending: 0, undelivered: [] })
  })

  it('ends a claim whose handler died with its process soon after, and never runs it again (K1)', async () => {
    verifies('K1')
    const { state, start } = town()
    const before = start()
    const held = await payment(before.get)
    state.hang = true
    void before.get(held)
    await expect.poll(() => state.runs).toBe(1)

    const after = start()
    expect((await after.get(held)).status).toBe(409)
    expect(await after.server.reconcile()).toEqual({ ended: 0, pending: 0, undelivered: [] })
    state.now += 16_000
    expect(await after.server.reconcile()).toEqual({ ended: 1, pending: 0, undelivered: [] })
    state.hang = false
    const refused = await after.get(held)
    expect([refused.status, await refused.json()]).toMatchObject([402, { error: 'handler_failed', moneyMoved: 'no', retry: 'never' }])
    expect(state.runs).toBe(1)
  })

  it('leaves a claim to its holder for as long as that lives, in the handler and in the settlement', async () => {
    verifies('M6')
    const { facilitator, state, start } = town(() => Date.now())
    const { server, get } = start({ lease: 150 })
    const held = await payment(get)
    const outlived = async () => {
      await new Promise((resolve) => setTimeout(resolve, 600))
      expect(await server.reconcile()).toEqual({ ended: 0, pending: 0, undelivered: [] })
      expect([(await get(held)).status, state.runs]).toEqual([expect.any(Number), 1])
    }
    const settle = facilitator.settle
    let answered = (): void => {}
    const answer = new Promise<void>((resolve) => {
      answered = resolve
    })
    facilitator.settle = async (...asked) => {
      await answer
      return settle(...asked)
    }
    const served = state.hold()
    const first = get(held)
    await expect.poll(() => state.runs).toBe(1)
    await outlived()
    served()
    await outlived()
    answered()
    expect([(await first).status, facilitator.settled.length]).toEqual([200, 1])
  })

  it('is done by one of two servers at a time', async () => {
    const { facilitator, start } = town()
    facilitator.answer = 'throws'
    const [one, other] = [start(), start()]
    await one.get(await payment(one.get))
    facilitator.answer = 'ok'
    await Promise.all([one.server.reconcile(), other.server.reconcile()])
    expect([facilitator.settled.length, facilitator.looked.length]).toEqual([1, 1])
  })

  it('goes on by itself from start to close, telling of each payment once', async () => {
    const { facilitator, events, start } = town()
    facilitator.answer = 'throws'
    const { server, get } = start({ reconcileEvery: 5 })
    await get(await payment(get))
    facilitator.answer = 'ok'
    await server.start()
    const told = () => events.filter(({ type }) => type === 'undelivered').length
    await expect.poll(told).toBe(1)
    server.close()
    const asked = facilitator.looked.length
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([told(), facilitator.looked.length]).toEqual([1, asked])
  })
})
