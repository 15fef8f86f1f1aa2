import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTextSigner } from '@flow402x/adapters-evm/receipt'
import { memoryStore } from '@flow402x/store/memory'
import { postgresStore } from '@flow402x/store/postgres'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPasses } from './pass.ts'
import { accountOf, type ProvePass, viewProver } from './proof.ts'
import { createViews, type Views } from './view.ts'
import type { KeptViews } from './view-books.ts'

const secret = 'a secret of the seller, which is long enough'
const origin = 'https://shop.example'
const start = 1_800_000_000_000
let now = start
let chain: EvmChain
let database: TestServer
beforeAll(async () => {
  ;[chain, database] = await Promise.all([startEvmChain(), startPostgres()])
})
afterAll(async () => {
  await chain?.stop()
  await database?.stop()
})

function viewsOf(kept: Partial<KeptViews>, ttl = 3600): Views {
  return createViews({ secret, ttl, kept: { store: memoryStore(), origin, ...kept }, clock: () => now })
}

const shows = async (views: Views, pass: string, resource = '/film'): Promise<boolean> =>
  (await views.read(new Headers({ 'payment-pass': pass }), resource)) !== undefined

async function timesShown(views: Views, pass: string, most = 10): Promise<number> {
  let times = 0
  while (times < most && (await shows(views, pass))) times += 1
  return times
}

describe('views that are kept', () => {
  const film = { resource: '/film', viewer: 'eip155:84532:0xab' }

  it('are as many as were paid, the first of which is the answer to the payment', async () => {
    verifies('FS1-VIEW-GRANT')
    const views = viewsOf({ views: 3, lasts: 0 })
    const { pass } = await views.grant({ ...film, purchase: 'a' })
    expect(await timesShown(views, pass)).toBe(2)
    await views.grant({ ...film, purchase: 'b' })
    await views.grant({ ...film, viewer: 'eip155:84532:0xcd', purchase: 'c' })
    expect(await timesShown(views, pass)).toBe(2)
  })

  it('are not bought twice by one payment, however often its answer is made', async () => {
    verifies('FS1-VIEW-GRANT')
    const views = viewsOf({ views: 2, lasts: 0 })
    const grants = await Promise.all(Array.from({ length: 20 }, () => views.grant({ ...film, purchase: 'a' })))
    expect(await timesShown(views, grants[7]?.pass ?? '')).toBe(1)
    await expect(views.grant(film)).rejects.toMatchObject({ code: 'stream/no-purchase' })
  })

  it('last, and are one view for so long', async () => {
    const views = viewsOf({ views: 2, lasts: 60 })
    const { pass } = await views.grant({ ...film, purchase: 'a' })
    now += 59_999
    expect(await timesShown(views, pass)).toBe(10)
    now += 1
    expect(await timesShown(views, pass)).toBe(10)
    now += 60_000
    expect(await timesShown(views, pass)).toBe(0)
  })

  it('are over with their time, each purchase by its own', async () => {
    const views = viewsOf({ views: 2, lasts: 0 })
    const early = await views.grant({ ...film, purchase: 'a' })
    now += 3_000_000
    const { pass } = await views.grant({ ...film, purchase: 'b' })
    now += 600_001
    // That of the first purchase has expired, and the pass that came with it.
    expect([await shows(views, early.pass), await timesShown(views, pass)]).toEqual([false, 1])
  })

  it('are exactly those that were paid where two instances race for them', async () => {
    verifies('FS1-VIEW-GRANT')
    const stores = await Promise.all([1, 2].map(() => postgresStore(database.url, { connections: 4 })))
    const instances = stores.map((store) => viewsOf({ store, views: 7, lasts: 0 }))
    const racing = <Answer>(step: (views: Views) => Promise<Answer>) =>
      Promise.all(Array.from({ length: 24 }, (_, index) => step(instances[index % 2] ?? viewsOf({}))))
    const [grant] = await racing((views) => views.grant({ ...film, purchase: 'race' }))
    const shown = await racing((views) => shows(views, grant?.pass ?? ''))
    expect(shown.filter(Boolean)).toHaveLength(6)
    for (const store of stores) await store.close()
  })
})

describe('a view that takes a proof', () => {
  type Stage = { readonly views: Views; readonly pass: string; readonly prove: ProvePass }
  async function staged(kept: Partial<KeptViews> = {}): Promise<Stage> {
    const { network, rpcUrl } = chain
    const views = viewsOf({ wallets: [evmPaymentWitness({ network, rpcUrl })], lasts: 0, ...kept })
    const viewer = accountOf(network, chain.buyer.address)
    const { pass, headers } = await views.grant({ resource: '/film', viewer, purchase: 'a' })
    expect(headers.map(([name]) => name)).toEqual(['Payment-Pass'])
    return { views, pass, prove: proverOf(chain.buyer.privateKey) }
  }
  const proverOf = (key: `0x${string}`, network: string = chain.network): ProvePass =>
    viewProver({ signer: evmTextSigner(privateKeySigner(key)), network, clock: () => now })

  it('is shown to the wallet that paid, as often as it was paid', async () => {
    verifies('FS1-VIEW-GRANT')
    const { views, pass, prove } = await staged({ views: 3 })
    const url = `${origin}/film?t=10`
    expect([await shows(views, await prove(url, pass)), await shows(views, await prove(url, pass))]).toEqual([true, true])
    expect(await shows(views, await prove(url, pass))).toBe(false)
  })

  it('is shown to nobody by a copy: of the pass, in a cookie, or of a proof that was taken', async () => {
    verifies('FS1-VIEW-GRANT')
    const { views, pass, prove } = await staged()
    const bare = createViews({ secret, clock: () => now })
    const { headers } = await bare.grant({ resource: '/film', viewer: accountOf(chain.network, chain.buyer.address) })
    const cookie = headers[1]?.[1].split(';')[0] ?? ''
    expect(await bare.read(new Headers({ cookie }), '/film')).toBeDefined()
    expect(await views.read(new Headers({ cookie }), '/film')).toBeUndefined()
    expect(await shows(views, pass)).toBe(false)
    const proof = await prove(`${origin}/film`, pass)
    const copies = await Promise.all(Array.from({ length: 8 }, () => shows(views, proof)))
    expect(copies.filter(Boolean)).toHaveLength(1)
    expect(await shows(views, proof)).toBe(false)
  })

  it('is shown to no other wallet, for no other origin, resource, network or time, and by no changed word', async () => {
    verifies('FS1-VIEW-GRANT')
    const { views, pass, prove } = await staged()
    const stranger = proverOf(chain.seller.privateKey)
    // A stranger with a purchase of his own, who has a copy of this pass as well.
    const other = await views.grant({ resource: '/film', viewer: accountOf(chain.network, chain.seller.address), purchase: 'b' })
    const elsewhere = await views.grant({ resource: '/other', viewer: accountOf(chain.network, chain.buyer.address), purchase: 'c' })
    const good = await prove(`${origin}/film`, pass)
    const [said = '', mac] = good.split('.')
    const words = Buffer.from(said, 'base64url').toString().split(' ')
    const swapped = (at: number, word: string) =>
      `${Buffer.from(words.map((one, index) => (index === at ? word : one)).join(' ')).toString('base64url')}.${mac}`
    const hostile = [
      await stranger(`${origin}/film`, pass),
      await prove(`${origin}/film`, other.pass),
      await prove('https://evil.example/film', pass),
      await prove(`${origin}/other`, pass),
      await prove(`${origin}/film`, elsewhere.pass),
      await proverOf(chain.buyer.privateKey, 'eip155:8453')(`${origin}/film`, pass),
      swapped(1, accountOf(chain.network, chain.seller.address)),
      swapped(2, `${now + 1}`),
      swapped(3, `${words[3]?.slice(0, -4)}abcd`),
      swapped(3, ''),
      `${good.slice(0, -1)}A`,
      `${'A'.repeat(3000)}.${mac}`,
    ]
    for (const [index, header] of hostile.entries()) expect([index, await shows(views, header)]).toEqual([index, false])
    expect(await shows(views, good)).toBe(true)
    // A pass that was never paid for, by who stole nothing but the secret's older twin, finds no purchase.
    const unpaid = await createPasses({ secret, kind: 'view' }).issue({ sid: 'f'.repeat(32), resource: '/film', exp: now + 1000 })
    expect(await shows(views, await prove(`${origin}/film`, unpaid))).toBe(false)
  })

  it('is of now: neither an old proof nor one of tomorrow is taken, nor any once the pass has expired', async () => {
    verifies('FS1-VIEW-GRANT')
    const { views, pass, prove } = await staged()
    const old = await prove(`${origin}/film`, pass)
    now += 60_001
    expect(await shows(views, old)).toBe(false)
    now += 120_000
    const early = await prove(`${origin}/film`, pass)
    now -= 120_000
    expect(await shows(views, early)).toBe(false)
    expect(await shows(views, await proverOf(chain.buyer.privateKey)(`${origin}/film`, pass))).toBe(true)
    now += 3_600_001
    expect(await shows(views, await proverOf(chain.buyer.privateKey)(`${origin}/film`, pass))).toBe(false)
  })
})
