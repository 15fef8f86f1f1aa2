import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attacks, hostileMarket } from '../fixtures/hostile.ts'
import { market, opinions } from '../fixtures/market.ts'
import { seed, sourceOf } from '../fixtures/seeded.ts'
import { createPages } from './pages.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-pages-'))
const store = sqliteStore(join(folder, 'bazaar.db'))
const tale = 'https://api.taleworks.example/v1/tell'
const errors: unknown[] = []
const pages = createPages(sourceOf(store.catalogue, new Map([[`POST ${tale}`, opinions]])), { onError: (error) => errors.push(error) })

beforeAll(async () => {
  for (const one of [...market, ...hostileMarket.slice(2)]) await seed(store.catalogue, one)
  for (let index = 0; index < 25; index += 1) {
    await seed(store.catalogue, {
      url: `https://archive.example/${index}`,
      name: `Volume ${index}`,
      category: 'media.text',
      amount: '700000',
    })
  }
  await seed(store.catalogue, { url: 'https://gone.example/x', name: 'Gone' }, 'dead')
  await seed(store.catalogue, { url: 'https://inside.example/x', name: 'Inside' }, 'blocked_address')
})
afterAll(async () => {
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
    expect(errors).toEqual([])
  })

  it('says what to do where there is nothing', async () => {
    const markup = await read('/?query=xyzzy&category=ai')
    expect(seen(markup)).toContain('Nothing matches')
    expect(markup).toContain('href="/?query=xyzzy"')
    const address = await read('/?query=https%3A%2F%2Fgone.example%2Fx')
    expect(address).toContain('href="/resource?url=https%3A%2F%2Fgone.example%2Fx')
    const empty = createPages({
      ...sourceOf(store.catalogue),
      list: async () => ({ x402Version: 2, items: [], pagination: { limit: 20, offset: 0, total: 0 } }),
    })
    expect(seen(await (await empty(new Request('https://bazaar.example/'))).text())).toContain('Nothing is listed yet')
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
      'Weight 0.92',
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
      expect(seen(markup).length).toBeLessThan(60_000)
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

  it('takes a resource in and leads to its page', async () => {
    const answer = await send({ url: ' https://new.example/thing ', method: '', name: '', description: '', category: '', tags: '' })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/resource?url=https%3A%2F%2Fnew.example%2Fthing&method=GET'])
    expect(seen(await read(answer.headers.get('location') ?? ''))).toContain('This is about to be looked at')
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
    expect((await send({ url: 'https://other.example/x' }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await ask(resource('https://other.example/x'))).status).toBe(404)
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
    const reason = new Error('secret of the database')
    const told: unknown[] = []
    const broken = createPages(
      { ...sourceOf(store.catalogue), list: () => Promise.reject(reason) },
      { onError: (error) => told.push(error) },
    )
    const answer = await broken(new Request('https://bazaar.example/'))
    expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('cache-control')]).toEqual([503, '5', 'no-store'])
    expect(await answer.text()).not.toContain('secret')
    expect(told).toEqual([reason])
  })
})
