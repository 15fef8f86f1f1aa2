import { createServer as createHttp, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import {
  echoExtensions,
  facilitatorRequest,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
  requestBinding,
  type Submission,
} from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { createServer, httpFacilitator, type ServerEvent, type ServerOptions } from '../index.ts'

let local: EvmChain
let chain: ReturnType<typeof evmChain>
let scheme: ReturnType<typeof exactEvmFacilitator>
const open: HttpServer[] = []

beforeAll(async () => {
  local = await startEvmChain()
  chain = evmChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey] })
  scheme = exactEvmFacilitator({ chain })
  await scheme.start()
})
afterEach(() => {
  for (const http of open.splice(0)) http.closeAllConnections()
})
afterAll(() => local.stop())

type Answer = { readonly status?: number; readonly body: unknown } | 'hang'
type Settle = (submission: Submission, reallySettle: (submission: Submission) => Promise<string>) => Promise<Answer>

const success = (transaction: string, more: object = {}): Answer => ({
  body: { success: true, transaction, network: local.network, ...more },
})

async function reallySettle(submission: Submission): Promise<string> {
  const { transaction } = await mine(chain, scheme.plan(submission))
  return transaction
}

/** A shop whose facilitator, behind real HTTP, calls every payment valid and settles as it is told here. */
async function shop(settle: Settle, options: Partial<ServerOptions> = {}) {
  const state = { later: 0, runs: 0, settles: 0 }
  const events: ServerEvent[] = []
  const http = createHttp(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const reply = (body: unknown, status = 200) =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.url === '/supported') return reply({ kinds: [{ x402Version: 2, scheme: 'exact', network: local.network }] })
    const { paymentPayload: payment, paymentRequirements: requirements } = facilitatorRequest.parse(
      JSON.parse(Buffer.concat(chunks).toString()),
    )
    if (request.url === '/verify') return reply({ isValid: true, payer: local.buyer.address })
    state.settles += 1
    const answer = await settle({ payment, requirements }, reallySettle)
    if (answer !== 'hang') reply(answer.body, answer.status)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  open.push(http)
  // A server that listens on a port has an AddressInfo.
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const server = createServer({
    facilitator: httpFacilitator(url, { timeout: 2000 }),
    store: memoryStore(),
    schemes: [exactEvmServer({ network: local.network, payTo: local.seller.address, rpcUrl: local.rpcUrl, confirmations: 0n })],
    clock: () => Date.now() + state.later,
    onEvent: (event) => events.push(event),
    ...options,
  })
  const route = paid(server, { price: '$0.01' }, () => {
    state.runs += 1
    return new Response(`goods ${state.runs}`)
  })
  /** Asks as a buyer who reads what he gets: goods of which nothing was read are not delivered. */
  const get = async (headers: Record<string, string> = {}) => {
    const answer = await route(new Request('http://shop.test/', { headers }))
    return new Response(await answer.arrayBuffer(), answer)
  }
  return { state, events, server, url, get, pay: (committed = true) => sign(await402(get), committed) }
}

async function await402(get: () => Promise<Response>) {
  return paymentRequiredHeader.decode((await get()).headers.get('PAYMENT-REQUIRED') ?? '')
}

const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

async function sign(asked: ReturnType<typeof await402>, committed: boolean): Promise<Record<string, string>> {
  const required = await asked
  const [accepted] = required.accepts
  if (accepted === undefined) throw new TypeError('it offers nothing')
  const binding = committed ? requestBinding({ method: 'GET', url: 'http://shop.test/', bodyHash: emptyHash }) : undefined
  const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey) })
  const { payload } = await client.prepare(accepted, { now: Date.now() / 1000, maxTimeoutSeconds: 300, binding })
  const extensions = echoExtensions(required, { id: `id_${crypto.randomUUID()}` })
  const payment = { x402Version: 2 as const, resource: required.resource, accepted, payload: { ...payload }, extensions }
  return { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }
}

const receipt = (answer: Response) => paymentResponseHeader.decode(answer.headers.get('PAYMENT-RESPONSE') ?? '')
const sales = async (of: { books(): AsyncIterable<{ transaction: string; outcome: string; amount: string }> }) => {
  const all = []
  for await (const { transaction, outcome, amount } of of.books()) all.push({ transaction, outcome, amount })
  return all
}

describe('a facilitator that settles and does not say so', () => {
  const modes: readonly (readonly [string, Settle])[] = [
    ['hangs', async (submission, settle) => settle(submission).then(() => 'hang')],
    ['answers 500', async (submission, settle) => settle(submission).then(() => ({ status: 500, body: { error: 'oops' } }))],
    ['calls it refused', async (submission, settle) => settle(submission).then(() => refused('insufficient_funds'))],
    ['answers for another network', async (submission, settle) => success(await settle(submission), { network: 'eip155:8453' })],
    ['names another amount', async (submission, settle) => success(await settle(submission), { amount: '1' })],
    ['names another payer', async (submission, settle) => success(await settle(submission), { payer: local.owner.address })],
  ]
  it.each(modes)('and %s: its payer gets the one 200, charged once, and nothing is settled again', async (_, settle) => {
    verifies(['H1', 'M2', 'M5', 'A25', 'A8'])
    const { get, pay, state, server } = await shop(settle)
    const payment = await pay()
    const before = await local.balanceOf(local.seller.address)
    const answers = [await get(payment)]
    while (answers.length < 20 && answers.at(-1)?.status !== 200) answers.push(await get(payment))
    expect(answers.slice(0, -1).map(({ status }) => status)).toEqual(answers.slice(0, -1).map(() => 503))
    expect(await answers.at(-1)?.text()).toBe('goods 1')
    expect([state.runs, state.settles, await local.balanceOf(local.seller.address)]).toEqual([1, 1, before + 10_000n])
    expect(await sales(server)).toEqual([{ transaction: expect.stringMatching(/^0x/), outcome: 'delivered', amount: '10000' }])
  })

  it('is not granted to a payment that commits to nothing, but listed, unless the store is the sole claimant (M2)', async () => {
    verifies(['M1', 'M2', 'H32'])
    const settle: Settle = (submission, really) => really(submission).then(() => 'hang' as const)
    for (const soleClaimant of [false, [{ network: local.network, payTo: local.seller.address.toLowerCase() }]] as const) {
      const { get, pay, state, server, events } = await shop(settle, { soleClaimant })
      const payment = await pay(false)
      const first = await get(payment)
      expect(first.status).toBe(503)
      const again = await get(payment)
      expect(again.status).toBe(soleClaimant === false ? 402 : 200)
      expect(state.runs).toBe(1)
      expect((await sales(server)).map(({ outcome }) => outcome)).toEqual([soleClaimant === false ? 'unclaimed' : 'delivered'])
      if (soleClaimant !== false) continue
      expect([await again.json(), receipt(again)]).toMatchObject([
        { moneyMoved: 'yes' },
        { errorReason: 'settled_by_another', retry: 'never' },
      ])
      expect(events.filter(({ type }) => type === 'undelivered')).toHaveLength(1)
      expect((await get(payment)).status).toBe(402)
    }
  })
})

describe('a facilitator that says success where nothing was settled', () => {
  const bogus = `0x${'ab'.repeat(32)}`

  it('is believed up to the bound in all, and caught by the audit: then nothing goes through it', async () => {
    verifies(['M13', 'A25'])
    const { get, pay, state, server, events, url } = await shop(async () => success(bogus), { trust: '$0.02' })
    const answers = []
    for (let count = 0; count < 3; count += 1) answers.push((await get(await pay())).status)
    expect([answers, state.runs]).toEqual([[200, 200, 503], 3])
    state.later = 130_000
    await server.reconcile()
    expect(events).toContainEqual(expect.objectContaining({ type: 'distrusted', facilitator: url }))
    const closed = await get(await pay())
    expect([closed.status, await closed.json(), state.settles]).toMatchObject([503, { code: 'server/not-ready', moneyMoved: 'no' }, 3])
    await server.forgive(url)
    // The same payer's third payment is still in doubt: that is found out before another one is asked for.
    expect(await (await get(await pay())).json()).toMatchObject({ code: 'payment/pending' })
  })

  it('by a transaction that paid something else is a lie at once', async () => {
    verifies(['M13', 'A25', 'M1'])
    const other = await shop(async (submission, settle) => success(await settle(submission)))
    const bought = await other.get(await other.pay())
    const foreign = receipt(bought).transaction
    const { get, pay, state, events } = await shop(async () => success(foreign), { trust: '$0.005' })
    const first = await get(await pay())
    expect([first.status, first.headers.get('Retry-After')]).toEqual([503, '2'])
    expect(events.filter(({ type }) => type === 'distrusted')).toHaveLength(1)
    expect((await get(await pay())).status).toBe(503)
    expect(state.settles).toBe(1)
  })

  it('is no facilitator for a shop that could never find out: it does not start', async () => {
    verifies(['M5', 'H5'])
    const schemes = [exactEvmServer({ network: local.network, payTo: local.seller.address })]
    const blind = await shop(async () => success(bogus), { schemes })
    await expect(blind.server.start()).rejects.toMatchObject({ code: 'config/no-proof' })
  })
})

describe('an honest facilitator', () => {
  it('that is slow serves, and one that says so on chain frees its trust again', async () => {
    verifies(['M13', 'H42'])
    const slow: Settle = async (submission, settle) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      return success(await settle(submission))
    }
    const { get, pay, state, server, events } = await shop(slow, { trust: '$0.01' })
    for (let count = 0; count < 3; count += 1) {
      expect((await get(await pay())).status).toBe(200)
      const distrusted = async () => {
        await server.reconcile()
        return events.filter(({ type }) => type === 'distrusted')
      }
      await expect.poll(distrusted).toEqual([])
    }
    expect(state.runs).toBe(3)
    const listed = await sales(server)
    expect(listed.map(({ outcome }) => outcome)).toEqual(['delivered', 'delivered', 'delivered'])
    // Every line of the books is a transfer on chain, to the atomic unit.
    for (const { transaction, amount } of listed) {
      const status = await chain.status({ transaction })
      const paidOut = status.state === 'mined' ? status.logs.map(({ data }) => BigInt(data === '0x' ? 0 : data)) : []
      expect(paidOut).toContain(BigInt(amount))
    }
  })
})

function refused(errorReason: string): Answer {
  return { body: { success: false, errorReason, transaction: '', network: local.network } }
}
