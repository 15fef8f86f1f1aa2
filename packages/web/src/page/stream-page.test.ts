import type { Extension } from '@flow402x/core'
import { parseRate } from '@flow402x/core'
import type { PageVisit } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { streamPage } from '../stream.ts'

const usdc = '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
const hostile = `</title></script><script>alert(1)</script><img src=x onerror="alert(2)">'\u202e`
const offer = { scheme: 'batch-settlement', network: 'eip155:84532', amount: '50000', asset: usdc, payTo: usdc, maxTimeoutSeconds: 60 }

function visitOf(url: string, given: Partial<PageVisit> & { readonly accept?: string } = {}): PageVisit {
  const { accept = 'text/html', ...rest } = given
  const common = { resource: { url }, rate: parseRate('$0.01/second'), accepts: [offer], extensions: [] }
  return { url, header: (name) => (name === 'accept' ? accept : undefined), ...common, ...rest }
}

const page = streamPage()
const seller = 'https://shop.example/film'

async function shown(visit: PageVisit): Promise<{ headers: Readonly<Record<string, string>>; body: string }> {
  const { status, headers, body } = (await page(visit)) ?? { status: 0, headers: {}, body: '' }
  expect(status).toBe(402)
  return { headers, body }
}

describe('the page of a stream', () => {
  it('is for browsers that open an address: programs, players and fetches get the offer', async () => {
    verifies('FS1-PAGE')
    for (const accept of ['', '*/*', 'application/json, text/plain, */*', 'video/webm,video/ogg,*/*;q=0.5', 'text/event-stream'])
      expect(await page(visitOf(seller, { accept }))).toBeUndefined()
    expect((await shown(visitOf(seller))).body).toContain('<strong>$0.01</strong> per second')
  })

  it('shows what strangers wrote as text, in its title, its fields and its attributes', async () => {
    verifies(['FS1-PAGE', 'A21'])
    const described: Extension = { key: 'bazaar', declare: () => ({ info: { input: { queryParams: { [hostile]: hostile } } } }) }
    const resource = { url: seller, serviceName: hostile, description: hostile, mimeType: hostile }
    const asked = `${seller}?${new URLSearchParams({ [hostile]: hostile })}`
    const accepts = [{ ...offer, network: 'eip155:84532"><script>', asset: hostile, scheme: hostile }]
    const { body } = await shown(visitOf(asked, { resource, extensions: [described], accepts }))
    const plain = (await shown(visitOf(seller))).body
    const tags = (text: string) => (text.match(/<[a-z!/][^>]*>?/gi) ?? []).map((tag) => /^<\/?[a-z!]+/i.exec(tag)?.[0])
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
    const files = await Promise.all([style, script].map((name) => page(visitOf(new URL(name, seller).href, { accept: '*/*' }))))
    expect(files.map((file) => [file?.status, file?.headers['Content-Type'], file?.headers['Cache-Control']])).toEqual([
      [200, 'text/css; charset=utf-8', 'public, max-age=31536000, immutable'],
      [200, 'text/javascript; charset=utf-8', 'public, max-age=31536000, immutable'],
    ])
    // Nobody asks for text to become code or markup.
    expect(files[1]?.body).not.toMatch(/\.innerHTML|insertAdjacentHTML|document\.write|\beval\(/)
    expect(await page(visitOf(`${seller}?flow402x-page=other.js`))).toBeUndefined()
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
