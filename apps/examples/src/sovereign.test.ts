import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner, evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import { createBazaarClient } from '@flow402x/bazaar/client'
import { type Bazaar, createBazaar, type ServedBazaar, serveBazaar } from '@flow402x/bazaar/server'
import { offerReceipt } from '@flow402x/core/receipt'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { getRequestListener } from '@hono/node-server'
import { createX402SDK, type Dev, startDev, type X402SDK } from 'flow402x'
import type { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { describedSeller, find, generate, list, rate, sovereignBuyer, sovereignSeller } from './sovereign.ts'
import { regionOf, textOf } from './stage.ts'

let dev: Dev
let bazaar: Bazaar
let market: ServedBazaar
let folder: string
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  dev = await startDev({ networks: ['base'] })
  folder = mkdtempSync(join(tmpdir(), 'flow402x-sovereign-'))
  const { network, rpcUrl } = chain()
  vi.stubEnv('FLOW402X_RPC_URL_EIP155_8453', rpcUrl)
  vi.stubEnv('FLOW402X_SECRET', 'a secret of the seller, which is long enough')
  vi.stubEnv('FLOW402X_STORE', join(folder, 'books.db'))
  const store = sqliteStore(join(folder, 'bazaar.db'))
  bazaar = createBazaar({
    store,
    witnesses: [evmPaymentWitness({ network, rpcUrl, confirmations: 0n })],
    verifiers: [evmStatementVerifier()],
    fetching: { allowLoopback: true },
    resolveText: async () => [],
  })
  market = await serveBazaar(bazaar, { limits: { write: { most: 100, every: 10 } } })
  closing.push(
    () => market.close(),
    () => bazaar.close(),
    () => store.close(),
    () => dev.close(),
  )
})
afterAll(async () => {
  for (const close of closing) await close()
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

function chain() {
  const [base] = dev.chains
  if (base === undefined) throw new TypeError('a chain is missing')
  return base
}

async function open(make: (origin: () => string) => Hono): Promise<string> {
  let origin = ''
  const server = createServer(getRequestListener(make(() => origin).fetch))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.unshift(async () => server.close())
  // A server that listens on a port has an address with one.
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return `${origin}/ai/generate`
}

const wallet = (index: number) => chain().accounts.filter(({ role }) => role === 'buyer')[index]?.privateKey ?? ''
const described = () => open((origin) => describedSeller(chain().seller.privateKey, dev.world.facilitator.url, origin))
const purchasesOf = async (sdk: X402SDK) => {
  const all = []
  for await (const purchase of sdk.purchases()) all.push(purchase)
  return all
}

describe('the snippets of the sovereign buyer and seller', () => {
  it('sell, list, find and pay, as they are written', async () => {
    verifies('SDK')
    const url = await open(() => sovereignSeller(chain().seller.address, dev.world.facilitator.url))
    const sdk = sovereignBuyer(chain().buyer.privateKey)
    expect(await list(sdk, market.url, url)).toMatchObject({ state: 'listed', reason: 'live', differs: [] })
    expect(await find(sdk, market.url)).toMatchObject([
      {
        name: 'Teller',
        url,
        method: 'POST',
        category: 'ai',
        subcategory: 'text-generation',
        pricePerRequest: '0.005',
        currency: 'USDC',
        network: 'Base',
        rateLimit: '100/hour',
        uptime: '99.9%',
        healthy: true,
      },
    ])
    expect(await generate(sdk, url)).toEqual({ text: 'Once upon a time: Generate a creative story' })
  })

  it('are found by what they cost, and not beyond it', async () => {
    const sdk = sovereignBuyer(chain().buyer.privateKey)
    const asked = { marketplace: market.url, category: 'ai', network: 'BASE_MAINNET' }
    expect(await sdk.discoverServices({ ...asked, maxPricePerRequest: '0.004' })).toEqual([])
    expect(await sdk.discoverServices({ ...asked, network: 'POLYGON' })).toEqual([])
    expect(await sdk.discoverServices({ ...asked, currency: 'USDC', query: 'a story please' })).toHaveLength(1)
  })
})

describe('a rating', () => {
  it('of who paid is taken, with the receipt that the seller signed, and the owner’s mark', async () => {
    verifies(['M34', 'BAZAAR-RECEIPTS'])
    const url = await described()
    const sdk = createX402SDK(wallet(1), 'BASE_MAINNET')
    const told: unknown[] = []
    sdk.on('paid', ({ standing }) => told.push(standing))
    expect(await sdk.registerService({ marketplace: market.url, name: 'x', description: 'x', category: 'ai', url })).toMatchObject({
      state: 'listed',
    })
    await generate(sdk, url)
    expect(told).toEqual([{ status: 'valid', signer: chain().seller.address }])
    expect(await rate(sdk, market.url, url)).toEqual([{ accepted: true }])
    const listing = await createBazaarClient({ url: market.url, cacheFor: 0 }).get(url, { method: 'POST' })
    expect(listing).toMatchObject({
      name: 'Teller',
      category: 'ai.text-generation',
      ratings: { average: 5, count: 1, payers: 1 },
      owner: { verified: true, by: 'well-known' },
    })
    expect(await createBazaarClient({ url: market.url }).ratings(url, { method: 'POST' })).toMatchObject({
      ratings: [{ stars: 5, comment: 'A good story.' }],
    })
  })

  it('of who did not pay, or shows the receipt of another, is not', async () => {
    verifies(['M34', 'BAZAAR-RECEIPTS'])
    const [url, elsewhere] = [await described(), await described()]
    const [payer, stranger] = [createX402SDK(wallet(2), 'BASE_MAINNET'), createX402SDK(wallet(3), 'BASE_MAINNET')]
    for (const at of [url, elsewhere])
      await payer.registerService({ marketplace: market.url, name: 'x', description: 'x', category: 'ai', url: at })
    await generate(payer, url)
    const [bought] = await purchasesOf(payer)
    if (bought === undefined) return expect.unreachable('nothing was bought')
    const said = (sdk: X402SDK, purchase: object) =>
      sdk.rateService({ marketplace: market.url, purchase: { ...bought, ...purchase }, stars: 1 })

    // Another's payment, under his own name and under its own.
    expect(await said(stranger, { payer: stranger.address })).toMatchObject({ accepted: false, reason: 'payment_of_other' })
    expect(await said(stranger, {})).toMatchObject({ accepted: false, reason: 'bad_signature' })
    // A payment that never was, one for another resource of the same payee, and one without its receipt.
    const never = { ...bought.receipt, transaction: `0x${'9'.repeat(64)}` }
    expect(await said(payer, { receipt: never })).toMatchObject({ accepted: false, reason: 'payment_unseen' })
    expect(await said(payer, { url: elsewhere })).toMatchObject({ accepted: false, reason: 'bad_receipt' })
    expect(await said(payer, { receipt: { ...bought.receipt, extensions: {} } })).toMatchObject({ accepted: false, reason: 'no_receipt' })
    // A receipt that somebody else signed.
    const forger = offerReceipt({ signers: [evmStatementSigner(privateKeySigner(wallet(3)))] })
    const { transaction } = bought.receipt
    const forged = await forger.receipt?.({
      url,
      payer: payer.address,
      network: chain().network,
      transaction,
      at: Math.floor(Date.now() / 1000),
    })
    expect(await said(payer, { receipt: { ...bought.receipt, extensions: { 'offer-receipt': forged } } })).toMatchObject({
      accepted: false,
      reason: 'bad_receipt',
    })
    expect(await said(payer, {})).toEqual({ accepted: true })
  })

  it('of the seller’s own wallet weighs nothing', async () => {
    verifies('M34')
    const url = await described()
    const { seller } = chain()
    const self = createX402SDK(seller.privateKey, 'BASE_MAINNET')
    await self.registerService({ marketplace: market.url, name: 'x', description: 'x', category: 'ai', url })
    await generate(self, url)
    await rate(self, market.url, url)
    const listing = await createBazaarClient({ url: market.url, cacheFor: 0 }).get(url, { method: 'POST' })
    expect(listing?.ratings).toMatchObject({ weight: 0, payers: 0 })
  })
})

it.each([
  ...['sdk', 'post', 'discover', 'register', 'rate', 'verify'].map((region) => ['packages/flow402x/src/sdk/README.md', region] as const),
  ['packages/bazaar/src/describing/README.md', 'describe'] as const,
])('%s quotes it word for word: %s', (file, region) => {
  expect(textOf(file)).toContain(regionOf('./sovereign.ts', region))
})
