import type { Dev } from 'flow402x'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buy, seller } from './paid-route.ts'
import { regionOf, startStage, textOf, visit } from './stage.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startStage()
})
afterAll(() => dev?.close())

it('sells a route for a cent and buys it', async () => {
  const [chain] = dev.chains
  if (chain === undefined) throw new TypeError('no chain')
  await visit(await seller(chain.seller.address, dev.world.facilitator.url), async (url) => {
    const before = await chain.balanceOf(chain.seller.address)
    const bought = await buy(`${url}/weather`, chain.buyer.privateKey)
    expect(bought.answer).toEqual({ sky: 'fair', celsius: 21 })
    expect(bought.transaction).toMatch(/^0x[0-9a-f]{64}$/)
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 10_000n)
  })
})

it.each(['seller', 'buyer'])('is quoted word for word in the README: %s', (region) => {
  expect(textOf('README.md')).toContain(regionOf('./paid-route.ts', region))
})
