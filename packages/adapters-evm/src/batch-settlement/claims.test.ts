import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Target } from '../chain/abi.ts'
import { type EvmChain, evmChain } from '../chain/evm-chain.ts'
import { privateKeySigner } from '../crypto/signer.ts'
import { claimCall, depositCall, withdrawCalls } from './calls.ts'
import { type ChannelConfig, channelIdOf } from './channel.ts'
import { claimGas, sortClaims } from './claims.ts'
import { claimedIn } from './events.ts'
import { signClaims, signDeposit, signVoucher } from './signing.ts'
import type { VoucherClaim } from './wire.ts'

const count = 100
const consumed = 700n

let local: LocalChain
let chain: EvmChain
let requests = 0
const configs: ChannelConfig[] = []
beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl } = local
  const counting: typeof fetch = (...asked) => {
    requests += 1
    return fetch(...asked)
  }
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey], fetch: counting })
  for (let index = 1; index <= count; index += 1) configs.push(channelOf(index))
  for (const config of configs) await run(await fill(config), local.facilitator.address)
})
afterAll(() => local?.stop())

function channelOf(index: number): ChannelConfig {
  return {
    payer: local.buyer.address,
    payerAuthorizer: local.buyer.address,
    receiver: local.seller.address,
    receiverAuthorizer: local.seller.address,
    token: local.usdc.address,
    withdrawDelay: 900,
    salt: `0x${index.toString(16).padStart(64, '0')}`,
  }
}

const by = (privateKey: `0x${string}`) => ({ chainId: chain.chainId, signer: privateKeySigner(privateKey) })

async function fill(config: ChannelConfig): Promise<Target> {
  const { name, version } = local.usdc
  const domain = { name, version, chainId: chain.chainId, verifyingContract: config.token }
  const terms = { amount: 1000n, validAfter: 0n, validBefore: 4_000_000_000n, salt: 1n, domain }
  return depositCall(config, await signDeposit(config, terms, by(local.buyer.privateKey)))
}

async function row(config: ChannelConfig, change: Partial<VoucherClaim> = {}): Promise<VoucherClaim> {
  const { maxClaimableAmount, signature } = await signVoucher(config, 1000n, by(local.buyer.privateKey))
  return { voucher: { channel: config, maxClaimableAmount }, signature, totalClaimed: consumed, ...change }
}

async function run({ target: to, data }: Target, from: string): Promise<string> {
  const { transactionHash, status } = Object(await local.rpc('eth_sendTransactionSync', [{ from, to, data, gas: 3_000_000n }]))
  expect(status).toBe('0x1')
  return String(transactionHash)
}

/** Claims as a facilitator does: one transaction, whose gas is capped by its rows. */
async function claim(rows: readonly VoucherClaim[]) {
  const signature = await signClaims(rows, by(local.seller.privateKey))
  const { status } = await mine(chain, [{ ...claimCall(rows, signature), gas: claimGas(rows.length), alone: true }])
  return status
}

test('of 100 channels of which one was drained 99 are claimed in one transaction', async () => {
  verifies(['M14', 'M16'])
  const drained = configs[41] ?? configs[0]
  if (drained === undefined) throw new TypeError('no channels')
  const { initiate, finalize } = withdrawCalls(drained, 1000n)
  await run(initiate, local.buyer.address)
  await local.increaseTime(901)
  await run(finalize, local.buyer.address)

  const rows = await Promise.all(configs.map((config) => row(config)))
  // The drained one takes all others down, and costs nobody gas.
  await expect(claim(rows)).rejects.toMatchObject({ code: 'evm/would-revert' })
  requests = 0
  const { good, bad, done } = await sortClaims(rows, { chain })
  expect({ good: good.length, done, bad }).toEqual({
    good: 99,
    done: [],
    bad: [{ claim: rows[41], reason: 'invalid_batch_settlement_evm_cumulative_exceeds_balance' }],
  })
  // One look at the numbers of all, and one trial of the rest.
  expect(requests).toBe(2)

  const mined = await claim(good)
  expect(mined.success).toBe(true)
  const totals = claimedIn(mined.logs)
  expect(totals.size).toBe(99)
  for (const { voucher } of good) expect(totals.get(channelIdOf(chain.chainId, voucher.channel))).toBe(consumed)
  expect(claimedIn(mined.logs.map((log) => ({ ...log, address: local.usdc.address }))).size).toBe(0)

  // What is claimed is claimed: a crash after the sending costs a look.
  expect(await sortClaims(rows, { chain })).toMatchObject({ good: [], done: good, bad: [{ claim: rows[41] }] })
})

test('a voucher that is not its payer’s, and one that says less than is claimed, are found among many and told apart', async () => {
  const fresh = configs.slice(0, 10)
  const rows = await Promise.all(fresh.map((config) => row(config, { totalClaimed: 800n })))
  const [first, second, third] = rows
  if (first === undefined || second === undefined || third === undefined) throw new TypeError('no rows')
  rows[0] = { ...first, signature: `0x${'11'.repeat(65)}` }
  rows[1] = { ...second, voucher: { ...second.voucher, maxClaimableAmount: 799n } }
  rows[9] = {
    ...third,
    voucher: { ...third.voucher, channel: { ...third.voucher.channel, receiverAuthorizer: local.facilitator.address } },
  }
  const { good, bad } = await sortClaims(rows, { chain })
  expect(good).toEqual(rows.slice(2, 9))
  expect(bad.map(({ claim, reason }) => [rows.indexOf(claim), reason])).toEqual([
    [1, 'invalid_batch_settlement_evm_charge_exceeds_signed_cumulative'],
    // No deposit was ever made into a channel of another authorizer.
    [9, 'invalid_batch_settlement_evm_cumulative_exceeds_balance'],
    [0, 'invalid_batch_settlement_evm_voucher_signature'],
  ])
})
