import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import {
  type ClaimState,
  type Facilitator,
  type PaymentPayload,
  paymentRequiredHeader,
  paymentSignatureHeader,
  type ServerScheme,
} from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type ServerOptions } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const payTo = seller?.address ?? ''
const scheme = exactEvmServer({ network: 'base-sepolia', payTo })
const elsewhere = exactEvmServer({ network: 'base', payTo })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

/** A shop of any number of servers on one store; its buyer reads every answer to its end. */
function town(options: Partial<ServerOptions> = {}) {
  const store = memoryStore()
  const facilitator = answeringFacilitator(scheme)
  const state = { now: Date.now(), runs: 0 }
  const open = (more: Partial<ServerOptions> = {}) => {
    const server = createServer({ facilitator, schemes: [scheme], store, clock: () => state.now, ...options, ...more })
    const charge = paid(server, { price: '$0.01' }, () => {
      state.runs += 1
      return new Response(`goods ${state.runs}`)
    })
    const send = (payment?: PaymentPayload) => {
      const headers = payment === undefined ? {} : { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
      return charge(new Request('http://shop.test/', { headers }))
    }
    const sign = async (network?: string, id?: string) => {
      const required = paymentRequiredHeader.decode((await send()).headers.get('PAYMENT-REQUIRED') ?? '')
      const accepts = required.accepts.filter((one) => network === undefined || one.network === network)
      return preparePayment(payer, { required: { ...required, accepts }, id })
    }
    const get = async (payment?: PaymentPayload) => {
      const answer = await send(payment ?? (await sign()))
      return [answer.status, answer.ok ? await answer.text() : (await answer.json()).error] as const
    }
    return { server, send, sign, get }
  }
  const stateOf = async (payment: PaymentPayload): Promise<ClaimState | undefined> =>
    (await store.claims.find(scheme.key(payment)?.id ?? ''))?.state
  return { store, facilitator, state, open, stateOf }
}

/** Lets calls of a facilitator wait; the result says how many do and lets them go. */
function hold(facilitator: Facilitator, method: 'verify' | 'settle' | 'status') {
  const given = facilitator[method]
  let [waiting, release] = [0, () => {}]
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  Object.assign(facilitator, {
    [method]: async (...input: unknown[]) => {
      waiting += 1
      await gate
      return given && Reflect.apply(given, facilitator, input)
    },
  })
  return { waiting: () => waiting, release }
}

/** From now on settlements are asked for and never arrive, until the result is called. */
function lose(facilitator: Facilitator): () => void {
  const { settle } = facilitator
  facilitator.settle = () => Promise.reject(new TypeError('it never arrived'))
  return () => Object.assign(facilitator, { settle })
}

describe('a new payment while an earlier one may be paid', () => {
  it('is not settled while a round finds out about the earlier one, nor afterwards', async () => {
    verifies('M4')
    const { facilitator, state, open } = town()
    const shop = open()
    facilitator.answer = 'throws'
    expect(await shop.get()).toEqual([503, 'settlement_pending'])
    facilitator.answer = 'ok'
    const { waiting, release } = hold(facilitator, 'status')
    const round = shop.server.reconcile()
    await expect.poll(waiting).toBe(1)
    const anew = await shop.sign()
    const meanwhile = await shop.send(anew)
    expect([meanwhile.status, meanwhile.headers.get('Retry-After')]).toEqual([503, '2'])
    release()
    expect((await round).undelivered).toHaveLength(1)
    expect([await shop.get(anew), state.runs, facilitator.settled.length]).toEqual([[200, 'goods 1'], 1, 1])
  })

  it('is not settled while a repeat of the earlier one finds out', async () => {
    verifies('M4')
    const { facilitator, state, open } = town()
    const shop = open()
    facilitator.answer = 'throws'
    const first = await shop.sign()
    await shop.get(first)
    facilitator.answer = 'ok'
    const { waiting, release } = hold(facilitator, 'status')
    const repeat = shop.get(first)
    await expect.poll(waiting).toBe(1)
    expect(await shop.get()).toEqual([503, 'settlement_pending'])
    release()
    expect((await repeat)[0]).toBe(402)
    expect([await shop.get(), state.runs, facilitator.settled.length]).toEqual([[200, 'goods 1'], 1, 1])
  })

  it('is not settled while the server may be dead that settled the earlier one', async () => {
    verifies(['M4', 'K5'])
    const { facilitator, state, open } = town()
    const before = open()
    const { waiting } = hold(facilitator, 'settle')
    void before.get()
    await expect.poll(waiting).toBe(1)

    const after = open({ facilitator: { ...answeringFacilitator(scheme), status: async () => settled } })
    const anew = await after.sign()
    expect(await after.get(anew)).toEqual([503, 'settlement_pending'])
    state.now += 16_000
    expect([await after.get(anew), state.runs]).toEqual([[200, 'goods 1'], 1])
  })

  it('asks the facilitator of the earlier one, whichever network the new one is on', async () => {
    verifies('M4')
    const other = answeringFacilitator(elsewhere)
    const { facilitator, state, open } = town()
    const shop = open({ facilitator: [facilitator, other], schemes: [scheme, elsewhere] })
    facilitator.answer = 'throws'
    expect((await shop.get(await shop.sign('eip155:84532')))[0]).toBe(503)
    facilitator.answer = 'ok'
    expect(await shop.get(await shop.sign('eip155:8453'))).toEqual([200, 'goods 1'])
    expect([state.runs, facilitator.looked.length, other.looked, other.settled]).toEqual([1, 1, [], []])
  })
})

describe('a settlement that was provably never sent', () => {
  it('is asked for anew by a repeat, under another claim id: the handler does not run again', async () => {
    verifies(['M5', 'M9', 'K2'])
    const { facilitator, state, open, stateOf } = town()
    const shop = open()
    const arrive = lose(facilitator)
    const payment = await shop.sign()
    expect((await shop.get(payment))[0]).toBe(503)
    arrive()
    expect(await shop.get(payment)).toEqual([402, 'settlement_never_sent'])
    expect([await shop.get(payment), await stateOf(payment)]).toEqual([[200, 'goods 1'], 'delivered'])
    expect([state.runs, facilitator.settled.map(({ claimId }) => facilitator.looked.includes(claimId ?? ''))]).toEqual([1, [false]])
  })

  it('is asked for anew for a new payment of the same payer, which is not settled', async () => {
    verifies(['M4', 'M9'])
    const { facilitator, state, open, stateOf } = town()
    const shop = open()
    const arrive = lose(facilitator)
    const [first, anew] = [await shop.sign(), await shop.sign()]
    await shop.get(first)
    arrive()
    expect([await shop.get(anew), await stateOf(first), await stateOf(anew)]).toEqual([[200, 'goods 1'], 'delivered', undefined])
    expect([state.runs, facilitator.settled.length]).toEqual([1, 1])
  })

  it('makes way for the new payment where it is refused', async () => {
    const { facilitator, state, open, stateOf } = town()
    const shop = open()
    const arrive = lose(facilitator)
    const [first, anew] = [await shop.sign(), await shop.sign()]
    await shop.get(first)
    arrive()
    const { settle } = facilitator
    facilitator.settle = async () => {
      facilitator.settle = settle
      return { status: 'notSettled', network: 'eip155:84532', reason: 'insufficient_funds', retry: 'never' }
    }
    expect([await shop.get(anew), await stateOf(first)]).toEqual([[200, 'goods 2'], 'failed'])
    expect([state.runs, facilitator.settled.length]).toEqual([2, 1])
  })

  it('is not asked for without its payer: it waits for him, and ends with his payment', async () => {
    verifies(['M3', 'K2'])
    const { store, facilitator, state, open, stateOf } = town()
    const shop = open()
    const arrive = lose(facilitator)
    const payment = await shop.sign()
    await shop.get(payment)
    arrive()
    await shop.server.reconcile()
    expect([await stateOf(payment), facilitator.settled]).toEqual(['open', []])

    // A server that dies between taking it anew and asking leaves it as it was.
    const id = scheme.key(payment)?.id ?? ''
    const left = await store.claims.find(id)
    if (left === undefined) throw new TypeError('a payment that was sent has a claim')
    const { payer: by, deadAfter, binding, submission } = left
    const again = { key: { id, payer: by, deadAfter }, binding, submission, claimId: crypto.randomUUID(), now: state.now, leaseUntil: 0 }
    expect((await store.claims.claim(again, { maxAttempts: 3 })).granted).toBe(true)
    expect((await shop.send(payment)).status).toBe(409)
    await shop.server.reconcile()
    expect(await stateOf(payment)).toBe('open')

    state.now += 400_000
    await shop.server.reconcile()
    const ended = await store.claims.find(id)
    expect([ended?.state, ended?.outcome, facilitator.settled]).toMatchObject([
      'failed',
      { status: 'notSettled', reason: 'settlement_never_sent', retry: 'never' },
      [],
    ])
  })
})

it('goods that another server holds are delivered once their payer has them all', async () => {
  verifies(['K6', 'M4'])
  const { state, open, stateOf } = town()
  const [dying, living] = [open(), open()]
  const payment = await dying.sign(undefined, `id_${crypto.randomUUID()}`)
  expect((await dying.send(payment)).status).toBe(200)
  expect(await stateOf(payment)).toBe('settled')
  await (await living.send(payment)).body?.cancel()
  expect(await stateOf(payment)).toBe('settled')
  expect(await living.get(payment)).toEqual([200, 'goods 1'])
  await expect.poll(() => stateOf(payment)).toBe('delivered')
  expect(state.runs).toBe(1)
})

it('at the edge of what a facilitator is believed nothing is asked of it, so that nothing stays pending for good', async () => {
  verifies('M13')
  const remote = Object.assign(answeringFacilitator(scheme), { url: 'https://facilitator.example' })
  const { store, state, open } = town({ facilitator: remote, trust: '$0.01' })
  const shop = open()
  const { waiting, release } = hold(remote, 'verify')
  const payments = [await shop.sign(), await shop.sign()]
  const answers = payments.map((payment) => shop.send(payment))
  await expect.poll(waiting).toBe(2)
  release()
  const statuses = (await Promise.all(answers)).map(({ status }) => status).sort()
  expect([statuses, state.runs, remote.settled.length]).toEqual([[200, 402], 2, 1])
  state.now += 400_000
  await shop.server.reconcile()
  const ends = await Promise.all(payments.map(async (payment) => (await store.claims.find(scheme.key(payment)?.id ?? ''))?.state))
  expect(ends.sort()).toEqual(['failed', 'settled'])
})

it('is looked for by the way it was paid, where a shop takes several assets of one network', async () => {
  verifies('M5')
  const address = '0x00000000000000000000000000000000000000aA'
  const eip712 = { name: 'Gold', version: '1' }
  const gold = { network: 'eip155:84532', symbol: 'GOLD', address, decimals: 6, currency: 'USD', transfer: 'eip3009', eip712 } as const
  const asked: string[] = []
  const looking = (of: ServerScheme): ServerScheme => ({
    ...of,
    async look() {
      asked.push(of.asset?.symbol ?? '')
      return { status: 'pending', network: of.network }
    },
  })
  const inGold = exactEvmServer({ network: 'base-sepolia', payTo, asset: gold })
  const { facilitator, open } = town({ schemes: [looking(scheme), looking(inGold)] })
  const shop = open()
  const required = paymentRequiredHeader.decode((await shop.send()).headers.get('PAYMENT-REQUIRED') ?? '')
  expect(required.accepts.map(({ asset }) => asset)).toEqual([scheme.asset?.address, address])
  const payment = await preparePayment(payer, { required: { ...required, accepts: required.accepts.slice(1) } })
  Object.assign(facilitator, { answer: 'throws', status: undefined })
  expect((await shop.get(payment))[0]).toBe(503)
  asked.length = 0
  await shop.server.reconcile()
  expect(new Set(asked)).toEqual(new Set(['GOLD']))
})

const settled = { status: 'settled', network: 'eip155:84532', transaction: `0x${'ab'.repeat(32)}` } as const
