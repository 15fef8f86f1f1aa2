import type { PaymentFlow } from '@flow402x/core'
import { beforeEach, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { SettleAnswer } from '../answering-facilitator.ts'
import type { Behaviour, Bench } from '../binding.ts'
import { receiptOf, sendPaid, signPayment } from '../purchase.ts'
import { type Answer, open } from '../wire.ts'

type Row = {
  readonly behaviour: Behaviour
  readonly method?: 'HEAD'
  readonly status: number
  readonly body?: string | 'large'
  readonly headers?: Readonly<Record<string, readonly string[]>>
}

const json = '{"weather":"fair"}'
const type = { 'content-type': [expect.stringMatching(/^application\/json/)] }

const working: readonly Row[] = [
  { behaviour: 'json', status: 200, body: json, headers: type },
  { behaviour: 'json', method: 'HEAD', status: 200, body: '', headers: type },
  { behaviour: 'empty', status: 204, body: '' },
  { behaviour: 'redirect', status: 302, headers: { location: ['/elsewhere'] } },
  { behaviour: 'notModified', status: 304, body: '', headers: { etag: ['"goods"'] } },
  { behaviour: 'streams', status: 200, body: 'one two three' },
  { behaviour: 'large', status: 200, body: 'large' },
  { behaviour: 'cookies', status: 200, body: json, headers: { ...type, 'set-cookie': ['a=1', 'b=2'], 'x-goods': ['secret'] } },
  { behaviour: 'early', status: 200, body: json, headers: type },
]

const failing: readonly Row[] = [
  { behaviour: 'notFound', status: 404, body: json },
  { behaviour: 'broken', status: 500, body: json },
  { behaviour: 'throws', status: 500 },
  { behaviour: 'rejects', status: 500 },
  { behaviour: 'hangs', status: 504 },
]

const answers: readonly SettleAnswer[] = ['ok', 'refused', 'throws', 'pending']
const goodsHeaders = ['location', 'etag', 'set-cookie', 'x-goods']

/** The table handler × settle × flow (H10): every cell by what arrives, by runs and by settlements. */
export function testBindingTable(bench: Bench): void {
  let cell = 0
  const visit = async (flow: PaymentFlow, { behaviour, method }: Row, answer: SettleAnswer) => {
    cell += 1
    const path = behaviour === 'hangs' ? `/${flow}/brief` : `/${flow}`
    const url = bench.url(`${path}?cell=${cell}`)
    bench.behave(behaviour)
    bench.facilitator.answer = answer
    const sending = method === undefined ? {} : { method }
    return { url, answer: await sendPaid(url, await signPayment(bench.payer, { url, sending }), sending) }
  }
  beforeEach(() => bench.reset())

  describe.each(working)('a handler that answers $behaviour $method', (row) => {
    it.each(answers)('held back until settled: %s', async (settle) => {
      verifies(['H10', 'M7', 'FLOW-AUTHORIZATION', 'HTTP-RECEIPT', 'HTTP-UNSETTLED'])
      const { answer } = await visit('authorization', row, settle)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([1, 1])
      expectWorking(answer, row, settle)
    })

    it.each(answers)('settled up front: %s', async (settle) => {
      verifies(['H10', 'H46', 'M7', 'FLOW-UPFRONT'])
      const { answer } = await visit('upfront', row, settle)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([settle === 'ok' ? 1 : 0, 1])
      expectWorking(answer, row, settle)
    })
  })

  describe.each(failing)('a handler that fails: $behaviour', (row) => {
    it.each(answers)('held back, nothing is settled (settle would be: %s)', async (settle) => {
      verifies(['H10', 'M3', 'FLOW-AUTHORIZATION'])
      const { answer } = await visit('authorization', row, settle)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([1, 0])
      expect(answer.status).toBe(row.status)
      if (row.body !== undefined) expect(answer.body.toString()).toBe(row.body)
      expect(receiptOf(answer)).toMatchObject({
        success: false,
        errorReason: 'handler_failed',
        retry: 'same',
        transaction: '',
        deadAfter: expect.any(Number),
      })
      expect(answer.headers).toMatchObject({ 'cache-control': ['no-store'] })
    })

    it.each(['refused', 'throws', 'pending'] as const)('settled up front: %s', async (settle) => {
      verifies('H46')
      const { answer } = await visit('upfront', row, settle)
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([0, 1])
      expectUnsettled(answer, settle)
    })

    it('settled up front, the next payment of its payer is delivered and not charged', async () => {
      const { url, answer } = await visit('upfront', row, 'ok')
      // A handler that answers by itself is passed on; where nobody answers, the engine says that it was paid.
      expect(row.status < 500 ? [row.status] : [row.status, 503]).toContain(answer.status)
      expect(receiptOf(answer)).toMatchObject({ success: true, transaction: bench.facilitator.settled[0]?.transaction })
      bench.behave('json')
      const again = await sendPaid(url, await signPayment(bench.payer, { url }))
      expect([bench.runs(), bench.facilitator.settled.length]).toEqual([2, 1])
      expectWorking(again, { behaviour: 'json', status: 200, body: json }, 'ok')
      expect(receiptOf(again)).toEqual(receiptOf(answer))
    })
  })

  testStreams(bench)
}

function expectWorking(answer: Answer, row: Row, settle: SettleAnswer): void {
  if (settle === 'ok') expectDelivered(answer, row)
  else expectUnsettled(answer, settle)
}

function expectDelivered(answer: Answer, row: Row): void {
  expect(answer.status).toBe(row.status)
  expect(answer.interim).toEqual([])
  if (row.body === 'large') expectLarge(answer.body)
  else if (row.body !== undefined) expect(answer.body.toString()).toBe(row.body)
  expect(answer.headers).toMatchObject({ ...row.headers, 'cache-control': ['private'] })
  expect(receiptOf(answer)).toMatchObject({ success: true, transaction: expect.stringMatching(/^0x/) })
  expect(answer.headers['payment-required']).toBeUndefined()
  // What a handler says was used is the seller's own (H28).
  expect(answer.headers['settlement-overrides']).toBeUndefined()
}

/** Nothing of what was made left: no status, header, cookie or byte (M7). */
function expectUnsettled(answer: Answer, settle: SettleAnswer): void {
  expect(answer.status).toBe(settle === 'refused' ? 402 : 503)
  expect(answer.headers['payment-required']).toBeUndefined()
  expect(answer.interim).toEqual([])
  for (const name of goodsHeaders) expect(answer.headers[name]).toBeUndefined()
  expect(answer.headers).toMatchObject({ 'cache-control': ['no-store'], 'content-type': ['application/json'] })
  const transaction = settle === 'pending' ? expect.stringMatching(/^0x/) : ''
  const errorReason = settle === 'refused' ? 'insufficient_funds' : 'settlement_pending'
  expect(receiptOf(answer)).toMatchObject({ success: false, errorReason, transaction })
  if (settle !== 'refused') expect(answer.headers['retry-after']).toEqual([expect.stringMatching(/^\d+$/)])
  const text = answer.body.toString()
  if (text !== '') expect(JSON.parse(text)).toMatchObject({ status: answer.status, error: errorReason })
}

function expectLarge(body: Buffer): void {
  expect(body.length).toBe(1_500_000)
  expect(body.every((byte, index) => byte === (index * 31) % 251)).toBe(true)
}

function testStreams(bench: Bench): void {
  it('settled up front, bytes leave as they are made', async () => {
    bench.behave('streams')
    const release = bench.closeGate()
    const url = bench.url('/upfront?gate')
    const answer = await open(url, { headers: { 'PAYMENT-SIGNATURE': await signPayment(bench.payer, { url }) } })
    expect((await answer.atLeast(4)).toString()).toBe('one ')
    expect(receiptOf(answer)).toMatchObject({ success: true })
    release()
    expect((await answer.rest()).toString()).toBe('one two three')
  })

  it('held back, no byte leaves and nothing is settled while the handler still works', async () => {
    verifies('M7')
    bench.behave('streams')
    const release = bench.closeGate()
    const url = bench.url('/authorization?gate')
    let headed = false
    const answer = open(url, { headers: { 'PAYMENT-SIGNATURE': await signPayment(bench.payer, { url }) } }).then((given) => {
      headed = true
      return given
    })
    while (bench.runs() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect([headed, bench.facilitator.settled.length]).toEqual([false, 0])
    release()
    const given = await answer
    expect((await given.rest()).toString()).toBe('one two three')
    expect(bench.facilitator.settled.length).toBe(1)
  })
}
