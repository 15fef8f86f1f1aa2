import { setTimeout as wait } from 'node:timers/promises'
import { paymentResponseHeader, type SettleResponse } from '@flow402x/core'
import { requiredToV1 } from '@flow402x/core/v1'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, failed, pending, type Seen, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { receiptOf } from '../http/receipt.ts'
import { createClient } from './client.ts'
import type { ClientEvent } from './event.ts'
import type { RetryOptions } from './options.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

type Answers = (seen: Seen, response: Parameters<typeof answer>[0], tries: number) => unknown

/** A seller that asks a cent and answers the payments it gets in turn, and a client of it. */
async function meet(answers: Answers, retry: RetryOptions = {}) {
  let tries = 0
  const seller = await startSeller((seen, response) => (seen.payment === undefined ? ask(response) : answers(seen, response, ++tries)))
  sellers.push(seller)
  const scheme = pen()
  const events: ClientEvent[] = []
  const client = createClient({
    schemes: [scheme],
    retry: { firstDelayMs: 5, maxDelayMs: 40, ...retry },
    onEvent: (event) => events.push(event),
  })
  const paid = () => seller.seen.filter(({ payment }) => payment !== undefined)
  return {
    client,
    scheme,
    seller,
    events,
    paid,
    call: (init?: RequestInit) => client.fetch(seller.url, { method: 'POST', body: 'hello', ...init }),
  }
}

/** Every try carried the same payment and the same body, and one signature was made. */
function expectOnePayment({ scheme, paid }: Awaited<ReturnType<typeof meet>>, tries: number): void {
  expect([scheme.signed.length, paid().length]).toEqual([1, tries])
  expect(new Set(paid().map(({ headers, body }) => `${headers['payment-signature']} ${body}`)).size).toBe(1)
}

describe('H2: the same payment again, never a second one', () => {
  verifies('H2')
  const hangUp: Answers = (_, response) => response.destroy()

  it('after the connection broke', async () => {
    const met = await meet((seen, response, tries) => (tries < 3 ? hangUp(seen, response, tries) : answer(response, settled)))
    expect((await met.call()).status).toBe(200)
    expectOnePayment(met, 3)
    expect(met.events.map(({ type }) => type)).toEqual(['quoted', 'signing', 'signed', 'pending', 'pending', 'paid'])
  })

  it('after no answer came in time', async () => {
    const met = await meet((_, response, tries) => (tries === 1 ? undefined : answer(response, settled)), { attemptMs: 100 })
    expect((await met.call()).status).toBe(200)
    expectOnePayment(met, 2)
  })

  it('does not cut off a slow body once the answer began', async () => {
    const slow: Answers = async (_, response) => {
      response.writeHead(200).write('first ')
      await wait(250)
      response.end('last')
    }
    const met = await meet(slow, { attemptMs: 100 })
    expect(await (await met.call()).text()).toBe('first last')
  })

  it.each([
    ['503 with a pending receipt', 503, pending, {}],
    ['503 with Retry-After', 503, undefined, { 'Retry-After': '1' }],
    ['409 with Retry-After', 409, undefined, { 'Retry-After': '1' }],
    ['503 with a date to retry', 503, undefined, { 'Retry-After': new Date(Date.now() + 60_000).toUTCString() }],
  ] as const)('after %s', async (_, status, receipt, headers) => {
    const met = await meet((_, response, tries) => {
      if (tries === 3) return answer(response, settled)
      return receipt === undefined ? response.writeHead(status, headers).end('later') : answer(response, receipt, { status, headers })
    })
    const started = performance.now()
    expect((await met.call()).status).toBe(200)
    expect(performance.now() - started).toBeLessThan(1000)
    expectOnePayment(met, 3)
    const pauses = met.events.flatMap((event) => (event.type === 'pending' ? [event] : []))
    expect(pauses.map((event) => [event.status, event.attempt])).toEqual([
      [status, 1],
      [status, 2],
    ])
    expect(pauses.map(({ transaction }) => transaction)).toEqual(Array(2).fill(receipt?.transaction))
    if ('Retry-After' in headers) expect(pauses.map(({ waitMs }) => waitMs)).toEqual([40, 40])
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })

  it.each([
    ['409 of its own', 409, undefined],
    ['503 of its own', 503, undefined],
    ['500', 500, undefined],
    ['502', 502, undefined],
    ['412', 412, undefined],
    ['402 with a failed settlement', 402, failed],
    ['500 of a handler that failed', 500, failed],
  ])('returns a %s after one try, keeping the amount reserved', async (_, status, receipt) => {
    const met = await meet((_, response) =>
      receipt === undefined ? response.writeHead(status).end('no') : answer(response, receipt, { status, body: 'no' }),
    )
    const response = await met.call()
    expect([response.status, await response.text(), receiptOf(response)]).toEqual([status, 'no', receipt])
    expectOnePayment(met, 1)
    expect(met.events.at(-1)).toMatchObject({ type: 'unsettled', status, reason: receipt?.errorReason ?? 'unknown', retry: 'same' })
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0.01', committed: '$0' })
  })

  it('takes a payment for spent when the goods came, or the receipt says so', async () => {
    const receipts: [number, SettleResponse | undefined][] = [
      [200, undefined],
      [204, settled],
      [500, settled],
      [304, settled],
    ]
    for (const [status, receipt] of receipts) {
      const met = await meet((_, response) =>
        receipt === undefined ? response.writeHead(status).end() : answer(response, receipt, { status, body: '' }),
      )
      expect((await met.call()).status).toBe(status)
      expect(met.events.at(-1)).toMatchObject({ type: 'paid', receipt })
      expect((await met.client.spent()).total.committed).toBe('$0.01')
    }
  })
})

describe('giving up', () => {
  it('says after the last try that the outcome is unknown, and resumes with the same payment', async () => {
    let open = false
    const met = await meet((_, response) => (open ? answer(response, settled) : response.destroy()), { attempts: 3 })
    const error = await met.call().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'client/settle-unknown',
      phase: 'settle',
      moneyMoved: 'unknown',
      retry: 'same',
      context: { url: `${met.seller.url}/`, attempts: 3 },
    })
    expect(JSON.stringify(error)).not.toContain('nonce')
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0.01', committed: '$0' })
    open = true
    const response = await met.client.resume(error)
    expect([response.status, await response.text()]).toEqual([200, 'goods'])
    expectOnePayment(met, 4)
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
    expect(met.events.map(({ type }) => type)).toEqual(['quoted', 'signing', 'signed', 'pending', 'pending', 'unknown', 'paid'])
  })

  it('throws for a payment that stays pending', async () => {
    const met = await meet((_, response) => answer(response, pending, { status: 503 }), { attempts: 2 })
    await expect(met.call()).rejects.toMatchObject({
      code: 'client/settle-pending',
      moneyMoved: 'unknown',
      retry: 'same',
      context: { status: 503, transaction: pending.transaction },
    })
    expectOnePayment(met, 2)
  })

  it('starts no try after the total time', async () => {
    const met = await meet((_, response) => response.destroy(), { attempts: 1000, totalMs: 2000 })
    await expect(met.call()).rejects.toMatchObject({ code: 'client/settle-unknown' })
    expect(met.paid().length).toBeGreaterThan(2)
    expect(met.paid().length).toBeLessThan(1000)
  })

  it('resumes an answer without settlement too, and nothing else', async () => {
    const met = await meet((_, response, tries) => (tries === 1 ? answer(response, failed, { status: 500 }) : answer(response, settled)))
    const first = await met.call()
    const second = await met.client.resume(first)
    expect([first.status, second.status]).toEqual([500, 200])
    expectOnePayment(met, 2)
    for (const nothing of [new Response(), new TypeError('x'), undefined, 'x']) {
      await expect(met.client.resume(nothing)).rejects.toMatchObject({ code: 'client/nothing-to-resume' })
    }
    expectOnePayment(met, 2)
  })

  it('brings goods again that broke off on their way', async () => {
    const met = await meet((_, response, tries) => {
      if (tries > 1) return answer(response, settled)
      response.setHeader('PAYMENT-RESPONSE', paymentResponseHeader.encode(settled))
      response.write('go', () => response.destroy())
    })
    const broken = await met.call()
    await expect(broken.text()).rejects.toThrow()
    expect(await (await met.client.resume(broken)).text()).toBe('goods')
    expectOnePayment(met, 2)
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })

  it('says that money moved when only the goods were lost', async () => {
    let open = false
    const goods = await startSeller((_, response) => (open ? response.end('goods') : response.destroy()))
    sellers.push(goods)
    const met = await meet((_, response) => answer(response, settled, { status: 302, headers: { Location: goods.url }, body: '' }), {
      attempts: 2,
    })
    const error = await met.call().catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'client/delivery-failed', phase: 'deliver', moneyMoved: 'yes', retry: 'same' })
    expect((await met.client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
    open = true
    expect(await (await met.client.resume(error)).text()).toBe('goods')
    expectOnePayment(met, 3)
    expect((await met.client.spent()).total.committed).toBe('$0.01')
  })
})

describe('a caller who aborts', () => {
  it('before anything is sent sends nothing', async () => {
    const met = await meet((_, response) => answer(response, settled))
    await expect(met.call({ signal: AbortSignal.abort() })).rejects.toThrow('aborted')
    expect([met.seller.seen.length, met.scheme.signed.length]).toEqual([0, 0])
  })

  it('while it signs gets the amount back', async () => {
    const stop = new AbortController()
    const seller = await startSeller()
    sellers.push(seller)
    const beforeSign = () => {
      stop.abort()
      return true
    }
    const client = createClient({ schemes: [pen()], beforeSign })
    await expect(client.fetch(seller.url, { signal: stop.signal })).rejects.toThrow('aborted')
    expect([seller.seen.length, (await client.spent()).total.left]).toEqual([1, '$10'])
  })

  const moments: [string, Answers, RetryOptions][] = [
    ['while the server thinks', () => undefined, {}],
    ['while it waits to try again', (_, response) => response.destroy(), { firstDelayMs: 60_000, maxDelayMs: 60_000 }],
  ]
  it.each(moments)('%s keeps the amount reserved and can resume', async (_, answers, retry) => {
    let open = false
    const met = await meet((seen, response, tries) => (open ? answer(response, settled) : answers(seen, response, tries)), retry)
    const stop = new AbortController()
    const call = met.call({ signal: stop.signal })
    while (met.paid().length === 0) await wait(5)
    await wait(50)
    stop.abort()
    const error = await call.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'AbortError' })
    expect((await met.client.spent()).total.reserved).toBe('$0.01')
    open = true
    expect((await met.client.resume(error)).status).toBe(200)
    expectOnePayment(met, 2)
  })

  it('stops the body of the goods as well', async () => {
    const met = await meet((_, response) => response.writeHead(200).write('part'))
    const stop = new AbortController()
    const response = await met.call({ signal: stop.signal })
    stop.abort()
    await expect(response.text()).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('does not resume one call with the payment of another', async () => {
    const met = await meet(() => undefined)
    const stop = new AbortController()
    const calls = [met.call({ signal: stop.signal }), met.call({ signal: stop.signal })]
    while (met.paid().length < 2) await wait(5)
    stop.abort()
    const [one] = await Promise.allSettled(calls)
    await expect(met.client.resume(one?.status === 'rejected' ? one.reason : undefined)).rejects.toMatchObject({
      code: 'client/nothing-to-resume',
    })
  })
})

describe('hostile second answers', () => {
  it('A30: 402 for ever costs one authorization', async () => {
    verifies('A30')
    const met = await meet((_, response) => ask(response))
    expect((await met.call()).status).toBe(402)
    expectOnePayment(met, 1)
    expect(met.events.at(-1)).toMatchObject({ type: 'unsettled', status: 402 })
    expect((await met.client.spent()).total.reserved).toBe('$0.01')
  })

  it.each([
    ['price', { amount: '20000' }],
    ['payee', { payTo: '0x0000000000000000000000000000000000000001' }],
    ['asset', { asset: '0x833589fCD6eDb6E08f4c7C32D4F71b54bdA02913' }],
    ['network', { network: 'eip155:8453' }],
  ])('A15: another %s on the second 402 is refused without a signature', async (_, change) => {
    verifies('A15')
    const met = await meet((_, response) => ask(response, asking([{ ...cent, ...change }])))
    await expect(met.call()).rejects.toMatchObject({ code: 'client/offer-changed', moneyMoved: 'unknown', retry: 'never' })
    expectOnePayment(met, 1)
    expect((await met.client.spent()).total.reserved).toBe('$0.01')
  })

  it('A15: also in version 1', async () => {
    verifies('A15')
    const body = (amount: string) => JSON.stringify(requiredToV1(asking([{ ...cent, amount }]), []))
    const seller = await startSeller(({ headers }, response) =>
      response.writeHead(402, { 'Content-Type': 'application/json' }).end(body(headers['x-payment'] === undefined ? '10000' : '20000')),
    )
    sellers.push(seller)
    const scheme = pen()
    await expect(createClient({ schemes: [scheme] }).fetch(seller.url)).rejects.toMatchObject({ code: 'client/offer-changed' })
    expect([scheme.signed.length, seller.seen.length]).toEqual([1, 2])
  })

  it('believes no malformed receipt', async () => {
    const met = await meet((_, response) => response.writeHead(500, { 'PAYMENT-RESPONSE': '{"success":true}' }).end())
    const response = await met.call()
    expect([response.status, receiptOf(response)]).toEqual([500, undefined])
    expect((await met.client.spent()).total.reserved).toBe('$0.01')
  })
})
