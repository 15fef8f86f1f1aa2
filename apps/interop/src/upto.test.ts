import { createClient } from '@flow402x/client'
import type { EvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startPermit2World } from './chains/permit2.ts'
import { official, ours } from './clients.ts'
import { receiptIn, watch } from './purchase.ts'
import { officialServers, ourServers, price, type Shop } from './servers.ts'
import type { World } from './world.ts'

// What a ceiling means to payers and sellers of both houses.

let world: World<EvmChain>

beforeAll(async () => {
  world = await startPermit2World({ scheme: 'upto', approval: 'approved before' })
})

afterAll(() => world?.close())

type Selling = { readonly said: string | undefined; readonly by?: 'ours' | 'official' }

/** A shop behind Express whose handler says this, settled by our facilitator. */
async function inShop({ said, by = 'ours' }: Selling, visit: (shop: Shop) => Promise<void>): Promise<void> {
  const [server] = by === 'ours' ? ourServers : officialServers
  const used = said === undefined ? undefined : { said, paid: 0n }
  const facilitator = world.facilitators['ours, HTTP']
  const shop = await server?.open(world, { payTo: world.chain.seller.address, facilitator, used })
  if (shop === undefined) return expect.unreachable('there is no shop')
  try {
    await visit(shop)
  } finally {
    await shop.close()
  }
}

describe.each([
  ['ours', ours],
  ['@x402/fetch', official],
] as const)('a payer with the client of %s', (_, client) => {
  const buy = (shop: Shop) =>
    watch(world, world.chain.buyer, () => client.connect(world, world.chain.buyer)(`${shop.url}/goods`, { method: 'POST', body: 'x' }))

  it.each<[string, Selling, bigint]>([
    ['nothing where nothing was used', { said: '0' }, 0n],
    ['nothing where nothing was used, to an official server', { said: '0', by: 'official' }, 0n],
    ['a part in dollars', { said: '$0.0042' }, 4200n],
    ['a part in dollars, to an official server', { said: '$0.0042', by: 'official' }, 4200n],
    ['a share, rounded down', { said: '33.33%' }, 3333n],
    ['the price where the handler says nothing', { said: undefined }, price],
  ])('pays %s', async (__, selling, paid) => {
    verifies(['UPTO-EVM', 'H28'])
    await inShop(selling, async (shop) => {
      const { result, movement } = await buy(shop)
      const receipt = receiptIn(result.headers)
      expect([result.status, receipt?.success, receipt?.amount]).toEqual([200, true, `${paid}`])
      expect(movement).toEqual({ buyer: paid === 0n ? 0n : -paid, seller: paid })
      expect(result.headers.get('Settlement-Overrides')).toBe(null)
    })
  })

  it.each<[string, Selling]>([
    ['more than the price', { said: '10001' }],
    ['more than the price, of an official server', { said: '10001', by: 'official' }],
    ['more than all of it', { said: '100.01%' }],
    ['what nobody can read', { said: 'a lot' }],
  ])('pays nothing where the handler asks %s, and gets nothing', async (__, selling) => {
    verifies(['UPTO-EVM', 'H28', 'M7'])
    await inShop(selling, async (shop) => {
      const { result, movement } = await buy(shop)
      expect(result.status).toBeGreaterThanOrEqual(400)
      expect(receiptIn(result.headers)?.success).toBe(false)
      expect(await result.text()).not.toContain('"body":"x"')
      expect(movement).toEqual({ buyer: 0n, seller: 0n })
    })
  })
})

describe('a budget', () => {
  it('caps the ceiling, and nothing above it is signed', async () => {
    verifies(['H6', 'UPTO-EVM'])
    await inShop({ said: '1' }, async (shop) => {
      const scheme = world.schemes.ourClient(world.chain.buyer.privateKey)
      const careful = createClient({ schemes: [scheme], budget: { perPayment: '$0.0099' } })
      await expect(careful.fetch(`${shop.url}/goods`)).rejects.toMatchObject({ code: 'client/no-payable-offer', moneyMoved: 'no' })
      expect(shop.runs()).toBe(0)
    })
  })

  it('counts the ceiling, whatever the seller says was used: he could take all of it until the signature is dead', async () => {
    verifies(['H7', 'M32'])
    await inShop({ said: '1' }, async (shop) => {
      const scheme = world.schemes.ourClient(world.chain.buyer.privateKey)
      const client = createClient({ schemes: [scheme], budget: { total: '$0.025' } })
      const { movement } = await watch(world, world.chain.buyer, async () => {
        for (let call = 0; call < 2; call += 1) expect((await client.fetch(`${shop.url}/goods`)).status).toBe(200)
        await expect(client.fetch(`${shop.url}/goods`)).rejects.toMatchObject({ code: 'client/over-budget', moneyMoved: 'no' })
      })
      expect([movement.seller, shop.runs()]).toEqual([2n, 2])
    })
  })
})
