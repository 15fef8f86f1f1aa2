import { createHash } from 'node:crypto'
import { type PaymentRequired, paymentRequiredHeader, readPaymentId } from '@flow402x/core'
import { requiredToV1, xPaymentHeader, xPaymentResponseHeader } from '@flow402x/core/v1'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { receiptOf } from '../http/receipt.ts'
import { createClient } from './client.ts'
import type { ClientEvent } from './event.ts'

const sellers: Seller[] = []
const start: typeof startSeller = async (handler) => {
  const seller = await startSeller(handler)
  sellers.push(seller)
  return seller
}
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

describe('a paid call', () => {
  it('pays once and returns the goods with their receipt', async () => {
    const scheme = pen()
    const events: ClientEvent[] = []
    const client = createClient({ schemes: [scheme], onEvent: (event) => events.push(event) })
    const seller = await start()
    const response = await client.fetch(`${seller.url}/x`)
    expect([response.status, await response.text(), receiptOf(response)]).toEqual([200, 'goods', settled])
    expect(seller.seen.map(({ payment }) => payment?.accepted)).toEqual([undefined, cent])
    expect(seller.seen[1]?.payment?.resource).toEqual(asking().resource)
    expect(events.map(({ type }) => type)).toEqual(['quoted', 'signing', 'signed', 'paid'])
    expect(new Set(events.map(({ id }) => id)).size).toBe(1)
    expect(JSON.stringify(events, (_, value) => (typeof value === 'bigint' ? String(value) : value))).not.toContain('nonce')
    expect(await client.spent()).toEqual({ total: { limit: '$10', reserved: '$0', committed: '$0.01', left: '$9.99' }, caps: {} })
  })

  it('touches neither what is free nor what carries a payment already', async () => {
    verifies('CLIENT-ONCE')
    const scheme = pen()
    const { fetch } = createClient({ schemes: [scheme] })
    const free = await start((_, response) => response.end('free'))
    expect(await (await fetch(free.url)).text()).toBe('free')
    const seller = await start((_, response) => ask(response))
    const payment = xPaymentHeader.encode({ x402Version: 1, scheme: 'exact', network: 'base', payload: {} })
    expect((await fetch(seller.url, { headers: { 'X-PAYMENT': payment } })).status).toBe(402)
    expect((await fetch(new Request(seller.url, { headers: { 'x-payment': payment } }))).status).toBe(402)
    expect([seller.seen.length, scheme.signed.length]).toEqual([2, 0])
  })

  it('H35: makes 36 distinct payments for 36 parallel calls', async () => {
    verifies('H35')
    const client = createClient({ schemes: [pen()] })
    const seller = await start()
    const responses = await Promise.all(Array.from({ length: 36 }, () => client.fetch(seller.url)))
    expect(responses.map(({ status }) => status)).toEqual(Array(36).fill(200))
    expect(new Set(seller.seen.flatMap(({ payment }) => (payment === undefined ? [] : [payment.payload.nonce]))).size).toBe(36)
    expect((await client.spent()).total.committed).toBe('$0.36')
  })

  it('echoes extensions with a secret payment id of its own each time', async () => {
    verifies(['ECHO', 'M4'])
    const client = createClient({ schemes: [pen()] })
    const extensions = { 'payment-identifier': { info: { required: true }, schema: {} }, other: { info: { a: 1 } } }
    const seller = await start(({ payment }, response) =>
      payment === undefined ? ask(response, asking([cent], { extensions })) : answer(response, settled),
    )
    await client.fetch(seller.url)
    await client.fetch(seller.url)
    const ids = seller.seen.flatMap(({ payment }) => (payment === undefined ? [] : [readPaymentId(payment)]))
    expect(ids).toEqual([{ id: expect.stringMatching(/^pay_[0-9a-f]{32}$/) }, { id: expect.stringMatching(/^pay_[0-9a-f]{32}$/) }])
    expect(ids[0]).not.toEqual(ids[1])
    expect(seller.seen[1]?.payment?.extensions?.other).toEqual({ info: { a: 1 } })
  })

  it('echoes what it does not know of an offer, and freezes it before signing (A15)', async () => {
    verifies(['A15', 'JSON-NULL'])
    const scheme = pen()
    const offer = { ...cent, extra: { ...cent.extra, paymentFlow: 'upfront', deep: { list: [1, { a: null }] } }, later: 'x' }
    const client = createClient({
      schemes: [scheme],
      beforeSign: (terms) => {
        expect(() => Object.assign(terms.requirements, { amount: '1' })).toThrow(TypeError)
        expect(() => Object.assign(terms.requirements.extra ?? {}, { name: 'x' })).toThrow(TypeError)
        return true
      },
    })
    const seller = await start(({ payment }, response) =>
      payment === undefined ? ask(response, asking([offer])) : answer(response, settled),
    )
    await client.fetch(seller.url)
    expect(seller.seen[1]?.payment?.accepted).toEqual(offer)
  })
})

describe('bodies arrive byte-identical on the paid try (H25)', () => {
  verifies('H25')
  const bytes = new Uint8Array(70_000).map((_, index) => index * 7)
  const form = () => {
    const data = new FormData()
    data.append('text', 'grün\r\n')
    data.append('file', new Blob([bytes], { type: 'image/png' }), 'a.png')
    return data
  }
  const stream = () =>
    new ReadableStream({
      async start(controller) {
        for (let at = 0; at < bytes.length; at += 9000) {
          await new Promise((resolve) => setTimeout(resolve, 1))
          controller.enqueue(bytes.subarray(at, at + 9000))
        }
        controller.close()
      },
    })
  const kinds: Record<string, () => RequestInit> = {
    nothing: () => ({}),
    'an empty string': () => ({ body: '' }),
    string: () => ({ body: 'prompt: grün ✓' }),
    URLSearchParams: () => ({ body: new URLSearchParams({ a: 'b c', d: 'é' }) }),
    FormData: () => ({ body: form() }),
    Blob: () => ({ body: new Blob([bytes], { type: 'application/x-thing' }) }),
    ArrayBuffer: () => ({ body: bytes.slice().buffer }),
    'a view': () => ({ body: bytes.subarray(100, 300) }),
    'ReadableStream without duplex': () => ({ body: stream() }),
    'JSON with its type': () => ({ body: '{"a":1}', headers: { 'content-type': 'application/json', 'x-own': 'kept' } }),
  }

  it.each(Object.entries(kinds))('%s', async (_, make) => {
    const { seen, url } = await start()
    const scheme = pen()
    expect((await createClient({ schemes: [scheme] }).fetch(`${url}/a?b=c#d`, { method: 'POST', ...make() })).status).toBe(200)
    expectTwins(seen)
    verifies('M2')
    expect(scheme.signed.map(({ options }) => options.binding)).toEqual([`POST ${url}/a?b=c ${digest(seen[1]).body}`])
  })

  it.each(Object.entries(kinds))('%s in a Request', async (_, make) => {
    const { seen, url } = await start()
    const withDuplex = { method: 'PUT', duplex: 'half', ...make() }
    const request = new Request(url, withDuplex)
    expect((await createClient({ schemes: [pen()] }).fetch(request)).status).toBe(200)
    expectTwins(seen)
    expect(seen[1]?.method).toBe('PUT')
  })

  it('is the same as fetch alone would send', async () => {
    const { seen, url } = await start()
    const client = createClient({ schemes: [pen()] })
    for (const kind of ['string', 'URLSearchParams', 'Blob', 'a view']) {
      seen.length = 0
      await fetch(url, { method: 'POST', ...kinds[kind]?.() })
      await client.fetch(url, { method: 'POST', ...kinds[kind]?.() })
      expect(digest(seen[2])).toEqual(digest(seen[0]))
    }
  })

  function expectTwins(seen: Seller['seen']): void {
    expect(seen.map(({ payment }) => payment !== undefined)).toEqual([false, true])
    expect(digest(seen[1])).toEqual(digest(seen[0]))
  }

  function digest(one: Seller['seen'][number] | undefined) {
    const { 'payment-signature': _, ...headers } = one?.headers ?? {}
    return {
      headers,
      method: one?.method,
      length: one?.body.length,
      body: createHash('sha256')
        .update(one?.body ?? '')
        .digest('hex'),
    }
  }
})

describe('version 1 and what is malformed (H26)', () => {
  verifies('H26')
  const v1 = (required: PaymentRequired = asking()) => JSON.stringify(requiredToV1(required, []))
  const json = { 'Content-Type': 'application/json' }

  it('pays a v1 server in its own words', async () => {
    const client = createClient({ schemes: [pen()] })
    const receipt = { ...settled, network: 'base-sepolia' }
    const seller = await start(({ headers }, response) => {
      if (headers['x-payment'] === undefined) return response.writeHead(402, json).end(v1())
      return response.writeHead(200, { 'X-PAYMENT-RESPONSE': xPaymentResponseHeader.encode(receipt) }).end('goods')
    })
    const response = await client.fetch(seller.url)
    expect([response.status, receiptOf(response)]).toEqual([200, settled])
    const header = seller.seen[1]?.headers['x-payment']
    expect(xPaymentHeader.decode(String(header))).toEqual({
      x402Version: 1,
      scheme: 'exact',
      network: 'base-sepolia',
      payload: { nonce: expect.any(String), value: '10000' },
    })
    expect(seller.seen[1]?.headers).not.toHaveProperty('payment-signature')
  })

  it('takes the header where both are there', async () => {
    const client = createClient({ schemes: [pen()] })
    const body = v1(asking([{ ...cent, amount: '20000' }]))
    const seller = await start(({ payment }, response) => {
      if (payment !== undefined) return answer(response, settled)
      return response.writeHead(402, { ...json, 'PAYMENT-REQUIRED': paymentRequiredHeader.encode(asking()) }).end(body)
    })
    expect((await client.fetch(seller.url)).status).toBe(200)
    expect(seller.seen[1]?.payment?.accepted.amount).toBe('10000')
  })

  it.each([
    ['no offer', {}, 'pay me'],
    ['a page', { 'Content-Type': 'text/html' }, v1()],
    ['other JSON', json, '{"price":1}'],
    ['JSON of a later version', json, '{"x402Version":3,"accepts":[]}'],
    ['a body past the limit', json, `{"pad":"${'x'.repeat(70_000)}"}`],
  ])('returns a 402 with %s as it is', async (_, headers, body) => {
    const scheme = pen()
    const seller = await start((_, response) => response.writeHead(402, headers).end(body))
    const response = await createClient({ schemes: [scheme] }).fetch(seller.url)
    expect([response.status, await response.text(), scheme.signed.length, seller.seen.length]).toEqual([402, body, 0, 1])
  })

  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64')
  it.each([
    ['no base64', { 'PAYMENT-REQUIRED': '{}' }, ''],
    ['no JSON', { 'PAYMENT-REQUIRED': 'YWJj' }, ''],
    ['two values', { 'PAYMENT-REQUIRED': `${encoded(asking())}, ${encoded(asking())}` }, ''],
    ['no offers', { 'PAYMENT-REQUIRED': encoded({ ...asking(), accepts: [] }) }, ''],
    ['an amount of ""', { 'PAYMENT-REQUIRED': encoded(asking([{ ...cent, amount: '' }])) }, ''],
    ['an amount of -1', { 'PAYMENT-REQUIRED': encoded(asking([{ ...cent, amount: '-1' }])) }, ''],
    ['an amount of 1e3', { 'PAYMENT-REQUIRED': encoded(asking([{ ...cent, amount: '1e3' }])) }, ''],
    ['a v1 body without amounts', json, '{"x402Version":1,"accepts":[{"scheme":"exact","network":"base"}]}'],
  ])('refuses an offer with %s', async (_, headers, body) => {
    const scheme = pen()
    const seller = await start((_, response) => response.writeHead(402, headers).end(body))
    const refused = createClient({ schemes: [scheme] }).fetch(seller.url)
    await expect(refused).rejects.toMatchObject({ code: 'client/bad-offer', phase: 'quote', moneyMoved: 'no' })
    expect(scheme.signed).toEqual([])
  })
})

describe('before signing (H36)', () => {
  verifies('H36')
  it.each([
    ['false', () => false, 'it answered false'],
    ['a refusal', () => ({ refuse: 'not today' }), 'not today'],
    ['nothing', () => undefined, 'neither true nor a refusal'],
    ['"yes"', () => 'yes', 'neither true nor a refusal'],
    ['1', async () => 1, 'neither true nor a refusal'],
    ['a throw', () => Promise.reject(new TypeError('boom')), 'it threw'],
  ])('refuses on %s', async (_, beforeSign, why) => {
    const scheme = pen()
    const events: string[] = []
    // The hook is written in JavaScript here, where nothing keeps it from answering anything.
    const options = { schemes: [scheme], beforeSign: beforeSign as () => boolean, onEvent: ({ type }: ClientEvent) => events.push(type) }
    const client = createClient(options)
    const { url, seen } = await start()
    await expect(client.fetch(url)).rejects.toMatchObject({
      code: 'client/refused',
      moneyMoved: 'no',
      message: expect.stringContaining(why),
    })
    expect([scheme.signed.length, seen.length, events]).toEqual([0, 1, ['quoted', 'refused']])
    expect((await client.spent()).total.reserved).toBe('$0')
  })

  it('gives the amount free again when signing fails, and says that nothing was sent', async () => {
    const cause = new TypeError('no key')
    const client = createClient({ schemes: [pen({ prepare: () => Promise.reject(cause) })] })
    const { url, seen } = await start()
    await expect(client.fetch(url)).rejects.toMatchObject({ code: 'client/sign-failed', moneyMoved: 'no', cause })
    expect([seen.length, (await client.spent()).total.left]).toEqual([1, '$10'])
  })

  it('pays whatever an observer does', async () => {
    const client = createClient({
      schemes: [pen()],
      onEvent: () => {
        throw new TypeError('broken observer')
      },
    })
    expect((await client.fetch((await start()).url)).status).toBe(200)
  })
})

describe('clocks and windows', () => {
  const local = Date.UTC(2030, 0, 1, 12, 0, 0)
  async function payAt(skewSeconds: number) {
    const scheme = pen()
    const seller = await start(({ payment }, response) =>
      payment === undefined
        ? ask(response, asking(), { Date: new Date(local + skewSeconds * 1000).toUTCString() })
        : answer(response, settled),
    )
    const response = await createClient({ schemes: [scheme], now: () => local }).fetch(seller.url)
    return { status: response.status, now: scheme.signed[0]?.options.now }
  }

  it.each([-600, -31, 0, 45, 600])('H34: signs by the clock of the seller, %i seconds away', async (skew) => {
    verifies('H34')
    expect(await payAt(skew)).toEqual({ status: 200, now: local / 1000 + skew })
  })

  it.each([-3600, 86_400 * 365])('refuses to sign by a clock %i seconds away', async (skew) => {
    await expect(payAt(skew)).rejects.toMatchObject({ code: 'client/clock-skew', moneyMoved: 'no' })
  })

  it('A18: signs for its own maximum where a seller asks a year', async () => {
    verifies('A18')
    const scheme = pen()
    const yearlong = { ...cent, maxTimeoutSeconds: 31_536_000 }
    const seller = await start(({ payment }, response) =>
      payment === undefined ? ask(response, asking([yearlong])) : answer(response, settled),
    )
    await createClient({ schemes: [scheme] }).fetch(seller.url)
    await createClient({ schemes: [scheme], maxTimeoutSeconds: 60 }).fetch(seller.url)
    expect(scheme.signed.map(({ options }) => options.maxTimeoutSeconds)).toEqual([600, 60])
    expect(seller.seen[1]?.payment?.accepted.maxTimeoutSeconds).toBe(31_536_000)
  })

  it('A27: refuses an offer that came over plain HTTP from another machine', async () => {
    verifies('A27')
    const scheme = pen()
    const seller = await start()
    const elsewhere: typeof fetch = (input, init) => fetch(String(input).replace('http://shop.example', seller.url), init)
    const refused = createClient({ schemes: [scheme], fetch: elsewhere }).fetch('http://shop.example/x')
    await expect(refused).rejects.toMatchObject({ code: 'client/insecure-origin', moneyMoved: 'no' })
    expect(scheme.signed).toEqual([])
    const trusting = createClient({ schemes: [scheme], fetch: elsewhere, allowInsecure: true })
    expect((await trusting.fetch('http://shop.example/x')).status).toBe(200)
  })
})

describe('quote', () => {
  it('says what would be paid, what else could be, and why the rest could not', async () => {
    const scheme = pen()
    const dear = { ...cent, amount: '2000000' }
    const other = { ...cent, network: 'eip155:8453', asset: '0x833589fCD6eDb6E08f4c7C32D4F71b54bdA02913' }
    const seller = await start((_, response) => ask(response, asking([dear, cent, other])))
    const quote = await createClient({ schemes: [scheme] }).quote(`${seller.url}/x`)
    expect(quote).toMatchObject({
      kind: 'payable',
      terms: {
        url: `${seller.url}/x`,
        method: 'GET',
        version: 2,
        price: '0.01 USDC',
        amount: 10_000n,
        asset: { symbol: 'USDC' },
        requirements: cent,
      },
      alternatives: [{ price: '0.01 USDC', requirements: { network: 'eip155:8453' } }],
      leftOut: [{ amount: '2000000', why: 'more than the cap of $1 a payment' }],
    })
    const liked = await createClient({ schemes: [scheme], prefer: ['eip155:8453'] }).quote(seller.url)
    expect(liked).toMatchObject({ terms: { requirements: { network: 'eip155:8453' } } })
    const picked = await createClient({ schemes: [scheme], prefer: (terms) => terms[1] ?? terms[0] ?? never() }).quote(seller.url)
    expect(picked).toMatchObject({
      terms: { requirements: { network: 'eip155:8453' } },
      alternatives: [{ requirements: { network: cent.network } }],
    })
    expect(scheme.signed).toEqual([])
  })

  it('says that a resource is free, or cannot be paid', async () => {
    const client = createClient({ schemes: [pen()] })
    const free = await start((_, response) => response.writeHead(204).end())
    expect(await client.quote(free.url)).toEqual({ kind: 'free', status: 204 })
    const strange = await start((_, response) => response.writeHead(402).end('cash only'))
    expect(await client.quote(strange.url)).toEqual({ kind: 'unpayable', leftOut: [] })
    const solana = await start((_, response) => ask(response, asking([{ ...cent, network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' }])))
    expect(await client.quote(solana.url)).toMatchObject({ kind: 'unpayable', leftOut: [{ why: 'no scheme is set up for this network' }] })
  })

  it('refuses a preference that picks what it was not given', async () => {
    const { url } = await start()
    const client = createClient({ schemes: [pen()], prefer: (terms) => ({ ...(terms[0] ?? never()), amount: 1n }) })
    await expect(client.fetch(url)).rejects.toMatchObject({ code: 'client/bad-preference', moneyMoved: 'no' })
  })

  function never(): never {
    throw new TypeError('no terms were given')
  }
})

describe('options', () => {
  const scheme = pen()
  it.each([
    ['no schemes', { schemes: [] }],
    ['a duplicate scheme', { schemes: [scheme, pen()] }],
    ['a scheme that transfers by itself', { schemes: [pen({ send: async () => {} })] }],
    ['a budget in a token', { schemes: [scheme], budget: { total: '5 USDC' } }],
    ['a total of zero', { schemes: [scheme], budget: { total: '$0' } }],
    ['a cap on an unknown asset', { schemes: [scheme], budget: { caps: { 'eip155:1/erc20:0x1': { perPayment: '1', total: '1' } } } }],
    [
      'a known asset with other decimals',
      {
        schemes: [scheme],
        assets: [{ network: 'eip155:84532', address: cent.asset, symbol: 'USDC', decimals: 18, transfer: 'eip3009' as const }],
      },
    ],
    ['a fraction of an attempt', { schemes: [scheme], retry: { attempts: 0 } }],
  ])('refuses %s', (_, options) => {
    expect(() => createClient(options)).toThrow(expect.objectContaining({ name: 'X402Error', moneyMoved: 'no', retry: 'never' }))
  })

  it('refuses a name it does not know', () => {
    const misspelt = { schemes: [scheme], budjet: {} }
    expect(() => createClient(misspelt)).toThrow(/budjet/)
    expect(() => createClient({ schemes: [scheme], budget: Object.fromEntries([['perpayment', '$1']]) })).toThrow(/perpayment/)
  })
})
