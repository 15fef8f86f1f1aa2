import { paymentRequiredHeader } from '@flow402x/core'
import type { Page } from '@flow402x/core/page'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import type { Bench } from '../binding.ts'
import { type Answer, send } from '../wire.ts'

/** A page as the suite shows it: one file, and a visit that breaks it. */
export const suitePage: Page = {
  async show({ url, accepts }) {
    if (url.includes('breaks')) throw new RangeError('the page broke')
    const headers = { 'Content-Type': 'text/html; charset=utf-8', 'X-Page': 'shown', Vary: 'Accept' }
    return { status: 402, headers, body: `<p>${accepts.length} é` }
  },
  async file(name) {
    return name === 'a.css' ? { status: 200, headers: { 'Content-Type': 'text/css' }, body: 'p{}' } : undefined
  },
}

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
const navigation = { ...html, 'sec-fetch-mode': 'navigate' }

/** People see a page, with all that programs get; whoever is no visitor gets what he got without one. */
export function testBindingPage(bench: Bench): void {
  const of = ({ headers }: Answer, name: string) => headers[name]?.join(', ')
  const typeOf = (answer: Answer) => of(answer, 'content-type')?.split(';')[0]
  // What a transfer is to bear differs each time.
  const offered = (answer: Answer) => {
    const { accepts, resource } = paymentRequiredHeader.decode(of(answer, 'payment-required') ?? '')
    return { resource, accepts: accepts.map(({ extra: _, ...offer }) => offer) }
  }
  const visit = (path: string, headers: Readonly<Record<string, string>>, method = 'GET') => send(bench.url(path), { method, headers })

  it('a navigation sees the page with the same offer; fetches, agents, payers and other methods never do', async () => {
    verifies(['PAY-PAGE', 'A14'])
    bench.reset()
    const plain = await visit('/authorization', {})
    const shown = await visit('/authorization', navigation)
    expect([shown.status, typeOf(shown), of(shown, 'x-page'), shown.body.toString()]).toEqual([402, 'text/html', 'shown', '<p>2 é'])
    expect(offered(shown)).toEqual(offered(plain))
    for (const name of ['cache-control', 'access-control-expose-headers', 'access-control-allow-origin'])
      expect([name, of(shown, name)]).toEqual([name, of(plain, name)])
    expect(of(shown, 'cache-control')).toBe('no-store')
    const head = await visit('/authorization', navigation, 'HEAD')
    expect([head.status, typeOf(head), offered(head), head.body.length]).toEqual([402, 'text/html', offered(plain), 0])
    const others = await Promise.all([
      visit('/authorization', { ...html, 'sec-fetch-mode': 'cors' }),
      visit('/authorization', { accept: '*/*', 'sec-fetch-mode': 'navigate' }),
      visit('/authorization', { ...navigation, 'payment-signature': 'nothing' }),
      visit('/authorization', { ...navigation, 'x-payment': 'nothing' }),
      visit('/authorization/echo', navigation, 'POST'),
      visit('/authorization?breaks', navigation),
    ])
    expect(
      others.map((answer) => typeOf(answer)).filter((type) => type !== 'application/json' && type !== 'application/problem+json'),
    ).toEqual([])
    expect(others.map(({ status }) => status)).toEqual([402, 402, 400, 400, 402, 402])
    expect(others.every(({ body }) => body.length > 2)).toBe(true)
    expect(bench.events('error')).toBe(1)
    expect([bench.runs(), bench.facilitator.verified.length]).toEqual([0, 0])
  })

  it('has its files at the route itself, for whoever asks, and lets nobody in by them', async () => {
    verifies('PAY-PAGE')
    bench.reset()
    const files = await Promise.all(
      ['?flow402x-page=a.css', '?place=x&flow402x-page=a.css'].map((query) => visit(`/authorization${query}`, {})),
    )
    expect(files.map((file) => [file.status, typeOf(file), file.body.toString(), of(file, 'payment-required')])).toEqual([
      [200, 'text/css', 'p{}', undefined],
      [200, 'text/css', 'p{}', undefined],
    ])
    const none = await Promise.all(['?flow402x-page=b.css', '?xflow402x-page=a.css'].map((query) => visit(`/authorization${query}`, {})))
    expect([...none, await visit('/authorization/echo?flow402x-page=a.css', {}, 'POST')].map(({ status }) => status)).toEqual([
      402, 402, 402,
    ])
    expect(bench.runs()).toBe(0)
  })
}
