import { cancellableExactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { PaymentPayload, PaymentRequirements, SignedTransaction } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { answer, ask, asking, cent, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { createClient } from './client.ts'

let local: EvmChain
let chain: ReturnType<typeof evmChain>
let facilitator: ReturnType<typeof exactEvmFacilitator>
let offer: PaymentRequirements
const sellers: Seller[] = []

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl, usdc, seller } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey], fees: { minPriorityFeePerGas: 10_000_000_000n } })
  facilitator = exactEvmFacilitator({ chain })
  await facilitator.start()
  offer = { ...cent, asset: usdc.address, payTo: seller.address, extra: { name: usdc.name, version: usdc.version } }
})
afterAll(() => local.stop())
let before = 0n
beforeEach(async () => {
  before = await local.balanceOf(local.buyer.address)
})
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

/** A seller that takes payments and says nothing, and a client whose payments can be cancelled by an account of its own. */
async function meet({ confirmations = 0n, waitMs = 10_000, tip = 1_000_000n } = {}) {
  let isOpen = false
  const { network, rpcUrl, buyer, owner } = local
  const seller = await startSeller(({ payment }, response) => {
    if (payment === undefined) return ask(response, asking([offer]))
    return isOpen ? answer(response, settled) : response.destroy()
  })
  sellers.push(seller)
  const gas = evmChain({ network, rpcUrl, signers: [owner.privateKey], confirmations, fees: { minPriorityFeePerGas: tip } })
  const scheme = cancellableExactEvmClient({ signer: privateKeySigner(buyer.privateKey), chains: [gas], waitMs, pollMs: 20 })
  const store = memoryStore()
  const start = () => createClient({ schemes: [scheme], store, retry: { attempts: 1 } })
  const client = start()
  const error = await client.fetch(seller.url, { callId: 'order' }).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'client/settle-unknown' })
  const payment = seller.seen.at(-1)?.payment
  if (payment === undefined) throw new Error('nothing was paid')
  const open = () => {
    isOpen = true
  }
  return { client, start, error, payment, seller, open, store, schemes: [scheme] }
}

/** What the seller sends to be paid. */
async function settlementOf(payment: PaymentPayload): Promise<SignedTransaction> {
  const [signer = ''] = chain.signers
  return await chain.sign(facilitator.plan({ payment, requirements: payment.accepted }), { signer, nonce: await chain.nonce(signer) })
}

const waiting = async () => ((await local.rpc('txpool_status', [])) as { pending: string }).pending // anvil's pool

const spentOf = async ({ client }: Pick<Awaited<ReturnType<typeof meet>>, 'client'>) => {
  const { reserved, committed } = (await client.spent()).total
  return { reserved, committed, moved: before - (await local.balanceOf(local.buyer.address)) }
}

describe('a payment of real money', () => {
  it('is cancelled on chain: its amount is free, the seller can never settle it, and the call may pay anew', async () => {
    verifies('M32')
    const met = await meet()
    await met.start().cancel({ callId: 'order' })
    expect(await spentOf(met)).toEqual({ reserved: '$0', committed: '$0', moved: 0n })
    const verdict = await facilitator.verify({ payment: met.payment, requirements: offer })
    expect(verdict).toMatchObject({ valid: false, reason: 'invalid_exact_evm_nonce_already_used' })
    await expect(settlementOf(met.payment)).rejects.toMatchObject({ code: 'evm/would-revert' })
    await met.client.cancel(met.error)

    met.open()
    expect((await met.start().fetch(met.seller.url, { callId: 'order' })).status).toBe(200)
    expect(new Set(met.seller.seen.flatMap(({ payment }) => payment?.payload.signature ?? [])).size).toBe(2)
    expect((await spentOf(met)).committed).toBe('$0.01')
  })

  it('that the seller settled first is spent, and cancelling says so', async () => {
    const met = await meet()
    await chain.send(await settlementOf(met.payment))
    await expect(met.client.cancel(met.error)).rejects.toMatchObject({
      code: 'client/already-spent',
      phase: 'settle',
      moneyMoved: 'yes',
      retry: 'same',
      context: { transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/) },
    })
    expect(await spentOf(met)).toEqual({ reserved: '$0', committed: '$0.01', moved: 10_000n })
  })

  it.each([
    ['the seller', true],
    ['the buyer', false],
  ])('that is settled and cancelled in one block ends as %s had it, who pays more', async (_, sellerFirst) => {
    const met = await meet({ tip: sellerFirst ? 1_000_000n : 100_000_000_000n })
    const settlement = await settlementOf(met.payment)
    await local.rpc('evm_setAutomine', [false])
    try {
      const cancelled = met.client.cancel(met.error).then(
        () => 'cancelled',
        (error: { code: string }) => error.code,
      )
      await vi.waitFor(async () => expect(await waiting()).toBe('0x1'))
      // A block takes the better price first.
      await chain.send(settlement)
      expect(await waiting()).toBe('0x2')
      await local.mine()
      expect(await cancelled).toBe(sellerFirst ? 'client/already-spent' : 'cancelled')
    } finally {
      await local.rpc('evm_setAutomine', [true])
    }
    expect(await spentOf(met)).toEqual(
      sellerFirst ? { reserved: '$0', committed: '$0.01', moved: 10_000n } : { reserved: '$0', committed: '$0', moved: 0n },
    )
  })

  it('stays reserved until the cancellation is final', async () => {
    verifies('M3')
    const met = await meet({ confirmations: 3n, waitMs: 100 })
    await expect(met.client.cancel(met.error)).rejects.toMatchObject({ code: 'client/cancel-failed', moneyMoved: 'unknown', retry: 'same' })
    expect(await spentOf(met)).toEqual({ reserved: '$0.01', committed: '$0', moved: 0n })
    await local.mine(3)
    await met.client.cancel(met.error)
    expect(await spentOf(met)).toEqual({ reserved: '$0', committed: '$0', moved: 0n })
  })

  it('is not called cancelled when the chain cannot be reached, or nobody can pay the gas', async () => {
    const met = await meet()
    const { network, buyer } = local
    const cancelBy = (rpcUrl: string, sender: string) => {
      const gas = evmChain({ network, rpcUrl, signers: [sender], timeoutMs: 500 })
      const scheme = cancellableExactEvmClient({ signer: privateKeySigner(buyer.privateKey), chains: [gas], waitMs: 100, pollMs: 20 })
      return createClient({ schemes: [scheme], store: met.store }).cancel({ callId: 'order' })
    }
    const failed = { code: 'client/cancel-failed', moneyMoved: 'unknown', retry: 'same' }
    await expect(cancelBy('http://127.0.0.1:9', local.owner.privateKey)).rejects.toMatchObject(failed)
    await expect(cancelBy(local.rpcUrl, `0x${'7'.repeat(64)}`)).rejects.toMatchObject({ ...failed, cause: { code: 'evm/no-gas-money' } })
    expect(await spentOf(met)).toEqual({ reserved: '$0.01', committed: '$0', moved: 0n })
  })

  it('that expired unused comes free by itself, on the word of the chain', async () => {
    verifies('M32')
    const met = await meet()
    await local.increaseTime(400)
    const later = createClient({ schemes: met.schemes, store: met.store, now: () => Date.now() + 400_000 })
    expect((await later.spent()).total).toMatchObject({ reserved: '$0', committed: '$0' })
  })
})
