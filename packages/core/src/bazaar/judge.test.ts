import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import type { PaymentRequired } from '../protocol/payment.ts'
import { judgeListing, plainText } from './judge.ts'

const usdc = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'
const offer = { scheme: 'exact', network: 'eip155:8453', amount: '10000', asset: usdc, payTo: `0x${'1'.repeat(40)}`, maxTimeoutSeconds: 60 }
const required = (change: object = {}, resource: object = {}): PaymentRequired => ({
  x402Version: 2,
  resource: { url: 'https://elsewhere.example/x', description: 'Stories', serviceName: 'Teller', tags: ['ai', 'AI', 'text'], ...resource },
  accepts: [offer],
  ...change,
})
const bazaar = (more: object = {}) => ({ extensions: { bazaar: { info: { input: { type: 'http', method: 'POST' } }, ...more } } })
const at = { url: 'https://api.example/v1/tell?q=1#x', method: 'post' }
const judge = (change?: object, resource?: object) => judgeListing(required(change, resource), at)

describe('what a 402 comes to in a bazaar', () => {
  it('is listed under the URL that answered, whatever the 402 calls itself', () => {
    verifies('H41')
    expect(judge(bazaar({ category: 'ai.text-generation' }))).toMatchObject({
      facts: {
        key: 'POST https://api.example/v1/tell',
        resource: 'https://api.example/v1/tell',
        type: 'http',
        method: 'POST',
        name: 'Teller',
        description: 'Stories',
        category: 'ai.text-generation',
        tags: ['AI', 'text'],
        accepts: [offer],
        prices: [
          { network: 'eip155:8453', asset: usdc, scheme: 'exact', symbol: 'USDC', currency: 'USD', amount: '0.01', unit: 'request' },
        ],
      },
    })
  })

  it('takes claims where the 402 says nothing, and nowhere else', () => {
    const claims = { name: 'Mine', description: 'Free gold', category: 'data.gold', tags: ['gold'], uptime: '99.9%' }
    const bare = judgeListing(required({}, { serviceName: null, tags: null, description: null }), { ...at, claims })
    expect(bare).toMatchObject({
      facts: { name: 'Mine', description: 'Free gold', category: 'data.gold', tags: ['gold'], uptime: '99.9%' },
    })
    const full = judgeListing(required(bazaar({ category: 'ai' })), { ...at, claims })
    expect(full).toMatchObject({ facts: { name: 'Teller', description: 'Stories', category: 'ai', tags: ['AI', 'text'] } })
  })

  it('tells a stream by its rate, its unit and its ways', () => {
    verifies('BAZAAR-STREAMS')
    const info = {
      v: '1',
      unit: 'second',
      clock: 'wall',
      rate: '10000/3',
      buy: 5,
      tick: 1,
      window: 2,
      tickUrl: '/t',
      ws: '/w',
      transports: ['sse'],
    }
    const stream = judge({
      extensions: { 'flow402x-stream': { info } },
      accepts: [{ ...offer, scheme: 'batch-settlement', amount: '50000' }, offer],
    })
    expect(stream).toMatchObject({
      facts: {
        stream: { rate: '0.003333333333333333333333 USD/second', unit: 'second', window: 2, transports: ['sse', 'ws'] },
        prices: [
          { scheme: 'batch-settlement', amount: '0.003333333333333333333333', unit: 'second' },
          { scheme: 'exact', amount: '0.003333333333333333333333', unit: 'second' },
        ],
      },
    })
  })

  it('says a ceiling where a price is one, and no amount where the asset is unknown', () => {
    const strange = `0x${'9'.repeat(40)}`
    expect(
      judge({
        accepts: [
          { ...offer, scheme: 'upto' },
          { ...offer, asset: strange },
        ],
      }),
    ).toMatchObject({
      facts: {
        prices: [
          { amount: '0.01', upTo: true },
          { network: 'eip155:8453', asset: strange, scheme: 'exact', unit: 'request' },
        ],
      },
    })
  })

  it('lists a template under its one form, and asks for the tool of an MCP resource', () => {
    expect(judge(bazaar({ routeTemplate: '/users/[id]/{part}/*' }))).toMatchObject({
      facts: { resource: 'https://api.example/users/:id/:part/:var1', example: at.url },
    })
    const tool = { type: 'mcp', tool: 'weather', inputSchema: {} }
    expect(judge({ extensions: { bazaar: { info: { input: tool } } } })).toMatchObject({
      facts: { key: 'MCP https://api.example/v1/tell#weather', type: 'mcp', toolName: 'weather', method: 'MCP' },
    })
    expect(judge({ extensions: { bazaar: { info: { input: { type: 'mcp' } } } } })).toMatchObject({ reason: 'bad_discovery' })
  })

  it.each([
    ['an extension without info', { extensions: { bazaar: { schema: {} } } }, 'bad_discovery'],
    ['a path that climbs', bazaar({ routeTemplate: '/a/%2e%2e/b' }), 'bad_discovery'],
    ['a path that climbs once it is decoded five times', bazaar({ routeTemplate: '/a/%25252e%25252e/b' }), 'bad_discovery'],
    ['a path that is a URL', bazaar({ routeTemplate: '/http://x' }), 'bad_discovery'],
    ['a schema from elsewhere', bazaar({ schema: { properties: { a: { $ref: 'https://evil.example/s.json' } } } }), 'bad_discovery'],
    ['a schema with a base elsewhere', bazaar({ schema: { $id: 'http://169.254.169.254/' } }), 'bad_discovery'],
    ['a file of this machine', bazaar({ schema: { items: [{ $ref: 'file:///etc/passwd' }] } }), 'bad_discovery'],
    ['a schema without end', bazaar({ schema: { a: 'x'.repeat(40_000) } }), 'bad_discovery'],
    ['what is not to be found', bazaar({ discoverable: false }), 'hidden'],
  ] as const)('refuses %s, and says why', (_, change, reason) => {
    verifies(['H39', 'A20'])
    expect(judge(change)).toEqual({ reason, message: expect.stringMatching(/\w/) })
  })

  it('takes references within a schema', () => {
    const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', $defs: { a: {} }, properties: { b: { $ref: '#/$defs/a' } } }
    expect(judge(bazaar({ schema }))).toHaveProperty('facts')
  })

  it.each([
    'http://127.0.0.1/i.png',
    'http://2130706433/i.png',
    'http://0x7f.1/i.png',
    'http://[::1]/i.png',
    'http://localhost/i.png',
    'http://a.localhost/i.png',
    'https://user@icons.example/i.png',
    'javascript:alert(1)',
    'data:image/png;base64,AA',
  ])('shows no icon from %s', (iconUrl) => {
    verifies('A20')
    expect(judge({}, { iconUrl })).not.toHaveProperty('facts.iconUrl')
    expect(judge({}, { iconUrl: 'https://icons.example/i.png' })).toHaveProperty('facts.iconUrl', 'https://icons.example/i.png')
  })
})

it('text of strangers is one line of bounded, visible text', () => {
  verifies('A21')
  expect(plainText('Good\u0000 \u202Eevil\u202C\r\n\n<b>x</b>\u200B\u{E0041} end', 100)).toBe('Good evil <b>x</b> end')
  expect(plainText('\u0007\u200F', 10)).toBeUndefined()
  expect(plainText('😀'.repeat(50), 3)).toBe('😀😀😀')
  expect(plainText('a'.repeat(1e6), 5)).toBe('aaaaa')
})
