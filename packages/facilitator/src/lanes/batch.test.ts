import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exactEvmClient, permit2, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Outcome, Submission } from '@flow402x/core'
import { defaultRetention, memoryJournal } from '@flow402x/core/memory'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import type { FacilitatorEvent } from '../engine/events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from '../engine/facilitator.ts'

const receiptSchema = z.object({ gasUsed: z.string(), blockNumber: z.string() })
const blockSchema = z.object({ baseFeePerGas: z.string() })

let chain: EvmChain
let events: FacilitatorEvent[]
let facilitator: LocalFacilitator

beforeAll(async () => {
  chain = await startEvmChain()
})
afterEach(() => facilitator.close({ signal: AbortSignal.timeout(1000) }))
afterAll(() => chain.stop())

async function start(options: Partial<FacilitatorOptions> = {}): Promise<void> {
  events = []
  const writer = evmChain({ network: chain.network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  const schemes = [exactEvmFacilitator({ chain: writer })]
  facilitator = createFacilitator({ schemes, finality: 0, onEvent: (event) => events.push(event), ...options })
  await facilitator.start()
}

const pay = (amount: bigint, payer = chain.buyer): Promise<Submission> => signExact(chain, exactRequirements(chain, amount), { payer })
const settleAll = (payments: readonly Submission[], label: string): Promise<Outcome[]> =>
  Promise.all(payments.map((payment, index) => facilitator.settle(payment, { claimId: `${label}-${index}` })))
const gasOf = async (transaction: string): Promise<number> =>
  Number(receiptSchema.parse(await chain.rpc('eth_getTransactionReceipt', [transaction])).gasUsed)
const transactionsOf = (outcomes: readonly Outcome[]): string[] => [...new Set(outcomes.flatMap(({ transaction }) => transaction ?? []))]
async function withoutBlocks(during: () => Promise<void>): Promise<void> {
  await chain.rpc('evm_setAutomine', [false])
  try {
    await during()
  } finally {
    await chain.rpc('evm_setAutomine', [true])
    await chain.mine()
  }
}

describe('a batch', () => {
  it('of 32 payments costs at most three quarters of the gas that they cost alone', async () => {
    await start()
    const [alone] = await settleAll([await pay(100n)], 'warm')
    const single = await gasOf(alone?.transaction ?? '')
    const payments = await Promise.all(Array.from({ length: 65 }, () => pay(100n)))
    let outcomes: Outcome[] = []
    await withoutBlocks(async () => {
      const settling = settleAll(payments, 'gas')
      await expect.poll(() => chain.rpc('txpool_status', [])).toMatchObject({ pending: expect.stringMatching(/0x[2-9]/) })
      await new Promise((resolve) => setTimeout(resolve, 300))
      await chain.rpc('evm_setAutomine', [true])
      await chain.mine()
      outcomes = await settling
    })
    expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
    const riders = (transaction: string): number => outcomes.filter((outcome) => outcome.transaction === transaction).length
    const full = transactionsOf(outcomes).find((transaction) => riders(transaction) === 32)
    const each = (await gasOf(full ?? '')) / 32
    console.log(`gas per payment: ${single} alone, ${Math.round(each)} in a batch of 32 (${Math.round((100 * each) / single)} %)`)
    expect(each).toBeLessThan(0.75 * single)
  })

  it('carries as many when its journal is a database', async () => {
    const file = join(tmpdir(), `facilitator-${randomUUID()}.db`)
    const store = await sqliteStore(file)
    try {
      await start({ store })
      await settleAll([await pay(100n)], 'warm-database')
      const payments = await Promise.all(Array.from({ length: 64 }, () => pay(100n)))
      let outcomes: Outcome[] = []
      await withoutBlocks(async () => {
        const settling = settleAll(payments, 'database')
        await new Promise((resolve) => setTimeout(resolve, 1000))
        await chain.rpc('evm_setAutomine', [true])
        await chain.mine()
        outcomes = await settling
      })
      expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
      expect(transactionsOf(outcomes).length).toBeLessThan(16)
      await facilitator.close()
    } finally {
      await store.close()
      await Promise.all(['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true })))
    }
  })

  it('settles every good payment although payers emptied their accounts behind it, and again whoever can pay again', async () => {
    verifies(['M15', 'M16'])
    const journal = memoryJournal(defaultRetention)
    await start({ store: { journal } })
    await settleAll([await pay(100n)], 'warm-poison')
    const [back, ...poor] = chain.accounts.filter(({ role }) => role === 'buyer').slice(-4)
    if (back === undefined) return expect.unreachable()
    const bad = [back, ...poor]
    const payments = [
      ...(await Promise.all(Array.from({ length: 27 }, () => pay(100n)))),
      ...(await Promise.all(bad.map((payer) => pay(100n, payer)))),
    ]
    const before = await chain.balanceOf(chain.seller.address)
    const riding = async () =>
      (await journal.slots({ network: chain.network, signer: chain.facilitator.address })).map((slot) => slot.payments)
    let outcomes: Outcome[] = []
    await withoutBlocks(async () => {
      const settling = settleAll(payments, 'poison')
      await expect.poll(async () => (await riding()).flat().length).toBe(payments.length)
      const batches = (await riding()).filter((ids) => ids.length > 1).map((ids) => ids.join())
      for (const { address } of bad) expect(batches.some((ids) => ids.includes(address.toLowerCase()))).toBe(true)
      // In the next block they are before the batch, and what makes one of them good again is after it.
      for (const { address } of bad)
        await transfer(address, { to: chain.owner.address, amount: await chain.balanceOf(address), fee: 100_000_000_000n })
      const { baseFeePerGas } = blockSchema.parse(await chain.rpc('eth_getBlockByNumber', ['pending', false]))
      await transfer(chain.buyer.address, { to: back.address, amount: 100n, fee: (BigInt(baseFeePerGas) * 5n) / 4n })
      await chain.rpc('evm_setAutomine', [true])
      await chain.mine()
      outcomes = await settling
    })
    expect(outcomes.slice(0, 27).filter(({ status }) => status !== 'settled')).toEqual([])
    const [again, ...ends] = outcomes.slice(27)
    expect(again).toMatchObject({ status: 'settled', amount: '100' })
    expect(outcomes.filter(({ transaction }) => transaction === again?.transaction)).toEqual([again])
    for (const end of ends) expect(end).toMatchObject({ status: 'notSettled', reason: 'invalid_exact_evm_insufficient_balance' })
    expect((await chain.balanceOf(chain.seller.address)) - before).toBe(2800n)
  })

  it('holds at most one of the payments by Permit2 that leave the same events', async () => {
    verifies('M16')
    const data = `0x095ea7b3${chain.contracts.permit2.slice(2).padStart(64, '0')}${'f'.repeat(64)}`
    await chain.rpc('eth_sendTransactionSync', [{ from: chain.buyer.address, to: chain.usdc.address, data }])
    await start()
    await settleAll([await payByPermit2(100n)], 'warm-permit2')
    const [same, other] = [
      [100n, 100n, 100n],
      [101n, 102n, 103n],
    ].map((amounts) => amounts.map(payByPermit2))
    const payments = await Promise.all([...(same ?? []), ...(other ?? [])])
    let outcomes: Outcome[] = []
    await withoutBlocks(async () => {
      const settling = settleAll(payments, 'permit2')
      await new Promise((resolve) => setTimeout(resolve, 500))
      await chain.rpc('evm_setAutomine', [true])
      await chain.mine()
      outcomes = await settling
    })
    expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
    expect(transactionsOf(outcomes.slice(0, 3))).toHaveLength(3)
    expect(transactionsOf(outcomes).length).toBeLessThan(6)
  })
})

/** A plain transfer that waits for its block, in which whoever may pay a higher fee stands earlier. */
async function transfer(from: string, { to, amount, fee }: { readonly to: string; readonly amount: bigint; readonly fee: bigint }) {
  const word = (hex: string): string => hex.padStart(64, '0')
  const data = `0xa9059cbb${word(to.slice(2))}${word(amount.toString(16))}`
  const call = { from, to: chain.usdc.address, data, gas: 200_000n, maxFeePerGas: fee, maxPriorityFeePerGas: 0n }
  await chain.rpc('eth_sendTransaction', [call])
}

async function payByPermit2(amount: bigint): Promise<Submission> {
  const requirements = { ...exactRequirements(chain, amount), extra: { assetTransferMethod: 'permit2' } }
  const client = exactEvmClient({ signer: privateKeySigner(chain.buyer.privateKey), methods: [permit2()] })
  const { maxTimeoutSeconds } = requirements
  const { payload } = await client.prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds })
  return { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
}

describe('a transaction whose fee the chain outgrew', () => {
  it('is replaced on its nonce by one that offers more', async () => {
    await start({ replaceAfter: 500 })
    await settleAll([await pay(100n)], 'warm-stuck')
    const before = await chain.balanceOf(chain.seller.address)
    await chain.rpc('evm_setAutomine', [false])
    const settling = settleAll([await pay(100n)], 'stuck')
    await expect.poll(() => events.filter(({ type }) => type === 'sent').length).toBe(2)
    await chain.rpc('anvil_setNextBlockBaseFeePerGas', ['0x2540be400'])
    await chain.mine()
    await expect.poll(() => events.some(({ type }) => type === 'replaced')).toBe(true)
    await chain.rpc('evm_setAutomine', [true])
    // The last may be under way while its chain stops.
    const mining = setInterval(() => void chain.mine().catch(() => {}), 200)
    const [outcome] = await settling
    clearInterval(mining)
    const first = events.filter((event) => event.type === 'sent')[1]
    expect(outcome).toMatchObject({ status: 'settled' })
    expect(outcome?.transaction).not.toBe(first?.type === 'sent' ? first.transaction : '')
    expect((await chain.balanceOf(chain.seller.address)) - before).toBe(100n)
  })
})
