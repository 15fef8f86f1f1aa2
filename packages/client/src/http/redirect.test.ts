import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../engine/client.ts'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, type Seen, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { receiptOf } from './receipt.ts'

const sellers: Seller[] = []
const start: typeof startSeller = async (handler) => {
  const seller = await startSeller(handler)
  sellers.push(seller)
  return seller
}
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

const statuses = [301, 302, 303, 307, 308]
const places = ['the same origin', 'another port', 'another host']
const table = statuses.flatMap((status) => places.map((place) => [status, place] as const))
const secret = { Authorization: 'Bearer secret', Cookie: 'a=b', 'X-Own': 'kept', 'Content-Type': 'text/x-thing' }

/** A seller, its other name, and a second seller on another port. */
async function lay(
  redirect: (seen: Seen, respond: (status: number, target: string) => void, place: (name: string) => string) => boolean,
  goods = false,
) {
  const place = (name: string) => {
    if (name === 'another port') return elsewhere.url
    return name === 'another host' ? elsewhere.url.replace('127.0.0.1', 'localhost') : home.url
  }
  const serve: Parameters<typeof startSeller>[0] = (seen, response) => {
    if (redirect(seen, (status, target) => response.writeHead(status, { Location: target }).end('moved'), place)) return
    if (goods) response.end('goods')
    else if (seen.payment === undefined) ask(response)
    else answer(response, settled)
  }
  const home = await start(serve)
  const elsewhere = await start(serve)
  return { home, elsewhere, place }
}

describe('an unpaid try that is redirected (A19)', () => {
  verifies(['A19', 'H45'])
  it.each(table)('%i to %s: the 402 belongs to where it came from, and only that origin sees the payment', async (status, name) => {
    const { home, elsewhere, place } = await lay(({ url }, respond) => {
      if (url !== '/from') return false
      respond(status, `${place(name)}/to`)
      return true
    })
    const client = createClient({ schemes: [pen()] })
    const response = await client.fetch(`${home.url}/from#part`, { method: 'POST', body: 'hello', headers: secret })
    expect([response.status, response.url, response.redirected]).toEqual([200, `${place(name)}/to`, true])
    const end = name === 'the same origin' ? home : elsewhere
    const paid = [...home.seen, ...elsewhere.seen].filter(({ payment }) => payment !== undefined)
    expect(paid).toEqual([end.seen.at(-1)])
    const toGet = status <= 303
    expect([paid[0]?.url, paid[0]?.method, paid[0]?.body.toString()]).toEqual(['/to', toGet ? 'GET' : 'POST', toGet ? '' : 'hello'])
    const { authorization, cookie, 'x-own': own, 'content-type': type } = paid[0]?.headers ?? {}
    const sameOrigin = name === 'the same origin'
    expect({ authorization, cookie, own, type }).toEqual({
      authorization: sameOrigin ? 'Bearer secret' : undefined,
      cookie: sameOrigin ? 'a=b' : undefined,
      own: 'kept',
      type: toGet ? undefined : 'text/x-thing',
    })
  })

  it.each(statuses)('%i without an offer behaves as fetch does', async (status) => {
    const { home } = await lay(({ url }, respond) => {
      if (url === '/to') return false
      respond(status, 'to')
      return true
    }, true)
    const init = { method: 'POST', body: 'hello', headers: secret }
    const ours = await createClient({ schemes: [pen()] }).fetch(`${home.url}/from`, init)
    const theirs = await fetch(`${home.url}/from`, init)
    expect([ours.url, ours.redirected, ours.status]).toEqual([theirs.url, theirs.redirected, theirs.status])
    const { 'content-length': _, ...last } = home.seen[3]?.headers ?? {}
    const { 'content-length': __, ...first } = home.seen[1]?.headers ?? {}
    expect([home.seen[1]?.method, first]).toEqual([home.seen[3]?.method, last])
  })

  it('respects manual and error, and stops after 20', async () => {
    const { home } = await lay(({ url }, respond) => {
      respond(302, `/${Number(url.slice(1)) + 1}`)
      return true
    })
    const client = createClient({ schemes: [pen()] })
    const manual = await client.fetch(`${home.url}/0`, { redirect: 'manual' })
    expect([manual.status, manual.headers.get('location'), home.seen.length]).toEqual([302, '/1', 1])
    await expect(client.fetch(`${home.url}/0`, { redirect: 'error' })).rejects.toThrow(TypeError)
    home.seen.length = 0
    await expect(client.fetch(`${home.url}/0`)).rejects.toMatchObject({ code: 'client/redirect-refused', moneyMoved: 'no' })
    expect(home.seen.length).toBe(21)
  })

  it('refuses to pay after an https page led to http (A27)', async () => {
    const scheme = pen()
    const { home } = await lay(({ url }, respond) => {
      if (url !== '/from') return false
      respond(307, 'http://shop.example/to')
      return true
    })
    const named: typeof fetch = (input, init) => fetch(String(input).replace(/https?:\/\/shop\.example/, home.url), init)
    await expect(createClient({ schemes: [scheme], fetch: named }).fetch('https://shop.example/from')).rejects.toMatchObject({
      code: 'client/insecure-origin',
    })
    expect(scheme.signed).toEqual([])
  })
})

describe('a paid try that is redirected (A19)', () => {
  verifies(['A19', 'H45'])
  it.each(table)('%i to %s', async (status, name) => {
    const { home, elsewhere, place } = await lay(({ url, payment }, respond) => {
      if (url !== '/from' || payment === undefined) return false
      respond(status, `${place(name)}/to`)
      return true
    })
    const scheme = pen()
    const client = createClient({ schemes: [scheme] })
    const call = client.fetch(`${home.url}/from`, { method: 'POST', body: 'hello' })
    if (name === 'the same origin') {
      expect((await call).status).toBe(200)
      expect([home.seen.at(-1)?.url, home.seen.at(-1)?.payment !== undefined]).toEqual(['/to', true])
    } else {
      await expect(call).rejects.toMatchObject({ code: 'client/paid-redirect-refused', moneyMoved: 'unknown', retry: 'same' })
      expect((await client.spent()).total.reserved).toBe('$0.01')
    }
    expect([elsewhere.seen.length, scheme.signed.length]).toEqual([0, 1])
  })

  it.each(statuses)('%i with a receipt is what was bought: it is followed anywhere, without the payment', async (status) => {
    const goods = await start((_, response) => response.end('goods'))
    const home = await start(({ payment }, response) => {
      if (payment === undefined) ask(response)
      else answer(response, settled, { status, headers: { Location: `${goods.url}/file` }, body: '' })
    })
    const client = createClient({ schemes: [pen()] })
    const response = await client.fetch(home.url)
    expect([await response.text(), response.url, response.redirected, receiptOf(response)]).toEqual([
      'goods',
      `${goods.url}/file`,
      true,
      settled,
    ])
    expect(goods.seen.map(({ headers }) => headers['payment-signature'])).toEqual([undefined])
    expect((await client.spent()).total.committed).toBe('$0.01')
  })

  it('sends no payment along for goods on its own origin either', async () => {
    const home = await start(({ payment, url }, response) => {
      if (url === '/file') response.end('goods')
      else if (payment === undefined) ask(response)
      else answer(response, settled, { status: 303, headers: { Location: '/file' }, body: '' })
    })
    expect(await (await createClient({ schemes: [pen()] }).fetch(home.url)).text()).toBe('goods')
    expect(home.seen.map(({ url, payment }) => [url, payment !== undefined])).toEqual([
      ['/', false],
      ['/', true],
      ['/file', false],
    ])
  })

  it('hands a paid redirect to who asked for manual ones', async () => {
    const home = await start(({ payment }, response) => {
      if (payment === undefined) ask(response)
      else answer(response, settled, { status: 302, headers: { Location: 'https://elsewhere.example/' } })
    })
    const response = await createClient({ schemes: [pen()] }).fetch(home.url, { redirect: 'manual' })
    expect([response.status, response.headers.get('location'), receiptOf(response)]).toEqual([302, 'https://elsewhere.example/', settled])
  })

  it('refuses one that leads nowhere, and one that the caller does not want', async () => {
    const home = await start(({ payment, url }, response) => {
      if (payment === undefined) ask(response)
      else response.writeHead(302, { Location: url === '/nowhere' ? 'javascript:alert(1)' : '/to' }).end()
    })
    const client = createClient({ schemes: [pen()] })
    const refused = { code: 'client/paid-redirect-refused', moneyMoved: 'unknown' }
    await expect(client.fetch(`${home.url}/nowhere`)).rejects.toMatchObject(refused)
    await expect(client.fetch(home.url, { redirect: 'error' })).rejects.toMatchObject(refused)
  })
})

describe('where redirects are hidden, as in browsers', () => {
  // The shape a browser gives a manual redirect; the servers behind it are real.
  const browser: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (init?.redirect !== 'manual' || response.status < 300 || response.status > 399) return response
    await response.body?.cancel()
    return Object.defineProperties(Response.error(), { type: { value: 'opaqueredirect' } })
  }

  it('lets the browser follow before it pays, and never after', async () => {
    const { home, elsewhere } = await lay(({ url, payment }, respond, place) => {
      if (url !== '/from' && !(url === '/later' && payment !== undefined)) return false
      respond(302, `${place('another port')}/to`)
      return true
    })
    const client = createClient({ schemes: [pen()], fetch: browser })
    const response = await client.fetch(`${home.url}/from`, { headers: secret })
    expect([response.status, elsewhere.seen.at(-1)?.payment !== undefined, elsewhere.seen.at(-1)?.headers.authorization]).toEqual([
      200,
      true,
      undefined,
    ])
    expect(home.seen.every(({ payment }) => payment === undefined)).toBe(true)
    elsewhere.seen.length = 0
    await expect(client.fetch(`${home.url}/later`)).rejects.toMatchObject({ code: 'client/paid-redirect-refused', moneyMoved: 'unknown' })
    expect(elsewhere.seen).toEqual([])
  })

  it('does not pay for what a hidden redirect may have turned into another request', async () => {
    const scheme = pen()
    const { home } = await lay(({ url }, respond) => {
      if (url !== '/from') return false
      respond(303, '/to')
      return true
    })
    const call = createClient({ schemes: [scheme], fetch: browser }).fetch(`${home.url}/from`, { method: 'POST', body: 'x' })
    await expect(call).rejects.toMatchObject({ code: 'client/redirect-refused', moneyMoved: 'no' })
    expect(scheme.signed).toEqual([])
  })
})
