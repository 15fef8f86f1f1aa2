import { paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { postgresStore } from '@flow402x/store/postgres'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround, usePostgres } from '../fixtures/ground.ts'
import { drain, startSellerProcess } from '../fixtures/seller-process.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)
const database = usePostgres()

const token = 10n
const tokens = { rate: '0.00001 USD/token', buy: 100, window: 100, windowMax: 100, tick: 20 }
const streams = { lease: 1500, checkpointEvery: 100 }

test('an owner that slept past its lease delivers nothing when it wakes, and its lane is another’s, billed once', {
  timeout: 40_000,
}, async () => {
  verifies(['M6', 'M25', 'M29', 'F14'])
  const { chain, facilitator } = ground
  const sleeper = await startSellerProcess({ chain, facilitator, database: database.url, rate: tokens, ...streams })
  ground.closing(() => sleeper.child.kill('SIGKILL'))
  const store = await postgresStore(database.url, { connections: 4 })
  ground.closing(() => store.close())
  const heir = await ground.open({ rate: tokens, source: slowTokens, store, streams: { ...streams, ticksPerSecond: 100 } })
  const payer = await heir.newPayer(100_000n)
  const headers = { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await payer.voucher(100n * token)) }
  const response = await fetch(`${sleeper.url}/live`, { headers })
  const sid = /sid="([-\w]+)"/.exec(response.headers.get('Payment-Stream') ?? '')?.[1] ?? ''
  const seen = { text: '' }
  const reading = drain(response, seen)
  const received = (): number => seen.text.split('data: token ').length - 1
  await vi.waitFor(() => expect(received()).toBeGreaterThan(20), 5000)
  sleeper.child.kill('SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 200))
  const arrived = received()
  const resumed = await heir.read({ 'Payment-Resume': `${sid}; from=${arrived}` })
  expect([resumed.status, resumed.sid]).toEqual([200, sid])
  await vi.waitFor(() => expect(resumed.items.length).toBeGreaterThan(5), 5000)
  sleeper.child.kill('SIGCONT')
  // What it had written before it slept may still arrive; nothing that it is asked for now is done for this lane.
  const tick = { method: 'POST', headers: { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await payer.voucher(200n * token)) } }
  const told = (await fetch(`${sleeper.url}/live/tick?sid=${sid}`, tick)).status
  await reading
  expect(received() - arrived).toBeLessThanOrEqual(1)
  if (told !== 204) expect((await heir.buy(sid, payer.voucher(200n * token))).status).toBe(204)
  await vi.waitFor(() => expect(arrived + resumed.items.length).toBeGreaterThanOrEqual(195), 10_000)
  const { body } = await heir.post({ sid, op: 'close' })
  await resumed.ended
  const consumed = BigInt(String(body.consumed))
  expect(consumed).toBeLessThanOrEqual(BigInt(arrived + resumed.items.length + 1) * token)
  expect(consumed).toBeGreaterThanOrEqual(BigInt(arrived + resumed.items.length - 1) * token)
  expect(await heir.row(payer)).toMatchObject({ charged: consumed, top: 200n * token })
  expect(told).toBe(204)
})

test.each(['A', 'B'] as const)(
  'a tick of grade %s that comes to an owner who does not know yet that he is none is credited where the lane is',
  async (grade) => {
    verifies(['M25', 'F14'])
    const store = memoryStore()
    const lease = 300
    // Neither what it is told nor what it asks tells it that its lane is gone.
    let sleeps = false
    const asleep = <Answer>(ask: () => Promise<Answer>): Promise<Answer> => (sleeps ? Promise.reject(new RangeError('no answer')) : ask())
    const lanes: typeof store.lanes = {
      ...store.lanes,
      renew: (...given) => asleep(() => store.lanes.renew(...given)),
      checkpoint: (...given) => asleep(() => store.lanes.checkpoint(...given)),
      take: (...given) => asleep(() => store.lanes.take(...given)),
      inbox: { tell: async (...given) => store.lanes.inbox?.tell(...given), listen: async () => async () => {} },
    }
    const rate = { ...tokens, buy: 40, window: 40, windowMax: 40 }
    const first = await ground.open({ rate, source: slowTokens, store: { ...store, lanes }, streams: { lease, ticksPerSecond: 100 } })
    const heir = await ground.open({ rate, source: slowTokens, store, streams: { ticksPerSecond: 100 } })
    const payer = await first.newPayer(100_000n)
    const paid = { ...(await payer.voucher(40n * token)) }
    const reading = await first.open(paid, grade)
    await vi.waitFor(() => expect(reading.items.length).toBeGreaterThan(5))
    sleeps = true
    const resumed = await vi.waitFor(async () => {
      const answer = await heir.read({ 'Payment-Resume': `${reading.sid}; from=${reading.items.length}` })
      expect(answer.status).toBe(200)
      return answer
    }, 8000)
    const voucher = payer.voucher(80n * token)
    const { status } = grade === 'A' ? await first.buy(reading.sid, voucher) : await first.slide(reading.sid, voucher)
    expect(status).toBe(grade === 'A' ? 204 : 200)
    await vi.waitFor(() => expect(new Set([...reading.items, ...resumed.items]).size).toBe(80), 8000)
    // From now on it is as any other that has not that lane.
    const { body } = await first.post({ sid: reading.sid, op: 'close' })
    expect(body.state).toBe('asked')
    await resumed.ended
    await vi.waitFor(async () => expect((await heir.row(payer)).lanes).toBeUndefined(), 3000)
    expect(await heir.row(payer)).toMatchObject({ charged: 80n * token, top: 80n * token })
    sleeps = false
  },
)
