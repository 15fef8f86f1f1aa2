import { X402Error } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../engine/client.ts'
import type { ClientOptions } from '../engine/options.ts'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, failed, type Seen, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { rememberOffers } from './offer-memory.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

type Sells = (seen: Seen, response: Parameters<typeof answer>[0]) => unknown

const honest: Sells = ({ payment }, response) => (payment === undefined ? ask(response) : answer(response, settled))

/** A buyer who remembers for a minute, by a clock of the test's own, and a seller whose ways may change. */
async function meet(sells: Sells = honest, more: Partial<ClientOptions> = {}) {
  const shop = { sells }
  const seller = await startSeller((seen, response) => shop.sells(seen, response))
  sellers.push(seller)
  const scheme = pen()
  const clock = { now: Date.now() }
  const client = createClient({ schemes: [scheme], offers: rememberOffers({ forMs: 60_000 }), now: () => clock.now, ...more })
  // Which of the requests since it was asked last carried a payment.
  let looked = 0
  const trips = () => {
    const fresh = seller.seen.slice(looked).map(({ payment }) => (payment === undefined ? 'asked' : 'paid'))
    looked = seller.seen.length
    return fresh
  }
  return { shop, seller, scheme, clock, client, trips, buy: (init?: RequestInit) => client.fetch(`${seller.url}/x`, init) }
}

const codeOf = (error: unknown) => (error instanceof X402Error ? error.code : error)

describe('a client that remembers offers', () => {
  it('asks twice, and from then on a paid call is one round trip', async () => {
    verifies('CLIENT-UNASKED')
    const { buy, trips, scheme, client } = await meet()
    for (let call = 0; call < 5; call += 1) expect((await buy()).status).toBe(200)
    expect(trips()).toEqual(['asked', 'paid', 'asked', 'paid', 'paid', 'paid', 'paid'])
    expect(scheme.signed.map(({ requirements }) => requirements)).toEqual(Array(5).fill(cent))
    expect((await client.spent()).total.committed).toBe('$0.05')
  })

  it('asks again when its time is over, and believes what is as it was', async () => {
    const { buy, trips, clock } = await meet()
    await buy()
    await buy()
    clock.now += 59_999
    trips()
    await buy()
    expect(trips()).toEqual(['paid'])
    clock.now += 1
    await buy()
    await buy()
    expect(trips()).toEqual(['asked', 'paid', 'paid'])
  })

  it('knows a route by method, URL and who asks, and sends the body that is paid for', async () => {
    const { buy, trips, seller, scheme } = await meet()
    const post = (body: string, headers = {}) => buy({ method: 'POST', body, headers })
    await buy()
    await buy()
    trips()
    await post('a')
    await post('b', { authorization: 'Bearer one' })
    await post('b', { cookie: 'user=2' })
    expect(trips()).toEqual(['asked', 'paid', 'asked', 'paid', 'asked', 'paid'])
    await post('b')
    await post('c')
    expect(trips()).toEqual(['asked', 'paid', 'paid'])
    expect(seller.seen.at(-1)?.body.toString()).toBe('c')
    // Bound to its own body, as every payment is (M2).
    expect(new Set(scheme.signed.slice(-2).map(({ options }) => options.binding)).size).toBe(2)
  })

  it('never believes an offer that differs each time', async () => {
    let quote = 0
    const sells: Sells = ({ payment }, response) => {
      quote += 1
      if (payment === undefined) ask(response, asking([{ ...cent, extra: { ...cent.extra, quote } }]))
      else answer(response, settled)
    }
    const { buy, trips } = await meet(sells)
    for (let call = 0; call < 4; call += 1) await buy()
    expect(trips()).toEqual(['asked', 'paid', 'asked', 'paid', 'asked', 'paid', 'asked', 'paid'])
  })

  it('never makes a transfer unasked: that cannot be had back', async () => {
    const transferring = pen({ send: async () => {} })
    const { buy, trips } = await meet(honest, { schemes: [transferring], store: memoryStore({ force: true }) })
    for (let call = 0; call < 3; call += 1) await buy()
    expect(trips()).toEqual(['asked', 'paid', 'asked', 'paid', 'asked', 'paid'])
  })

  it('asks first of whoever gives no receipt, and asks a quote in any case', async () => {
    const { buy, trips, shop, client, seller } = await meet()
    await buy()
    await buy()
    shop.sells = (_, response) => response.end('free now')
    trips()
    expect(await (await buy()).text()).toBe('free now')
    expect(await (await buy()).text()).toBe('free now')
    expect(trips()).toEqual(['paid', 'asked'])
    shop.sells = honest
    await buy()
    await buy()
    trips()
    expect(await client.quote(`${seller.url}/x`)).toMatchObject({ kind: 'payable' })
    expect(trips()).toEqual(['asked'])
  })
})

describe('what a hostile seller may try on it', () => {
  const turned: readonly [what: string, sells: Sells, ends: string][] = [
    ['a higher price', (_, response) => ask(response, asking([{ ...cent, amount: '20000' }])), 'client/offer-changed'],
    ['another payee', (_, response) => ask(response, asking([{ ...cent, payTo: `0x${'1'.repeat(40)}` }])), 'client/offer-changed'],
    ['the same again', (_, response) => ask(response), '402'],
    ['a receipt of failure', (_, response) => answer(response, failed, { status: 402 }), '402'],
    ['silence', (_, response) => response.destroy(), 'client/settle-unknown'],
    ['500', (_, response) => response.writeHead(500).end(), '500'],
    ['another shop', (_, response) => response.writeHead(307, { Location: 'http://other.example/' }).end(), 'client/paid-redirect-refused'],
  ]

  it.each(turned)('%s: one payment is signed for the call, for what was remembered, and the next call asks', async (_, sells, ends) => {
    verifies('CLIENT-UNASKED')
    const { buy, trips, shop, scheme, client } = await meet(honest, { retry: { attempts: 1 } })
    await buy()
    await buy()
    shop.sells = sells
    trips()
    expect(await buy().then(({ status }) => `${status}`, codeOf)).toBe(ends)
    expect(trips()).toEqual(['paid'])
    expect(scheme.signed.slice(2).map(({ requirements }) => requirements)).toEqual([cent])
    const { reserved, committed } = (await client.spent()).total
    expect([reserved, committed]).toEqual(['$0.01', '$0.02'])
    shop.sells = honest
    await buy()
    expect(trips()).toEqual(['asked', 'paid'])
  })

  it('stays within the budget, asks beforeSign and leaves alone who buys nothing, as with every payment', async () => {
    const asked: string[] = []
    const beforeSign = ({ price }: { readonly price: string }) => asked.push(price) < 4
    const { buy, trips } = await meet(honest, { budget: { total: '$0.04' }, beforeSign })
    for (let call = 0; call < 3; call += 1) await buy()
    expect(await buy().then(({ status }) => `${status}`, codeOf)).toBe('client/refused')
    expect(asked).toEqual(Array(4).fill('0.01 USDC'))
    expect(trips()).toEqual(['asked', 'paid', 'asked', 'paid', 'paid'])
  })

  it('keeps the seller’s clock, which is ahead, in what it signs unasked', async () => {
    const ahead = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString()
    const sells: Sells = ({ payment }, response) => {
      response.setHeader('Date', ahead(120))
      if (payment === undefined) ask(response)
      else answer(response, settled)
    }
    const { buy, scheme, clock } = await meet(sells)
    for (let call = 0; call < 3; call += 1) await buy()
    const late = scheme.signed.map(({ options }) => options.now - Math.floor(clock.now / 1000))
    for (const seconds of late) expect(Math.abs(seconds - 120)).toBeLessThanOrEqual(15)
    expect(late).toHaveLength(3)
  })

  it('remembers 256 routes and no more', async () => {
    const { client, trips, seller } = await meet(honest, { budget: { total: '$100' } })
    const visit = (route: number) => client.fetch(`${seller.url}/${route}`)
    await visit(0)
    await visit(0)
    for (let route = 1; route <= 256; route += 1) await visit(route)
    trips()
    await visit(0)
    expect(trips()).toEqual(['asked', 'paid'])
  })
})
