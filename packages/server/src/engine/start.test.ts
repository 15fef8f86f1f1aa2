import { createServer as createHttp, type RequestListener } from 'node:http'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type Facilitator, paymentRequiredHeader, type ServerScheme } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator } from '@flow402x/testing/suites'
import { afterEach, describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, httpFacilitator, type PaidOptions, type ServerOptions } from '../index.ts'

const payTo = developmentAccounts[2]?.address ?? ''
const scheme = exactEvmServer({ network: 'base-sepolia', payTo })
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

function make(options: Partial<ServerOptions> = {}) {
  return createServer({ facilitator: answeringFacilitator(scheme), schemes: [scheme], store: memoryStore(), ...options })
}

describe('a mistake is an error at once, with a sentence that says what to do', () => {
  const servers: readonly [code: string, options: Partial<ServerOptions>][] = [
    ['config/no-facilitator', { facilitator: [] }],
    ['config/no-scheme', { schemes: [] }],
    ['config/duplicate-scheme', { schemes: [scheme, exactEvmServer({ network: 'eip155:84532', payTo })] }],
    ['config/bad-origin', { origin: 'api.example.com' }],
    ['config/bad-origin', { origin: 'https://api.example.com/v1' }],
    ['config/bad-origin', { origin: 'ftp://api.example.com' }],
    ['config/bad-price', { minimumPrice: 'free' }],
  ]
  it.each(servers)('createServer: %s', (code, options) => {
    verifies(['H5', 'A29'])
    expect(() => make(options)).toThrow(expect.objectContaining({ code }))
  })

  const routes: readonly [code: string, options: PaidOptions][] = [
    ['config/bad-price', { price: '0' }],
    ['config/bad-price', { price: '-1' }],
    ['config/sub-atomic', { price: '$0.0100001' }],
    ['config/below-minimum', { price: '$0.0009' }],
    ['config/no-rate', { price: '1 ETH' }],
    ['config/bad-address', { price: '$1', payTo: '0x0000000000000000000000000000000000000000' }],
    ['config/short-timeout', { price: '$1', maxTimeoutSeconds: 14 }],
    ['config/offer-too-large', { price: '$1', description: 'long '.repeat(2000) }],
  ]
  it.each(routes)('paid: %s', (code, options) => {
    verifies('H53')
    expect(() => paid(make(), options, () => new Response())).toThrow(expect.objectContaining({ code }))
  })

  it('paid: a flow the scheme does not have is refused, not downgraded', () => {
    verifies('H46')
    const held: ServerScheme = { ...scheme, flows: ['authorization'] }
    const route = () => paid(make({ schemes: [held] }), { price: '$1', flow: 'upfront' }, () => new Response())
    expect(route).toThrow(expect.objectContaining({ code: 'config/unsupported-flow' }))
  })

  it('a price below the minimum may be meant', () => {
    expect(() => paid(make({ minimumPrice: '$0.000001' }), { price: '$0.000001' }, () => new Response())).not.toThrow()
  })

  it.each([
    ['config/unknown-network', { network: 'gold', payTo }],
    ['config/unknown-asset', { network: 'base-sepolia', asset: 'DOGE', payTo }],
  ])('the scheme: %s', (code, options) => {
    expect(() => exactEvmServer(options)).toThrow(expect.objectContaining({ code }))
  })
})

describe('without a facilitator that serves, nobody is let in', () => {
  const kinds = [{ x402Version: 2, scheme: 'exact', network: 'eip155:84532' }]
  const reply = (status: number, body: string, headers = {}): RequestListener => {
    return (_, response) => void response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(body)
  }
  const remotes: readonly [title: string, code: string, listener: RequestListener][] = [
    ['an empty /supported', 'config/unsupported-scheme', reply(200, '{"kinds":[]}')],
    ['another network', 'config/unsupported-scheme', reply(200, JSON.stringify({ kinds: [{ ...kinds[0], network: 'eip155:8453' }] }))],
    ['version 1 alone', 'config/unsupported-scheme', reply(200, JSON.stringify({ kinds: [{ ...kinds[0], x402Version: 1 }] }))],
    ['no JSON', 'facilitator/malformed', reply(200, '<html>')],
    ['no kinds', 'facilitator/malformed', reply(200, '{}')],
    ['a redirect', 'facilitator/redirected', reply(302, JSON.stringify({ kinds }), { Location: 'https://example.com/supported' })],
    ['an error', 'facilitator/unavailable', reply(500, JSON.stringify({ kinds }))],
    ['a refusal', 'facilitator/unauthorized', reply(401, JSON.stringify({ kinds }))],
    ['a broken connection', 'facilitator/unreachable', (request) => request.socket.destroy()],
  ]
  it.each(remotes)('%s: %s', async (_, code, listener) => {
    verifies('H5')
    const http = createHttp(listener)
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    closing.push(() => http.close())
    const address = http.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
    const server = make({ facilitator: httpFacilitator(url) })
    await expect(server.start()).rejects.toMatchObject({ code })
    await expectClosed(paid(server, { price: '$1' }, neverRuns))
  })

  it('one in process that throws, or answers nonsense', async () => {
    verifies('H5')
    const nonsense: Facilitator = { ...answeringFacilitator(scheme), supported: () => Promise.reject(new TypeError('bug')) }
    const server = make({ facilitator: nonsense })
    await expect(server.start()).rejects.toThrow('bug')
    await expectClosed(paid(server, { price: '$1' }, neverRuns))
  })

  it('one that comes back is used again, a second later', async () => {
    let [now, down] = [1_000_000, true]
    const good = answeringFacilitator(scheme)
    const facilitator: Facilitator = { ...good, supported: () => (down ? Promise.reject(new TypeError('down')) : good.supported()) }
    const route = paid(make({ facilitator, clock: () => now }), { price: '$1' }, neverRuns)
    await expectClosed(route)
    down = false
    await expectClosed(route)
    now += 1001
    expect((await route(new Request('http://shop.test/'))).status).toBe(402)
  })

  it('the first of several that serves a scheme is asked', async () => {
    const dead: Facilitator = { ...answeringFacilitator(scheme), supported: () => Promise.reject(new TypeError('down')) }
    const server = make({ facilitator: [dead, answeringFacilitator(scheme)] })
    await server.start()
    expect((await paid(server, { price: '$1' }, neverRuns)(new Request('http://shop.test/'))).status).toBe(402)
  })

  it('start ends with its signal', async () => {
    const http = createHttp(() => {})
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    closing.push(
      () => void http.closeAllConnections(),
      () => http.close(),
    )
    const address = http.address()
    const server = make({ facilitator: httpFacilitator(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`) })
    await expect(server.start({ signal: AbortSignal.timeout(50) })).rejects.toThrow()
  })
})

describe('a scheme starts with its server', () => {
  it('one that cannot start is an error, and offered to nobody until it can', async () => {
    verifies(['D4', 'H5'])
    let [now, ready] = [1_000_000, false]
    const start = async () => {
      if (!ready) throw new TypeError('no token account')
    }
    const server = make({ schemes: [{ ...scheme, start }], clock: () => now })
    await expect(server.start()).rejects.toThrow('no token account')
    const route = paid(server, { price: '$1' }, neverRuns)
    await expectClosed(route)
    ready = true
    now += 1001
    expect((await route(new Request('http://shop.test/'))).status).toBe(402)
  })

  it('is started once, with the signal of start', async () => {
    const signals: unknown[] = []
    const started: ServerScheme = { ...scheme, start: async (options) => void signals.push(options?.signal) }
    const server = make({ schemes: [started] })
    const { signal } = new AbortController()
    await server.start({ signal })
    await paid(server, { price: '$1' }, neverRuns)(new Request('http://shop.test/'))
    expect(signals).toEqual([signal])
  })

  it('offers are encoded again when its revision changes, and not before', async () => {
    let [revision, made] = [1, 0]
    const changing: ServerScheme = {
      ...scheme,
      revision: () => revision,
      requirements(input) {
        made += 1
        const terms = scheme.requirements(input)
        return { ...terms, extra: { ...terms.extra, revision } }
      },
    }
    const route = paid(make({ schemes: [changing] }), { price: '$1' }, neverRuns)
    const offered = async () => {
      const { headers } = await route(new Request('http://shop.test/'))
      return paymentRequiredHeader.decode(headers.get('PAYMENT-REQUIRED') ?? '').accepts[0]?.extra?.revision
    }
    expect([await offered(), await offered()]).toEqual([1, 1])
    const before = made
    revision = 2
    expect([await offered(), await offered(), made]).toEqual([2, 2, before + 1])
  })
})

let runs = 0
function neverRuns(): Response {
  runs += 1
  return new Response('goods')
}

async function expectClosed(route: (request: Request) => Promise<Response>): Promise<void> {
  const answer = await route(new Request('http://shop.test/'))
  expect([answer.status, runs]).toEqual([503, 0])
  expect(answer.headers.get('Retry-After')).toBe('5')
  expect(await answer.json()).toMatchObject({ code: 'server/not-ready', moneyMoved: 'no' })
}
