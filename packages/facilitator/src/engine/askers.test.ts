import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Store } from '@flow402x/core'
import { postgresStore } from '@flow402x/store/postgres'
import { sqliteStore } from '@flow402x/store/sqlite'
import { verifies } from '@flow402x/testing/requirements'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type SmallChain, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

const closing: (() => Promise<unknown>)[] = []
const files: string[] = []
let postgres: TestServer

beforeAll(async () => {
  postgres = await startPostgres()
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
afterAll(async () => {
  await postgres.stop()
  await Promise.all(files.flatMap((file) => ['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true }))))
})

const stores: readonly (readonly [string, () => () => Promise<Store>])[] = [
  [
    'SQLite',
    () => {
      const file = join(tmpdir(), `askers-${randomUUID()}.db`)
      files.push(file)
      return async () => sqliteStore(file)
    },
  ],
  ['PostgreSQL', () => () => postgresStore(postgres.url)],
]

// Both have the journal alone in common, as two processes on one store.
async function facilitatorOn(open: () => Promise<Store>, chain: SmallChain, confirmTimeout = 300): Promise<LocalFacilitator> {
  const store = await open()
  const facilitator = createFacilitator({ schemes: [smallScheme(chain)], store, confirmTimeout, finality: 0, lease: 1000, batch: false })
  closing.push(async () => {
    await facilitator.close({ signal: AbortSignal.abort() })
    await store.close()
  })
  return facilitator
}

describe.each(stores)('who asks, with the journal in %s', (_, place) => {
  it('is told what became of a claim by any facilitator of the store, and after a restart', async () => {
    verifies('M5')
    const open = place()
    const chain = smallChain([randomUUID()])
    const [one, two] = [await facilitatorOn(open, chain), await facilitatorOn(open, chain)]
    const id = randomUUID()
    chain.mining = false
    const pending = await one.settle(smallPayment(id), { claimId: id })
    expect(pending).toMatchObject({ status: 'pending' })
    expect(await two.status?.(id)).toEqual(pending)
    chain.mining = true
    await expect.poll(() => two.status?.(id)).toMatchObject({ status: 'settled', payer: 'payer' })
    expect(await (await facilitatorOn(open, smallChain())).status?.(id)).toEqual(await one.status?.(id))
  })

  it('buries a claim nobody has seen: its settlement is refused wherever and whenever it arrives', async () => {
    verifies('M5')
    const open = place()
    const chain = smallChain([randomUUID()])
    const [one, two] = [await facilitatorOn(open, chain), await facilitatorOn(open, chain)]
    const id = randomUUID()
    expect(await one.status?.(id)).toBeUndefined()
    const refused = { status: 'notSettled', reason: 'claim_spent', retry: 'never' }
    expect(await two.settle(smallPayment(id), { claimId: id })).toMatchObject(refused)
    expect(await (await facilitatorOn(open, chain)).settle(smallPayment(id), { claimId: id })).toMatchObject(refused)
    expect(await two.status?.(id)).toBeUndefined()
    expect(chain.taken.size).toBe(0)
    // The payment itself is as good as before.
    expect(await two.settle(smallPayment(id), { claimId: randomUUID() })).toMatchObject({ status: 'settled' })
  })

  it('is told one thing when it asks while it settles: that it settled, or that it never will', async () => {
    verifies('M5')
    const open = place()
    const chain = smallChain([randomUUID()])
    const [one, two] = [await facilitatorOn(open, chain, 5000), await facilitatorOn(open, chain, 5000)]
    const rounds = Array.from({ length: 12 }, async (__, index) => {
      const id = randomUUID()
      const settling = one.settle(smallPayment(id), { claimId: id })
      await new Promise((resolve) => setTimeout(resolve, index / 2))
      const asked = await two.status?.(id)
      const outcome = await settling
      if (asked === undefined) expect(outcome).toMatchObject({ status: 'notSettled', reason: 'claim_spent' })
      else expect(outcome).toMatchObject({ status: 'settled' })
      return asked === undefined
    })
    const buried = (await Promise.all(rounds)).filter((one) => one)
    expect(chain.taken.size).toBe(rounds.length - buried.length)
  })

  it('without a claim, after it was answered pending, is told the end once, by whichever facilitator it asks', async () => {
    verifies('M2')
    const open = place()
    const chain = smallChain([randomUUID()])
    const [one, two] = [await facilitatorOn(open, chain), await facilitatorOn(open, chain)]
    const id = randomUUID()
    const duplicate = { status: 'notSettled', reason: 'duplicate_settlement' }
    chain.mining = false
    const first = one.settle(smallPayment(id))
    await expect.poll(() => chain.taken.size).toBe(1)
    expect(await two.settle(smallPayment(id))).toMatchObject(duplicate)
    expect(await first).toMatchObject({ status: 'pending' })
    expect(await two.settle(smallPayment(id))).toMatchObject({ status: 'pending' })
    chain.mining = true
    const { payment, requirements } = smallPayment(id)
    const other = { payment: { ...payment, resource: { url: 'https://other.example/' } }, requirements }
    expect(await two.settle(other)).toMatchObject(duplicate)
    const third = await facilitatorOn(open, chain, 5000)
    const answers = await Promise.all([one, two, third].map((facilitator) => facilitator.settle({ requirements, payment })))
    expect(answers.filter(({ status }) => status === 'settled')).toHaveLength(1)
    expect(answers.filter(({ status }) => status !== 'settled')).toMatchObject([duplicate, duplicate])
    for (const facilitator of [one, two, third]) expect(await facilitator.settle(smallPayment(id))).toMatchObject(duplicate)
    expect(chain.taken.size).toBe(1)
  })

  it('without a claim is not told a success again that was not pending', async () => {
    verifies('M2')
    const open = place()
    const chain = smallChain([randomUUID()])
    const [one, two] = [await facilitatorOn(open, chain, 5000), await facilitatorOn(open, chain, 5000)]
    const id = randomUUID()
    expect(await one.settle(smallPayment(id))).toMatchObject({ status: 'settled' })
    for (const facilitator of [one, two])
      expect(await facilitator.settle(smallPayment(id))).toMatchObject({ reason: 'duplicate_settlement' })
  })
})
