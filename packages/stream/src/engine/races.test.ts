import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import type { Store } from '@flow402x/core'
import { postgresStore } from '@flow402x/store/postgres'
import { hotStore } from '@flow402x/store/redis'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { hasRedis, startPostgres, startRedis, type TestServer } from '@flow402x/testing/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openShop } from '../fixtures/stream-shop.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
let database: TestServer
beforeAll(async () => {
  ;[chain, database] = await Promise.all([startEvmChain(), startPostgres()])
  facilitator = await escrowFacilitator(chain)
})
afterAll(async () => {
  await chain?.stop()
  await database?.stop()
})

type Opened = { readonly store: Store; close(): Promise<void> }

const alone = async (): Promise<Opened> => {
  const store = await postgresStore(database.url, { connections: 2 })
  return { store, close: () => store.close() }
}

let redis: TestServer | undefined
afterAll(() => redis?.stop())
const behindRedis = (durability: 'sync' | 'fast') => async (): Promise<Opened> => {
  redis ??= await startRedis()
  const cold = await postgresStore(database.url, { connections: 2 })
  const store = await hotStore(redis.url, { store: cold, durability })
  return { store, close: () => store.close().then(() => cold.close()) }
}

const missing = 'skipped: there is no redis-server here'
const where: [name: string, open: () => Promise<Opened>, skipped?: string][] = [
  ['one PostgreSQL', alone],
  ['one Redis, sync', behindRedis('sync'), missing],
  ['one Redis, fast', behindRedis('fast'), missing],
]

describe.each(where)('over %s', (_, openOne, skipped) => {
  test.skipIf(skipped !== undefined && !hasRedis())(
    'two instances take each of a thousand vouchers once, whoever comes first',
    async () => {
      verifies(['T14', 'F4'])
      const opened: Opened[] = []
      for (let instance = 0; instance < 2; instance += 1) opened.push(await openOne())
      const stores = opened.map(({ store }) => store)
      const rails = stores.map((store) => {
        const { network, rpcUrl, seller } = chain
        const rail = batchSettlementServer({ network, rpcUrl, payTo: seller.address, store }).rail
        if (rail === undefined) throw new RangeError('no rail')
        return rail
      })
      const [store = Object.create(null)] = stores
      const shop = await openShop({ chain, facilitator, store })
      const payer = await shop.newPayer(10_000n)
      const asked = { ...(await payer.voucher(1n)).accepted, amount: '10' }
      const lane = { id: 'race', channelId: payer.id, slice: 10n }
      let won = 0
      for (let race = 1n; race <= 1000n; race += 1n) {
        const payment = { ...(await payer.voucher(race * 10n)), accepted: asked }
        // All that was bought before is used, as the owner of the lane would say.
        const step = race === 1n ? lane : { ...lane, used: (race - 1n) * 10n }
        const answers = await Promise.all(rails.map((rail) => rail.buy({ payment, requirements: asked }, step, { opens: race === 1n })))
        won += answers.filter((answer) => 'standing' in answer).length
      }
      expect(won).toBe(1000)
      expect(await shop.row(payer)).toMatchObject({ top: 10_000n, charged: 9990n, lanes: [{ used: 9990n, granted: 10_000n }] })
      await shop.close()
      for (const one of opened) await one.close()
    },
  )
})
