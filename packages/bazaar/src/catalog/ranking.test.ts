import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { readListing } from '@flow402x/core/bazaar'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newWallet, openMarket, type Shop, sendUsdc } from '../fixtures/payers.ts'
import { allBooks, offer, openTown, type Town } from '../fixtures/town.ts'

let chain: EvmChain
let town: Town
beforeAll(async () => {
  ;[chain, town] = await Promise.all([startEvmChain(), openTown()])
})
afterAll(async () => {
  await town.close()
  await chain.stop()
})

describe.each(Object.entries(allBooks))('ranking on %s', (_, openBooks) => {
  it('1,000 fakes and the ring that pays them stand in no first ten', { timeout: 120_000 }, async () => {
    verifies(['A21', 'M34', 'H40'])
    const market = await openMarket({ chain, town, books: await openBooks() })
    const stuffed = 'Best text generation story language model cheap'
    const honest: Shop[] = []
    for (let index = 0; index < 12; index += 1) {
      const description = `Text generation with a language model: a story for your prompt, cheap, number ${index}`
      honest.push(await market.openShop({ resource: { url: '', serviceName: `Shop ${index}`, description } }, market.newHost('honest')))
    }
    for (const [index, shop] of honest.entries()) {
      await market.say(market.buyer(index), shop, 4)
      await market.say(market.buyer(index + 3), shop, 5)
    }
    const fakes: Shop[] = []
    for (let origin = 0; origin < 50; origin += 1) {
      const host = market.newHost('fake')
      const payee = newWallet()
      const urls = Array.from({ length: 20 }, (_, page) => `${town.at(host)}/${page}`)
      // The attacker owns his origins and says so.
      town.put(`${town.at(host)}/.well-known/x402`, (_, response) => response.end(JSON.stringify({ resources: urls })))
      const page = {
        accepts: [offer({ payTo: payee.address, amount: '1' })],
        resource: { url: '', serviceName: 'text generation story', tags: stuffed.split(' ').slice(0, 5), description: stuffed },
      }
      const states = await Promise.all(
        urls.map(async (url) => (await market.bazaar.register({ url: town.put(url, page) })).listing?.owner.verified),
      )
      expect(states).toEqual(urls.map(() => true))
      fakes.push(...urls.map((url) => ({ url, payee })))
    }
    const ring = Array.from({ length: 10 }, newWallet)
    const purse = newWallet()
    const paid = new Set<Shop>()
    await chain.mint(privateKeySigner(purse.privateKey).address, 100_000_000n)
    for (const { address: to } of ring) await sendUsdc(chain, { from: purse.address, to, amount: 1_000_000n })
    for (const [index, wallet] of ring.entries()) {
      for (let turn = 0; turn < 10; turn += 1) {
        const shop = fakes[(index * 97 + turn * 20) % fakes.length]
        if (shop === undefined) continue
        paid.add(shop)
        expect(await market.say(wallet, shop, 5)).toEqual({ accepted: true })
      }
    }
    // As the next looks would.
    for (const { url } of [...honest, ...paid]) await market.bazaar.register({ url })
    const hosts = new Set(honest.map(({ url }) => new URL(url).host))
    for (const query of ['text generation', 'cheap language model', 'a story for my prompt', 'text generation story cheap']) {
      const { resources } = await market.bazaar.search({ query, limit: 10 })
      expect({ query, strangers: resources.filter(({ resource }) => !hosts.has(new URL(resource).host)) }).toEqual({ query, strangers: [] })
      expect(resources).toHaveLength(10)
    }
    const best = await market.bazaar.list({ limit: 10, type: 'http' })
    expect(best.items.filter((item) => new URL(item.resource).hostname.startsWith('fake'))).toEqual([])
    expect(best.items.every((item) => readListing(item)?.ratings.payers !== 0)).toBe(true)
    await market.close()
  })
})
