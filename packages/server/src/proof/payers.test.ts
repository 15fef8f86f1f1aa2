import { rm } from 'node:fs/promises'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { paymentToV1, xPaymentHeader } from '@flow402x/core/v1'
import { memoryStore } from '@flow402x/store/memory'
import { sqliteStore } from '@flow402x/store/sqlite'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { paid as serve } from '../bindings/node.ts'
import { createServer, type PaidOptions, type ServerOptions } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

function town({
  servers = 1,
  paidOptions,
  ...options
}: Partial<ServerOptions> & { servers?: number; paidOptions?: Partial<PaidOptions> } = {}) {
  const facilitator = answeringFacilitator(scheme)
  const state = { runs: 0, now: Date.now(), status: 200, wait: Promise.resolve() }
  const store = options.store ?? memoryStore()
  const shops = Array.from({ length: servers }, () => {
    const server = createServer({ facilitator, schemes: [scheme], store, clock: () => state.now, ...options })
    const route = paid(server, { price: '$0.01', ...paidOptions }, async () => {
      state.runs += 1
      await state.wait
      return new Response(`goods ${state.runs}`, { status: state.status })
    })
    return { server, get: (headers: Record<string, string> = {}, path = '/') => route(new Request(`http://shop.test${path}`, { headers })) }
  })
  const [shop] = shops
  if (shop === undefined) throw new TypeError('a town has a shop')
  const prepare = async (id?: string) => {
    const required = paymentRequiredHeader.decode((await shop.get()).headers.get('PAYMENT-REQUIRED') ?? '')
    return preparePayment(payer, { required, id })
  }
  const pay = async (id?: string) => ({ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await prepare(id)) })
  return { facilitator, state, shops, shop, prepare, pay }
}

function gate(state: { wait: Promise<void> }): () => void {
  let release = (): void => {}
  state.wait = new Promise((resolve) => {
    release = resolve
  })
  return release
}

it('of 40 payments at once over two servers no more are worked for than their payer can pay', async () => {
  verifies('M8')
  const file = join(tmpdir(), `flow402x-${crypto.randomUUID()}.db`)
  const store = sqliteStore(file)
  const { facilitator, state, shops, shop, pay } = town({ servers: 2, store })
  facilitator.funds = 100_000n
  const payments = await Promise.all(Array.from({ length: 40 }, () => pay()))
  const release = gate(state)
  const answers = payments.map((payment, index) => (shops[index % 2] ?? shop).get(payment, `/${index}`))
  await expect.poll(() => state.runs).toBe(10)
  const early = await Promise.race([Promise.all(answers.map((answer) => answer.then(({ status }) => status))), waited(200)])
  expect([early, state.runs]).toEqual(['waiting', 10])
  release()
  const statuses = (await Promise.all(answers)).map(({ status }) => status).sort()
  expect(statuses).toEqual([...Array(10).fill(200), ...Array(30).fill(409)])
  expect([state.runs, facilitator.settled.length]).toEqual([10, 10])
  await store.close()
  await Promise.all(['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true })))
})

it('what was refused for others under way is served when they are over', async () => {
  verifies('M8')
  const { facilitator, state, shop, pay } = town()
  facilitator.funds = 10_000n
  const release = gate(state)
  const first = shop.get(await pay(), '/1')
  await expect.poll(() => state.runs).toBe(1)
  const second = await pay()
  const refused = await shop.get(second, '/2')
  expect([refused.status, refused.headers.get('Retry-After')]).toEqual([409, '1'])
  expect(await refused.json()).toMatchObject({ code: 'payment/overdrawn', moneyMoved: 'no', retry: 'same' })
  state.status = 500
  release()
  expect((await first).status).toBe(500)
  state.status = 200
  expect((await shop.get(second, '/2')).status).toBe(200)
})

it('who leaves work unpaid pays first from then on, at every server of the store', async () => {
  verifies(['M8', 'A9'])
  const { facilitator, state, shops, shop, pay } = town({ servers: 2, unpaidWork: { most: 2, within: 3_600_000 } })
  facilitator.answer = 'refused'
  for (let count = 0; count < 2; count += 1) expect((await shop.get(await pay(), `/${count}`)).status).toBe(402)
  expect(state.runs).toBe(2)
  const other = shops[1] ?? shop
  expect((await other.get(await pay(), '/3')).status).toBe(402)
  expect([state.runs, facilitator.settled.length]).toEqual([2, 3])
  facilitator.answer = 'ok'
  expect((await other.get(await pay(), '/4')).status).toBe(200)
})

it('a claim that its facilitator never saw settled nothing: the same payment is served, once', async () => {
  verifies('M5')
  const { facilitator, state, shop, pay } = town()
  const settle = facilitator.settle
  facilitator.settle = () => Promise.reject(new TypeError('it never arrived'))
  const payment = await pay('a_secret_of_the_payer_0002')
  expect((await shop.get(payment)).status).toBe(503)
  facilitator.settle = settle
  const closed = await shop.get(payment)
  expect(await closed.json()).toMatchObject({ error: 'settlement_never_sent', moneyMoved: 'no', retry: 'same' })
  expect((await shop.get(payment)).status).toBe(200)
  expect([state.runs, facilitator.settled.length]).toEqual([1, 1])
})

it('one authorization as v1 and v2 at once is one payment', async () => {
  verifies('M11')
  const { facilitator, state, shop, prepare } = town()
  const payment = await prepare()
  const inV1 = paymentToV1(payment)
  if (inV1 === undefined) throw new TypeError('version 1 knows its network')
  const release = gate(state)
  const forms = [{ 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) }, { 'X-PAYMENT': xPaymentHeader.encode(inV1) }]
  const answers = Promise.all([...forms, ...forms].map((headers) => shop.get(headers)))
  await expect.poll(() => state.runs).toBe(1)
  release()
  expect((await answers).filter(({ status }) => status === 200)).toHaveLength(1)
  expect([state.runs, facilitator.settled.length]).toEqual([1, 1])
})

it('what was paid first and failed is run again for its payer, three times in all, and stands in the books to be refunded', async () => {
  verifies(['M9', 'H32', 'H42'])
  const { facilitator, state, shop, pay } = town({ paidOptions: { flow: 'upfront' } })
  state.status = 500
  const payment = await pay('a_secret_of_the_payer_0003')
  const statuses = []
  for (let count = 0; count < 4; count += 1) statuses.push((await shop.get(payment)).status)
  expect([statuses, state.runs, facilitator.settled.length]).toEqual([[500, 500, 500, 500], 3, 1])
  const listed = []
  for await (const sale of shop.server.undelivered()) listed.push(sale)
  expect(listed).toEqual([
    {
      id: expect.stringContaining(buyer?.address.toLowerCase() ?? ''),
      claimId: facilitator.settled[0]?.claimId,
      time: state.now,
      binding: expect.stringMatching(/^[0-9a-f]{64}$/),
      payer: buyer?.address.toLowerCase(),
      payTo: seller?.address,
      network: 'eip155:84532',
      asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
      amount: '10000',
      transaction: facilitator.settled[0]?.transaction,
      outcome: 'undelivered',
    },
  ])
})

it('without a look at the chain a remote facilitator is believed up to its bound, and beyond it nothing is worked for', async () => {
  verifies(['M13', 'H5'])
  const facilitator = Object.assign(answeringFacilitator(scheme), { url: 'https://facilitator.example' })
  const { state, shops, shop, pay } = town({ servers: 2, facilitator, trust: '$0.02' })
  const statuses = []
  for (let count = 0; count < 4; count += 1) statuses.push((await (shops[count % 2] ?? shop).get(await pay(), `/${count}`)).status)
  expect([statuses, state.runs, facilitator.settled.length]).toEqual([[200, 200, 503, 503], 2, 2])
  facilitator.answer = 'refused'
  const anew = town({ facilitator, trust: '$0.02' })
  for (let count = 0; count < 3; count += 1) expect((await anew.shop.get(await anew.pay(), `/${count}`)).status).toBe(402)
  expect(anew.state.runs).toBe(3)
})

it('a client that goes away while the handler works has bought: it is settled, and its payer fetches the answer', async () => {
  verifies('M8')
  const { facilitator, state, shop, pay } = town()
  const payment = await pay('a_secret_of_the_payer_0004')
  const release = gate(state)
  const listener = serve(shop.server, { price: '$0.01' }, async (_, response) => {
    state.runs += 1
    await state.wait
    response.end('goods 1')
  })
  const http = createHttp(listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  const { port } = http.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/`
  const away = new AbortController()
  const lost = fetch(url, { headers: payment, signal: away.signal })
  await expect.poll(() => state.runs).toBe(1)
  away.abort()
  await expect(lost).rejects.toThrow()
  await waited(50)
  release()
  await expect.poll(() => facilitator.settled.length).toBe(1)
  await expect.poll(async () => (await fetch(url, { headers: payment })).text()).toBe('goods 1')
  expect([state.runs, facilitator.settled.length]).toEqual([1, 1])
  http.closeAllConnections()
  http.close()
})

it('a handler that outlives what it was given is ended, and nothing is charged', async () => {
  verifies('H31')
  const { facilitator, state, shop, pay } = town({ paidOptions: { handlerTimeout: 50 } })
  const release = gate(state)
  const late = await shop.get(await pay())
  expect([late.status, facilitator.settled.length]).toEqual([504, 0])
  release()
})

async function waited(milliseconds: number): Promise<'waiting'> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  return 'waiting'
}
