import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { batchSettlement as artifact } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { decodeFunctionData, encodeAbiParameters, parseAbiParameters } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Target } from '../chain/abi.ts'
import { type EvmChain, evmChain } from '../chain/evm-chain.ts'
import type { Hex } from '../crypto/bytes.ts'
import { privateKeySigner } from '../crypto/signer.ts'
import {
  claimCall,
  depositCall,
  eip3009Collector,
  ownClaimCall,
  permit2Collector,
  permit2DepositCall,
  receiverCall,
  refundCall,
  settleCall,
  stateCalls,
  stateIn,
  togetherCall,
  withdrawCalls,
} from './calls.ts'
import { batchSettlement, type ChannelConfig, channelIdOf } from './channel.ts'
import { signClaims, signDeposit, signRefund, signVoucher } from './signing.ts'

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

const seller = privateKeyToAccount(generatePrivateKey())
let channels = 0

function newChannel(): ChannelConfig {
  channels += 1
  return {
    payer: local.buyer.address,
    payerAuthorizer: local.buyer.address,
    receiver: seller.address,
    receiverAuthorizer: local.seller.address,
    token: local.usdc.address,
    withdrawDelay: 900,
    salt: `0x${channels.toString(16).padStart(64, '0')}`,
  }
}

const signers = () => {
  const chainId = BigInt(local.chainId)
  const by = (privateKey: Hex) => ({ chainId, signer: privateKeySigner(privateKey) })
  return { payer: by(local.buyer.privateKey), authorizer: by(local.seller.privateKey) }
}

const send = async (call: Target, through = chain): Promise<boolean> => {
  const { status } = await mine(through, [{ ...call, gas: 1_000_000n, alone: true }])
  return status.success
}

const stateOf = async (config: ChannelConfig) => stateIn(await chain.read(stateCalls(channelIdOf(chain.chainId, config))))
const fill = async (config: ChannelConfig, amount: bigint): Promise<boolean> => {
  const { name, version } = local.usdc
  const domain = { name, version, chainId: chain.chainId, verifyingContract: config.token }
  const terms = { amount, validAfter: 0n, validBefore: 4_000_000_000n, salt: 7n, domain }
  return send(depositCall(config, await signDeposit(config, terms, signers().payer)))
}
const drawn = async (config: ChannelConfig, max: bigint, totalClaimed: bigint) => {
  const { maxClaimableAmount, signature } = await signVoucher(config, max, signers().payer)
  return { voucher: { channel: config, maxClaimableAmount }, signature, totalClaimed }
}

describe('on the escrow', () => {
  test('a deposit lands, what was consumed is claimed and settled, and the rest goes back', async () => {
    verifies(['EVM-CHANNEL', 'M27'])
    const [one, two] = [newChannel(), newChannel()]
    expect([await fill(one, 5000n), await fill(two, 3000n)]).toEqual([true, true])
    expect(await stateOf(one)).toEqual({ balance: 5000n, totalClaimed: 0n, withdrawing: 0n, withdrawRequestedAt: 0, refundNonce: 0n })

    // Less than was signed: the contract pays what is asked for and no voucher's whole ceiling.
    const claims = [await drawn(one, 2000n, 1500n), await drawn(two, 10n, 10n)]
    const claim = claimCall(claims, await signClaims(claims, signers().authorizer))
    expect(await send(togetherCall([claim, settleCall(seller.address, one.token)]))).toBe(true)
    expect(await local.balanceOf(seller.address)).toBe(1510n)
    const [credited] = await chain.read([receiverCall(seller.address, one.token)])
    expect(credited?.data).toBe(`0x${'5e6'.padStart(64, '0').repeat(2)}`)
    expect(await send(claim)).toBe(true)

    const refund = await signRefund(one, { amount: 3000n, nonce: 0n }, signers().authorizer)
    const before = await local.balanceOf(local.buyer.address)
    expect(await send(refundCall(one, refund))).toBe(true)
    expect((await local.balanceOf(local.buyer.address)) - before).toBe(3000n)
    expect(await stateOf(one)).toMatchObject({ balance: 2000n, totalClaimed: 1500n, refundNonce: 1n })
  })

  test('a withdrawal shows in the state, a refund lowers it, and what is left can be taken after the delay', async () => {
    verifies(['A24', 'M27'])
    const config = newChannel()
    await fill(config, 1000n)
    const { initiate, finalize } = withdrawCalls(config, 800n)
    expect(await send(initiate, payerChain)).toBe(true)
    const pending = await stateOf(config)
    expect(pending).toMatchObject({ balance: 1000n, withdrawing: 800n, withdrawRequestedAt: expect.any(Number) })
    await send(refundCall(config, await signRefund(config, { amount: 300n, nonce: 0n }, signers().authorizer)))
    expect(await stateOf(config)).toEqual({ ...pending, balance: 700n, withdrawing: 500n, refundNonce: 1n })
    await local.rpc('evm_increaseTime', [901])
    await local.mine()
    expect(await send(finalize, payerChain)).toBe(true)
    expect(await stateOf(config)).toMatchObject({ balance: 200n, withdrawing: 0n, withdrawRequestedAt: 0 })
  })

  test('more than was signed is never claimed', async () => {
    const config = newChannel()
    await fill(config, 1000n)
    const claims = [await drawn(config, 100n, 101n)]
    await expect(send(claimCall(claims, await signClaims(claims, signers().authorizer)))).rejects.toMatchObject({
      code: 'evm/would-revert',
    })
    expect(await stateOf(config)).toMatchObject({ totalClaimed: 0n })
  })
})

test('the calls are those of the published interface, part by part', async () => {
  const config = newChannel()
  const read = ({ target, data }: Target) => {
    expect(target).toBe(batchSettlement)
    return decodeFunctionData({ abi: artifact.abi, data })
  }
  const claims = [await drawn(config, 100n, 90n), await drawn(newChannel(), 2n ** 128n - 1n, 1n)]
  expect(read(claimCall(claims, '0xabcdef'))).toEqual({ functionName: 'claimWithSignature', args: [claims, '0xabcdef'] })
  expect(read(ownClaimCall(claims))).toEqual({ functionName: 'claim', args: [claims] })
  const deposit = { amount: 5n, validAfter: 1n, validBefore: 2n, salt: 3n, signature: '0x01' } as const
  expect(read(depositCall(config, deposit))).toMatchObject({
    functionName: 'deposit',
    args: [config, 5n, eip3009Collector, expect.any(String)],
  })
  const permit = { value: 5n, deadline: 6n, v: 27n, r: `0x${'0a'.repeat(32)}`, s: `0x${'0b'.repeat(32)}` } as const
  const proxied = { amount: 5n, nonce: 1n, deadline: 2n, signature: `0x${'01'.repeat(65)}` } as const
  const inner = encodeAbiParameters(parseAbiParameters('uint256, uint256, uint8, bytes32, bytes32'), [5n, 6n, 27, permit.r, permit.s])
  for (const [given, sent] of [
    [undefined, '0x'],
    [permit, inner],
  ] as const) {
    const collected = encodeAbiParameters(parseAbiParameters('uint256, uint256, bytes, bytes'), [1n, 2n, proxied.signature, sent])
    const call = permit2DepositCall(config, { ...proxied, permit: given })
    expect(read(call)).toEqual({ functionName: 'deposit', args: [config, 5n, permit2Collector, collected] })
  }
  const refund = refundCall(config, { amount: 1n, nonce: 2n, signature: '0x0102' })
  expect(read(refund)).toEqual({ functionName: 'refundWithSignature', args: [config, 1n, 2n, '0x0102'] })
  const settle = settleCall(config.receiver, config.token)
  expect(read(togetherCall([refund, settle]))).toEqual({ functionName: 'multicall', args: [[refund.data, settle.data]] })
  expect(togetherCall([settle])).toEqual(settle)
  const { initiate, finalize } = withdrawCalls(config, 9n)
  expect([read(initiate), read(finalize)]).toEqual([
    { functionName: 'initiateWithdraw', args: [config, 9n] },
    { functionName: 'finalizeWithdraw', args: [config] },
  ])
})
