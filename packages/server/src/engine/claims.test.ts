import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type ClaimStore, type PaymentPayload, paymentRequiredHeader, paymentResponseHeader, paymentSignatureHeader } from '@flow402x/core'
import { paymentToV1, xPaymentHeader } from '@flow402x/core/v1'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it, vi } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, type PaidOptions } from '../index.ts'

const [, , seller, buyer, stranger] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })
const other = exactEvmClient({ signer: privateKeySigner(stranger?.privateKey ?? '0x') })
const secret = 'a_secret_of_the_payer_0001'

function open({ options, claims }: { options?: Partial<PaidOptions>; claims?: Partial<ClaimStore> } = {}) {
  let [runs, now, status, wait] = [0, Date.now(), 200, Promise.resolve()]
  const facilitator = answeringFacilitator(scheme)
  const store = memoryStore()
  const server = createServer({
    facilitator,
    schemes: [scheme],
    store: { ...store, claims: { ...store.claims, ...claims } },
    clock: () => now,
  })
  const charge = paid(server, { price: '$0.01', ...options }, async (request) => {
    runs += 1
    await wait
    return new Response(`${runs} ${await request.text()}`, { status })
  })
  const ask = (url: string, init: RequestInit = {}) => charge(new Request(`http://shop.test${url}`, init))
  const required = async () => paymentRequiredHeader.decode((await ask('/')).headers.get('PAYMENT-REQUIRED') ?? '')
  return {
    facilitator,
    ask,
    runs: () => runs,
    advance: (ms: number) => {
      now += ms
    },
    answerWith: (next: number) => {
      status = next
    },
    block() {
      let release = () => {}
      wait = new Promise((resolve) => {
        release = resolve
      })
      return release
    },
    prepare: async (options: { id?: string; by?: typeof payer } = {}) =>
      preparePayment(options.by ?? payer, { required: await required(), id: options.id }),
    pay(payment: PaymentPayload | string, url = '/', init: RequestInit = {}) {
      const header = typeof payment === 'string' ? payment : paymentSignatureHeader.encode(payment)
      return ask(url, { ...init, headers: { ...init.headers, 'PAYMENT-SIGNATURE': header } })
    },
  }
}

const receipt = (answer: Response) => paymentResponseHeader.decode(answer.headers.get('PAYMENT-RESPONSE') ?? '')

describe('a payment is for what it was first sent with (H11, A2)', () => {
  const others: readonly [string, string, RequestInit][] = [
    ['path', '/other', { method: 'POST', body: 'same' }],
    ['query', '/?a=2', { method: 'POST', body: 'same' }],
    ['method', '/', { method: 'PUT', body: 'same' }],
    ['body', '/', { method: 'POST', body: 'else' }],
    ['credentials', '/', { method: 'POST', body: 'same', headers: { Authorization: 'Bearer other' } }],
  ]
  it.each(others)('another %s is refused, also after a failed handler', async (_, url, init) => {
    verifies(['A2', 'H11'])
    const shop = open()
    shop.answerWith(500)
    const payment = await shop.prepare({ id: secret })
    const first: RequestInit = { method: 'POST', body: 'same', headers: { Authorization: 'Bearer mine' } }
    const elsewhere = { ...init, headers: init.headers ?? first.headers ?? {} }
    expect((await shop.pay(payment, '/', first)).status).toBe(500)
    shop.answerWith(200)
    const refused = await shop.pay(payment, url, elsewhere)
    expect(refused.status).toBe(402)
    expect(receipt(refused)).toMatchObject({ success: false, errorReason: 'duplicate_settlement', retry: 'never' })
    expect((await shop.pay(payment, '/', first)).status).toBe(200)
    expect((await shop.pay(payment, url, elsewhere)).status).toBe(402)
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([2, 1])
  })
})

describe('one payment in any spelling is one (A4, M11)', () => {
  const upper = (hex: unknown) => `0x${String(hex).slice(2).toUpperCase()}`
  const spell = (payment: PaymentPayload, change: (authorization: Record<string, unknown>) => object) => {
    // What `exactEvmClient` made two lines above: the payload of `exact` by EIP-3009.
    const authorization = payment.payload.authorization as Record<string, unknown>
    return { ...payment, payload: { ...payment.payload, authorization: { ...authorization, ...change(authorization) } } }
  }
  const spellings: readonly [string, (payment: PaymentPayload) => PaymentPayload][] = [
    ['hex case of the nonce', (payment) => spell(payment, ({ nonce }) => ({ nonce: upper(nonce) }))],
    ['hex case of the payer', (payment) => spell(payment, ({ from }) => ({ from: upper(from) }))],
    ['zeros before a number', (payment) => spell(payment, ({ value }) => ({ value: `000${value}` }))],
    ['the order of its JSON', ({ payload, ...rest }) => ({ payload: Object.fromEntries(Object.entries(payload).reverse()), ...rest })],
    ['the case of the asset', (payment) => ({ ...payment, accepted: { ...payment.accepted, asset: upper(payment.accepted.asset) } })],
    ['another signature', (payment) => ({ ...payment, payload: { ...payment.payload, signature: `0x${'11'.repeat(65)}` } })],
  ]
  it.each(spellings)('%s', async (_, change) => {
    verifies(['A4', 'M11'])
    const shop = open()
    const payment = await shop.prepare()
    const answers = await Promise.all([shop.pay(payment), shop.pay(change(payment))])
    expect(answers.filter(({ status }) => status === 200).length).toBe(1)
    expect((await shop.pay(change(payment))).status).toBe(402)
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([1, 1])
  })

  it('version 1 and version 2 at once', async () => {
    verifies('M11')
    const shop = open()
    const payment = await shop.prepare()
    const v1 = paymentToV1(payment)
    if (v1 === undefined) throw new TypeError('Base Sepolia has a name in version 1.')
    const answers = await Promise.all([shop.pay(payment), shop.ask('/', { headers: { 'X-PAYMENT': xPaymentHeader.encode(v1) } })])
    expect(answers.filter(({ status }) => status === 200).length).toBe(1)
    // The other one was known for a copy: it is not asked to pay again.
    expect(answers.filter(({ headers }) => headers.has('PAYMENT-REQUIRED'))).toEqual([])
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([1, 1])
  })
})

describe('an answer is given again to its payer alone (M4)', () => {
  it("with the id the same bytes; without it, or with a stranger's, nothing", async () => {
    verifies('M4')
    const shop = open()
    const payment = await shop.prepare({ id: secret })
    const { extensions: _, ...bare } = payment
    const stolen = await shop.prepare({ id: 'a_guess_of_a_stranger_001' })
    const first = await (await shop.pay(payment)).text()
    expect(await (await shop.pay(payment)).text()).toBe(first)
    expect((await shop.pay(bare)).status).toBe(402)
    expect((await shop.pay({ ...payment, extensions: stolen.extensions })).status).toBe(402)
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([1, 1])
  })

  it('an id names one payment of a payer: with another it is 409, and nothing is run or charged', async () => {
    verifies(['PAYMENT-ID-ONCE', 'M4'])
    const shop = open()
    const payment = await shop.prepare({ id: secret })
    const first = await (await shop.pay(payment)).text()
    const second = await shop.prepare({ id: secret })
    const refused = await shop.pay(second)
    expect([refused.status, (await refused.json()).code]).toEqual([409, 'payment/identifier-reused'])
    expect(refused.headers.has('PAYMENT-RESPONSE')).toBe(false)
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([1, 1])
    expect(await (await shop.pay(payment)).text()).toBe(first)
    const { extensions: _, ...bare } = second
    expect((await shop.pay(bare)).status).toBe(200)
    expect((await shop.pay(await shop.prepare({ id: secret, by: other }))).status).toBe(200)
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([3, 3])
  })

  it('the id stays between payer and server', async () => {
    verifies('M4')
    const shop = open()
    await shop.pay(await shop.prepare({ id: secret }))
    expect(JSON.stringify(shop.facilitator.verified)).not.toContain(secret)
  })

  it('a payment with an id that was pending becomes the single 200, asked for under the same claim id', async () => {
    const shop = open()
    shop.facilitator.answer = 'pending'
    const payment = await shop.prepare({ id: secret })
    const waiting = await shop.pay(payment)
    expect([waiting.status, waiting.headers.get('Retry-After')]).toEqual([503, '2'])
    expect(receipt(waiting)).toMatchObject({ errorReason: 'settlement_pending', transaction: expect.stringMatching(/^0x/), retry: 'same' })
    shop.facilitator.answer = 'ok'
    expect(await (await shop.pay(payment)).text()).toBe('1 ')
    const [first] = shop.facilitator.settled
    expect(first?.claimId).toMatch(/^[0-9a-f-]{36}$/)
    expect(shop.facilitator.looked).toEqual([first?.claimId])
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([1, 1])
  })

  it('a refusal after pending proves nothing until the payment has expired (M5)', async () => {
    const shop = open()
    shop.facilitator.answer = 'pending'
    const payment = await shop.prepare({ id: secret })
    await shop.pay(payment)
    shop.facilitator.answer = 'refused'
    expect((await shop.pay(payment)).status).toBe(503)
    shop.advance(400_000)
    const dead = await shop.pay(payment)
    expect([dead.status, receipt(dead)]).toEqual([402, expect.objectContaining({ errorReason: 'insufficient_funds' })])
  })
})

describe('a new payment by the same payer', () => {
  it('fetches what was paid and not delivered, once, without being settled', async () => {
    const shop = open()
    shop.facilitator.answer = 'pending'
    await shop.pay(await shop.prepare())
    shop.facilitator.answer = 'ok'
    const [rescued, own] = [await shop.pay(await shop.prepare()), await shop.pay(await shop.prepare())]
    expect([await rescued.text(), await own.text()]).toEqual(['1 ', '2 '])
    expect(new Set(shop.facilitator.settled.map(({ claimId }) => claimId)).size).toBe(2)
  })

  it('is not used to fetch what another payer paid, or what was paid for another request', async () => {
    const shop = open()
    shop.facilitator.answer = 'pending'
    await shop.pay(await shop.prepare())
    shop.facilitator.answer = 'ok'
    expect(await (await shop.pay(await shop.prepare({ by: other }))).text()).toBe('2 ')
    expect(await (await shop.pay(await shop.prepare(), '/other')).text()).toBe('3 ')
    expect(new Set(shop.facilitator.settled.map(({ claimId }) => claimId)).size).toBe(3)
  })

  it('buys the same thing again while the first is still being settled', async () => {
    const shop = open()
    const settle = shop.facilitator.settle
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    shop.facilitator.settle = async (...given) => {
      shop.facilitator.settle = settle
      await held
      return settle(...given)
    }
    const first = shop.pay(await shop.prepare())
    await vi.waitFor(() => expect(shop.facilitator.settle).toBe(settle))
    expect(await (await shop.pay(await shop.prepare())).text()).toBe('2 ')
    release()
    expect(await (await first).text()).toBe('1 ')
    expect([shop.runs(), shop.facilitator.settled.length]).toEqual([2, 2])
  })
})

describe('a claim store that fails', () => {
  it.each(['find', 'undelivered', 'claim'] as const)('at %s: 503, and no handler runs', async (operation) => {
    const shop = open({ claims: { [operation]: () => Promise.reject(new TypeError('the disk is full')) } })
    const answer = await shop.pay(await shop.prepare())
    expect([answer.status, shop.runs(), shop.facilitator.settled.length]).toEqual([503, 0, 0])
    expect(JSON.stringify(await answer.json())).not.toContain('disk')
  })

  it('at update: nothing is settled, and nobody reads the answer as unpaid', async () => {
    const shop = open({ claims: { update: () => Promise.reject(new TypeError('the disk is full')) } })
    const answer = await shop.pay(await shop.prepare())
    expect([answer.status, shop.facilitator.settled.length]).toEqual([503, 0])
    expect(receipt(answer)).toMatchObject({ errorReason: 'settlement_pending' })
  })
})

it('an observer that fails changes nothing', async () => {
  const facilitator = answeringFacilitator(scheme)
  const onEvent = () => {
    throw new TypeError('the log is full')
  }
  const server = createServer({ facilitator, schemes: [scheme], store: memoryStore(), onEvent })
  const worker = { fetch: paid(server, { price: '$0.01' }, () => Response.json({ weather: 'fair' })) }
  const asked = await worker.fetch(new Request('http://shop.test/'))
  const required = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '')
  const header = paymentSignatureHeader.encode(await preparePayment(payer, { required }))
  const answer = await worker.fetch(new Request('http://shop.test/', { headers: { 'PAYMENT-SIGNATURE': header } }))
  expect(await answer.json()).toEqual({ weather: 'fair' })
})

it('a payment that expires before its work could be settled is refused before the work', async () => {
  const shop = open()
  const payment = await shop.prepare()
  shop.advance(293_000)
  const answer = await shop.pay(payment)
  expect([answer.status, shop.runs()]).toEqual([402, 0])
})

it('a facilitator that never answers leaves the payment pending', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const shop = open()
  const payment = await shop.prepare()
  shop.facilitator.settle = () => new Promise(() => {})
  const answer = shop.pay(payment)
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1))
  await vi.advanceTimersByTimeAsync(90_000)
  expect([(await answer).status, receipt(await answer).errorReason]).toEqual([503, 'settlement_pending'])
  vi.useRealTimers()
})
