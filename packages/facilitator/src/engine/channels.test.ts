import { randomBytes, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain, type ReceiverAuthorizer } from '@flow402x/adapters-evm/facilitator'
import type { PaymentPayload, PaymentRequirements, Submission } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { sqliteStore } from '@flow402x/store/sqlite'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { type ChannelConfig, type ChannelWire, channelWire } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { serveFacilitator } from '../node.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from './facilitator.ts'

const closing: (() => Promise<unknown>)[] = []
let local: EvmChain
let wire: ChannelWire
let salts = 0

beforeAll(async () => {
  local = await startEvmChain()
  wire = channelWire(local, { payer: local.buyer.privateKey, voucher: local.buyer.privateKey, authorizer: local.seller.privateKey })
})
afterEach(async () => {
  await local.rpc('evm_setAutomine', [true])
  for (const close of closing.splice(0).toReversed()) await close()
})
afterAll(() => local.stop())

function make(options: Partial<FacilitatorOptions> & { readonly receiverAuthorizer?: ReceiverAuthorizer } = {}): LocalFacilitator {
  const { network, rpcUrl } = local
  const chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  const { receiverAuthorizer, ...rest } = options
  const scheme = batchSettlementFacilitator({ chain, ...(receiverAuthorizer === undefined ? {} : { receiverAuthorizer }) })
  const facilitator = createFacilitator({ schemes: [scheme], confirmTimeout: 5000, finality: 0, ...rest })
  closing.push(() => facilitator.close({ signal: AbortSignal.abort() }))
  return facilitator
}

function channelOf(change: Partial<ChannelConfig> = {}): ChannelConfig {
  salts += 1
  const { buyer, seller, usdc } = local
  const parties = { payer: buyer.address, payerAuthorizer: buyer.address, receiver: seller.address, receiverAuthorizer: seller.address }
  return { ...parties, token: usdc.address, withdrawDelay: 900, salt: `0x${salts.toString(16).padStart(64, '0')}`, ...change }
}

function ask(payload: PaymentPayload['payload'], change: Partial<PaymentRequirements> = {}): Submission {
  const { usdc, seller, network } = local
  const extra = { receiverAuthorizer: seller.address, withdrawDelay: 900, name: usdc.name, version: usdc.version }
  const terms = { scheme: 'batch-settlement', network, amount: '10', asset: usdc.address, payTo: seller.address, maxTimeoutSeconds: 300 }
  const requirements = { ...terms, extra, ...change }
  return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
}

// As official servers ask for what is theirs alone.
const asReceiver = { amount: '0', maxTimeoutSeconds: 0, extra: {} }
const sweepOf = () => ask({ type: 'settle', receiver: local.seller.address, token: local.usdc.address }, asReceiver)
const sent = async () => Number(await local.rpc('eth_getTransactionCount', [local.facilitator.address, 'pending']))

async function opened(facilitator: LocalFacilitator, amount = 1000n): Promise<ChannelConfig> {
  const config = channelOf()
  const outcome = await facilitator.settle(ask(await wire.deposit(config, { amount, max: 10n, salt: 1n })))
  expect(outcome).toMatchObject({ status: 'settled', extra: { channelState: { balance: `${amount}` } } })
  return config
}

describe('a deposit', () => {
  it('that is handed in by many is made once, and told to whom it belongs', async () => {
    verifies(['M1', 'M16'])
    const facilitator = make()
    const deposit = ask(await wire.deposit(channelOf(), { amount: 500n, max: 10n, salt: 3n }))
    const before = await sent()
    const claimId = randomUUID()
    const outcomes = await Promise.all([
      ...[1, 2, 3].map(() => facilitator.settle(deposit, { claimId })),
      facilitator.settle(deposit, { claimId: randomUUID() }),
      facilitator.settle(deposit),
    ])
    const told = outcomes.map((outcome) => (outcome.status === 'notSettled' ? outcome.reason : outcome.status))
    expect(told).toEqual(['settled', 'settled', 'settled', 'duplicate_settlement', 'duplicate_settlement'])
    expect(await sent()).toBe(before + 1)
    expect(await facilitator.settle(deposit, { claimId })).toEqual(outcomes[0])
    expect(await facilitator.status?.(claimId)).toEqual(outcomes[0])
  })

  it('counts against what its payer holds, and not only its price', async () => {
    verifies(['M8', 'M15'])
    const privateKey = `0x${randomBytes(32).toString('hex')}` as const
    const payer = `0x${privateKeySigner(privateKey).address.slice(2)}` as const
    await local.mint(payer, 1000n)
    const own = channelWire(local, { payer: privateKey, voucher: privateKey, authorizer: local.seller.privateKey })
    const facilitator = make()
    await facilitator.start()
    const deposits = await Promise.all(
      [1n, 2n].map(async (salt) => ask(await own.deposit(channelOf({ payer, payerAuthorizer: payer }), { amount: 700n, max: 10n, salt }))),
    )
    await local.rpc('evm_setAutomine', [false])
    const before = await sent()
    const settling = deposits.map((deposit) => facilitator.settle(deposit))
    await expect.poll(sent).toBe(before + 1)
    await local.mine()
    const outcomes = await Promise.all(settling)
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['notSettled', 'settled'])
    expect(outcomes.find(({ status }) => status === 'notSettled')).toMatchObject({ reason: expect.stringMatching(/insufficient/) })
    expect(await sent()).toBe(before + 1)
  })
})

describe('what a receiver asks for', () => {
  it('is done once, and told the same to whoever asks again', async () => {
    verifies(['M16', 'M27'])
    const facilitator = make()
    const config = await opened(facilitator)
    const before = await sent()
    const claim = ask(await wire.claim([await wire.row(config, { max: 1000n, total: 400n })]), asReceiver)
    const claims = await Promise.all([
      facilitator.settle(claim),
      facilitator.settle(claim, { claimId: randomUUID() }),
      facilitator.settle(claim),
    ])
    expect(claims[0]).toMatchObject({ status: 'settled', transaction: expect.stringMatching(/^0x/) })
    for (const outcome of [...claims, await facilitator.settle(claim)]) expect(outcome).toEqual(claims[0])
    expect(await sent()).toBe(before + 1)

    const sweeps = await Promise.all([facilitator.settle(sweepOf()), facilitator.settle(sweepOf())])
    expect(sweeps[0]).toMatchObject({ status: 'settled', amount: '400' })
    expect(sweeps[1]).toEqual(sweeps[0])
    expect(await facilitator.settle(sweepOf())).toMatchObject({ reason: 'invalid_batch_settlement_evm_nothing_to_settle' })
    expect(await sent()).toBe(before + 2)

    const refund = ask(await wire.refund(config, { max: 1000n, amount: 600n, nonce: 0n }))
    const refunds = await Promise.all([facilitator.settle(refund), facilitator.settle(refund)])
    expect(refunds[0]).toMatchObject({ status: 'settled', amount: '600', extra: { channelState: { balance: '400', refundNonce: '1' } } })
    expect(refunds[1]).toEqual(refunds[0])
    expect(await sent()).toBe(before + 3)
  })

  it('can be asked for again when there is more', async () => {
    const facilitator = make()
    const config = await opened(facilitator)
    for (const total of [100n, 250n]) {
      const claim = ask(await wire.claim([await wire.row(config, { max: 1000n, total })]), asReceiver)
      expect(await facilitator.settle(claim)).toMatchObject({ status: 'settled' })
      expect(await facilitator.settle(sweepOf())).toMatchObject({ status: 'settled', amount: total === 100n ? '100' : '150' })
    }
  })

  it('is no voucher: that is settled with a claim', async () => {
    const facilitator = make()
    const config = await opened(facilitator)
    const voucher = ask(await wire.voucher(config, 100n))
    expect(await facilitator.verify(voucher)).toMatchObject({ valid: true, extra: { channelId: wire.idOf(config), balance: '1000' } })
    expect(await facilitator.settle(voucher)).toMatchObject({ status: 'notSettled', reason: 'invalid_batch_settlement_evm_payload_type' })
  })

  it('may be a hundred claims over HTTP', async () => {
    const served = await serveFacilitator(make())
    closing.push(() => served.close())
    const config = await opened(make())
    // The rows of one channel do what the rows of many would.
    const rows = await Promise.all(Array.from({ length: 100 }, (_, index) => wire.row(config, { max: 1000n, total: BigInt(index + 1) })))
    const claim = ask(await wire.claim(rows), asReceiver)
    expect(JSON.stringify(claim).length).toBeGreaterThan(60_000)
    expect(await httpFacilitator(served.url).settle(claim)).toMatchObject({ status: 'settled' })
    expect(await httpFacilitator(served.url).settle(sweepOf())).toMatchObject({ status: 'settled', amount: '100' })
  })
})

it('finishes after a restart what it had sent, also where its own key had signed for the receiver', async () => {
  verifies(['M16', 'M17'])
  const file = join(tmpdir(), `${randomUUID()}.db`)
  const [signer, claimId] = [local.owner.privateKey, randomUUID()]
  const receiverAuthorizer = { signer, mayRefund: () => false }
  const open = async () => {
    const store = await sqliteStore(file)
    closing.push(() => store.close())
    return make({ store, receiverAuthorizer, confirmTimeout: 300, lease: 500 })
  }
  closing.push(() => Promise.all(['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true }))))
  const config = channelOf({ receiverAuthorizer: local.owner.address })
  const { extra } = ask({}).requirements
  const named = { extra: { ...extra, receiverAuthorizer: local.owner.address } }
  const first = await open()
  await first.settle(ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }), named))
  await local.rpc('evm_setAutomine', [false])
  const claim = ask({ type: 'claim', claims: [await wire.row(config, { max: 1000n, total: 10n })] }, asReceiver)
  const pending = await first.settle(claim, { claimId })
  expect(pending).toMatchObject({ status: 'pending', transaction: expect.stringMatching(/^0x/) })
  await first.close({ signal: AbortSignal.abort() })

  const second = await open()
  const before = await sent()
  await second.start()
  await local.mine()
  const { transaction } = Object(pending)
  await expect.poll(() => second.status?.(claimId)).toMatchObject({ status: 'settled', transaction })
  expect(await second.settle(claim, { claimId })).toMatchObject({ status: 'settled', transaction })
  expect(await sent()).toBe(before)
})
