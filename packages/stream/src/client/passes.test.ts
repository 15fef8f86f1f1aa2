import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTextSigner } from '@flow402x/adapters-evm/receipt'
import { createClient } from '@flow402x/client'
import { memoryStore } from '@flow402x/store/memory'
import { startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { createPasses, type Pass } from '../access/pass.ts'
import { accountOf, viewProver } from '../access/proof.ts'
import { createViews, type Views } from '../access/view.ts'
import { newBuyer, rowOf } from '../fixtures/buyer.ts'
import { channelFacilitator } from '../fixtures/ground.ts'
import { openHlsShop, perSecond } from '../fixtures/hls-shop.ts'
import { memoryPasses, storedPasses, type TextStorage } from './pass-store.ts'
import { keepPasses } from './passes.ts'

const closing: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const passes = createPasses({ secret: 'a secret of the seller, which is long enough', kind: 'view' })
const passFor = (pass: Partial<Pass> = {}) => passes.issue({ sid: 'viewer', resource: '/film', exp: Date.now() + 60_000, ...pass })

/** Something that answers, and notes which pass each request showed. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const shown: string[] = []
  const server = createServer((request, response) => {
    shown.push(`${request.url} ${request.headers['payment-pass'] ?? '-'}`)
    void answer(request, response)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  // Of a server that listens on a port it is the address.
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, shown }
}

/** Gives a pass with whatever is asked for first. */
function givingOnce(pass: string, headers: Record<string, string> = {}) {
  let isFirst = true
  return (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, isFirst ? { 'Payment-Pass': pass, ...headers } : {}).end('ok')
    isFirst = false
  }
}

async function ask(keeping: typeof fetch, ...urls: string[]): Promise<void> {
  for (const url of urls) await (await keeping(url)).text()
}

describe('a view that takes a proof of who paid', () => {
  const key = `0x${'7'.repeat(64)}` as const
  const signer = evmTextSigner(privateKeySigner(key))
  const network = 'eip155:84532'

  async function cinema(views: number) {
    const chain = await startEvmChain()
    closing.push(() => chain.stop())
    const wallets = [evmPaymentWitness({ network, rpcUrl: chain.rpcUrl })]
    let [sold, refused] = [0, 0]
    const { url, shown } = await serve(async (request, response) => {
      const pass = String(request.headers['payment-pass'] ?? '')
      if ((await kept.read(new Headers(pass === '' ? {} : { 'payment-pass': pass }), '/film')) !== undefined) response.end('again')
      else if (pass !== '') {
        refused += 1
        response.writeHead(402).end()
      } else {
        sold += 1
        const { headers } = await kept.grant({ resource: '/film', viewer: accountOf(network, signer.address), purchase: `${sold}` })
        response.writeHead(200, Object.fromEntries(headers)).end('first')
      }
    })
    const store = memoryStore()
    const kept: Views = createViews({ secret: 's'.repeat(32), ttl: 3600, kept: { store, origin: url, views, lasts: 0, wallets } })
    return { url, shown, sold: () => sold, refused: () => refused }
  }

  it('is proven where a pass alone is refused, and from then on at once', async () => {
    verifies(['FS1-KEPT-PASSES', 'FS1-VIEW-GRANT'])
    const shop = await cinema(4)
    const keeping = keepPasses({ prove: viewProver({ signer, network }) })
    const seen: string[] = []
    for (let at = 0; at < 4; at++) seen.push(await (await keeping(`${shop.url}/film`)).text())
    expect([seen, shop.sold(), shop.refused()]).toEqual([['first', 'again', 'again', 'again'], 1, 1])
    // All views are used: the pass is dropped, and the next request buys.
    expect([(await keeping(`${shop.url}/film`)).status, await (await keeping(`${shop.url}/film`)).text()]).toEqual([402, 'first'])
  })

  it('is not bought again where requests of one page or of two overtake each other', async () => {
    verifies(['FS1-KEPT-PASSES', 'FS1-VIEW-GRANT'])
    const shop = await cinema(100)
    const held: (() => void)[] = []
    let holds = 0
    // The first of each round is on its way until the others have arrived.
    const slow: typeof fetch = async (input, init) => {
      if (holds-- > 0) await new Promise<void>((resolve) => held.push(resolve))
      return fetch(input, init)
    }
    const prove = viewProver({ signer, network })
    const pages = [keepPasses({ prove, fetch: slow }), keepPasses({ prove: viewProver({ signer, network }), fetch: slow })]
    for (const page of pages) await ask(page, `${shop.url}/film`, `${shop.url}/film`)
    const sold = shop.sold()
    for (let round = 0; round < 3; round += 1) {
      holds = 1
      const asked = [0, 1, 0, 1].map(async (page) => (await pages[page]?.(`${shop.url}/film`))?.status)
      expect(await Promise.all(asked.slice(1))).toEqual([200, 200, 200])
      held.shift()?.()
      expect(await asked[0]).toBe(200)
    }
    expect(shop.sold()).toBe(sold)
  })

  it('is bought again by who cannot prove it, and a body is sent once', async () => {
    verifies('FS1-KEPT-PASSES')
    const shop = await cinema(4)
    const [keeping, proving] = [keepPasses(), keepPasses({ prove: viewProver({ signer, network }) })]
    await ask(keeping, `${shop.url}/film`)
    expect([(await keeping(`${shop.url}/film`)).status, shop.shown.length]).toEqual([402, 2])
    await ask(proving, `${shop.url}/film`)
    expect([(await proving(`${shop.url}/film`, { method: 'POST', body: 'x' })).status, shop.shown.length]).toEqual([402, 4])
  })
})

it('is kept by a client whose requests it lets through', async () => {
  verifies('FS1-KEPT-PASSES')
  const pass = await passFor()
  const shop = await serve(givingOnce(pass))
  const localStorage = pageStorage()
  const schemes = [exactEvmClient({ signer: privateKeySigner(`0x${'1'.repeat(64)}`) })]
  const client = createClient({ schemes, fetch: keepPasses({ store: storedPasses(localStorage) }) })
  await ask(client.fetch, `${shop.url}/film`, `${shop.url}/film`)
  expect(shop.shown).toEqual(['/film -', `/film ${pass}`])
})

/** What a page keeps in its storage. */
function pageStorage(): TextStorage & { readonly texts: Map<string, string> } {
  const texts = new Map<string, string>()
  return {
    texts,
    getItem: (name) => texts.get(name) ?? null,
    setItem: (name, text) => void texts.set(name, text),
    removeItem: (name) => void texts.delete(name),
  }
}

describe('a pass that was paid for', () => {
  it('opens its window again for nothing, after a reload too, and is bought again when it is over', async () => {
    verifies('FS1-KEPT-PASSES')
    const chain = await startEvmChain()
    closing.push(() => chain.stop())
    const facilitator = await channelFacilitator(chain)
    closing.push(() => facilitator.close())
    const time = { now: Date.now() }
    const now = () => time.now
    const shop = await openHlsShop({ chain, facilitator, way: 'edge', clock: now })
    closing.push(() => shop.close())
    const storage = pageStorage()
    const page = (store: Parameters<typeof newBuyer>[1] = {}) =>
      newBuyer(chain, { ...store, fetch: keepPasses({ store: storedPasses(storage), now }) })
    const { client } = page()
    const charged = async () => (await rowOf(shop.store, 'receiver'))?.charged
    const open = async (one = client) => (await one.fetch(`${shop.url}/news`)).status
    expect([await open(), await open(), await charged()]).toEqual([200, 200, 2n * perSecond])
    // Another page of the same browser has the same storage, and no other books.
    expect([await open(page().client), await charged()]).toEqual([200, 2n * perSecond])
    time.now += 2000
    expect([await open(), await charged()]).toEqual([200, 4n * perSecond])
  })

  it('is shown to the origin that gave it, for what it opens, and to nobody and for nothing else', async () => {
    verifies('FS1-KEPT-PASSES')
    const pass = await passFor({ resource: '/film/' })
    const shop = await serve(givingOnce(pass))
    const other = await serve((_, response) => response.end('ok'))
    const keeping = keepPasses()
    await ask(
      keeping,
      `${shop.url}/film/1`,
      `${shop.url}/film/2?x=1`,
      `${shop.url}/films`,
      `${shop.url}/film/../key`,
      `${other.url}/film/1`,
    )
    expect(shop.shown).toEqual(['/film/1 -', `/film/2?x=1 ${pass}`, '/films -', '/key -'])
    expect(other.shown).toEqual(['/film/1 -'])
  })

  it('is kept where it is shown below its path and refused there: that was never bought', async () => {
    verifies('FS1-KEPT-PASSES')
    const views = createViews({ secret: 'a secret of the seller, which is long enough' })
    let sold = 0
    const shop = await serve(async (request, response) => {
      const path = String(request.url)
      if ((await views.read(new Headers({ 'payment-pass': String(request.headers['payment-pass'] ?? '') }), path)) !== undefined)
        return response.end('again')
      if (path !== '/films/') return response.writeHead(402).end()
      sold += 1
      response.writeHead(200, Object.fromEntries((await views.grant({ resource: path, viewer: 'me' })).headers)).end('first')
    })
    const keeping = keepPasses()
    await ask(keeping, `${shop.url}/films/`, `${shop.url}/films/dear`, `${shop.url}/films/`)
    expect([sold, shop.shown.length]).toEqual([1, 3])
  })

  it('goes to nobody else by a redirect', async () => {
    verifies('FS1-KEPT-PASSES')
    const pass = await passFor()
    const other = await serve((_, response) => response.end('ok'))
    let isFirst = true
    const shop = await serve((_, response) => {
      if (isFirst) response.writeHead(200, { 'Payment-Pass': pass }).end()
      else response.writeHead(307, { Location: `${other.url}/film` }).end()
      isFirst = false
    })
    const keeping = keepPasses()
    await ask(keeping, `${shop.url}/film`)
    await expect(keeping(`${shop.url}/film`)).rejects.toThrow()
    expect((await keeping(`${shop.url}/film`, { redirect: 'manual' })).status).toBe(307)
    expect([shop.shown[1], other.shown]).toEqual([`/film ${pass}`, []])
  })

  it('is shown no millisecond after its end, by the time that is left and by no clock but this one', async () => {
    verifies(['FS1-KEPT-PASSES', 'T7'])
    const hour = 3_600_000
    const clock = { now: 1_000_000 }
    // Its maker's clock is an hour ahead, and says so.
    const late = await passFor({ exp: clock.now + hour + 5000 })
    const given: [string, Record<string, string>, number][] = [
      [await passFor({ exp: 9_999_999_999_999 }), { 'Payment-Stream': 'v=1; ttl=4.5' }, 4500],
      [late, { Date: new Date(clock.now + hour).toUTCString() }, 4000],
      [late, { Date: 'never' }, hour + 5000],
    ]
    for (const [pass, headers, life] of given) {
      const shop = await serve(givingOnce(pass, headers))
      clock.now = 1_000_000
      const keeping = keepPasses({ now: () => clock.now })
      await ask(keeping, `${shop.url}/film`)
      clock.now += life - 1
      await ask(keeping, `${shop.url}/film`)
      clock.now += 1
      await ask(keeping, `${shop.url}/film`)
      expect(shop.shown).toEqual(['/film -', `/film ${pass}`, '/film -'])
    }
  })

  it.each([402, 403])('is dropped where it is answered %i', async (status) => {
    verifies('FS1-KEPT-PASSES')
    const pass = await passFor()
    let count = 0
    const shop = await serve((_, response) => {
      count += 1
      response.writeHead(count === 1 ? 200 : status, count === 1 ? { 'Payment-Pass': pass } : {}).end()
    })
    const keeping = keepPasses()
    await ask(keeping, `${shop.url}/film`, `${shop.url}/film`, `${shop.url}/film`)
    expect(shop.shown).toEqual(['/film -', `/film ${pass}`, '/film -'])
  })

  it('is nothing that is over, malformed, or came with an answer that gave nothing', async () => {
    verifies('FS1-KEPT-PASSES')
    const good = await passFor()
    const bad: [string, number][] = [
      [await passFor({ exp: Date.now() - 1 }), 200],
      [`${good}=`, 200],
      [`${'A'.repeat(3000)}.${'A'.repeat(43)}`, 200],
      [`AAAA.${'A'.repeat(43)}`, 200],
      [good, 402],
    ]
    for (const [pass, status] of bad) {
      const shop = await serve((_, response) => response.writeHead(status, { 'Payment-Pass': pass }).end())
      await ask(keepPasses(), `${shop.url}/film`)
      await ask(keepPasses(), `${shop.url}/film`)
      expect(shop.shown).toEqual(['/film -', '/film -'])
    }
  })

  it('gives way to one that the caller shows', async () => {
    verifies('FS1-KEPT-PASSES')
    const shop = await serve(givingOnce(await passFor()))
    const keeping = keepPasses()
    await ask(keeping, `${shop.url}/film`)
    await (await keeping(new Request(`${shop.url}/film`, { headers: { 'Payment-Pass': 'mine' } }))).text()
    expect(shop.shown).toEqual(['/film -', '/film mine'])
  })
})

describe('what keeps passes', () => {
  const kept = { origin: 'https://a.example', resource: '/film', pass: 'x.y', until: 5 }

  it('keeps one for each resource of an origin, and as many as a page needs', async () => {
    verifies('FS1-KEPT-PASSES')
    const store = memoryPasses()
    for (const resource of ['/a', '/b', '/a']) await store.keep({ ...kept, resource, pass: `new ${resource}` })
    await store.keep({ ...kept, origin: 'https://b.example' })
    expect(await store.list('https://a.example')).toEqual([
      { ...kept, resource: '/b', pass: 'new /b' },
      { ...kept, resource: '/a', pass: 'new /a' },
    ])
    await store.drop({ origin: 'https://a.example', resource: '/a' })
    for (let at = 0; at < 100; at++) await store.keep({ ...kept, resource: `/${at}` })
    const all = await store.list('https://a.example')
    expect([all.length, all.at(-1)?.resource]).toEqual([64, '/99'])
  })

  it('is not believed where somebody else wrote into it', async () => {
    verifies('FS1-KEPT-PASSES')
    const storage = pageStorage()
    const store = storedPasses(storage)
    await store.keep(kept)
    const [name = ''] = storage.texts.keys()
    for (const text of [
      '',
      '{',
      '[1]',
      JSON.stringify([{ ...kept, until: 'late' }]),
      JSON.stringify([{ ...kept, origin: 'https://b.example' }]),
    ]) {
      storage.texts.set(name, text)
      expect(await store.list(kept.origin)).toEqual([])
    }
  })
})
