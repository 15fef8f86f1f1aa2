import { bazaarRoutes, type ListingNotice } from '@flow402x/core/bazaar'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { allBooks, type Books, offer, openTown, type Town } from '../fixtures/town.ts'
import { type Bazaar, createBazaar, type ServedBazaar, type ServeOptions, serveBazaar } from '../server.ts'

let town: Town
let books: Books
let store: Awaited<ReturnType<Books['open']>>
let bazaar: Bazaar
const served: ServedBazaar[] = []
beforeAll(async () => {
  town = await openTown()
  const openBooks = allBooks.SQLite
  if (openBooks === undefined) throw new TypeError('there are no such books')
  books = await openBooks()
  store = await books.open()
  bazaar = createBazaar({ store, fetching: town.fetching, resolveText: async () => [], tick: 50 })
})
afterAll(async () => {
  for (const one of served) await one.close()
  await bazaar.close()
  await store.close()
  await books.close()
  await town.close()
})

async function open(options: ServeOptions = {}): Promise<string> {
  const one = await serveBazaar(bazaar, { limits: { read: { most: 1000, every: 1 }, write: { most: 1000, every: 1 } }, ...options })
  served.push(one)
  return one.url
}
const post = (url: string, body: unknown) =>
  fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  })
const answerOf = async (response: Response) => ({ status: response.status, body: await response.json() })

describe('a bazaar over HTTP', () => {
  it('answers the discovery of the standard as it is written, below any base path', async () => {
    verifies('BAZAAR-SEARCH')
    const url = await open()
    const resource = town.put(`${town.at('standard')}/x`, { resource: { url: '', description: 'quokka pictures' } })
    expect(await answerOf(await post(`${url}${bazaarRoutes.register.path}`, { url: resource }))).toMatchObject({
      status: 200,
      body: { state: 'listed' },
    })
    const listed = await fetch(
      `${url}/base/discovery/resources?type=http&payTo=${offer().payTo}&scheme=exact&network=eip155:84532&limit=5&offset=0`,
    )
    expect(listed.headers.get('access-control-allow-origin')).toBe('*')
    expect(await answerOf(listed)).toMatchObject({
      status: 200,
      body: {
        x402Version: 2,
        items: [
          { resource, type: 'http', x402Version: 2, accepts: [offer()], lastUpdated: expect.any(String), description: 'quokka pictures' },
        ],
        pagination: { limit: 5, offset: 0, total: 1 },
      },
    })
    expect(await answerOf(await fetch(`${url}/discovery/search?query=quokka&limit=5`))).toMatchObject({
      status: 200,
      body: { x402Version: 2, resources: [{ resource }], pagination: { limit: 5, cursor: null } },
    })
    expect(await answerOf(await fetch(`${url}/listing?url=${encodeURIComponent(resource)}`))).toMatchObject({
      status: 200,
      body: { state: 'listed' },
    })
  })

  it.each([
    ['GET', '/discovery/search', 400],
    ['GET', '/discovery/search?query=', 400],
    ['GET', '/discovery/search?query=a&limit=0', 400],
    ['GET', '/discovery/search?query=a&limit=101', 400],
    ['GET', '/discovery/search?query=a&cursor=x', 400],
    ['GET', '/discovery/resources?offset=-1', 400],
    ['GET', '/discovery/resources?limit=1.5', 400],
    ['GET', '/discovery/resources?maxPrice=1e3', 400],
    ['GET', '/discovery/resources?category=../x', 400],
    ['GET', '/discovery/resources?type=ftp', 400],
    ['GET', '/listing', 400],
    ['GET', '/nothing', 404],
    ['DELETE', '/discovery/resources', 405],
    ['POST', '/discovery/resources', 405],
    ['GET', '/discovery/register', 405],
  ])('%s %s is %i, as a problem', async (method, path, status) => {
    const response = await fetch(`${await open()}${path}`, { method })
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await answerOf(response)).toMatchObject({
      status,
      body: { status, code: expect.stringMatching(/^request\//), moneyMoved: 'no' },
    })
    if (status === 405) expect(response.headers.get('allow')).toMatch(/GET|POST/)
  })

  it.each([
    ['no JSON', 'nonsense', 400],
    ['nothing', '', 400],
    ['no URL', {}, 400],
    ['a method of no use', { url: 'https://a.example/', method: 'TRACE' }, 400],
    ['too much text', { url: 'https://a.example/', description: 'a'.repeat(2001) }, 400],
    ['too large a body', { url: 'https://a.example/', name: 'a'.repeat(70_000) }, 413],
  ])('refuses a registration with %s', async (_, body, status) => {
    verifies('A21')
    expect(await answerOf(await post(`${await open()}/discovery/register`, body))).toMatchObject({
      status,
      body: { code: expect.stringMatching(/^request\//) },
    })
  })

  it('lets one caller do so much, and others none the less', async () => {
    verifies('BAZAAR-LIMITS')
    const url = await open({ callerHeader: 'x-real-ip', limits: { read: { most: 3, every: 60_000 }, write: { most: 1, every: 60_000 } } })
    const ask = (ip: string) => fetch(`${url}/discovery/resources`, { headers: { 'x-real-ip': ip } })
    const statuses: number[] = []
    for (let index = 0; index < 5; index += 1) statuses.push((await ask('1.1.1.1')).status)
    expect(statuses).toEqual([200, 200, 200, 429, 429])
    expect((await ask('1.1.1.1')).headers.get('retry-after')).toBe('60')
    expect((await ask('2.2.2.2')).status).toBe(200)
    const write = () => post(`${url}/discovery/register`, { url: 'nonsense' })
    expect([(await write()).status, (await write()).status]).toEqual([200, 429])
  })

  it('describes itself by the table that it answers from', async () => {
    const { status, body } = await answerOf(await fetch(`${await open()}/openapi.json`))
    expect(status).toBe(200)
    const paths = new Set(Object.values(bazaarRoutes).map(({ path }) => path))
    expect(new Set(Object.keys(body.paths))).toEqual(paths)
    expect(body.paths['/discovery/search'].get.parameters).toContainEqual(expect.objectContaining({ name: 'query', required: true }))
    expect(Object.keys(body.paths['/discovery/ratings'])).toEqual(['post', 'get'])
    expect(body.paths['/discovery/register'].post.requestBody.content['application/json'].schema.required).toEqual(['url'])
  })

  it('lists what a settled payment names, or says why not, within a minute', async () => {
    verifies(['H12', 'H41'])
    bazaar.start()
    const pay = (url: string, change: object = {}): Promise<ListingNotice> => {
      const extensions = { bazaar: { info: { input: { type: 'http', method: 'GET' } } }, ...change }
      const payment = { x402Version: 2 as const, resource: { url }, accepted: offer(), payload: {}, extensions }
      const outcome = { status: 'settled', transaction: '0x1', network: 'eip155:84532' } as const
      return bazaar.feed.announce({ submission: { payment, requirements: offer() }, outcome })
    }
    const state = async (url: string) => {
      const { state, reason } = await bazaar.listing({ url })
      return { state, reason }
    }
    const live = town.put(`${town.at('feed')}/live`, {})
    const gone = `${town.at('feed')}/gone`
    const hidden = town.put(`${town.at('feed')}/hidden`, {
      extensions: { bazaar: { info: { input: { type: 'http' } }, discoverable: false } },
    })
    const inside = 'https://169.254.169.254/latest'
    for (const url of [live, gone, hidden, inside])
      expect(await pay(`${url}?order=7`)).toEqual({ status: 'processing', reason: 'probe_pending' })
    await vi.waitFor(async () => {
      expect(await Promise.all([live, gone, hidden, inside].map(state))).toEqual([
        { state: 'listed', reason: 'live' },
        { state: 'rejected', reason: 'no_402' },
        { state: 'rejected', reason: 'hidden' },
        { state: 'rejected', reason: 'blocked_address' },
      ])
    })
    expect(await pay(live)).toEqual({ status: 'success', reason: 'live' })
    expect(await pay('nonsense')).toEqual({ status: 'rejected', reason: 'bad_url' })
    // Whoever pays another for it has not paid its seller.
    town.put(live, { accepts: [offer({ payTo: `0x${'5'.repeat(40)}` })] })
    await bazaar.register({ url: live })
    expect(await pay(live)).toEqual({ status: 'rejected', reason: 'pay_to_mismatch' })
    town.put(gone, {})
    expect(await pay(gone)).toEqual({ status: 'processing', reason: 'probe_pending' })
    await vi.waitFor(async () => expect(await state(gone)).toEqual({ state: 'listed', reason: 'live' }), 10_000)
  })
})
