import type { ChannelStore } from '@flow402x/core'
import { memoryChannels } from '@flow402x/core/memory'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Target } from '../../chain/abi.ts'
import { type EvmChain, evmChain } from '../../chain/evm-chain.ts'
import { privateKeySigner } from '../../crypto/signer.ts'
import { claimCall, depositCall, withdrawCalls } from '../calls.ts'
import { type ChannelConfig, channelIdOf } from '../channel.ts'
import { signClaims, signDeposit, signVoucher } from '../signing.ts'
import { recoverable, voucherCheck } from '../voucher.ts'
import type { VoucherClaim } from '../wire.ts'
import { receiverBooks } from './books.ts'
import { type ChannelReceiver, channelReceiver, type Taken } from './receiver.ts'

let local: LocalChain
let chain: EvmChain
let payerChain: EvmChain
beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  payerChain = evmChain({ network, rpcUrl, signers: [local.buyer.privateKey] })
})
afterAll(() => local?.stop())

const price = 10n
const start = 1_763_700_000_000
let channels = 0

/** A channel with 1,000 in it, and its receiver. */
async function stage(deposit = 1000n, open = (books: ChannelStore): ChannelStore => books) {
  channels += 1
  const config: ChannelConfig = {
    payer: local.buyer.address,
    payerAuthorizer: local.buyer.address,
    receiver: local.seller.address,
    receiverAuthorizer: local.seller.address,
    token: local.usdc.address,
    withdrawDelay: 900,
    salt: `0x${channels.toString(16).padStart(64, '0')}`,
  }
  const payer = { chainId: chain.chainId, signer: privateKeySigner(local.buyer.privateKey) }
  const { name, version } = local.usdc
  const fill = async (amount: bigint, salt: bigint) => {
    const domain = { name, version, chainId: chain.chainId, verifyingContract: config.token }
    await send(depositCall(config, await signDeposit(config, { amount, validAfter: 0n, validBefore: 4_000_000_000n, salt, domain }, payer)))
  }
  if (deposit > 0n) await fill(deposit, 1n)
  const reads = { count: 0 }
  const counted: Pick<EvmChain, 'network' | 'read'> = {
    network: chain.network,
    read(...input) {
      reads.count += 1
      return chain.read(...input)
    },
  }
  const store = open(memoryChannels())
  const books = receiverBooks({ chain: counted, store })
  const receiver = channelReceiver({ books, chain, checkVoucher: voucherCheck(chain, { anyV: true }), claimable: recoverable(chain) })
  const extra = { receiverAuthorizer: config.receiverAuthorizer, withdrawDelay: 900, name, version }
  const terms = { scheme: 'batch-settlement', network: chain.network, asset: config.token, payTo: config.receiver, maxTimeoutSeconds: 60 }
  const requirements = { ...terms, amount: `${price}`, extra }
  const pay = async (max: bigint, change: object = {}) => {
    const { maxClaimableAmount, channelId, signature: whole } = await signVoucher(config, max, payer)
    // As some hardware wallets write it: v of 0 or 1, which the escrow does not know.
    const voucher = { channelId, signature: `${whole.slice(0, -2)}0${whole.endsWith('1b') ? 0 : 1}` }
    const payload = {
      type: 'voucher',
      channelConfig: config,
      voucher: { ...voucher, maxClaimableAmount: `${maxClaimableAmount}`, ...change },
    }
    return { payment: { x402Version: 2 as const, accepted: requirements, payload }, requirements }
  }
  let runs = 0
  const take = async (max: bigint, { now = start, change = {} }: { now?: number; change?: object } = {}) => {
    runs += 1
    const run = { id: `run ${runs}`, now, until: now + 1000 }
    return receiver.take(await pay(max, change), run)
  }
  const id = channelIdOf(chain.chainId, config)
  const finish = async (taken: Taken, used: bigint, now = start) => {
    const done = await receiver.finish(taken, { used, now })
    if (done !== undefined) await receiver.leave(taken)
    return done
  }
  return { config, id, receiver, books, finish, store, reads, take, fill }
}

async function send(call: Target, through = chain): Promise<void> {
  const { status } = await mine(through, [{ ...call, gas: 1_000_000n, alone: true }])
  expect(status.success).toBe(true)
}

/** Has the escrow pay what can be claimed, and says what that was. */
async function claim(receiver: ChannelReceiver): Promise<readonly VoucherClaim[]> {
  const claims = []
  for await (const one of receiver.claims()) claims.push(one)
  const signature = await signClaims(claims, { chainId: chain.chainId, signer: privateKeySigner(local.seller.privateKey) })
  await send(claimCall(claims, signature))
  return claims
}

function takenOf(answer: object): Taken {
  if ('taken' in answer) return answer.taken as Taken // what `take` gives
  throw new TypeError(`refused: ${JSON.stringify(answer)}`)
}

test('takes many vouchers of a channel at once, each once, and asks the chain once', async () => {
  verifies(['M26', 'A23'])
  const { take, receiver, reads, books, store, id } = await stage()
  takenOf(await take(10n))
  const answers = await Promise.all([2n, 3n, 4n, 5n, 6n, 3n, 4n].map((count) => take(count * price)))
  const taken = answers.flatMap((answer) => ('taken' in answer ? [answer.taken] : []))
  expect(taken).toHaveLength(5)
  expect(answers.flatMap((answer) => ('reason' in answer ? [answer.reason] : []))).toEqual(
    Array.from({ length: 2 }, () => 'invalid_batch_settlement_evm_channel_busy'),
  )
  for (const one of taken) {
    expect(await receiver.finish(one, { used: price, now: start })).toMatchObject({
      status: 'settled',
      transaction: '',
      extra: { chargedAmount: '10', channelState: { channelId: id, chargedCumulativeAmount: `${one.from + price}` } },
    })
    expect(await receiver.finish(one, { used: price, now: start })).toBeUndefined()
  }
  expect(reads.count).toBe(1)
  for (const one of taken) await receiver.leave(one)
  await books.flush()
  expect(await store.find({ side: 'receiver', id })).toMatchObject({ charged: 50n, top: 60n, held: [{ id: 'run 1' }] })
})

test('takes the first voucher of a channel also where another process opens its row with what it read before', async () => {
  verifies('M26')
  const { take, store, id } = await stage(1000n, (books) => ({
    ...books,
    async open(channel) {
      await books.open({ ...channel, funds: { ...channel.funds, readAt: channel.funds.readAt - 1 } })
      return books.open(channel)
    },
  }))
  expect(takenOf(await take(10n))).toMatchObject({ from: 0n, amount: 10n })
  expect(await store.find({ side: 'receiver', id })).toMatchObject({ top: 10n })
})

test('tells the payer of a channel where to go on, and nobody else', async () => {
  verifies(['A23', 'M26'])
  const { take, finish } = await stage()
  await finish(takenOf(await take(10n)), price)
  const corrective = {
    reason: 'invalid_batch_settlement_evm_cumulative_amount_mismatch',
    extra: {
      channelState: { balance: '1000', totalClaimed: '0', withdrawRequestedAt: 0, refundNonce: '0', chargedCumulativeAmount: '10' },
      voucherState: { signedMaxClaimable: '10', signature: expect.stringMatching(/^0x/) },
    },
  }
  expect(await take(10n)).toMatchObject(corrective)
  const forged = await take(10n, { change: { signature: `0x${'11'.repeat(65)}` } })
  expect(forged).toEqual({ reason: 'invalid_batch_settlement_evm_voucher_signature' })
})

test('gives a failed run back to its voucher, and lets what takes too long deliver nothing', async () => {
  const { take, receiver } = await stage()
  await receiver.finish(takenOf(await take(10n)), { used: 0n, now: start })
  const slow = takenOf(await take(10n))
  const next = takenOf(await take(10n, { now: start + 1001 }))
  expect(await receiver.finish(slow, { used: price, now: start + 1002 })).toBeUndefined()
  expect(await receiver.finish(next, { used: price, now: start + 1002 })).toMatchObject({ status: 'settled' })
})

test('claims on the escrow what was charged, and not what was signed', async () => {
  verifies(['M26', 'M27'])
  const { take, receiver, finish, books, id, store } = await stage()
  await finish(takenOf(await take(10n)), 4n)
  await finish(takenOf(await take(500n)), price)
  expect(await claim(receiver)).toMatchObject([{ voucher: { maxClaimableAmount: 500n }, totalClaimed: 14n }])
  await books.learn([id], { now: start + 1 })
  expect(await store.find({ side: 'receiver', id })).toMatchObject({ charged: 14n, funds: { claimed: 14n } })
  for await (const one of receiver.claims()) expect(one).toBeUndefined()
})

test('says what an answer that was lost costs where its price was claimed meanwhile', async () => {
  verifies('M26')
  const { take, receiver, finish, books, id, store } = await stage()
  const lost = takenOf(await take(10n))
  await receiver.finish(lost, { used: price, now: start })
  await receiver.leave(lost, { at: start })
  await finish(takenOf(await take(20n)), price)
  await claim(receiver)
  await books.learn([id], { now: start + 1 })
  const again = takenOf(await take(10n, { now: start + 1 }))
  const receipt = await finish(again, 4n, start + 1)
  expect(receipt).toMatchObject({ extra: { chargedAmount: '10', channelState: { chargedCumulativeAmount: '10' } } })
  expect(await store.find({ side: 'receiver', id })).toMatchObject({ charged: 20n, funds: { claimed: 20n } })
})

test('knows a channel by its deposit, sees a top-up, and stops at a withdrawal', async () => {
  verifies(['A24', 'M27'])
  const { take, fill, config, id, books } = await stage(0n)
  expect(await take(10n)).toEqual({ reason: 'invalid_batch_settlement_evm_channel_not_found' })
  await fill(50n, 1n)
  takenOf(await take(10n))
  expect(await take(100n)).toEqual({ reason: 'invalid_batch_settlement_evm_cumulative_exceeds_balance' })
  await fill(50n, 2n)
  takenOf(await take(100n, { now: start + 1 }))
  await fill(900n, 3n)
  await send(withdrawCalls(config, 850n).initiate, payerChain)
  await books.learn([id], { now: start + 2 })
  expect(await take(200n, { now: start + 2 })).toEqual({ reason: 'invalid_batch_settlement_evm_cumulative_exceeds_balance' })
  takenOf(await take(150n, { now: start + 2 }))
})
