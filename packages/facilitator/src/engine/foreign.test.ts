import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Submission } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

let local: EvmChain
let bot: ReturnType<typeof exactEvmFacilitator>
let facilitator: LocalFacilitator

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl, owner } = local
  bot = exactEvmFacilitator({
    chain: evmChain({ network, rpcUrl, signers: [owner.privateKey], fees: { minPriorityFeePerGas: 50n * gwei } }),
  })
})
afterAll(() => local.stop())
afterEach(() => facilitator.close({ signal: AbortSignal.abort() }))

const gwei = 1_000_000_000n

function start(now?: () => number): LocalFacilitator {
  const { network, rpcUrl, facilitator: signer } = local
  const chain = evmChain({ network, rpcUrl, signers: [signer.privateKey], confirmations: 3n })
  const scheme = exactEvmFacilitator({ chain, ...(now === undefined ? {} : { now }) })
  facilitator = createFacilitator({ schemes: [scheme], confirmTimeout: 5000 })
  return facilitator
}

async function clock(): Promise<number> {
  const block = (await local.rpc('eth_getBlockByNumber', ['latest', false])) as { timestamp: string } // anvil's block
  return Number(block.timestamp)
}

async function pay(payTo = local.seller.address, salt = crypto.getRandomValues(new Uint8Array(32))): Promise<Submission> {
  const requirements = { ...exactRequirements(local, 1000n), payTo }
  const random = (bytes: Uint8Array): Uint8Array => {
    bytes.set(salt.subarray(0, bytes.length))
    return bytes
  }
  const client = exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), random })
  const { payload } = await client.prepare(requirements, { now: await clock(), maxTimeoutSeconds: requirements.maxTimeoutSeconds })
  return { payment: { x402Version: 2, accepted: requirements, payload: { ...payload } }, requirements }
}

/** Somebody with a key of his own sends what he saw. */
async function front(submission: Submission): Promise<string> {
  expect(await bot.verify(submission)).toMatchObject({ valid: true })
  const [signer = ''] = bot.writer.signers
  const signed = await bot.writer.sign(bot.plan(submission), { signer, nonce: await bot.writer.nonce(signer) })
  await bot.writer.send(signed)
  return signed.transaction
}

const sent = (): Promise<unknown> => local.rpc('eth_getTransactionCount', [local.facilitator.address, 'pending'])
const never = { status: 'notSettled', retry: 'never' }

describe('a payment whose nonce somebody else used', () => {
  it('for its own transfer is settled by another, as soon as that is final, and never a success', async () => {
    verifies(['M1', 'A8'])
    start()
    const submission = await pay()
    const before = await sent()
    const transaction = await front(submission)
    await expect.poll(() => facilitator.settle(submission, { claimId: 'a' })).toMatchObject({ status: 'pending', transaction })
    expect(await facilitator.verify(submission)).toMatchObject({ valid: false, reason: 'invalid_exact_evm_nonce_already_used' })
    await local.mine(4)
    const foreign = { ...never, reason: 'settled_by_another', transaction, payer: local.buyer.address }
    expect(await facilitator.settle(submission, { claimId: 'a' })).toMatchObject(foreign)
    expect(await facilitator.settle(submission)).toMatchObject(foreign)
    expect(await facilitator.verify(submission)).toMatchObject({ valid: false, reason: 'settled_by_another', extra: { transaction } })
    expect(await sent()).toBe(before)
  })

  it('in front of our transaction is told from what became of ours', async () => {
    verifies(['M1', 'M16', 'A8'])
    start()
    const submission = await pay()
    await local.rpc('evm_setAutomine', [false])
    const settling = facilitator.settle(submission, { claimId: 'front' })
    const before = await local.rpc('eth_getTransactionCount', [local.facilitator.address, 'latest'])
    await expect.poll(sent).not.toBe(before)
    const transaction = await front(submission)
    await local.mine()
    await local.rpc('evm_setAutomine', [true])
    expect(await settling).toMatchObject({ status: 'pending', transaction })
    expect(await facilitator.status?.('front')).toMatchObject({ status: 'pending', transaction })
    await local.mine(4)
    const foreign = { ...never, reason: 'settled_by_another', transaction }
    expect(await facilitator.status?.('front')).toMatchObject(foreign)
    expect(await facilitator.settle(submission, { claimId: 'front' })).toMatchObject(foreign)
    expect(await facilitator.settle(submission, { claimId: 'a stranger' })).toMatchObject({ ...never, reason: 'duplicate_settlement' })
  })

  it('for another transfer may be signed anew, once that is final and not before', async () => {
    verifies(['M1', 'M3', 'A9'])
    start()
    const salt = crypto.getRandomValues(new Uint8Array(32))
    const submission = await pay(local.seller.address, salt)
    await front(await pay(local.owner.address, salt))
    const used = { reason: 'invalid_exact_evm_nonce_already_used', payer: local.buyer.address }
    await expect.poll(() => facilitator.settle(submission, { claimId: 'decoy' })).toMatchObject({ ...never, ...used })
    await local.mine(4)
    const dead = { status: 'notSettled', retry: 'resign', ...used }
    expect(await facilitator.settle(submission, { claimId: 'decoy' })).toMatchObject(dead)
    expect(await facilitator.verify(submission)).toMatchObject({ valid: false, reason: used.reason })
  })
})

describe('a payment that expired unused', () => {
  it('may be signed anew once a final block says so', async () => {
    verifies('M3')
    let now = await clock()
    start(() => now)
    const submission = await pay()
    const { maxTimeoutSeconds } = submission.requirements
    now = await local.increaseTime(maxTimeoutSeconds + 1)
    const expired = { reason: 'invalid_exact_evm_payload_authorization_valid_before' }
    expect(await facilitator.settle(submission, { claimId: 'old' })).toMatchObject({ ...never, ...expired })
    await local.mine(4)
    expect(await facilitator.settle(submission, { claimId: 'old' })).toMatchObject({ status: 'notSettled', retry: 'resign', ...expired })
  })

  it('after it failed in a transaction of ours says so too', async () => {
    verifies('M3')
    let now = await clock()
    start(() => now)
    const submission = await pay()
    await local.rpc('evm_setAutomine', [false])
    const settling = facilitator.settle(submission, { claimId: 'late' })
    const before = await local.rpc('eth_getTransactionCount', [local.facilitator.address, 'latest'])
    await expect.poll(sent).not.toBe(before)
    now = await local.increaseTime(submission.requirements.maxTimeoutSeconds + 1)
    await local.rpc('evm_setAutomine', [true])
    expect(await settling).toMatchObject({ ...never, reason: 'invalid_exact_evm_transaction_failed' })
    await local.mine(4)
    expect(await facilitator.status?.('late')).toMatchObject({ status: 'notSettled', retry: 'resign' })
    expect(await facilitator.settle(submission, { claimId: 'late' })).toMatchObject({ status: 'notSettled', retry: 'resign' })
  })
})
