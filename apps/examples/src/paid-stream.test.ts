import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { createClient } from '@flow402x/client'
import { httpFacilitator } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import type { StreamChunk } from '@flow402x/stream/client'
import type { Dev } from 'flow402x'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readSecond, streamShop } from './paid-stream.ts'
import { regionOf, startStage, textOf, visit } from './stage.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startStage()
})
afterAll(() => dev?.close())

it('sells a second of a stream to who reads it, and no more', async () => {
  const [chain] = dev.chains
  if (chain === undefined) throw new TypeError('a chain is missing')
  const { network, rpcUrl, seller, buyer } = chain
  const facilitator = httpFacilitator(dev.world.facilitator.url)
  const selling = { network, rpcUrl, payTo: seller.address, store: memoryStore(), facilitator, secret: 'x'.repeat(32) }
  const { app, streams } = streamShop(selling, async function* ({ signal }) {
    for (let beat = 0; !signal.aborted; beat += 1) {
      yield `${beat}`
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })
  const chains = [evmChain({ network, rpcUrl, signers: [buyer.privateKey] })]
  const store = memoryStore()
  const signer = privateKeySigner(buyer.privateKey)
  const client = createClient({ schemes: [batchSettlementClient({ signer, store, chains, maxDeposit: '$7' })], store })
  const chunks: StreamChunk[] = []
  const { consumed } = await visit(app, (url) => readSecond({ client, url: `${url}/live` }, (chunk) => chunks.push(chunk)))
  await streams.close()
  expect(chunks.length).toBeGreaterThan(1)
  expect(consumed).toBeGreaterThan(0n)
  expect(consumed).toBeLessThanOrEqual(10_000n)
})

it.each(['seller', 'buyer'])('is quoted word for word in the README of streams: %s', (region) => {
  expect(textOf('packages/stream/README.md')).toContain(regionOf('./paid-stream.ts', region))
})
