import type { Dev } from 'flow402x'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buy, seller, signers } from './paid-route-solana.ts'
import { regionOf, startStage, textOf, visit } from './stage.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startStage()
})
afterAll(() => dev?.close())

it('sells a route on Solana and buys it with a key, with kit and with web3.js', async () => {
  const { solana, world } = dev
  if (solana === undefined) throw new TypeError('no Solana')
  const payTo = solana.seller.address
  const app = await seller({ payTo, rpcUrl: solana.rpcUrl, facilitatorUrl: world.facilitator.url })
  await visit(app, async (url) => {
    const ways = await signers(solana.buyer.privateKey)
    expect(ways.map(({ address }) => address)).toEqual(Array.from({ length: 3 }, () => solana.buyer.address))
    for (const signer of ways) {
      const before = await solana.balanceOf(payTo)
      const bought = await buy(`${url}/weather`, signer)
      expect(bought.answer).toEqual({ sky: 'fair', celsius: 21 })
      expect(bought.transaction).toMatch(/^[1-9A-HJ-NP-Za-km-z]{86,88}$/)
      expect(await solana.balanceOf(payTo)).toBe(before + 10_000n)
    }
  })
})

it.each(['seller', 'signers', 'buyer'])('is quoted word for word in the README of the adapter: %s', (region) => {
  expect(textOf('packages/adapters-solana/README.md')).toContain(regionOf('./paid-route-solana.ts', region))
})
