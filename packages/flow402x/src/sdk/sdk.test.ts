import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { receiptOf } from '@flow402x/client'
import { paymentRequiredHeader } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { verifyX402Payment, type X402Defaults, x402 } from './hono.ts'
import { createX402SDK, type SDKEvent, type X402SDKOptions } from './sdk.ts'

let dev: Dev
let folder: string
beforeAll(async () => {
  dev = await startDev({ networks: ['base'] })
  folder = await mkdtemp(join(tmpdir(), 'flow402x-sdk-'))
})
afterAll(async () => {
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})
const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0)) await close()
})

function chain() {
  const [base] = dev.chains
  if (base === undefined) throw new TypeError('a chain is missing')
  return base
}

const env = (more: object = {}) => ({
  FLOW402X_FACILITATOR_URL: dev.world.facilitator.url,
  FLOW402X_RPC_URL_EIP155_8453: chain().rpcUrl,
  FLOW402X_SECRET: 'a secret of the seller, which is long enough',
  FLOW402X_STORE: join(folder, 'books.db'),
  ...more,
})

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  // A server that listens on a port has an AddressInfo.
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

type Handler = (context: Context) => Promise<Response>
const generate: Handler = async (c) => {
  const payment = await verifyX402Payment(c.req)
  if (!payment.verified) return c.json({ error: 'Payment required' }, 402)
  const { prompt } = await c.req.json()
  return c.json({ text: `Once, ${prompt}.`, payer: payment.payer, amount: payment.amount })
}

/** A shop of the user's own, in Hono, and what it was asked. */
async function shop(
  handler: Handler = generate,
  { defaults = {}, before }: { defaults?: Partial<X402Defaults>; before?: (context: Context) => Promise<Response | undefined> } = {},
) {
  const app = new Hono()
  app.onError((_, c) => c.text('broken', 500))
  const seen: string[] = []
  app.use(async (c, next) => {
    seen.push(c.req.header('payment-signature') ?? '')
    const early = await before?.(c)
    return early ?? next()
  })
  app.use(
    x402({ price: '$0.005', payTo: chain().seller.address, network: 'BASE_MAINNET', description: 'Stories', env: env(), ...defaults }),
  )
  app.post('/ai/generate', handler)
  app.get('/ai/generate', handler)
  return { url: `${await listen(getRequestListener(app.fetch))}/ai/generate`, seen }
}
const sdk = (options: X402SDKOptions = {}) =>
  createX402SDK(chain().buyer.privateKey, 'BASE_MAINNET', { env: env(), retry: { firstDelayMs: 5, maxDelayMs: 20 }, ...options })

/** What the seller got, once all of it is on chain. */
async function earned<Result>(work: () => Promise<Result>): Promise<{ result: Result; earned: () => Promise<bigint> }> {
  const before = await chain().balanceOf(chain().seller.address)
  const result = await work()
  return { result, earned: async () => (await chain().balanceOf(chain().seller.address)) - before }
}

describe('the sovereign snippets', () => {
  it('pay a handler that asks whether it is paid', async () => {
    verifies('SDK')
    const { url } = await shop()
    const paying = await earned(() => sdk().post(url, { prompt: 'a fox' }))
    expect([paying.result.status, await paying.result.json()]).toEqual([
      200,
      { text: 'Once, a fox.', payer: chain().buyer.address.toLowerCase(), amount: '5000' },
    ])
    expect(receiptOf(paying.result)).toMatchObject({ success: true, transaction: expect.stringMatching(/^0x/) })
    await expect.poll(paying.earned).toBe(5000n)
  })

  it('say how to pay in the 402 that the handler returns, in its own words', async () => {
    verifies('SDK')
    const { url } = await shop()
    const asked = await fetch(url, { method: 'POST', body: '{}' })
    expect(asked.status).toBe(402)
    expect(paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '')).toMatchObject({
      resource: { url, description: 'Stories' },
      accepts: [{ amount: '5000', payTo: chain().seller.address }],
    })
    expect(await asked.json()).toMatchObject({ error: 'Payment required', x402Version: 1, accepts: [{ maxAmountRequired: '5000' }] })
  })

  it('let a browser of another origin ask whether it may pay', async () => {
    verifies('SDK')
    const { url } = await shop()
    const headers = { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-mine' }
    const answer = await fetch(url, { method: 'OPTIONS', headers })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-headers')).toMatch(/PAYMENT-SIGNATURE.*x-mine/)
  })

  it('take the price and payee of a route from its second argument', async () => {
    const { url } = await shop(async (c) => {
      const { verified } = await verifyX402Payment(c.req, { price: '$0.002' })
      return verified ? c.text('goods') : c.json({ error: 'pay' }, 402)
    })
    const paying = await earned(() => sdk().get(url))
    expect(await paying.result.text()).toBe('goods')
    await expect.poll(paying.earned).toBe(2000n)
  })
})

describe('nothing is sold for nothing, and nothing charged for nothing', () => {
  it('where a handler forgets to look what it was told', async () => {
    verifies('SDK')
    const { url } = await shop(async (c) => {
      await verifyX402Payment(c.req)
      return c.text('goods')
    })
    const asked = await fetch(url, { method: 'POST', body: '{}' })
    expect([asked.status, (await asked.text()).includes('goods')]).toEqual([402, false])
    const forged = await fetch(url, { method: 'POST', body: '{}', headers: { 'PAYMENT-SIGNATURE': btoa('{"x402Version":2}') } })
    expect([forged.status, (await forged.text()).includes('goods')]).toEqual([400, false])
  })

  it.each<[string, Handler]>([
    [
      'answers 500',
      async (c) => {
        await verifyX402Payment(c.req)
        return c.json({ error: 'broken' }, 500)
      },
    ],
    [
      'throws',
      async (c) => {
        await verifyX402Payment(c.req)
        throw new TypeError('broken')
      },
    ],
    [
      'answers 402 all the same',
      async (c) => {
        await verifyX402Payment(c.req)
        return c.json({ error: 'no' }, 402)
      },
    ],
  ])('where a handler %s', async (_, handler) => {
    verifies('SDK')
    const { url } = await shop(handler)
    const paying = await earned(() => sdk().post(url, { prompt: 'x' }))
    expect(paying.result.status).toBeGreaterThanOrEqual(400)
    expect(await paying.earned()).toBe(0n)
  })

  it('where two requests bring one payment', async () => {
    verifies('SDK')
    const { url, seen } = await shop()
    const paying = await earned(() => sdk().post(url, { prompt: 'a fox' }))
    const [payment = ''] = seen.filter((one) => one !== '')
    const copies = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        fetch(url, { method: 'POST', body: JSON.stringify({ prompt: `${index}` }), headers: { 'PAYMENT-SIGNATURE': payment } }),
      ),
    )
    expect(copies.map(({ status }) => status)).toEqual([402, 402, 402, 402, 402])
    await expect.poll(paying.earned).toBe(5000n)
  })

  it('without the middleware, which is said', async () => {
    const app = new Hono()
    app.onError((error, c) => c.json({ ...error }, 500))
    app.get('/', async (c) => c.json(await verifyX402Payment(c.req)))
    expect(await (await app.request('/')).json()).toMatchObject({ code: 'sdk/no-middleware' })
  })
})

describe('an SDK', () => {
  it('tries again what passes, and pays once', async () => {
    verifies('SDK')
    let [asked, paidFor] = [0, 0]
    const { url, seen } = await shop(generate, {
      before: async (c) => {
        asked += 1
        if (c.req.header('payment-signature') === undefined) return asked < 3 ? c.text('later', 503) : undefined
        paidFor += 1
        // The first paid try is lost on its way.
        return paidFor < 2 ? c.text('gone', 502) : undefined
      },
    })
    const events: SDKEvent[] = []
    const buyer = sdk()
    buyer.on('*', (event) => events.push(event))
    const paying = await earned(() => buyer.post(url, { prompt: 'a fox' }))
    expect(paying.result.status).toBe(200)
    await expect.poll(paying.earned).toBe(5000n)
    expect(new Set(seen.filter((one) => one !== '')).size).toBe(1)
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['retrying', 'quoted', 'signed', 'paid']))
    expect((await buyer.spent()).total.committed).toBe('$0.005')
  })

  it('gives up what nobody answers, and says so', async () => {
    const retried: string[] = []
    const buyer = sdk({ retry: { attempts: 3, firstDelayMs: 1 } })
    const end = buyer.on('retrying', ({ why }) => retried.push(why))
    await expect(buyer.get('http://127.0.0.1:9/')).rejects.toThrow()
    expect(retried).toHaveLength(2)
    end()
    await expect(buyer.get('http://127.0.0.1:9/')).rejects.toThrow()
    expect(retried).toHaveLength(2)
  })

  it('keeps answers for a while, so that nobody pays twice for the same', async () => {
    verifies('SDK')
    let made = 0
    const { url } = await shop(async (c) => {
      const { verified } = await verifyX402Payment(c.req)
      made += verified ? 1 : 0
      return verified ? c.text(`goods ${made}`) : c.json({}, 402)
    })
    let now = 0
    const buyer = sdk({ cache: { ttlMs: 1000, now: () => now } })
    const paying = await earned(async () => Promise.all([buyer.get(url), buyer.get(url), buyer.get(url)]))
    expect(await Promise.all(paying.result.map((response) => response.text()))).toEqual(['goods 1', 'goods 1', 'goods 1'])
    await buyer.get(url, { headers: { accept: 'text/html' } })
    now += 1001
    expect(await (await buyer.get(url)).text()).toBe('goods 3')
    await expect.poll(paying.earned).toBe(15_000n)
  })

  it('requests side by side, and one that fails takes no other with it', async () => {
    verifies('SDK')
    const { url } = await shop()
    const prompts = Array.from({ length: 6 }, (_, index) => ({ url, method: 'POST', body: { prompt: `${index}` } }))
    const paying = await earned(() => sdk({ retry: { attempts: 1 } }).batch([...prompts, { url: 'http://127.0.0.1:9/' }]))
    const told = await Promise.all(paying.result.map(async (one) => ('response' in one ? (await one.response.json()).text : 'failed')))
    expect(told).toEqual([...prompts.map((_, index) => `Once, ${index}.`), 'failed'])
    await expect.poll(paying.earned).toBe(30_000n)
  })

  it('spends no more than it may', async () => {
    verifies('SDK')
    const { url } = await shop()
    const paying = await earned(async () => {
      await expect(sdk({ spending: { perRequest: '$0.004' } }).post(url, {})).rejects.toMatchObject({ code: 'client/no-payable-offer' })
      const buyer = sdk({ spending: { total: '$0.012' } })
      for (const prompt of ['a', 'b']) expect((await buyer.post(url, { prompt })).status).toBe(200)
      await expect(buyer.post(url, { prompt: 'c' })).rejects.toMatchObject({ code: 'client/over-budget' })
    })
    await expect.poll(paying.earned).toBe(10_000n)
  })

  it('pays in the coin of the network where it is told to', async () => {
    verifies('SDK')
    const route = dev.world.seller.routes.find(({ price }) => price.endsWith('ETH'))
    const before = await chain().ethBalance(chain().seller.address)
    const spending = { caps: { ETH: { perRequest: '0.001', total: '0.01' } } }
    const buyer = sdk({ currency: 'ETH', spending, env: env({ FLOW402X_WALLET_FILE: join(folder, 'wallet.db') }) })
    // The last may be under way while its chain stops.
    const mining = setInterval(() => void fetch(chain().rpcUrl, mine).catch(() => {}), 100)
    try {
      const response = await buyer.get(`${dev.world.seller.url}${route?.path}`)
      expect(response.status).toBe(200)
    } finally {
      clearInterval(mining)
    }
    await vi.waitFor(async () => expect(await chain().ethBalance(chain().seller.address)).toBeGreaterThan(before))
  })

  it('says at once what is missing', async () => {
    const make =
      (options: X402SDKOptions, network = 'BASE_MAINNET') =>
      () =>
        createX402SDK(chain().buyer.privateKey, network, options)
    expect(make({ env: {} }, 'NOWHERE')).toThrowError(expect.objectContaining({ code: 'config/unknown-network' }))
    expect(make({ env: {}, currency: 'ETH' })).toThrowError(expect.objectContaining({ code: 'sdk/no-cap' }))
    const spending = { caps: { ETH: { perRequest: '1', total: '1' } } }
    expect(make({ env: {}, currency: 'ETH', spending })).toThrowError(/FLOW402X_WALLET_FILE/)
    expect(() => x402({ price: '$1', payTo: chain().seller.address, network: 'base', env: {} })).toThrowError(
      /FLOW402X_RPC_URL_EIP155_8453/,
    )
    await expect(make({ env: {} })().discoverServices()).rejects.toMatchObject({ code: 'sdk/no-marketplace' })
  })
})

const mine = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{"jsonrpc":"2.0","id":1,"method":"evm_mine","params":[]}',
}
