import { verifies } from '@flow402x/testing/requirements'
import {
  type Abi,
  type Address,
  concat,
  createPublicClient,
  decodeEventLog,
  encodeAbiParameters,
  encodeFunctionData,
  erc20Abi,
  type Hex,
  http,
  maxUint256,
  numberToHex,
  parseAbi,
  parseAbiParameters,
  parseSignature,
  size,
  toHex,
  zeroAddress,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import * as z from 'zod/mini'
import { type DevelopmentAccount, developmentAccounts, owner, buyer as payer, facilitator as relayer, seller } from '../chains/accounts.ts'
import { type EvmChain, startEvmChain } from '../chains/evm-chain.ts'
import { placeOf } from '../chains/treasury.ts'
import { batchSettlement, eip3009Collector, permit2Collector } from './artifacts.ts'
import { caller, type Outcome } from './caller.ts'
import { batchSignature, type ChannelConfig, channelIdOf, eip3009Deposit, never, permit2Deposit } from './signing.ts'
import { eip2612Types } from './typed-data.ts'

const { abi } = batchSettlement
const permitAbi = parseAbi(['function nonces(address owner) view returns (uint256)'])

// Whoever holds a key that is not his.
const thief = developmentAccounts.at(-1) ?? relayer

let chain: EvmChain
let send: Awaited<ReturnType<typeof caller>>
let salt = 0n
let config: ChannelConfig

beforeAll(async () => {
  chain = await startEvmChain()
  send = await caller(chain)
})
afterAll(() => chain.stop())
beforeEach(() => {
  salt += 1n
  config = {
    payer: payer.address,
    payerAuthorizer: payer.address,
    receiver: seller.address,
    receiverAuthorizer: owner.address,
    token: chain.usdc.address,
    withdrawDelay: 900,
    salt: numberToHex(salt, { size: 32 }),
  }
})

describe('what the escrow tells', () => {
  test('of a channel from its first deposit to its end', async () => {
    verifies('CHANNEL-CONTRACT')
    expect(named(await deposit(100n))).toEqual([
      ['ChannelCreated', { channelId: id(), config }],
      ['Deposited', { channelId: id(), sender: relayer.address, amount: 100n, newBalance: 100n }],
    ])
    expect(named(await claim(60n))).toEqual([
      ['Claimed', { channelId: id(), sender: seller.address, claimAmount: 60n, newTotalClaimed: 60n }],
    ])
    expect(named(await claim(60n))).toEqual([])
    expect(named(await settle())).toEqual([
      ['Settled', { receiver: seller.address, token: chain.usdc.address, sender: relayer.address, amount: 60n }],
    ])
    expect(named(await settle())).toEqual([])
    const asked = await escrow(payer, encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, 40n] }))
    expect(named(asked)).toEqual([['WithdrawInitiated', { channelId: id(), amount: 40n, finalizeAfter: expect.any(Number) }]])
    expect(named(await refund(30n))).toEqual([['Refunded', { channelId: id(), sender: seller.address, amount: 30n }]])
    await chain.increaseTime(900)
    const left = await escrow(payer, encodeFunctionData({ abi, functionName: 'finalizeWithdraw', args: [config] }))
    expect(named(left)).toEqual([['WithdrawFinalized', { channelId: id(), sender: payer.address, amount: 10n }]])
  })

  test('of a channel that ends without a claim, and begins anew', async () => {
    verifies('CHANNEL-CONTRACT')
    await deposit(100n)
    expect(named(await refund(200n))).toEqual([
      ['Refunded', { channelId: id(), sender: seller.address, amount: 100n }],
      ['ChannelClosed', { channelId: id(), config }],
    ])
    expect(named(await refund(1n))).toEqual([])
    expect(named(await deposit(5n)).map(([name]) => name)).toEqual(['ChannelCreated', 'Deposited'])
  })
})

describe('a deposit', () => {
  test.each([
    ['no payer', { payer: zeroAddress }, 'InvalidChannel'],
    ['no receiver', { receiver: zeroAddress }, 'InvalidChannel'],
    ['no receiver authorizer', { receiverAuthorizer: zeroAddress }, 'InvalidChannel'],
    ['no token', { token: zeroAddress }, 'InvalidChannel'],
    ['a delay below 15 minutes', { withdrawDelay: 899 }, 'WithdrawDelayOutOfRange'],
    ['a delay above 30 days', { withdrawDelay: 2_592_001 }, 'WithdrawDelayOutOfRange'],
  ])('with %s is refused', async (_, terms, error) => {
    verifies('CHANNEL-CONTRACT')
    config = { ...config, ...terms }
    expect((await collected(1n, { collector: chain.contracts.eip3009Collector, data: '0x' })).result).toBe(error)
  })

  test('without a collector is refused, and with one that brings nothing too', async () => {
    verifies('CHANNEL-CONTRACT')
    expect((await collected(1n, { collector: zeroAddress, data: '0x' })).result).toBe('InvalidCollector')
    // STOP: takes every call and does nothing.
    const idle = await placed('idle collector', '0x00')
    expect((await collected(1n, { collector: idle, data: '0x' })).result).toBe('DepositCollectionFailed')
  })

  test('that would pass what a balance holds is refused', async () => {
    verifies('CHANNEL-CONTRACT')
    await deposit(1n)
    expect((await collected(2n ** 128n - 1n, { collector: chain.contracts.eip3009Collector, data: '0x' })).result).toBe('DepositOverflow')
  })

  test('whose collector calls back is refused', async () => {
    verifies('CHANNEL-CONTRACT')
    const data = encodeFunctionData({ abi, functionName: 'settle', args: [seller.address, chain.usdc.address] })
    const collector = await placed('calls back', callsBack(chain.contracts.batchSettlement, data))
    expect((await collected(1n, { collector, data: '0x' })).result).toBe('ReentrancyGuardReentrantCall')
  })

  test('reaches a collector through the escrow alone', async () => {
    verifies('CHANNEL-CONTRACT')
    const said = { key: payer.privateKey, config, amount: 5n, salt }
    const args = [payer.address, chain.usdc.address, 5n, id()] as const
    const data = [await eip3009Deposit(chain, said), await permit2Deposit(chain, said)] as const
    const calls = [
      {
        to: chain.contracts.eip3009Collector,
        data: encodeFunctionData({ abi: eip3009Collector.abi, functionName: 'collect', args: [...args, data[0]] }),
      },
      {
        to: chain.contracts.permit2Collector,
        data: encodeFunctionData({ abi: permit2Collector.abi, functionName: 'collect', args: [...args, data[1]] }),
      },
    ]
    for (const call of calls) expect((await send({ from: relayer.address, ...call })).result).toBe('OnlyX402BatchSettlement')
  })
})

describe('a deposit through Permit2', () => {
  test('may bring the permit that allows it, once', async () => {
    verifies('CHANNEL-CONTRACT')
    await approve(0n)
    expect((await throughPermit2(7n)).result).toBe('TRANSFER_FROM_FAILED')
    const permit = await tokenPermit(7n)
    expect((await throughPermit2(7n, permit)).result).toBe('done')
    // The permit is used, and so is the allowance it gave.
    expect((await throughPermit2(7n, permit)).result).toBe('TRANSFER_FROM_FAILED')
  })

  test('goes on where the permit fails and an allowance stands, and says so', async () => {
    verifies('CHANNEL-CONTRACT')
    await approve(maxUint256)
    const outcome = await throughPermit2(7n, await tokenPermit(7n, relayer))
    expect(outcome.result).toBe('done')
    const [failed] = outcome.logs.filter(({ address }) => address === chain.contracts.permit2Collector.toLowerCase())
    if (failed === undefined) throw new TypeError('no event of the collector')
    expect(decode(permit2Collector.abi, failed)).toEqual([
      'EIP2612PermitFailedWithReason',
      { token: chain.usdc.address, owner: payer.address, reason: 'EIP2612: invalid signature' },
    ])
  })

  test('is refused where the permit is for another amount', async () => {
    verifies('CHANNEL-CONTRACT')
    expect((await throughPermit2(7n, await tokenPermit(8n))).result).toBe('Permit2612AmountMismatch')
  })
})

describe('a claim', () => {
  test('with a signature that is none is refused by the library', async () => {
    verifies('CHANNEL-CONTRACT')
    await deposit(10n)
    expect((await claim(5n, { signature: '0x' })).result).toBe('ECDSAInvalidSignatureLength')
    expect((await claim(5n, { signature: concat([toHex(1, { size: 64 }), '0x01']) })).result).toBe('ECDSAInvalidSignature')
    const { r, s } = parseSignature(await voucher(5n))
    expect((await claim(5n, { signature: concat([r, s]) })).result).toBe('ECDSAInvalidSignatureLength')
  })

  test('asks a voucher key for its own signature, whatever code stands there', async () => {
    verifies('CHANNEL-CONTRACT')
    const wallet = await chain.deploySmartAccount(payer.address, { usdc: 0n })
    config = { ...config, payerAuthorizer: wallet }
    await deposit(10n)
    expect((await claim(5n)).result).toBe('InvalidSignature')
  })

  test('is allowed by a contract that is the receiver’s authorizer', async () => {
    verifies('CHANNEL-CONTRACT')
    const wallet = await chain.deploySmartAccount(owner.address, { usdc: 0n })
    config = { ...config, receiverAuthorizer: wallet }
    await deposit(10n)
    const rows = [await row(5n)]
    const claims = [{ channelId: id(), maxClaimableAmount: 5n, totalClaimed: 5n }]
    const [right, wrong] = await Promise.all(
      [owner, relayer].map((by) => batchSignature(by.privateKey, chain.chainId, { primaryType: 'ClaimBatch', message: { claims } })),
    )
    const call = (signature: Hex) => encodeFunctionData({ abi, functionName: 'claimWithSignature', args: [rows, signature] })
    expect((await escrow(relayer, call(wrong ?? '0x'))).result).toBe('InvalidSignature')
    expect((await escrow(relayer, call(right ?? '0x'))).result).toBe('done')
  })

  test('that comes after the payer has left finds nothing', async () => {
    verifies('CHANNEL-CONTRACT')
    await deposit(10n)
    await escrow(payer, encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, 10n] }))
    expect((await claim(3n)).result).toBe('done')
    await chain.increaseTime(900)
    expect((await escrow(payer, encodeFunctionData({ abi, functionName: 'finalizeWithdraw', args: [config] }))).result).toBe('done')
    expect((await claim(4n)).result).toBe('ClaimExceedsBalance')
  })
})

test('a payer leaves at the end of the delay, and not a second before', async () => {
  verifies('CHANNEL-CONTRACT')
  await deposit(10n)
  const asked = named(await escrow(payer, encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, 10n] })))
  const [[, { finalizeAfter }]] = z.tuple([z.tuple([z.string(), z.looseObject({ finalizeAfter: z.number() })])]).parse(asked)
  const leave = async (timestamp: number) => {
    await chain.rpc('evm_setNextBlockTimestamp', [timestamp])
    await chain.mine()
    return (await escrow(payer, encodeFunctionData({ abi, functionName: 'finalizeWithdraw', args: [config] }))).result
  }
  expect(await leave(finalizeAfter - 1)).toBe('WithdrawDelayNotElapsed')
  expect(await leave(finalizeAfter)).toBe('done')
})

test('calls sent together happen together or not at all', async () => {
  verifies('CHANNEL-CONTRACT')
  await deposit(10n)
  const claimed = encodeFunctionData({ abi, functionName: 'claim', args: [[await row(4n)]] })
  const refunded = encodeFunctionData({ abi, functionName: 'refund', args: [config, 6n] })
  const none = encodeFunctionData({ abi, functionName: 'refund', args: [config, 0n] })
  const together = (data: Hex[]) => escrow(seller, encodeFunctionData({ abi, functionName: 'multicall', args: [data] }))
  expect((await together([claimed, none])).result).toBe('ZeroRefund')
  expect(named(await together([claimed, refunded])).map(([name]) => name)).toEqual(['Claimed', 'Refunded'])
})

test('settling stays within the gas that facilitators send it with', async () => {
  verifies('X402-CONTRACTS')
  await deposit(10n)
  await claim(4n)
  // wire.md §21: a fixed limit, for an estimate can come from the path that does nothing.
  expect((await settle(120_000n)).result).toBe('done')
})

describe('a stolen voucher key', () => {
  beforeEach(() => {
    config = { ...config, payerAuthorizer: thief.address }
  })

  test('pays its own receiver what was put in, and nobody else anything', async () => {
    verifies('F18')
    await deposit(100n)
    const [held, earned] = await Promise.all([payer, seller].map(({ address }) => chain.balanceOf(address)))
    const all = await row(100n, { by: thief })
    const claims = [{ channelId: id(), maxClaimableAmount: 100n, totalClaimed: 100n }]
    const bySignature = await batchSignature(thief.privateKey, chain.chainId, { primaryType: 'ClaimBatch', message: { claims } })
    const refunding = { channelId: id(), nonce: 0n, amount: 100n }
    const refunded = await batchSignature(thief.privateKey, chain.chainId, { primaryType: 'Refund', message: refunding })
    const tried = [
      encodeFunctionData({ abi, functionName: 'claim', args: [[all]] }),
      encodeFunctionData({ abi, functionName: 'claimWithSignature', args: [[all], bySignature] }),
      encodeFunctionData({ abi, functionName: 'refund', args: [config, 100n] }),
      encodeFunctionData({ abi, functionName: 'refundWithSignature', args: [config, 100n, 0n, refunded] }),
    ]
    const answers: string[] = []
    for (const data of tried) answers.push((await escrow(thief, data)).result)
    expect(answers).toEqual(['NotAuthorizedToClaim', 'InvalidSignature', 'NotAuthorizedToRefund', 'InvalidSignature'])

    // A channel to himself holds nothing, and what could fill it is signed by the wallet alone.
    const its = config
    config = { ...its, receiver: thief.address, receiverAuthorizer: thief.address }
    const forged = await eip3009Deposit(chain, { key: thief.privateKey, config, amount: 100n, salt })
    const filled = await collected(100n, { collector: chain.contracts.eip3009Collector, data: forged })
    expect(filled.result).toBe('FiatTokenV2: invalid signature')
    const own = encodeFunctionData({ abi, functionName: 'claim', args: [[await row(1n, { by: thief })]] })
    expect((await escrow(thief, own)).result).toBe('ClaimExceedsBalance')

    config = its
    await done(escrow(seller, encodeFunctionData({ abi, functionName: 'claim', args: [[all]] })))
    await done(settle())
    const more = encodeFunctionData({ abi, functionName: 'claim', args: [[await row(101n, { by: thief })]] })
    expect((await escrow(seller, more)).result).toBe('ClaimExceedsBalance')
    await vi.waitFor(async () => expect(await chain.balanceOf(seller.address)).toBe((earned ?? 0n) + 100n))
    expect(await chain.balanceOf(payer.address)).toBe(held)
  })

  test('starts and ends a withdrawal, to the payer; who owns the wallet ends the thief’s and leaves in one step', async () => {
    verifies('F18')
    await deposit(100n)
    const held = await chain.balanceOf(payer.address)
    const start = (amount: bigint) => encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, amount] })
    const end = encodeFunctionData({ abi, functionName: 'finalizeWithdraw', args: [config] })
    await done(escrow(thief, start(1n)))
    expect((await escrow(payer, start(100n))).result).toBe('WithdrawalAlreadyPending')
    await chain.increaseTime(900)
    await done(escrow(payer, encodeFunctionData({ abi, functionName: 'multicall', args: [[end, start(99n)]] })))
    await vi.waitFor(async () => expect(await chain.balanceOf(payer.address)).toBe(held + 1n))
    expect((await escrow(thief, start(1n))).result).toBe('WithdrawalAlreadyPending')
    await chain.increaseTime(900)
    await done(escrow(thief, end))
    await vi.waitFor(async () => expect(await chain.balanceOf(payer.address)).toBe(held + 100n))
  })

  test('cannot keep its payer in where the receiver gives the money back', async () => {
    verifies('F18')
    await deposit(100n)
    const held = await chain.balanceOf(payer.address)
    await done(escrow(thief, encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, 1n] })))
    expect(named(await refund(100n)).map(([name]) => name)).toEqual(['Refunded', 'ChannelClosed'])
    await vi.waitFor(async () => expect(await chain.balanceOf(payer.address)).toBe(held + 100n))
    const late = encodeFunctionData({ abi, functionName: 'claim', args: [[await row(100n, { by: thief })]] })
    expect((await escrow(seller, late)).result).toBe('ClaimExceedsBalance')
  })
})

describe('a stolen key of the receiver’s side', () => {
  test('that signs claims and refunds pays the receiver what was signed and the payer the rest, and nobody else', async () => {
    verifies('F19')
    config = { ...config, receiverAuthorizer: thief.address }
    await deposit(100n)
    const [held, earned, stolen] = await Promise.all([payer, seller, thief].map(({ address }) => chain.balanceOf(address)))
    const claimed = (claim: Awaited<ReturnType<typeof row>>) => encodeFunctionData({ abi, functionName: 'claim', args: [[claim]] })
    const signed = await row(60n)
    expect((await escrow(thief, claimed({ ...signed, totalClaimed: 61n }))).result).toBe('ClaimExceedsCeiling')
    expect((await escrow(thief, claimed(await row(100n, { by: thief })))).result).toBe('InvalidSignature')
    await done(escrow(thief, claimed({ ...signed, totalClaimed: 20n })))
    // The rest of what was signed and not claimed in time goes back to who signed it: that is what the receiver can lose.
    await done(escrow(thief, encodeFunctionData({ abi, functionName: 'refund', args: [config, 100n] })))
    expect((await claim(60n)).result).toBe('ClaimExceedsBalance')
    await done(settle())
    const now = () => Promise.all([payer, seller, thief].map(({ address }) => chain.balanceOf(address)))
    await vi.waitFor(async () => expect(await now()).toEqual([(held ?? 0n) + 80n, (earned ?? 0n) + 20n, stolen]))
  })

  test('is not needed by the receiver to claim, so what is claimed before a thief refunds is his', async () => {
    verifies('F19')
    config = { ...config, receiverAuthorizer: thief.address }
    await deposit(100n)
    const earned = await chain.balanceOf(seller.address)
    await done(claim(60n))
    await done(escrow(thief, encodeFunctionData({ abi, functionName: 'refund', args: [config, 100n] })))
    await done(settle())
    await vi.waitFor(async () => expect(await chain.balanceOf(seller.address)).toBe(earned + 60n))
  })

  test('that pays for gas alone moves money to its receiver, and none of a channel', async () => {
    verifies('F19')
    await deposit(100n)
    await done(claim(60n))
    const [held, earned, stolen] = await Promise.all([payer, seller, relayer].map(({ address }) => chain.balanceOf(address)))
    const tried = [
      encodeFunctionData({ abi, functionName: 'claim', args: [[await row(100n)]] }),
      encodeFunctionData({ abi, functionName: 'refund', args: [config, 40n] }),
      encodeFunctionData({ abi, functionName: 'initiateWithdraw', args: [config, 40n] }),
    ]
    const answers: string[] = []
    for (const data of tried) answers.push((await escrow(relayer, data)).result)
    expect(answers).toEqual(['NotAuthorizedToClaim', 'NotAuthorizedToRefund', 'InvalidChannel'])
    await done(settle())
    const now = () => Promise.all([payer, seller, relayer].map(({ address }) => chain.balanceOf(address)))
    await vi.waitFor(async () => expect(await now()).toEqual([held, (earned ?? 0n) + 60n, stolen]))
  })
})

function id(): Hex {
  return channelIdOf(chain.chainId, config)
}

function escrow(from: DevelopmentAccount, data: Hex, gas?: bigint): Promise<Outcome> {
  return send({ from: from.address, to: chain.contracts.batchSettlement, data, ...(gas === undefined ? {} : { gas }) })
}

function collected(amount: bigint, { collector, data }: { collector: Address; data: Hex }): Promise<Outcome> {
  return escrow(relayer, encodeFunctionData({ abi, functionName: 'deposit', args: [config, amount, collector, data] }))
}

async function deposit(amount: bigint): Promise<Outcome> {
  salt += 1n
  const data = await eip3009Deposit(chain, { key: payer.privateKey, config, amount, salt })
  return await done(collected(amount, { collector: chain.contracts.eip3009Collector, data }))
}

async function throughPermit2(amount: bigint, permit?: Hex): Promise<Outcome> {
  salt += 1n
  const data = await permit2Deposit(chain, { key: payer.privateKey, config, amount, salt, ...(permit === undefined ? {} : { permit }) })
  return await collected(amount, { collector: chain.contracts.permit2Collector, data })
}

async function tokenPermit(value: bigint, signer: DevelopmentAccount = payer): Promise<Hex> {
  const { usdc, chainId, contracts } = chain
  const nonce = await client().readContract({ address: usdc.address, abi: permitAbi, functionName: 'nonces', args: [payer.address] })
  const signature = await privateKeyToAccount(signer.privateKey).signTypedData({
    domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: usdc.address },
    types: eip2612Types,
    primaryType: 'Permit',
    message: { owner: payer.address, spender: contracts.permit2, value, nonce, deadline: never },
  })
  const { r, s, yParity } = parseSignature(signature)
  return encodeAbiParameters(parseAbiParameters('uint256, uint256, uint8, bytes32, bytes32'), [value, never, yParity + 27, r, s])
}

async function approve(amount: bigint): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [chain.contracts.permit2, amount] })
  await done(send({ from: payer.address, to: chain.usdc.address, data }))
}

function voucher(maxClaimableAmount: bigint, { privateKey }: DevelopmentAccount = payer): Promise<Hex> {
  return batchSignature(privateKey, chain.chainId, { primaryType: 'Voucher', message: { channelId: id(), maxClaimableAmount } })
}

async function row(amount: bigint, { signature, by }: { signature?: Hex; by?: DevelopmentAccount } = {}) {
  const signed = signature ?? (await voucher(amount, by))
  return { voucher: { channel: config, maxClaimableAmount: amount }, signature: signed, totalClaimed: amount }
}

async function claim(amount: bigint, options?: { signature?: Hex }): Promise<Outcome> {
  return await escrow(seller, encodeFunctionData({ abi, functionName: 'claim', args: [[await row(amount, options)]] }))
}

function settle(gas?: bigint): Promise<Outcome> {
  return escrow(relayer, encodeFunctionData({ abi, functionName: 'settle', args: [seller.address, chain.usdc.address] }), gas)
}

function refund(amount: bigint): Promise<Outcome> {
  return escrow(seller, encodeFunctionData({ abi, functionName: 'refund', args: [config, amount] }))
}

async function done(sent: Promise<Outcome>): Promise<Outcome> {
  const outcome = await sent
  expect(outcome.result).toBe('done')
  return outcome
}

function named({ result, logs }: Outcome): ReturnType<typeof decode>[] {
  expect(result).toBe('done')
  return logs.filter(({ address }) => address === chain.contracts.batchSettlement.toLowerCase()).map((log) => decode(abi, log))
}

function decode(of: Abi, { topics: [topic, ...topics], data }: Outcome['logs'][number]): [name: string | undefined, args: unknown] {
  if (topic === undefined) throw new TypeError('a log without a topic')
  const { eventName, args } = decodeEventLog({ abi: of, topics: [topic, ...topics], data })
  return [eventName, args]
}

/** Puts code of a few bytes at an address of its own. */
async function placed(label: string, code: Hex): Promise<Address> {
  await chain.rpc('anvil_setCode', [placeOf(label), code])
  return placeOf(label)
}

/** Whatever it is asked, it makes this call and reverts with the answer: CODECOPY, CALL, RETURNDATACOPY, REVERT. */
function callsBack(to: Address, data: Hex): Hex {
  const length = numberToHex(size(data), { size: 1 })
  const start = '0x2b'
  const call = concat([
    '0x60',
    length,
    '0x60',
    start,
    '0x5f39',
    '0x5f5f',
    '0x60',
    length,
    '0x5f5f',
    '0x73',
    to,
    '0x5af150',
    '0x3d5f5f3e3d5ffd',
  ])
  expect(numberToHex(size(call))).toBe(start)
  return concat([call, data])
}

function client() {
  return createPublicClient({ transport: http(chain.rpcUrl) })
}
