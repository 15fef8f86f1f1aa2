import { randomBytes, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { FacilitatorScheme, Submission } from '@flow402x/core'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type SmallChain, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from './facilitator.ts'

const closing: (() => Promise<unknown>)[] = []
let local: EvmChain

beforeAll(async () => {
  local = await startEvmChain()
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})
afterAll(() => local.stop())

function make(scheme: FacilitatorScheme, options: Partial<FacilitatorOptions> = {}): LocalFacilitator {
  const facilitator = createFacilitator({ schemes: [scheme], confirmTimeout: 5000, ...options })
  closing.push(() => facilitator.close({ signal: AbortSignal.abort() }))
  return facilitator
}

describe('what a payer has promised', () => {
  async function setUp(money: bigint) {
    const { network, rpcUrl, facilitator: signer } = local
    const facilitator = make(exactEvmFacilitator({ chain: evmChain({ network, rpcUrl, signers: [signer.privateKey] }) }))
    const privateKey = `0x${randomBytes(32).toString('hex')}` as const
    const payer = { ...local.buyer, privateKey, address: privateKeySigner(privateKey).address }
    await local.mint(payer.address, money)
    const pay = (amount: bigint): Promise<Submission> => signExact(local, exactRequirements(local, amount), { payer })
    return { facilitator, pay, payer }
  }

  it('counts against his balance at verifying and settling, until it is paid', async () => {
    verifies(['M8', 'M15'])
    const { facilitator, pay, payer } = await setUp(1000n)
    const [first, second, third] = [await pay(700n), await pay(700n), await pay(300n)]
    await local.rpc('evm_setAutomine', [false])
    const settling = facilitator.settle(first, { claimId: randomUUID() })
    const sent = () => local.rpc('eth_getTransactionCount', [local.facilitator.address, 'pending'])
    const before = await local.rpc('eth_getTransactionCount', [local.facilitator.address, 'latest'])
    await expect.poll(sent).not.toBe(before)
    const one = await sent()
    const short = { reason: 'insufficient_funds', payer: payer.address }
    expect(await facilitator.verify(second)).toMatchObject({ valid: false, ...short })
    expect(await facilitator.settle(second, { claimId: randomUUID() })).toMatchObject({ status: 'notSettled', retry: 'same', ...short })
    expect(await facilitator.verify(third)).toEqual({ valid: true, payer: payer.address, funds: 1000n })
    expect(await sent()).toBe(one)
    await local.rpc('evm_setAutomine', [true])
    await local.mine()
    expect(await settling).toMatchObject({ status: 'settled' })
    expect(await facilitator.verify(third)).toEqual({ valid: true, payer: payer.address, funds: 300n })
    expect(await facilitator.verify(second)).toMatchObject({ valid: false, reason: 'invalid_exact_evm_insufficient_balance' })
  })

  it('of twelve at once lets as many through as he can pay, and none of the others is sent', async () => {
    verifies('M15')
    const { facilitator, pay } = await setUp(1000n)
    const payments = await Promise.all(Array.from({ length: 12 }, () => pay(200n)))
    const outcomes = await Promise.all(payments.map((payment) => facilitator.settle(payment, { claimId: randomUUID() })))
    expect(outcomes.filter(({ status }) => status === 'settled')).toHaveLength(5)
    const reasons = new Set(outcomes.flatMap((outcome) => (outcome.status === 'notSettled' ? [outcome.reason] : [])))
    for (const reason of reasons) expect(['insufficient_funds', 'invalid_exact_evm_insufficient_balance']).toContain(reason)
    for (const outcome of outcomes) if (outcome.status === 'notSettled') expect(outcome.transaction).toBeUndefined()
  })
})

describe('of one payer', () => {
  const rich = (chain: SmallChain, funds?: bigint): FacilitatorScheme =>
    smallScheme(chain, { verify: async () => ({ valid: true, payer: 'payer', ...(funds === undefined ? {} : { funds }) }) })

  it('what waits at one facilitator counts at every other of the store', async () => {
    verifies(['M8', 'M15'])
    const file = join(tmpdir(), `limits-${randomUUID()}.db`)
    closing.push(() => Promise.all(['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true }))))
    const chain = smallChain()
    chain.mining = false
    const [one, two] = [0, 1].map(() => {
      const store = sqliteStore(file)
      closing.push(() => store.close())
      return make(rich(chain, 12n), { store, confirmTimeout: 300 })
    })
    for (const id of ['a', 'b']) expect(await one?.settle(smallPayment(id), { claimId: id })).toMatchObject({ status: 'pending' })
    expect(await two?.verify(smallPayment('c'))).toMatchObject({ valid: false, reason: 'insufficient_funds' })
    // The same payment again is promised once.
    expect(await two?.verify(smallPayment('b'))).toMatchObject({ valid: true })
    chain.mining = true
    await expect.poll(() => one?.status?.('b')).toMatchObject({ status: 'settled' })
    expect(await two?.verify(smallPayment('c'))).toMatchObject({ valid: true, funds: 12n })
  })

  it('so many payments are under way at most, and then he is told to come again', async () => {
    verifies(['A11', 'M15'])
    const chain = smallChain()
    chain.mining = false
    const facilitator = make(rich(chain), { queue: { perPayer: 3 } })
    const settling = ['a', 'b', 'c'].map((id) => facilitator.settle(smallPayment(id), { claimId: id }))
    await expect.poll(() => chain.taken.size).toBeGreaterThan(0)
    const busy = { code: 'facilitator/busy', status: 503, moneyMoved: 'no', retry: 'same' }
    await expect(facilitator.settle(smallPayment('d'), { claimId: 'd' })).rejects.toMatchObject(busy)
    await expect(facilitator.verify(smallPayment('d'))).rejects.toMatchObject(busy)
    chain.mining = true
    expect(await Promise.all(settling)).toMatchObject(settling.map(() => ({ status: 'settled' })))
    expect(await facilitator.settle(smallPayment('d'), { claimId: 'd' })).toMatchObject({ status: 'settled' })
  })

  it('or of all so many calls, whatever they are', async () => {
    verifies('A11')
    const chain = smallChain()
    let asked = 0
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const slow = smallScheme(chain, {
      async verify() {
        asked += 1
        await gate
        return { valid: true, payer: 'payer' }
      },
    })
    const facilitator = make(slow, { queue: { most: 5 } })
    const calls = Array.from({ length: 5 }, (_, index) => facilitator.settle(smallPayment(`${index}`), { claimId: `${index}` }))
    await expect.poll(() => asked).toBe(5)
    await expect(facilitator.verify(smallPayment('x'))).rejects.toMatchObject({ code: 'facilitator/busy' })
    await expect(facilitator.settle(smallPayment('x'))).rejects.toMatchObject({ code: 'facilitator/busy' })
    expect(await facilitator.status?.('y')).toBeUndefined()
    open()
    expect(await Promise.all(calls)).toMatchObject(calls.map(() => ({ status: 'settled' })))
    expect(await facilitator.settle(smallPayment('x'))).toMatchObject({ status: 'settled' })
  })
})
