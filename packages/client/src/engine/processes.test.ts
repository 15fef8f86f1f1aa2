import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, expect, it, vi } from 'vitest'
import { buyers } from '../fixtures/buyers.ts'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { createClient } from './client.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-buyers-'))
const children = buyers()
const sellers: Seller[] = []
afterEach(async () => {
  children.end()
  await Promise.all(sellers.splice(0).map((seller) => seller.close()))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A real process that pays from the store in `place`. */
function startBuyer(place: string, total: string) {
  return children.start(new URL('../fixtures/buyer-process.ts', import.meta.url), {
    module: import.meta.resolve('@flow402x/store/sqlite'),
    make: 'sqliteStore',
    place,
    total,
  })
}

/** A seller that lets payments for `/held` wait until it is opened. */
async function meet() {
  let isOpen = false
  const seller = await startSeller(({ url, payment }, response) => {
    if (payment === undefined) return ask(response)
    return url.startsWith('/held') && !isOpen ? undefined : answer(response, settled)
  })
  sellers.push(seller)
  const nonces = (path: string) =>
    new Set(seller.seen.flatMap(({ url, payment }) => (url.startsWith(path) ? (payment?.payload.nonce ?? []) : [])))
  const open = () => {
    isOpen = true
  }
  return { ...seller, nonces, open }
}

const count = (results: readonly string[]) =>
  Object.fromEntries([...new Set(results)].map((one) => [one, results.filter((each) => each === one).length]))

it('H7: four processes of one file never pass its budget', async () => {
  verifies('H7')
  const place = join(folder, 'shared.db')
  const { url, nonces } = await meet()
  const four = await Promise.all(Array.from({ length: 4 }, () => startBuyer(place, '$0.305')))
  const results = await Promise.all(four.flatMap(({ call }) => Array.from({ length: 15 }, () => call(url))))
  expect(count(results)).toEqual({ 200: 30, 'client/over-budget': 30 })
  expect(nonces('/').size).toBe(30)
  const store = sqliteStore(place)
  const client = createClient({ schemes: [pen()], store, budget: { total: '$0.305' } })
  expect((await client.spent()).total).toEqual({ limit: '$0.305', reserved: '$0', committed: '$0.3', left: '$0.005' })
  await store.close()
})

it('H2, H7: kill -9 in the middle frees nothing that may be spent, and the next process sends the same payment', async () => {
  verifies(['H2', 'H7', 'M32', 'H21'])
  const place = join(folder, 'killed.db')
  const total = '$0.3'
  const { url, nonces, open } = await meet()
  const [victim, ...others] = await Promise.all(Array.from({ length: 4 }, () => startBuyer(place, total)))
  const lost = Array.from({ length: 10 }, (_, index) => victim?.call(`${url}/held/${index}`, `order-${index}`))
  await vi.waitFor(() => expect(nonces('/held').size).toBeGreaterThan(3))
  const paidByOthers = Promise.all(others.flatMap(({ call }) => Array.from({ length: 10 }, () => call(`${url}/paid`))))
  await vi.waitFor(() => expect(nonces('/paid').size).toBeGreaterThan(3))
  await victim?.kill()
  const signed = nonces('/held')
  const results = count(await paidByOthers)
  const paid = results[200] ?? 0
  expect(results).toEqual({ 200: paid, 'client/over-budget': 30 - paid })
  expect(paid).toBeLessThanOrEqual(30 - signed.size)
  expect(nonces('/').size).toBeLessThanOrEqual(30)

  const store = sqliteStore(place)
  const at = (later: number) => createClient({ schemes: [pen()], store, budget: { total }, now: () => Date.now() + later })
  const cents = async (later: number) => {
    const { reserved, committed } = (await at(later).spent()).total
    return [reserved, committed].map((text) => Math.round(100 * Number(text.slice(1))))
  }
  const [reserved, committed] = await cents(0)
  expect(reserved).toBeGreaterThanOrEqual(signed.size)
  expect(committed).toBe(paid)

  open()
  const heir = await startBuyer(place, total)
  const orders = Array.from({ length: lost.length }, (_, index) => `${index}`)
  const resumed = await Promise.all(orders.map((order) => heir.call(`${url}/held/${order}`, `order-${order}`)))
  expect(resumed.filter((result) => result === '200').length).toBeGreaterThanOrEqual(signed.size)
  expect(resumed.filter((result) => !['200', 'client/call-under-way', 'client/over-budget'].includes(result))).toEqual([])
  for (const order of orders) expect(nonces(`/held/${order}`).size).toBeLessThan(2)

  const [still, spent = 0] = await cents(700_000)
  expect(still).toBe(0)
  expect(spent).toBeGreaterThanOrEqual(paid + signed.size)
  expect(spent).toBeLessThanOrEqual(30)
  await store.close()
})
