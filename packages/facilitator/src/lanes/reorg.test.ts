import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Submission } from '@flow402x/core'
import { defaultRetention, memoryJournal } from '@flow402x/core/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import type { FacilitatorEvent } from '../engine/events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from '../engine/facilitator.ts'
import { startRpcProxy } from '../fixtures/rpc-proxy.ts'

let chain: EvmChain
let events: FacilitatorEvent[]
let facilitator: LocalFacilitator

beforeAll(async () => {
  chain = await startEvmChain()
  await chain.mine(20)
})
afterEach(() => facilitator.close({ signal: AbortSignal.timeout(1000) }))
afterAll(() => chain.stop())

const journal = memoryJournal(defaultRetention)
const lane = () => ({ network: chain.network, signer: chain.facilitator.address })

async function start(options: Partial<FacilitatorOptions> = {}, rpcUrl = chain.rpcUrl): Promise<void> {
  events = []
  const writer = evmChain({ network: chain.network, rpcUrl, signers: [chain.facilitator.privateKey], confirmations: 3n })
  const schemes = [exactEvmFacilitator({ chain: writer })]
  const store = { journal }
  facilitator = createFacilitator({ schemes, store, finality: 200, onEvent: (event) => events.push(event), ...options })
  await facilitator.start()
}

const pay = (amount: bigint): Promise<Submission> => signExact(chain, exactRequirements(chain, amount), { payer: chain.buyer })
const of = (type: FacilitatorEvent['type']) => events.filter((event) => event.type === type)
const income = (): Promise<bigint> => chain.balanceOf(chain.seller.address)
const receipt = async (transaction = ''): Promise<unknown> => chain.rpc('eth_getTransactionReceipt', [transaction])
const raw = async (transaction = ''): Promise<string> => z.string().parse(await chain.rpc('eth_getRawTransactionByHash', [transaction]))
const final = (): Promise<void> => expect.poll(() => journal.slots(lane())).toEqual([])

describe('a reorg', () => {
  it('that drops a settlement has it sent again, byte for byte, and mined once', async () => {
    verifies('M17')
    await start()
    const before = await income()
    const outcome = await facilitator.settle(await pay(1000n), { claimId: 'dropped' })
    expect(outcome).toMatchObject({ status: 'settled' })
    const bytes = await raw(outcome.transaction)
    await chain.rpc('anvil_reorg', [1, []])
    expect(await receipt(outcome.transaction)).toBeNull()
    await expect.poll(() => of('reorganised')).toMatchObject([{ transaction: outcome.transaction }])
    await expect.poll(() => receipt(outcome.transaction)).toMatchObject({ status: '0x1' })
    expect(await raw(outcome.transaction)).toBe(bytes)
    await chain.mine(4)
    await final()
    expect((await income()) - before).toBe(1000n)
    expect(of('undone')).toEqual([])
  })

  it('that moves a settlement into another block changes nothing', async () => {
    await start()
    const before = await income()
    const outcome = await facilitator.settle(await pay(1000n), { claimId: 'moved' })
    const bytes = await raw(outcome.transaction)
    await chain.mine(1)
    await chain.rpc('anvil_reorg', [2, [[bytes, 1]]])
    await expect.poll(() => receipt(outcome.transaction)).toMatchObject({ status: '0x1' })
    await chain.mine(4)
    await final()
    expect((await income()) - before).toBe(1000n)
    expect(of('undone')).toEqual([])
  })

  it('after which another transaction has the nonce is told, halts the lane until that is final, and the payment is settled anew', async () => {
    verifies(['M17', 'H43'])
    await start({ finality: 200, tell: ['settlement.settled', 'settlement.undone', 'signer.foreign'] })
    const before = await income()
    const payment = await pay(1000n)
    const outcome = await facilitator.settle(payment, { claimId: 'lost' })
    expect(outcome).toMatchObject({ status: 'settled' })
    await chain.rpc('anvil_reorg', [1, []])
    const from = chain.facilitator.address
    await chain.rpc('anvil_impersonateAccount', [from])
    await chain.rpc('eth_sendTransaction', [{ from, to: chain.owner.address, value: 1n }])
    await expect.poll(() => of('foreign')).toHaveLength(1)
    expect(await journal.slots(lane())).toMatchObject([{ state: 'foreign' }])
    expect((await income()) - before).toBe(0n)
    await chain.mine(4)
    await expect.poll(() => of('undone')).toHaveLength(1)
    await expect.poll(income).toBe(before + 1000n)
    await expect
      .poll(() => facilitator.settle(payment, { claimId: 'lost' }))
      .toMatchObject({ status: 'settled', transaction: expect.not.stringContaining(outcome.transaction ?? '') })
    await chain.mine(4)
    await final()
    const told = (await journal.outbox?.take({ now: Date.now() + 1000, until: Date.now(), most: 10 })) ?? []
    const topics = ['settlement.settled', 'settlement.settled', 'settlement.undone', 'signer.foreign']
    expect(told.map(({ topic }) => topic).sort()).toEqual(topics)
    expect(told.find(({ body }) => body.includes(outcome.transaction ?? ''))?.topic).toBe('settlement.settled')
  })
})

describe('a node that refuses a transaction for what is in it', () => {
  it('holds up its lane no longer than it takes to use the nonce otherwise', async () => {
    verifies('H60')
    const poisoned = await pay(1000n)
    const authorization = z.object({ nonce: z.string() }).parse(poisoned.payment.payload.authorization)
    let refusing = true
    const node = await startRpcProxy(chain.rpcUrl, async (body, forward) => {
      const refused = refusing && body.includes('eth_sendRawTransaction') && body.includes(authorization.nonce.slice(2))
      const error = { jsonrpc: '2.0', id: 1, error: { code: -32000, message: 'rejected by policy' } }
      return refused ? JSON.stringify(error) : await forward(body)
    })
    try {
      await start({ replaceAfter: 2000, batch: false }, node.url)
      const before = await income()
      const settling = facilitator.settle(poisoned, { claimId: 'poisoned' })
      await expect.poll(() => of('sendFailed').length).toBeGreaterThan(0)
      expect(await facilitator.settle(await pay(500n), { claimId: 'behind it' })).toMatchObject({ status: 'settled' })
      expect(of('replaced')).toHaveLength(2)
      refusing = false
      await chain.mine(4)
      expect(await settling).toMatchObject({ status: 'settled' })
      expect((await income()) - before).toBe(1500n)
      const [latest, pending] = await Promise.all(
        ['latest', 'pending'].map((tag) => chain.rpc('eth_getTransactionCount', [chain.facilitator.address, tag])),
      )
      expect(latest).toBe(pending)
    } finally {
      await node.close()
    }
  })
})
