import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { receiptOf } from '@flow402x/client'
import { httpFacilitator } from '@flow402x/server'
import type { Dev } from 'flow402x'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { regionOf, startStage, textOf, visit } from './stage.ts'
import { payerOnTwoChains, payOrder, pointsAdapter, shop } from './token-adapter.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startStage()
})
afterAll(() => dev?.close())

function chains() {
  const [evm] = dev.chains
  if (evm === undefined || dev.solana === undefined) throw new TypeError('a chain is missing')
  return { evm, solana: dev.solana }
}

it('pays an order once and looks it up', async () => {
  const { rpcUrl, buyer, seller, balanceOf } = chains().evm
  const before = await balanceOf(seller.address)
  const first = await payOrder({ rpcUrl, privateKey: buyer.privateKey }, seller.address)
  const again = await payOrder({ rpcUrl, privateKey: buyer.privateKey }, seller.address)
  expect(first).toMatchObject({ arrived: true, left: await balanceOf(buyer.address) })
  expect(again.transaction).toBe(first.transaction)
  expect((await balanceOf(seller.address)) - before).toBe(12_500_000n)
})

it('pays in whatever has three methods', async () => {
  const paid = new Map<string, { to: string; points: bigint }>()
  const points = {
    async move(to: string, amount: bigint) {
      paid.set(`move ${paid.size}`, { to, points: amount })
      return `move ${paid.size - 1}`
    },
    find: async (id: string) => paid.get(id),
  }
  const adapter = pointsAdapter(points, new Map([['ann', 5n]]))
  const id = await adapter.createPayment('ben', '1.25')
  expect(paid.get(id)).toEqual({ to: 'ben', points: 125n })
  expect(await adapter.validatePayment(id, { recipient: 'ben', amount: '1.25' })).toBe(true)
  expect(await adapter.validatePayment(id, { recipient: 'ben', amount: '1.26' })).toBe(false)
  await expect(adapter.createPayment('ben', '1.255')).rejects.toMatchObject({ code: 'token/bad-amount' })
  expect(await adapter.getBalance('ann')).toBe(5n)
})

it('asks what the request is worth, and pays on the chain that is liked best', async () => {
  const { evm, solana } = chains()
  const { app, server } = shop({
    facilitator: httpFacilitator(dev.world.facilitator.url),
    schemes: [
      exactEvmServer({ network: evm.network, payTo: evm.seller.address }),
      exactSolanaServer({ network: solana.network, payTo: solana.seller.address, rpcUrl: solana.rpcUrl }),
    ],
    secret: 'a secret of at least thirty-two letters',
  })
  await server.start()
  const keys = { evm: evm.buyer.privateKey, solana: solana.buyer.privateKey }
  await visit(app, async (url) => {
    const before = await solana.balanceOf(solana.seller.address)
    const response = await payerOnTwoChains(keys, { evm: evm.rpcUrl, solana: solana.rpcUrl }).fetch(`${url}/report?pages=1`)
    expect(response.status).toBe(200)
    expect(receiptOf(response)?.network).toBe(solana.network)
    expect((await solana.balanceOf(solana.seller.address)) - before).toBe(1_000_000n)
  })
  server.close()
})

it.each(['adapter', 'own', 'prices', 'choice'])('is quoted word for word in the docs: %s', (region) => {
  expect(textOf('apps/docs/pages/wallets-and-token-adapters.md')).toContain(regionOf('./token-adapter.ts', region))
})
