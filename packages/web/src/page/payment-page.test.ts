import type { Extension } from '@flow402x/core'
import { parseRate } from '@flow402x/core'
import { isVisit, type PageVisit, pageFile } from '@flow402x/core/page'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { paymentPage } from '../index.ts'

const usdc = '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
const hostile = `</title></script><script>alert(1)</script><img src=x onerror="alert(2)">'\u202e`
const offer = { scheme: 'batch-settlement', network: 'eip155:84532', amount: '50000', asset: usdc, payTo: usdc, maxTimeoutSeconds: 60 }

function visitOf(url: string, given: Partial<PageVisit> = {}): PageVisit {
  return { url, resource: { url }, rate: parseRate('$0.01/second'), accepts: [offer], extensions: [], ...given }
}

/** The same, bought whole. */
function saleOf(url: string, given: Partial<PageVisit> = {}): PageVisit {
  const { rate: _, ...visit } = visitOf(url, { accepts: [exact], ...given })
  return visit
}

const exact = { ...offer, scheme: 'exact', amount: '10000', extra: { name: 'USDC', version: '2' } }
const page = paymentPage()
const seller = 'https://shop.example/film'

async function shown(visit: PageVisit): Promise<{ headers: Readonly<Record<string, string>>; body: string }> {
  const { status, headers, body } = await page.show(visit)
  expect(status).toBe(402)
  return { headers, body }
}

const tags = (text: string) => (text.match(/<[a-z!/][^>]*>?/gi) ?? []).map((tag) => /^<\/?[a-z!]+/i.exec(tag)?.[0])

describe('the page of a stream', () => {
  it('is for browsers that open an address: programs, players, agents and fetches get the offer', () => {
    verifies(['FS1-PAGE', 'PAY-PAGE'])
    const asks = (headers: Readonly<Record<string, string>>, method = 'GET') => isVisit({ method, header: (name) => headers[name] })
    for (const accept of ['', '*/*', 'application/json, text/plain, */*', 'video/webm,video/ogg,*/*;q=0.5', 'text/event-stream'])
      expect(asks({ accept })).toBe(false)
    const accept = 'text/html,application/xhtml+xml,*/*;q=0.8'
    expect(['navigate', 'cors', 'no-cors', 'same-origin'].map((mode) => asks({ accept, 'sec-fetch-mode': mode }))).toEqual([
      true,
      false,
      false,
      false,
    ])
    expect(['GET', 'HEAD', 'POST', 'PUT', 'DELETE'].map((method) => asks({ accept }, method))).toEqual([true, true, false, false, false])
  })

  it('shows what strangers wrote as text, in its title, its fields and its attributes', async () => {
    verifies(['FS1-PAGE', 'A21'])
    const described: Extension = { key: 'bazaar', declare: () => ({ info: { input: { queryParams: { [hostile]: hostile } } } }) }
    const resource = { url: seller, serviceName: hostile, description: hostile, mimeType: hostile }
    const asked = `${seller}?${new URLSearchParams({ [hostile]: hostile })}`
    const accepts = [{ ...offer, network: 'eip155:84532"><script>', asset: hostile, scheme: hostile }]
    const { body } = await shown(visitOf(asked, { resource, extensions: [described], accepts }))
    const plain = (await shown(visitOf(seller))).body
    expect(tags(body).filter((tag) => tag === '<script')).toHaveLength(1)
    expect(tags(body).filter((tag) => tag === '<img')).toEqual([])
    expect(body).not.toMatch(/onerror="|\u202e/)
    // What it adds is a field and its description, in markup of ours.
    expect(new Set(tags(body))).toEqual(new Set(tags(plain)))
  })

  it('lets its browser run, load and frame nothing but what is its own, by a nonce that is new each time', async () => {
    verifies('FS1-PAGE')
    const pages = await Promise.all([shown(visitOf(seller)), shown(visitOf(seller))])
    const nonces = pages.map(({ headers, body }) => {
      const policy = headers['Content-Security-Policy'] ?? ''
      const [, nonce = ''] = /script-src 'nonce-([A-Za-z0-9+/]{24})'/.exec(policy) ?? []
      expect(policy).toContain("default-src 'none'")
      expect(policy).not.toMatch(/unsafe|\*|https?:/)
      expect(body.match(/<(?:script|style|link rel="stylesheet")[^>]*>/g)).toEqual([
        expect.stringContaining(`nonce="${nonce}"`),
        expect.stringContaining(`nonce="${nonce}"`),
      ])
      expect(body).not.toMatch(/ on[a-z]+="| style="|<style|javascript:/i)
      return nonce
    })
    expect(new Set(nonces).size).toBe(2)
  })

  it('has its files at its own address, by names that change with them, for good', async () => {
    verifies('FS1-PAGE')
    const { body } = await shown(visitOf(`${seller}?prompt=x`))
    const [style = '', script = ''] = [...body.matchAll(/(?:href|src)="(\?flow402x-page=[^"]+)"/g)].map((match) => match[1])
    const files = await Promise.all([style, script].map((name) => pageFile(page, { method: 'GET', url: new URL(name, seller).href })))
    expect(files.map((file) => [file?.status, file?.headers['Content-Type'], file?.headers['Cache-Control']])).toEqual([
      [200, 'text/css; charset=utf-8', 'public, max-age=31536000, immutable'],
      [200, 'text/javascript; charset=utf-8', 'public, max-age=31536000, immutable'],
    ])
    // Nobody asks for text to become code or markup.
    expect(files[1]?.body).not.toMatch(/\.innerHTML|insertAdjacentHTML|document\.write|\beval\(/)
    const others = ['?flow402x-page=other.js', '?a=flow402x-page=', '/flow402x-page='].map((name) => ({
      method: 'GET',
      url: seller + name,
    }))
    const posted = { method: 'POST', url: new URL(script, seller).href }
    expect(await Promise.all([...others, posted].map((asked) => pageFile(page, asked)))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })

  it('asks what the seller describes, and offers a budget that buys some of it', async () => {
    verifies('FS1-PAGE')
    const described: Extension = { key: 'bazaar', declare: () => ({ info: { input: { queryParams: { prompt: 'a fox', words: 3 } } } }) }
    const rate = parseRate('$0.0001/token')
    const { body } = await shown(visitOf(`${seller}?prompt=a+cat`, { rate, extensions: [described] }))
    expect([...body.matchAll(/data-query="(\w+)" autocomplete="off" value="([^"]*)"/g)].map(([, ...all]) => all)).toEqual([
      ['prompt', 'a cat'],
      ['words', '3'],
    ])
    expect(body).toContain('name="budget" inputmode="decimal" autocomplete="off" value="0.05"')
    expect(body).toMatch(/data-network="eip155:84532" data-asset="0x036CbD\w+" data-test-wallet=""/)
  })

  it('says how it is paid where no wallet of a browser can', async () => {
    verifies('FS1-PAGE')
    const solana = { ...offer, scheme: 'flow402x-nonce', network: 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1', asset: 'x' }
    const { body } = await shown(visitOf(seller, { accepts: [solana] }))
    expect(body).toMatch(/data-network="" data-asset=""/)
    expect(body).toContain('In x on Solana devnet.')
  })
})

describe('the page of what is bought whole', () => {
  it('says what is sold, for how much, where and to whom, and has each way to pay chosen by what is signed', async () => {
    verifies('PAY-PAGE')
    const dai = {
      ...exact,
      network: 'eip155:1',
      asset: '0x6B175474E89094C44Da98b954EedeAC495271d0F',
      amount: '10000000000000000',
      payTo: `0x${'1'.repeat(40)}`,
    }
    const { body } = await shown(
      saleOf(seller, { resource: { url: seller, serviceName: 'Film', description: 'A film' }, accepts: [exact, dai, offer] }),
    )
    expect(body).toContain('<title>Film · $0.01</title>')
    expect(body).toContain('<p class="lead">A film</p>')
    expect([...body.matchAll(/<input type="radio" name="way" value="(\d)" ([^>]*)>/g)].map(([, at, told]) => [at, told])).toEqual([
      ['0', `data-scheme="exact" data-network="eip155:84532" data-asset="${usdc}" data-amount="10000" data-payee="${usdc}" checked`],
      ['1', `data-scheme="exact" data-network="eip155:1" data-asset="${dai.asset}" data-amount="${dai.amount}" data-payee="${dai.payTo}"`],
    ])
    expect(body).toContain('<strong>$0.01</strong> USDC on Base Sepolia')
    expect(body).toContain('<strong>$0.01</strong> DAI on Ethereum')
  })

  it('shows what strangers wrote as text, whatever they wrote and wherever', async () => {
    verifies(['PAY-PAGE', 'A28'])
    const resource = { url: seller, serviceName: hostile, description: hostile, mimeType: hostile }
    const accepts = [
      { ...exact, payTo: hostile, scheme: 'exact' },
      { ...exact, network: 'eip155:1"><script>', asset: hostile, payTo: hostile, amount: '1' },
    ]
    const { body } = await shown(saleOf(`${seller}?${new URLSearchParams({ [hostile]: hostile })}`, { resource, accepts }))
    const plain = (await shown(saleOf(seller, { resource: { url: seller, description: 'x' } }))).body
    expect(new Set(tags(body))).toEqual(new Set(tags(plain)))
    expect(body).not.toMatch(/onerror="|\u202e/)
    expect(tags(body).filter((tag) => tag === '<script')).toHaveLength(1)
  })

  it('says how it is paid where no wallet of a browser can', async () => {
    verifies('PAY-PAGE')
    const { body } = await shown(saleOf(seller, { accepts: [{ ...exact, scheme: 'transfer-proof', asset: 'x', amount: '7' }] }))
    expect(body).not.toContain('name="way"')
    expect(body).toContain('<strong>7 units of x</strong>')
  })

  it('shows what was bought in a document without an origin, which takes it from its own site alone', async () => {
    verifies('PAY-PAGE')
    const { body } = await shown(saleOf(seller))
    const [, name = ''] = /data-frame="([^"]+)"/.exec(body) ?? []
    const frame = await pageFile(page, { method: 'GET', url: new URL(name, seller).href })
    const policy = frame?.headers['Content-Security-Policy'] ?? ''
    expect(policy).toMatch(/^sandbox [a-z -]+; frame-ancestors 'self'$/)
    expect(policy).not.toContain('allow-same-origin')
    expect(policy).not.toContain('allow-top-navigation')
    expect(frame?.headers['X-Frame-Options']).toBe('SAMEORIGIN')
  })
})
