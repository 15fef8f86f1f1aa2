import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { postgresStore } from '@flow402x/store/postgres'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type EscrowFacilitator, escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openShop } from '../fixtures/stream-shop.ts'

let chain: EvmChain
let facilitator: EscrowFacilitator
let database: TestServer
beforeAll(async () => {
  ;[chain, database] = await Promise.all([startEvmChain(), startPostgres()])
  facilitator = await escrowFacilitator(chain)
}, 60_000)
afterAll(async () => {
  await chain?.stop()
  await database?.stop()
})

test('two instances take each of a thousand vouchers once, whoever comes first', async () => {
  verifies(['T14', 'F4'])
  const stores = await Promise.all([1, 2].map(() => postgresStore(database.url, { connections: 2 })))
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
  for (const one of stores) await one.close()
}, 60_000)
