import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { OutboxStore } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { memoryStore } from '../memory.ts'
import { type Deliverer, type DeliverOptions, type DeliveryEvent, deliverWebhooks, type Webhook } from '../webhook.ts'

type Received = { readonly headers: IncomingHttpHeaders; readonly body: string; readonly path: string | undefined }
type Receiver = { readonly url: string; readonly received: Received[]; answer: (count: number) => number | 'silence' | 'break' }

const nothing: Received = { headers: {}, body: '', path: undefined }
const secret = 'a secret of enough characters'
const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

async function startReceiver(): Promise<Receiver> {
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    receiver.received.push({ headers: incoming.headers, body: Buffer.concat(chunks).toString(), path: incoming.url })
    const answer = receiver.answer(receiver.received.length)
    if (answer === 'silence') return
    if (answer === 'break') return void outgoing.destroy()
    outgoing.writeHead(answer, answer >= 300 && answer < 400 ? { location: '/elsewhere' } : {}).end('x'.repeat(100_000))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(() => resolve()))
  })
  // A listening server has an address with a port.
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = { url: `http://127.0.0.1:${port}/told`, received: [], answer: () => 204 }
  return receiver
}

/** A deliverer whose time goes by hand: `round` alone delivers. */
function deliverer(outbox: OutboxStore, options: Partial<Webhook & DeliverOptions> & { readonly url: string }) {
  const time = { now: Date.now() }
  const events: DeliveryEvent[] = []
  const made: Deliverer = deliverWebhooks(outbox, {
    secret,
    allowPrivate: true,
    every: 3_600_000,
    clock: () => time.now,
    random: () => 1,
    onEvent: (event) => events.push(event),
    ...options,
  })
  open.push(() => made.close())
  return { ...made, time, events }
}

const put = (outbox: OutboxStore, ...ids: readonly string[]): Promise<void> =>
  outbox.put(ids.map((id) => ({ id, topic: 'claim.settled', body: '{"amount":"7"}', createdAt: 1_763_700_000_000 })))

describe('a webhook', () => {
  it('is told once, signed, with an id to know it again', async () => {
    verifies('H43')
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    await put(outbox, 'one')
    const { round, events, time } = deliverer(outbox, { url: receiver.url })
    await round()
    await round()
    expect(receiver.received).toHaveLength(1)
    const [{ headers, body } = nothing] = receiver.received
    expect(body).toBe('{"type":"claim.settled","timestamp":"2025-11-21T04:40:00.000Z","data":{"amount":"7"}}')
    const timestamp = String(Math.floor(time.now / 1000))
    const signature = createHmac('sha256', secret).update(`one.${timestamp}.${body}`).digest('base64')
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': 'one',
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    })
    expect(events).toEqual([{ type: 'told', id: 'one', topic: 'claim.settled' }])
    expect(await outbox.waiting()).toEqual({ count: 0 })
  })

  it('is signed with the bytes behind whsec_', async () => {
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    await put(outbox, 'one')
    const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index * 8))
    const { round } = deliverer(outbox, { url: receiver.url, secret: `whsec_${key.toString('base64')}` })
    await round()
    const [{ headers, body } = nothing] = receiver.received
    const text = `one.${String(headers['webhook-timestamp'])}.${body}`
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(text).digest('base64')}`)
  })

  it('that fails in any way is told again later, with the same id and a new signature, for days', async () => {
    verifies('H43')
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    const faults = [500, 'break', 'silence', 404, 302, 429, 300] as const
    receiver.answer = (count) => faults[count - 1] ?? (count > 20 ? 200 : 503)
    await put(outbox, 'one')
    const { round, events, time } = deliverer(outbox, { url: receiver.url, timeout: 300 })
    const waits: number[] = []
    const since = time.now
    for (let attempt = 1; attempt <= 21; attempt += 1) {
      await round()
      const last = events.at(-1)
      if (last?.type !== 'notTold') break
      expect(last).toMatchObject({ id: 'one', attempts: attempt })
      waits.push((last.nextAttemptAt - time.now) / 1000)
      time.now = last.nextAttemptAt - 1
      expect(await round()).toBe(0)
      time.now += 1
    }
    expect(receiver.received).toHaveLength(21)
    expect(receiver.received.every(({ path, headers }) => path === '/told' && headers['webhook-id'] === 'one')).toBe(true)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-signature'])).size).toBe(21)
    expect(waits.slice(0, 5)).toEqual([5, 10, 20, 40, 80])
    expect(waits.slice(-2)).toEqual([21_600, 21_600])
    expect(time.now - since).toBeGreaterThan(2 * 86_400_000)
    expect(events.at(-1)).toMatchObject({ type: 'told' })
    expect(await outbox.waiting()).toEqual({ count: 0 })
  })

  it('spreads what failed together', async () => {
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    receiver.answer = () => 500
    await put(outbox, 'a', 'b', 'c')
    const chances = [0, 0.5, 0.9]
    const { round, events, time } = deliverer(outbox, { url: receiver.url, random: () => chances.pop() ?? 0 })
    await round()
    const waits = events.map((event) => (event.type === 'notTold' ? event.nextAttemptAt - time.now : 0))
    expect(waits.toSorted((a, b) => a - b)).toEqual([2500, 3750, 4750])
  })

  it('is told by one of two processes, and by the other when the first dies in between', async () => {
    verifies('H43')
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    const ids = Array.from({ length: 40 }, (_, index) => `message-${index}`)
    await put(outbox, ...ids)
    const [first, second] = [deliverer(outbox, { url: receiver.url }), deliverer(outbox, { url: receiver.url })]
    await Promise.all([first.round(), second.round()])
    expect(receiver.received.map(({ headers }) => headers['webhook-id']).sort()).toEqual(ids.sort())

    await put(outbox, 'orphan')
    await outbox.take({ now: first.time.now, until: first.time.now + 30_000, most: 1 })
    expect(await first.round()).toBe(0)
    first.time.now += 30_000
    expect(await first.round()).toBe(1)
  })

  it('hears by itself of what comes, and of nothing after close', async () => {
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    const { close } = deliverer(outbox, { url: receiver.url, every: 20, clock: Date.now })
    await put(outbox, 'later')
    await expect.poll(() => receiver.received.length).toBe(1)
    await close()
    await put(outbox, 'too late')
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(receiver.received).toHaveLength(1)
  })

  it('says that its outbox fails, and goes on', async () => {
    const { outbox } = memoryStore()
    const receiver = await startReceiver()
    await put(outbox, 'one')
    let broken = true
    const failing: OutboxStore = { ...outbox, take: (request) => (broken ? Promise.reject(new Error('gone')) : outbox.take(request)) }
    const { round, events } = deliverer(failing, { url: receiver.url })
    await round()
    expect(events).toMatchObject([{ type: 'outboxFailed' }])
    broken = false
    expect(await round()).toBe(1)
  })
})

describe('a webhook is refused at start', () => {
  const make = (options: Partial<Webhook>) => () =>
    deliverWebhooks(memoryStore().outbox, { url: 'https://example.com/hook', secret, ...options })
  const refused = expect.objectContaining({ code: 'config/bad-webhook' })

  it.each([
    'http://example.com/',
    'ftp://example.com/',
    'nothing',
    'https://user:pass@example.com/',
    'https://localhost/',
    'https://a.localhost/',
    'https://db.internal/',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://10.1.2.3/',
    'https://172.31.0.1/',
    'https://192.168.0.1/',
    'https://169.254.169.254/',
    'https://100.64.0.1/',
    'https://0.0.0.0/',
    'https://[::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[fd00::1]/',
    'https://[fe80::1]/',
  ])('at %s', (url) => {
    expect(make({ url })).toThrow(refused)
  })

  it.each(['short', 'whsec_not base64 not base64 !'])('with the secret "%s"', (weak) => {
    expect(make({ secret: weak })).toThrow(refused)
  })

  it('and not elsewhere', async () => {
    for (const url of ['https://example.com/', 'https://172.32.0.1/', 'https://8.8.8.8/', 'https://[2606:4700::1111]/']) {
      await make({ url })().close()
    }
  })
})
