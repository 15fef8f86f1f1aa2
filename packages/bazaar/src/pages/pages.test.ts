import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attacks, hostileMarket } from '../fixtures/hostile.ts'
import { market, opinions } from '../fixtures/market.ts'
import { seed, seededNow, seedOpinions } from '../fixtures/seeded.ts'
import { openTown, type Town } from '../fixtures/town.ts'
import { type Bazaar, bazaarEndpoint, createBazaar, createPages } from '../server.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-pages-'))
const store = sqliteStore(join(folder, 'bazaar.db'))
const tale = 'https://api.taleworks.example/v1/tell'
const failures: unknown[] = []
let town: Town
let bazaar: Bazaar
let pages: (request: Request) => Promise<Response>

beforeAll(async () => {
  town = await openTown()
  bazaar = createBazaar({ store, fetching: town.fetching, resolveText: async () => [], clock: () => seededNow })
  // As it is served: behind the routes and the limits of the interface.
  const limits = { read: { most: 10_000, every: 1 } }
  pages = bazaarEndpoint(bazaar, { limits, pages: createPages(bazaar, { onEvent: (event) => failures.push(event) }) })
  for (const one of [...market, ...hostileMarket.slice(2)]) await seed(store.catalogue, one)
  for (let index = 0; index < 25; index += 1) {
    await seed(store.catalogue, {
      url: `https://archive.example/${index}`,
      name: `Volume ${index}`,
      category: 'media.text',
      amount: '700000',
    })
  }
  await seedOpinions(store.catalogue, { key: `POST ${tale}`, opinions })
  await seed(store.catalogue, { url: 'https://gone.example/x', name: 'Gone' }, 'dead')
  await seed(store.catalogue, { url: 'https://inside.example/x', name: 'Inside' }, 'blocked_address')
})
afterAll(async () => {
  await bazaar.close()
  await town.close()
  await store.close()
  rmSync(folder, { recursive: true })
})

const ask = (path: string, init?: RequestInit) => pages(new Request(`https://bazaar.example${path}`, init))
const read = async (path: string) => (await ask(path)).text()
/** What a reader sees of markup: its text, without tags. */
const seen = (markup: string) =>
  markup
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
    .replace(/\s+/g, ' ')
const names = (markup: string) => [...markup.matchAll(/<h2><a[^>]*>(.*?)<\/a>/g)].map(([, name = '']) => seen(name).trim())
const resource = (url: string, method = 'GET') => `/resource?${new URLSearchParams({ url, method })}`

describe('the page of a search', () => {
  it('finds by words and by every filter, by address alone', async () => {
    verifies(['BAZAAR-PAGES', 'BAZAAR-SEARCH'])
    expect(names(await read('/?query=weather'))).toEqual(['Meteo Now'])
    expect(names(await read('/?category=ai&network=&asset=&query='))).toHaveLength(3)
    expect(names(await read('/?category=AI.image-generation'))).toEqual(['Paletteer'])
    expect(names(await read('/?maxPrice=%240.001&verified=true'))).toEqual(['Meteo Now'])
    expect(names(await read('/?network=solana%3A5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp&category=ai')).sort()).toEqual(['Paletteer', 'Taleworks'])
    expect(names(await read('/?unit=second'))).toEqual(['Courtside, camera one'])
    expect(names(await read('/?transport=sse'))).toEqual(['Northlight Chat'])
    expect(names(await read('/?type=mcp'))).toEqual(['Ledgerly'])
    expect(names(await read('/?asset=USDC&category=data&sort=price'))).toEqual(['Meteo Now', 'Ledgerly'])
    expect(names(await read('/?healthy=true&category=ai.image-generation'))).toEqual([])
  })

  it('shows price, unit, health, payers and owner of each', async () => {
    verifies('BAZAAR-STREAMS')
    expect(seen(await read('/?query=weather'))).toContain('$0.001 per request')
    expect(seen(await read('/?query=weather'))).toMatch(
      /Healthy ★ 4\.9 of 5 stars, by 114 payers 342 independent payers Verified owner data\.weather Base/,
    )
    expect(seen(await read('/?unit=second'))).toMatch(/\$0\.01 per second/)
    expect(seen(await read('/?unit=token'))).toMatch(/about \$0\.3333 per million tokens/)
  })

  it('has as many pages as it takes, each with links to those beside it', async () => {
    const first = await read('/?query=volume&category=media.text')
    expect(names(first)).toHaveLength(20)
    expect(seen(first)).toContain('More than 20 resources')
    expect(first).toContain('rel="next" href="/?query=volume&#38;category=media.text&#38;page=2"')
    const second = await read('/?query=volume&category=media.text&page=2')
    expect(names(second)).toHaveLength(5)
    expect(seen(second)).toContain('25 resources for “ volume ”, page 2')
    expect(second).toContain('rel="prev" href="/?query=volume&#38;category=media.text"')
    expect(new Set([...names(first), ...names(second)]).size).toBe(25)
    expect(seen(await read('/?category=media.text&page=3'))).toContain('There is no such page')
  })

  it('takes what it can read and says what it cannot', async () => {
    const markup = await read('/?maxPrice=cheap&query=weather')
    expect(seen(markup)).toContain('The highest price is a number such as 0.05; “ cheap ” was left out')
    expect(markup).toContain('value="cheap"')
    expect(names(markup)).toEqual(['Meteo Now'])
    for (const path of [
      '/?page=-1',
      '/?page=1e9',
      '/?page=NaN',
      `/?query=${'x'.repeat(5000)}`,
      '/?sort=worst',
      '/?type=%00',
      '/?tag=%27%22',
    ]) {
      expect((await ask(path)).status, path).toBe(200)
    }
    expect(failures).toEqual([])
  })

  it('says what to do where there is nothing', async () => {
    const markup = await read('/?query=xyzzy&category=ai')
    expect(seen(markup)).toContain('Nothing matches')
    expect(markup).toContain('href="/?query=xyzzy"')
    const address = await read('/?query=https%3A%2F%2Fgone.example%2Fx')
    expect(address).toContain('href="/resource?url=https%3A%2F%2Fgone.example%2Fx')
    const bare = sqliteStore(join(folder, 'bare.db'))
    const empty = createPages(createBazaar({ store: bare }))
    expect(seen(await (await empty(new Request('https://bazaar.example/'))).text())).toContain('Nothing is listed yet')
    await bare.close()
  })
})

describe('the page of a resource', () => {
  it('says price, offers, payee, health, ratings, owner and how to call it', async () => {
    const page = seen(await read(resource(tale, 'POST')))
    for (const text of [
      '$0.005 per request',
      'USDC Base exact 0x7099…79C8 0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
      'USDC Solana exact 7v91…6y1Q',
      'Answered in 1,840 ms 21 Nov 2026, 11:52 UTC',
      'It answers with a 402 whose offers are listed.',
      '4.7 of 5, by 43 wallets that paid; together their word weighs 30.1. 128 independent wallets paid.',
      'bedtime stories',
      'Weight 0.82',
      'by its .well-known/x402',
      "npx flow402x pay 'https://api.taleworks.example/v1/tell' \\ -H 'content-type: application/json' \\ -d '{\"prompt\":\"A lighthouse that keeps time\",\"words\":300}' \\ --max '$0.005'",
      'Limit, says its seller 100/hour',
    ]) {
      expect(page).toContain(text)
    }
  })

  it('says of a stream its rate, its window and what that comes to', async () => {
    verifies('BAZAAR-STREAMS')
    const page = seen(await read(resource('https://live.courtside.example/cam/1')))
    for (const text of ['Rate 0.01 USD/second', 'Window 10 seconds ahead, at most $0.10', 'Travels by hls, window, ws'])
      expect(page).toContain(text)
  })

  it('tells the tools of one server apart', async () => {
    const url = 'https://tools.ledgerly.example/mcp'
    await seed(store.catalogue, { url, method: 'POST', name: 'Charts', input: { type: 'mcp', toolName: 'draw chart' } })
    for (const [tool, name] of [
      ['ask_filing', 'Ledgerly'],
      ['draw chart', 'Charts'],
    ] as const) {
      expect(await read(resource(`${url}#${tool}`, 'MCP')), tool).toContain(`<h1><bdi>${name}</bdi></h1>`)
    }
  })

  it('shows the configuration of an MCP tool', async () => {
    const page = seen(await read(resource('https://tools.ledgerly.example/mcp#ask_filing', 'MCP')))
    expect(page).toContain('"ledgerly": { "type": "http", "url": "https://tools.ledgerly.example/mcp" }')
    expect(page).not.toContain('npx flow402x pay')
  })

  it('says why something is not listed', async () => {
    verifies('H12')
    const gone = await ask(resource('https://gone.example/x'))
    expect(gone.status).toBe(200)
    expect(seen(await gone.text())).toMatch(
      /This listing was removed https:\/\/gone\.example\/x Its probes have failed for too long\. Reason dead Since 20 Nov 2026, 12:00 UTC/,
    )
    expect(seen(await read(resource('https://inside.example/x')))).toMatch(
      /This was not listed .* Its name leads to an address that is not public/,
    )
    const unknown = await ask(resource('https://never.example/x'))
    expect(unknown.status).toBe(404)
    const markup = await unknown.text()
    expect(seen(markup)).toContain('Nobody has listed this here')
    expect(markup).toContain('href="/register?url=https%3A%2F%2Fnever.example%2Fx"')
    expect(markup).toContain('<meta name="robots" content="noindex">')
    expect((await ask('/resource')).headers.get('location')).toBe('/')
    for (const url of ['javascript:alert(1)', 'nonsense', `https://x.example/${'a'.repeat(3000)}`])
      expect((await ask(resource(url))).status).toBe(404)
  })
})

describe('what strangers wrote', () => {
  const known = new Set([
    'html',
    'head',
    'meta',
    'title',
    'link',
    'script',
    'body',
    'a',
    'header',
    'div',
    'svg',
    'path',
    'circle',
    'nav',
    'button',
    'span',
    'main',
    'footer',
    'p',
    'form',
    'h1',
    'h2',
    'h3',
    'label',
    'input',
    'details',
    'summary',
    'datalist',
    'option',
    'select',
    'section',
    'strong',
    'ol',
    'ul',
    'li',
    'article',
    'aside',
    'bdi',
    'pre',
    'code',
    'table',
    'thead',
    'tbody',
    'tr',
    'th',
    'td',
    'dl',
    'dt',
    'dd',
    'time',
    'blockquote',
  ])

  it.each(Object.entries(attacks))('is text: %s', async (name, text) => {
    verifies('A21')
    const where = hostileMarket.find(({ url }) => url.includes(`/${name}/`))?.url ?? ''
    const asked = new URLSearchParams({ query: text, tag: text, category: text, maxPrice: text })
    for (const path of ['/?query=hostile', resource(new URL(where).href, 'POST'), `/?${asked}`, `/register?url=${asked.get('tag')}`]) {
      const markup = await read(path)
      expect(markup.match(/<script/g), path).toHaveLength(1)
      expect(markup.replace(/="[^"]*"/g, '=""')).not.toMatch(/<[^>]*\son\w+=/i)
      expect([...markup.matchAll(/<\/?([a-z0-9]+)/gi)].map(([, tag = '']) => tag.toLowerCase()).filter((tag) => !known.has(tag))).toEqual(
        [],
      )
      expect(
        [...markup.matchAll(/\s(?:href|action|src)="([^"]*)"/g)]
          .map(([, to = '']) => to)
          .filter((to) => !/^(?:\/(?!\/)|#|https:\/\/)/.test(to)),
      ).toEqual([])
      expect(markup).not.toMatch(/[\u202A-\u202E\u2066-\u2069\u200B]/)
      expect(markup.length).toBeLessThan(40_000)
    }
  })

  it('is linked without credit, and nothing is loaded from it', async () => {
    const markup = await read(resource(tale, 'POST'))
    expect(markup).toContain(`<a href="${tale}" rel="nofollow noopener noreferrer ugc">`)
    const { headers } = await ask('/')
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })
})

describe('registration', () => {
  const send = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
    ask('/register', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields),
    })

  it('looks at a resource, lists it and leads to its page', async () => {
    const url = town.put(`${town.at('new')}/thing`, { resource: { url: '', serviceName: 'A new thing' } })
    const answer = await send({ url: ` ${url} `, method: '', name: 'Ignored', description: 'Said', category: 'tools', tags: 'one, two' })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, resource(url)])
    const page = seen(await read(resource(url)))
    for (const text of ['A new thing', 'Said', 'tools one two', '$0.01 per request', 'USDC Base Sepolia exact'])
      expect(page).toContain(text)
  })

  it('says why something is not listed', async () => {
    verifies('H12')
    const answer = await send({ url: `${town.at('new')}/nothing` })
    expect(answer.status).toBe(303)
    expect(seen(await read(answer.headers.get('location') ?? ''))).toMatch(/This was not listed .* It answers, but with no 402/)
    const odd = await send({ url: 'ftp://new.example/thing' })
    expect([odd.status, seen(await odd.text())]).toEqual([422, expect.stringContaining('It is no URL that can be listed.')])
  })

  it('keeps what was written where something is wrong, and says what', async () => {
    const answer = await send({ url: 'new.example', category: 'Not A Category!', name: '"><b>' })
    const markup = await answer.text()
    expect(answer.status).toBe(422)
    expect(seen(markup)).toContain('Some fields need another look: URL Category')
    expect(markup).toContain('value="new.example"')
    expect(markup).toContain('value="&#34;&#62;&#60;b&#62;"')
    expect(markup.match(/aria-invalid="true"/g)).toHaveLength(2)
  })

  it('is not sent by another site', async () => {
    const url = town.put(`${town.at('other')}/x`, {})
    expect((await send({ url }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await ask(resource(url))).status).toBe(404)
  })

  it('is bounded: in size, and in how often one caller may', async () => {
    expect((await send({ url: 'x', name: 'x'.repeat(70_000) })).status).toBe(413)
    const few = bazaarEndpoint(bazaar, { pages: createPages(bazaar), limits: { write: { most: 1, every: 60_000 } } })
    const post = () => few(new Request('https://bazaar.example/register', { method: 'POST', body: new URLSearchParams({ url: 'x' }) }))
    expect([(await post()).status, (await post()).status]).toEqual([422, 429])
  })
})

describe('answers', () => {
  it('come without a body to who has it', async () => {
    const first = await ask('/')
    const etag = first.headers.get('etag') ?? ''
    expect(first.headers.get('cache-control')).toBe('public, no-cache')
    const again = await ask('/', { headers: { 'if-none-match': `"other", W/${etag}` } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect((await ask('/?query=weather', { headers: { 'if-none-match': etag } })).status).toBe(200)
    const [, style = ''] = /href="(\/assets\/[^"]+\.css)"/.exec(await first.text()) ?? []
    const file = await ask(style)
    expect([file.headers.get('content-type'), file.headers.get('cache-control')]).toEqual([
      'text/css; charset=utf-8',
      'public, max-age=31536000, immutable',
    ])
    expect((await ask('/assets/0.css')).status).toBe(404)
  })

  it('are none to other methods, and pages where there is nothing', async () => {
    expect(await (await ask('/', { method: 'HEAD' })).text()).toBe('')
    expect((await ask('/', { method: 'DELETE' })).status).toBe(405)
    const lost = await ask('/no/such/page')
    expect(lost.status).toBe(404)
    expect(seen(await lost.text())).toContain('There is no page here')
  })

  it('say that the catalogue is out of order, and nothing of why', async () => {
    const closed = sqliteStore(join(folder, 'closed.db'))
    await closed.close()
    const told: unknown[] = []
    const broken = createPages(createBazaar({ store: closed }), { onEvent: (event) => told.push(event) })
    const answer = await broken(new Request('https://bazaar.example/'))
    expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('cache-control')]).toEqual([503, '5', 'no-store'])
    expect(seen(await answer.text())).toMatch(
      /The catalogue did not answer This is not your doing\. Try again in a moment\. Search the bazaar/,
    )
    expect(told).toEqual([{ type: 'failed', what: 'request', error: expect.any(Error) }])
  })
})
