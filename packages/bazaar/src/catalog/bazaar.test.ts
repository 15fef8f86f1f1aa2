import { readListing } from '@flow402x/core/bazaar'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allBooks, type Books, offer, openTown, type Page, type Town } from '../fixtures/town.ts'
import { type Bazaar, type BazaarOptions, createBazaar } from '../server.ts'

const minute = 60_000
const start = 1_763_700_000_000
let town: Town
beforeAll(async () => {
  town = await openTown()
})
afterAll(() => town.close())

let hosts = 0
const newHost = (): string => {
  hosts += 1
  return `host${hosts}`
}
const ai = { extensions: { bazaar: { info: { input: { type: 'http', method: 'GET' } }, category: 'ai.text-generation' } } }

describe.each(Object.entries(allBooks))('a bazaar on %s', (_, openBooks) => {
  let books: Books
  let store: Awaited<ReturnType<Books['open']>>
  const running: Bazaar[] = []
  beforeAll(async () => {
    books = await openBooks()
    store = await books.open()
  })
  afterAll(async () => {
    for (const bazaar of running) await bazaar.close()
    await store.close()
    await books.close()
  })
  const open = (options: Partial<BazaarOptions> = {}): Bazaar => {
    const bazaar = createBazaar({
      store,
      fetching: { ...town.fetching, timeout: 1000 },
      resolveText: async () => [],
      random: () => 0.5,
      clock: () => start,
      ...options,
    })
    running.push(bazaar)
    return bazaar
  }

  it('lists what its own 402 says, and not what was claimed of it', async () => {
    verifies(['H41', 'A21'])
    const url = town.put(`${town.at(newHost())}/tell`, { ...ai, resource: { url: '', description: 'Stories', serviceName: 'Teller' } })
    const status = await open().register({ url: `${url}?prompt=x`, name: 'Best oracle', category: 'data', tags: ['story'] })
    expect(status).toMatchObject({
      resource: url,
      state: 'listed',
      reason: 'live',
      listing: {
        key: `GET ${url}`,
        resource: url,
        name: 'Teller',
        description: 'Stories',
        category: 'ai.text-generation',
        tags: ['story'],
        prices: [{ amount: '0.01', currency: 'USD', unit: 'request' }],
        owner: { verified: false },
        health: { status: 'healthy' },
        ratings: { count: 0, payers: 0 },
      },
    })
    expect(await open().listing({ url })).toEqual(status)
  })

  const refusals: readonly (readonly [string, Page, string])[] = [
    ['no 402', (_, response) => response.end(), 'no_402'],
    ['a 402 without offers', { accepts: [] }, 'bad_offer'],
    ['what is hidden', { extensions: { bazaar: { ...ai.extensions.bazaar, discoverable: false } } }, 'hidden'],
    [
      'a schema from elsewhere',
      { extensions: { bazaar: { ...ai.extensions.bazaar, schema: { $ref: 'http://169.254.169.254/' } } } },
      'bad_discovery',
    ],
    ['a redirect to elsewhere', redirect('http://other.example/'), 'redirected_away'],
    ['a redirect to the metadata address', redirect('http://169.254.169.254/latest/'), 'redirected_away'],
    ['an endless body', (_, response) => response.end('a'.repeat(70_000)), 'too_large'],
    ['silence', () => {}, 'timed_out'],
  ]
  it.each(refusals)('refuses %s, and says why for as long as it is asked', async (_, page, reason) => {
    verifies(['H12', 'H39', 'A20'])
    const url = `${town.at(newHost())}/x`
    // An answer without offers cannot be made by the codec, so it is written out.
    town.put(url, typeof page === 'object' && 'accepts' in page ? bare({ x402Version: 2, resource: { url }, accepts: [] }) : page)
    const bazaar = open()
    expect(await bazaar.register({ url, method: 'GET' })).toMatchObject({ state: 'rejected', reason, message: expect.stringMatching(/\w/) })
    expect(await bazaar.listing({ url })).toMatchObject({ state: 'rejected', reason })
    expect((await bazaar.list({ limit: 100 })).items.map(({ resource }) => resource)).not.toContain(url)
  })

  it.each([
    ['http://10.0.0.7/x', 'blocked_address'],
    ['https://[::1]/x', 'unreachable'],
    ['https://2852039166/', 'blocked_address'],
    ['https://nobody.invalid/x', 'unreachable'],
    ['ftp://host.example/', 'bad_url'],
    ['nonsense', 'bad_url'],
  ])('refuses %s', async (url, reason) => {
    verifies('A20')
    expect(await open().register({ url })).toMatchObject({ state: 'rejected', reason })
  })

  it('says that it has never seen a resource, and that its operator blocks one', async () => {
    verifies('H12')
    const url = `${town.at(newHost())}/x`
    expect(await open().listing({ url })).toMatchObject({ state: 'unknown', reason: 'never_seen' })
    expect(await open({ blocks: () => true }).register({ url })).toMatchObject({ state: 'rejected', reason: 'blocked' })
  })

  it('finds the method that answers, and reads a 402 of v1', async () => {
    const url = `${town.at(newHost())}/v1`
    const v1 = {
      ...offer(),
      network: 'base-sepolia',
      maxAmountRequired: '20000',
      resource: url,
      description: 'Old',
      mimeType: 'text/plain',
    }
    town.put(url, (request, response) => {
      if (request.method !== 'POST') response.writeHead(405).end()
      else response.writeHead(402, { 'content-type': 'application/json' }).end(JSON.stringify({ x402Version: 1, accepts: [v1] }))
    })
    expect(await open().register({ url })).toMatchObject({
      state: 'listed',
      listing: { key: `POST ${url}`, method: 'POST', prices: [{ amount: '0.02' }], accepts: [{ network: 'eip155:84532' }] },
    })
  })

  it('marks what the owner of the origin stands by, in its file or its DNS, and nothing else', async () => {
    verifies('H41')
    const { payTo } = offer()
    const files: readonly (readonly [unknown, boolean])[] = [
      [{ resources: ['URL'] }, true],
      [{ resources: [{ resource: 'URL' }], payTo: [payTo.toLowerCase()] }, true],
      [{ resources: [{ resource: 'URL', accepts: [offer()] }] }, true],
      [{ resources: [{ resource: 'URL' }], payTo: [`0x${'2'.repeat(40)}`] }, false],
      [{ resources: ['https://other.example/x'], payTo: [payTo] }, false],
      [{ resources: [] }, false],
      ['nonsense', false],
    ]
    for (const [file, verified] of files) {
      const origin = town.at(newHost())
      const url = town.put(`${origin}/x`, {})
      town.put(`${origin}/.well-known/x402`, (_, response) => response.end(JSON.stringify(file).replace('URL', url)))
      const { listing } = await open().register({ url })
      expect({ file, owner: listing?.owner }).toEqual({
        file,
        owner: verified ? { verified: true, by: 'well-known' } : { verified: false },
      })
    }
    const host = newHost()
    const url = town.put(`${town.at(host)}/x`, {})
    const records = (text: string) => async (name: string) => (name === `_x402.${host}.example` ? ['v=spf1', text] : [])
    expect((await open({ resolveText: records(`payTo=${payTo}`) }).register({ url })).listing?.owner).toEqual({ verified: true, by: 'dns' })
    expect((await open({ resolveText: records(`payTo=0x${'3'.repeat(40)}`) }).register({ url })).listing?.owner).toEqual({
      verified: false,
    })
  })

  it('sinks what fails, takes it out after many failures, and lists it again when it is well', async () => {
    verifies(['H12', 'H40', 'BAZAAR-LEASES'])
    const url = town.put(`${town.at(newHost())}/x`, {})
    let now = start + 1e9
    const clock = () => now
    const bazaar = open({ clock, rhythm: { failures: 3 }, tell: true })
    expect(await bazaar.register({ url })).toMatchObject({ state: 'listed' })
    const standing = async () => {
      const entry = await store.catalogue.find(`GET ${url}`)
      return {
        state: entry?.state,
        reason: entry?.reason,
        score: entry?.listing?.health.score,
        next: ((entry?.nextProbeAt ?? 0) - now) / minute,
      }
    }
    expect(await standing()).toEqual({ state: 'listed', reason: 'live', score: 0.79, next: 15 })
    town.put(url, undefined)
    const seen: unknown[] = []
    for (const pause of [15, 1, 2]) {
      now += pause * minute
      await bazaar.round()
      seen.push(await standing())
    }
    expect(seen).toEqual([
      { state: 'listed', reason: 'failing', score: 0.474, next: 1 },
      { state: 'listed', reason: 'failing', score: 0.284, next: 2 },
      { state: 'unlisted', reason: 'dead', score: 0.17, next: 4 },
    ])
    expect(await bazaar.listing({ url })).toMatchObject({ state: 'unlisted', reason: 'dead', message: expect.stringContaining('404') })
    expect((await bazaar.search({ query: new URL(url).hostname.replace('.example', '') })).resources).toEqual([])
    town.put(url, {})
    now += 4 * minute
    await bazaar.round()
    expect(await standing()).toMatchObject({ state: 'listed', reason: 'live' })
    const told = await store.catalogue.outbox.take({ now, until: now + 1, most: 1000 })
    expect(told.filter(({ body }) => body.includes(url)).map(({ topic }) => topic)).toEqual([
      'listing.listed',
      'listing.unlisted',
      'listing.listed',
    ])
  })

  it('looks at each resource once, however many instances share the store', async () => {
    verifies('BAZAAR-LEASES')
    const origin = town.at(newHost())
    let looks = 0
    for (let index = 0; index < 12; index += 1) {
      const url = `${origin}/${index}`
      town.put(url, (_, response) => {
        looks += 1
        response.writeHead(404).end()
      })
      const target = { url, method: 'GET' }
      await store.catalogue.add({
        key: `GET ${url}`,
        target,
        state: 'pending',
        reason: 'probe_pending',
        since: start,
        claims: {},
        quality: 0,
        failures: 0,
        nextProbeAt: start,
      })
    }
    const other = await books.open()
    const bazaars = [open(), open(), open({ store: other }), open({ store: other })]
    await Promise.all(bazaars.map((bazaar) => bazaar.round()))
    await other.close()
    expect(looks).toBe(12)
  })

  it('searches with filters and pages, and says when not every word was found', async () => {
    verifies('BAZAAR-SEARCH')
    const word = `zebra${newHost()}`
    const bazaar = open()
    for (const [index, amount] of ['30000', '10000', '20000'].entries())
      await bazaar.register({
        url: town.put(`${town.at(newHost())}/${index}`, { ...ai, accepts: [offer({ amount })], resource: { url: '', serviceName: word } }),
      })
    const first = await bazaar.search({ query: `${word} service`, limit: 2, maxPrice: '0.03' })
    expect(first).toMatchObject({ x402Version: 2, partialResults: false, pagination: { limit: 2, cursor: '2' } })
    const second = await bazaar.search({ query: word, limit: 2, cursor: first.pagination?.cursor ?? '' })
    expect(second.pagination).toEqual({ limit: 2, cursor: null })
    const all = [...first.resources, ...second.resources]
    expect(new Set(all.map(({ resource }) => resource)).size).toBe(3)
    expect(all.map((item) => readListing(item)?.name)).toEqual([word, word, word])
    const cheap = await bazaar.search({ query: word, category: 'ai', sort: 'price', maxPrice: '0.02', healthy: true })
    expect(cheap.resources.map((item) => readListing(item)?.prices[0]?.amount)).toEqual(['0.01', '0.02'])
    expect(await bazaar.search({ query: `${word} submarine` })).toMatchObject({ partialResults: true })
    const listed = await bazaar.list({ category: 'ai.text-generation', limit: 1, offset: 1 })
    expect(listed).toMatchObject({
      x402Version: 2,
      pagination: { limit: 1, offset: 1, total: expect.any(Number) },
      items: [{ type: 'http' }],
    })
    expect(listed.pagination.total).toBeGreaterThan(2)
  })

  it('takes no more of one origin than it may have', async () => {
    const origin = town.at(newHost())
    const bazaar = open({ perOrigin: 2 })
    const states: string[] = []
    for (const path of ['a', 'b', 'c']) states.push((await bazaar.register({ url: town.put(`${origin}/${path}`, {}) })).reason)
    expect(states).toEqual(['live', 'live', 'too_many'])
    expect((await bazaar.register({ url: `${origin}/a` })).reason).toBe('live')
    // A stranger who has nothing looked at takes nobody's place.
    const other = town.at(newHost())
    for (const path of ['x', 'y', 'z']) expect((await bazaar.register({ url: `${other}/${path}` })).reason).toBe('no_402')
    expect((await bazaar.listing({ url: `${other}/z` })).state).toBe('unknown')
    expect((await bazaar.register({ url: town.put(`${other}/a`, {}) })).reason).toBe('live')
  })
})

function redirect(location: string): Page {
  return (_, response) => response.writeHead(302, { location }).end()
}

function bare(required: object): Page {
  return (_, response) => response.writeHead(402, { 'PAYMENT-REQUIRED': Buffer.from(JSON.stringify(required)).toString('base64') }).end()
}
