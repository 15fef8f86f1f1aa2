import { verifies } from '@flow402x/testing/requirements'
import { hasRedis } from '@flow402x/testing/servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { transfersTo } from './world/books.ts'
import { payOnce } from './world/buyer.ts'
import { evm, evmTransfers, type Rail, type RailPlan } from './world/rail.ts'
import { postgresPlaces, redisPlaces, type ServedPlaces } from './world/servers.ts'
import { startWorld, type World } from './world/world.ts'

const stops: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const stop of stops.toReversed()) await stop()
})

type Open = () => Promise<ServedPlaces | undefined>
const embedded: Open = async () => undefined
const shops: readonly (readonly [store: string, paid: string, plan: RailPlan, open: Open])[] = [
  ['SQLite', evm.name, evm, embedded],
  ['PostgreSQL', evm.name, evm, postgresPlaces],
  ['Redis', evm.name, evm, redisPlaces],
  ['SQLite', evmTransfers.name, evmTransfers, embedded],
  ['PostgreSQL', evmTransfers.name, evmTransfers, postgresPlaces],
]

describe.each(shops)('four processes on one store in %s, paid %s', (name, _, plan, open) => {
  let rail: Rail
  let world: World
  beforeAll(async () => {
    rail = await plan.start()
    stops.push(rail.stop)
    if (name === 'Redis' && !hasRedis()) return
    const places = await open()
    if (places !== undefined) stops.push(places.stop)
    world = await startWorld({ rail, sellers: 4, ...(places && { claims: places.claims }) })
    stops.push(world.stop)
  })

  it.skipIf(name === 'Redis' && !hasRedis())(
    '100 copies of one payment at once, and 100 one after the other: one run, one answer with goods, one transfer',
    async () => {
      verifies(['A1', 'H4', 'M22'])
      const url = new URL(world.newUrl())
      const urls = world.sellers.map((seller) => new URL(url.pathname, seller.url).href)
      const send = await payOnce(rail.client(await world.newPayer()), urls[0] ?? '')
      const at = (index: number): string => urls[index % urls.length] ?? ''
      const together = await Promise.all(Array.from({ length: 100 }, (_, index) => send(at(index))))
      expect(
        together.filter((got) => got === 'goods'),
        [...new Set([...together, ...world.log().slice(-3)])].join(),
      ).toHaveLength(1)
      const after: string[] = []
      for (let index = 0; index < 100; index += 1) after.push(await send(at(index)))
      expect(new Set(after)).toEqual(new Set(['402 duplicate_settlement']))
      expect(world.log().filter((line) => line === `ran ${url.pathname}`)).toHaveLength(1)
      expect(await transfersTo(world)).toHaveLength(1)
    },
  )
})
