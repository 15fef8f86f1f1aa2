import type { Outcome, PaymentPayload, PaymentRequirements, Submission, Verdict } from '@flow402x/core'
import { memoryBudgets } from '@flow402x/core/memory'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { type ChannelConfig, type ChannelWire, type ClaimRow, channelWire } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import { type Address, encodeFunctionData, erc20Abi, maxUint256, parseAbi, zeroAddress } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EvmChain, evmChain } from '../../chain/evm-chain.ts'
import { batchSettlementFacilitator } from './facilitator.ts'

let local: LocalChain
let chain: EvmChain
let wire: ChannelWire
let facilitator: ReturnType<typeof batchSettlementFacilitator>
const receiver = privateKeyToAccount(generatePrivateKey())
let channels = 0

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl, buyer, seller, contracts, usdc } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  facilitator = batchSettlementFacilitator({ chain })
  wire = channelWire(local, { payer: buyer.privateKey, voucher: buyer.privateKey, authorizer: seller.privateKey })
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [contracts.permit2, maxUint256] })
  await local.rpc('eth_sendTransactionSync', [{ from: buyer.address, to: usdc.address, data }])
})
afterAll(() => local?.stop())

function channelOf(change: Partial<ChannelConfig> = {}): ChannelConfig {
  channels += 1
  return {
    payer: local.buyer.address,
    payerAuthorizer: local.buyer.address,
    receiver: receiver.address,
    receiverAuthorizer: local.seller.address,
    token: local.usdc.address,
    withdrawDelay: 900,
    salt: `0x${channels.toString(16).padStart(64, '0')}`,
    ...change,
  }
}

function ask(payload: PaymentPayload['payload'], change: Partial<PaymentRequirements> = {}): Submission {
  const { name, version } = local.usdc
  const requirements = {
    scheme: 'batch-settlement',
    network: local.network,
    amount: '10',
    asset: local.usdc.address,
    payTo: receiver.address,
    maxTimeoutSeconds: 300,
    extra: { receiverAuthorizer: local.seller.address, withdrawDelay: 900, name, version },
    ...change,
  }
  return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
}

/** As official servers ask for what is theirs alone (wire.md §22.12). */
const asReceiver = { amount: '0', maxTimeoutSeconds: 0, extra: {} }
const told = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason.replace('invalid_batch_settlement_evm_', ''))
const settling = { settle: true }

/** Settles as the engine does, all of them in one transaction. */
async function settle(...submissions: readonly Submission[]): Promise<readonly Outcome[]> {
  for (const submission of submissions) expect(told(await facilitator.verify(submission, settling))).toBe('valid')
  const mined = await mine(
    chain,
    submissions.flatMap((submission) => facilitator.plan(submission)),
  )
  return Promise.all(
    submissions.map(async (submission) => {
      const outcome = facilitator.outcome(submission, mined)
      return outcome.status === 'settled' ? ((await facilitator.complete?.(submission, outcome)) ?? outcome) : outcome
    }),
  )
}

const opened = async (change: Partial<ChannelConfig> = {}, amount = 1000n): Promise<ChannelConfig> => {
  const config = channelOf(change)
  await settle(ask(await wire.deposit(config, { amount, max: 10n, salt: 1n })))
  return config
}

describe('a payer', () => {
  test('opens a channel by EIP-3009 and fills it by Permit2', async () => {
    verifies(['EVM-CHANNEL', 'PERMIT2-EVM'])
    const config = channelOf()
    const opening = ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }))
    const held = await local.balanceOf(local.buyer.address)
    const state = { channelId: wire.idOf(config), totalClaimed: '0', withdrawRequestedAt: 0, refundNonce: '0' }
    expect(await facilitator.verify(opening)).toEqual({
      valid: true,
      payer: config.payer,
      funds: held,
      extra: { ...state, balance: '0' },
    })
    const settled = { status: 'settled', network: local.network, transaction: expect.stringMatching(/^0x/), payer: config.payer }
    expect(await settle(opening)).toEqual([{ ...settled, amount: '1000', extra: { channelState: { ...state, balance: '1000' } } }])

    const filling = ask(await wire.deposit(config, { amount: 500n, max: 1500n, salt: 2n, by: 'permit2' }))
    expect(await settle(filling)).toEqual([{ ...settled, amount: '500', extra: { channelState: { ...state, balance: '1500' } } }])
    expect(await local.balanceOf(local.buyer.address)).toBe(held - 1500n)
    // What is done is done: each is refused, and the chain says by what.
    for (const again of [opening, filling]) {
      expect(await facilitator.verify(again)).toMatchObject({ valid: false, over: true })
      expect(await facilitator.look?.(again)).toMatchObject({ status: expect.stringMatching(/settled|pending/) })
    }
  })

  test('is told of the chain’s state with a voucher, which costs one round trip', async () => {
    const config = await opened()
    const { valid, extra } = await facilitator.verify(ask(await wire.voucher(config, 1000n)))
    expect(valid).toBe(true)
    expect(extra).toEqual({
      channelId: wire.idOf(config),
      balance: '1000',
      totalClaimed: '0',
      withdrawRequestedAt: 0,
      refundNonce: '0',
    })
    // A voucher is no settlement: its receiver keeps it until he claims.
    expect(told(await facilitator.verify(ask(await wire.voucher(config, 1000n)), settling))).toBe('payload_type')
    expect(() => facilitator.plan(ask({ type: 'voucher' }))).toThrow()
  })

  test('fills many channels in one transaction, each told by its own events', async () => {
    verifies(['M14', 'M16'])
    const configs = [channelOf(), channelOf(), channelOf()]
    const payloads = await Promise.all(
      configs.map((config, index) =>
        wire.deposit(config, { amount: 100n, max: 10n, salt: 77n + BigInt(index), by: index === 1 ? 'permit2' : 'eip3009' }),
      ),
    )
    const submissions = payloads.map((payload) => ask(payload))
    const outcomes = await settle(...submissions)
    expect(new Set(outcomes.map(({ transaction }) => transaction)).size).toBe(1)
    expect(outcomes).toMatchObject(
      configs.map((config) => ({ status: 'settled', extra: { channelState: { channelId: wire.idOf(config), balance: '100' } } })),
    )
    expect(submissions.flatMap((submission) => facilitator.plan(submission))).toMatchObject(
      configs.map((config) => ({ alone: false, apart: `deposit ${wire.idOf(config)}` })),
    )
  })

  test('gets gas for a new channel also where others were only filled before', async () => {
    const config = await opened()
    const warm = { chain, facilitator }
    // It has measured no deposit yet.
    chain = evmChain({ network: local.network, rpcUrl: local.rpcUrl, signers: [local.facilitator.privateKey] })
    facilitator = batchSettlementFacilitator({ chain })
    try {
      for (const [salt, by, into] of [
        [31n, 'permit2', config],
        [32n, 'eip3009', channelOf()],
        [33n, 'permit2', channelOf()],
      ] as const)
        expect(await settle(ask(await wire.deposit(into, { amount: 10n, max: 10n, salt, by })))).toMatchObject([{ status: 'settled' }])
    } finally {
      chain = warm.chain
      facilitator = warm.facilitator
    }
  })

  test('whose account is a contract signs deposits and vouchers, and shares no transaction', async () => {
    verifies('M14')
    const payer = await local.deploySmartAccount(local.buyer.address)
    const config = channelOf({ payer, payerAuthorizer: zeroAddress })
    const opening = ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }))
    expect(await settle(opening)).toMatchObject([{ status: 'settled', payer, amount: '1000' }])
    expect(facilitator.plan(opening)).toMatchObject([{ alone: true }])
    expect(told(await facilitator.verify(ask(await wire.voucher(config, 1000n))))).toBe('valid')
    const row = await wire.row(config, { max: 1000n, total: 700n })
    expect(await settle(ask(await wire.claim([row]), asReceiver))).toMatchObject([{ status: 'settled' }])
    // Another's signature is not good for it, and its own is not for a payer with a key.
    const other = channelWire(local, {
      payer: local.owner.privateKey,
      voucher: local.owner.privateKey,
      authorizer: local.seller.privateKey,
    })
    expect(told(await facilitator.verify(ask(await other.voucher(config, 1000n))))).toBe('voucher_signature')
    const keyed = await opened({ payerAuthorizer: zeroAddress })
    expect(told(await facilitator.verify(ask(await wire.voucher(keyed, 1000n))))).toBe('valid')
    expect(told(await facilitator.verify(ask(await other.voucher(keyed, 1000n))))).toBe('voucher_signature')
  })
})

describe('a receiver', () => {
  test('claims over many channels, is paid, and gives the rest back', async () => {
    verifies(['EVM-CHANNEL', 'M27'])
    const [one, two] = [await opened(), await opened()]
    const rows = [await wire.row(one, { max: 1000n, total: 300n }), await wire.row(two, { max: 50n, total: 50n })]
    const claim = ask(await wire.claim(rows), asReceiver)
    expect(await settle(claim)).toEqual([
      { status: 'settled', network: local.network, transaction: expect.stringMatching(/^0x/), amount: undefined },
    ])
    expect(facilitator.plan(claim)).toMatchObject([{ alone: true, target: local.contracts.batchSettlement }])

    const before = await local.balanceOf(receiver.address)
    const sweep = ask({ type: 'settle', receiver: receiver.address, token: local.usdc.address }, asReceiver)
    const [swept] = await settle(sweep)
    const paid = (await local.balanceOf(receiver.address)) - before
    expect(paid >= 350n).toBe(true)
    expect(swept).toMatchObject({ status: 'settled', amount: `${paid}` })
    expect(told(await facilitator.verify(sweep, settling))).toBe('nothing_to_settle')
    // Claims that are all made already are sent no more: there is nothing to send.
    const again = ask(await wire.claim(rows), asReceiver)
    expect(await facilitator.verify(again, settling)).toMatchObject({ valid: true })
    expect(facilitator.plan(again)).toEqual([])

    const held = await local.balanceOf(local.buyer.address)
    const refund = ask(
      await wire.refund(one, { max: 1000n, amount: 5000n, nonce: 0n, rows: [await wire.row(one, { max: 1000n, total: 400n })] }),
    )
    expect(await settle(refund)).toMatchObject([
      {
        status: 'settled',
        amount: '600',
        payer: one.payer,
        extra: {
          channelState: { channelId: wire.idOf(one), balance: '400', totalClaimed: '400', withdrawRequestedAt: 0, refundNonce: '1' },
        },
      },
    ])
    expect(await local.balanceOf(local.buyer.address)).toBe(held + 600n)
  })

  test('is paid in the transaction that claims, and claims alone where the token pays him nothing', async () => {
    verifies(['EVM-CHANNEL', 'M14'])
    const paidTo = privateKeyToAccount(generatePrivateKey()).address
    const config = channelOf({ receiver: paidTo })
    await settle(ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }), { payTo: paidTo }))
    const claim = async (total: bigint, receivers: readonly Address[]) => {
      const settles = receivers.map((each) => ({ receiver: each, token: local.usdc.address }))
      return ask({ ...(await wire.claim([await wire.row(config, { max: 1000n, total })])), settles }, asReceiver)
    }
    expect(await settle(await claim(300n, [paidTo]))).toMatchObject([{ status: 'settled' }])
    expect(await local.balanceOf(paidTo)).toBe(300n)
    // Who is owed nothing is paid nothing, and keeps nobody from anything.
    expect(await settle(await claim(400n, [receiver.address, paidTo, local.owner.address]))).toMatchObject([{ status: 'settled' }])
    expect(await local.balanceOf(paidTo)).toBe(400n)

    const data = encodeFunctionData({ abi: parseAbi(['function blacklist(address account)']), args: [paidTo] })
    await local.rpc('eth_sendTransactionSync', [{ from: local.owner.address, to: local.usdc.address, data }])
    expect(told(await facilitator.verify(await claim(500n, [paidTo]), settling))).toBe('settle_simulation_failed')
    expect(await settle(await claim(500n, []))).toMatchObject([{ status: 'settled' }])
  })

  test('is told apart from the next sweep by what it was paid before', async () => {
    const config = await opened()
    const keys: unknown[] = []
    for (const total of [100n, 200n]) {
      await settle(ask(await wire.claim([await wire.row(config, { max: 1000n, total })]), asReceiver))
      const sweep = ask({ type: 'settle', receiver: receiver.address, token: local.usdc.address }, asReceiver)
      const [first, second] = [await facilitator.verify(sweep, settling), await facilitator.verify(sweep, settling)]
      expect(first).toMatchObject({ valid: true, key: { id: expect.stringContaining('/settle/') } })
      expect(second).toEqual(first)
      keys.push(first.valid && first.key?.id)
      await settle(sweep)
    }
    expect(new Set(keys).size).toBe(2)
  })
})

describe('a key that signs for receivers', () => {
  const claimOf = (rows: readonly ClaimRow[]) => ask({ type: 'claim', claims: rows }, asReceiver)

  test('is told of, claims what names it, and refunds where it may', async () => {
    verifies('M27')
    const key = generatePrivateKey()
    const own = privateKeyToAccount(key)
    let may = false
    const [mine, plainly] = [batchSettlementFacilitator({ chain, receiverAuthorizer: { signer: key, mayRefund: () => may } }), facilitator]
    expect(mine.supported()).toEqual({
      x402Version: 2,
      scheme: 'batch-settlement',
      network: local.network,
      extra: { receiverAuthorizer: own.address },
    })
    expect(plainly.supported()).toEqual({ x402Version: 2, scheme: 'batch-settlement', network: local.network })
    const config = channelOf({ receiverAuthorizer: own.address })
    const terms = { extra: { ...ask({}).requirements.extra, receiverAuthorizer: own.address } }
    await settle(ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }), terms))
    const rows = [await wire.row(config, { max: 1000n, total: 100n })]
    expect(told(await plainly.verify(claimOf(rows), settling))).toBe('authorizer_not_configured')
    const foreign = [...rows, await wire.row(await opened(), { max: 1000n, total: 100n })]
    expect(told(await mine.verify(claimOf(foreign), settling))).toBe('authorizer_address_mismatch')
    facilitator = mine
    try {
      expect(await settle(claimOf(rows))).toMatchObject([{ status: 'settled' }])
      const { refundAuthorizerSignature, ...unsigned } = await wire.refund(config, { max: 1000n, amount: 900n, nonce: 0n })
      expect(told(await mine.verify(ask(unsigned, terms), settling))).toBe('authorizer_not_configured')
      may = true
      expect(await settle(ask(unsigned, terms))).toMatchObject([{ status: 'settled', amount: '900' }])
    } finally {
      facilitator = plainly
    }
  })

  test('that sends transactions claims without a signature, and from its own account', async () => {
    const signer = local.facilitator
    const own = batchSettlementFacilitator({ chain, receiverAuthorizer: { signer: signer.privateKey, mayRefund: () => false } })
    const config = channelOf({ receiverAuthorizer: signer.address })
    const terms = { extra: { ...ask({}).requirements.extra, receiverAuthorizer: signer.address } }
    await settle(ask(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }), terms))
    const claim = claimOf([await wire.row(config, { max: 1000n, total: 100n })])
    expect(await own.verify(claim, settling)).toMatchObject({ valid: true })
    expect(own.plan(claim)).toMatchObject([{ data: expect.stringMatching(/^0x29237b0c/), signer: signer.address }])
    const plain = facilitator
    facilitator = own
    expect(await settle(claim)).toMatchObject([{ status: 'settled' }])
    facilitator = plain
  })

  test('needs to be an account', () => {
    const bad = { address: 'nobody', sign: async () => '0x' }
    expect(() => batchSettlementFacilitator({ chain, receiverAuthorizer: { signer: bad, mayRefund: () => true } })).toThrow(
      /receiverAuthorizer/,
    )
  })
})

test('deposits and refunds of one payer cost no more than they may in a day, however often they are asked for', async () => {
  verifies('M19')
  let now = Date.now() / 1000
  const gasBudget = { budgets: memoryBudgets(), perPayer: 400_000n }
  const capped = batchSettlementFacilitator({ chain, gasBudget, now: () => now })
  const deposits = await Promise.all(
    [1n, 2n, 3n].map(async (salt) => ask(await wire.deposit(channelOf(), { amount: 10n, max: 10n, salt }))),
  )
  const [first, second, third] = deposits
  if (first === undefined || second === undefined || third === undefined) throw new TypeError('no deposits')
  // Looking costs nothing, and the same one costs once.
  for (let look = 0; look < 5; look += 1) expect(told(await capped.verify(third))).toBe('valid')
  for (const submission of [first, first, second, second]) expect(told(await capped.verify(submission, settling))).toBe('valid')
  await expect(capped.verify(third, settling)).rejects.toMatchObject({ code: 'evm/gas-budget', retry: 'same', moneyMoved: 'no' })
  expect(told(await capped.verify(ask(await wire.voucher(await opened(), 10n))))).toBe('valid')
  now += 86_400
  const until = BigInt(Math.floor(now)) + 280n
  expect(told(await capped.verify(ask(await wire.deposit(channelOf(), { amount: 10n, max: 10n, salt: 4n, until })), settling))).toBe(
    'valid',
  )
})

test('a chain without the escrow’s collectors is refused at the start', async () => {
  const other = await startEvmChain()
  try {
    const { network, rpcUrl } = other
    await other.rpc('anvil_setCode', [other.contracts.permit2Collector satisfies Address, '0x'])
    const bare = batchSettlementFacilitator({ chain: evmChain({ network, rpcUrl, signers: [other.facilitator.privateKey] }) })
    await expect(bare.start()).rejects.toMatchObject({ code: 'config/no-escrow' })
  } finally {
    await other.stop()
  }
})
