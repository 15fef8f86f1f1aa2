import type { Outcome, PaymentPayload, Submission, Verdict } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { type ChannelConfig, type ChannelWire, channelWire } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { mine } from '@flow402x/testing/suites'
import {
  type Address,
  encodeFunctionData,
  erc20Abi,
  getContractAddress,
  type Hex,
  maxUint256,
  parseGwei,
  serializeErc6492Signature,
  zeroAddress,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type EvmChain, evmChain } from '../../chain/evm-chain.ts'
import { batchSettlementFacilitator } from './facilitator.ts'

let local: LocalChain
let chain: EvmChain
let wire: ChannelWire
let facilitator: ReturnType<typeof batchSettlementFacilitator>
let channels = 0

beforeAll(async () => {
  local = await startEvmChain()
  const { network, rpcUrl, buyer, seller } = local
  chain = evmChain({ network, rpcUrl, signers: [local.facilitator.privateKey] })
  facilitator = batchSettlementFacilitator({ chain, approvalWaitMs: 2000 })
  wire = channelWire(local, { payer: buyer.privateKey, voucher: buyer.privateKey, authorizer: seller.privateKey })
})
beforeEach(() => approve(0n))
afterAll(() => local?.stop())

function channelOf(change: Partial<ChannelConfig> = {}): ChannelConfig {
  channels += 1
  const { buyer, seller, usdc } = local
  const parties = { payer: buyer.address, payerAuthorizer: buyer.address, receiver: seller.address, receiverAuthorizer: seller.address }
  return { ...parties, token: usdc.address, withdrawDelay: 900, salt: `0x${channels.toString(16).padStart(64, '0')}`, ...change }
}

function ask(payload: PaymentPayload['payload'], extensions?: Record<string, unknown>): Submission {
  const { usdc, seller, network } = local
  const extra = { receiverAuthorizer: seller.address, withdrawDelay: 900, name: usdc.name, version: usdc.version }
  const terms = { scheme: 'batch-settlement', network, amount: '10', asset: usdc.address, payTo: seller.address, maxTimeoutSeconds: 300 }
  const requirements = { ...terms, extra }
  return { payment: { x402Version: 2, accepted: requirements, payload, ...(extensions && { extensions }) }, requirements }
}

const told = (verdict: Verdict | undefined) =>
  verdict === undefined ? 'nothing to do' : verdict.valid ? 'valid' : verdict.reason.replace('invalid_batch_settlement_evm_', '')

async function approve(amount: bigint): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, amount] })
  await local.rpc('eth_sendTransactionSync', [{ from: local.buyer.address, to: local.usdc.address, data }])
}

/** Settles what was verified, by this facilitator or another one. */
async function settle(submission: Submission, by = facilitator): Promise<Outcome> {
  return by.outcome(submission, await mine(chain, by.plan(submission)))
}

describe('a payer without an approval', () => {
  const deposit = (config: ChannelConfig) => wire.deposit(config, { amount: 1000n, max: 10n, salt: BigInt(channels), by: 'permit2' })

  async function permitOf(value: bigint): Promise<Record<string, unknown>> {
    const { usdc, buyer, chainId, contracts } = local
    const nonce = BigInt(
      String(await local.rpc('eth_call', [{ to: usdc.address, data: `0x7ecebe00${buyer.address.slice(2).padStart(64, '0')}` }, 'latest'])),
    )
    const deadline = BigInt(Math.floor(Date.now() / 1000) + 280)
    const signature = await privateKeyToAccount(buyer.privateKey).signTypedData({
      domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: usdc.address },
      types: {
        Permit: ['owner', 'spender', 'value', 'nonce', 'deadline'].map((name, index) => ({
          name,
          type: index < 2 ? 'address' : 'uint256',
        })),
      },
      primaryType: 'Permit',
      message: { owner: buyer.address, spender: contracts.permit2, value, nonce, deadline },
    })
    const parties = { from: buyer.address, asset: usdc.address, spender: contracts.permit2 }
    const info = { ...parties, amount: `${value}`, nonce: `${nonce}`, deadline: `${deadline}`, signature, version: '1' }
    return { eip2612GasSponsoring: { info, schema: {} } }
  }

  test('fills a channel by Permit2 with a permit that goes along, in one transaction of its own', async () => {
    verifies('GAS-SPONSORING')
    const payload = await deposit(channelOf())
    expect(told(await facilitator.verify(ask(payload)))).toBe('permit2_allowance_required')
    expect(told(await facilitator.verify(ask(payload, await permitOf(999n))))).toBe('eip2612_amount_mismatch')
    const submission = ask(payload, await permitOf(1000n))
    expect(told(await facilitator.verify(submission))).toBe('valid')
    expect(facilitator.plan(submission)).toMatchObject([{ alone: true }])
    expect(await settle(submission)).toMatchObject({ status: 'settled', amount: '1000' })
    const [permit] = Object.values(await permitOf(1000n))
    const forged = { eip2612GasSponsoring: { info: { ...Object(permit).info, signature: `0x${'11'.repeat(64)}1b` }, schema: {} } }
    expect(told(await facilitator.verify(ask(await deposit(channelOf()), forged)))).toBe('deposit_simulation_failed')
  })

  test('fills a channel by Permit2 with a signed approval that is handed on first', async () => {
    verifies('GAS-SPONSORING')
    const { usdc, buyer, chainId, contracts } = local
    const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [contracts.permit2, maxUint256] })
    const nonce = Number(await local.rpc('eth_getTransactionCount', [buyer.address, 'latest']))
    const signedTransaction = await privateKeyToAccount(buyer.privateKey).signTransaction({
      type: 'eip1559',
      chainId,
      nonce,
      to: usdc.address,
      data,
      gas: 90_000n,
      maxFeePerGas: parseGwei('10'),
      maxPriorityFeePerGas: parseGwei('1'),
    })
    const parties = { from: buyer.address, asset: usdc.address, spender: contracts.permit2 }
    const extensions = {
      erc20ApprovalGasSponsoring: { info: { ...parties, amount: `${maxUint256}`, signedTransaction, version: '1' }, schema: {} },
    }
    const submission = ask(await deposit(channelOf()), extensions)
    expect(told(await facilitator.verify(submission))).toBe('valid')
    expect(told(await facilitator.relay?.(submission))).toBe('valid')
    expect(await settle(submission)).toMatchObject({ status: 'settled', amount: '1000' })
    expect(await facilitator.relay?.(submission)).toBeUndefined()
    expect(await facilitator.relay?.(ask(await deposit(channelOf())))).toBeUndefined()
  })
})

describe('a payer whose wallet comes into being with his deposit (ERC-6492)', () => {
  // The deployer that stands on every chain: it deploys whatever code follows a salt.
  const factory = '0x4e59b44847b379578588920cA78FbF26c0B4956C'
  // Accepts every signature: EIP-1271's answer, whatever is asked.
  const code: Hex = '0x6f631626ba7e60e01b60005260206000f360005260106010f3'

  async function wallet(salt: string) {
    const address = getContractAddress({ opcode: 'CREATE2', from: factory, salt: `0x${salt.repeat(32)}`, bytecode: code })
    await local.mint(address, 5000n)
    const config = channelOf({ payer: address, payerAuthorizer: zeroAddress })
    const payload = await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n })
    const data: Hex = `0x${salt.repeat(32)}${code.slice(2)}`
    const signature = serializeErc6492Signature({ address: factory, data, signature: '0x1234' })
    const deposit = Object(payload.deposit)
    const { erc3009Authorization } = deposit.authorization
    const authorization = { erc3009Authorization: { ...erc3009Authorization, signature } }
    const voucher = { ...Object(payload.voucher), signature: '0x1234' }
    return { address, config, payload: { ...payload, voucher, deposit: { ...deposit, authorization } } }
  }

  test('is refused, unless who runs its factory was told to', async () => {
    verifies('A7')
    const { payload, address, config } = await wallet('01')
    expect(told(await facilitator.verify(ask(payload)))).toBe('eip6492_factory_not_allowed')
    const open = batchSettlementFacilitator({ chain, erc6492Factories: [factory.toLowerCase()] })
    const submission = ask(payload)
    expect(told(await open.verify(submission))).toBe('valid')
    expect(open.plan(submission)).toMatchObject([{ target: factory.toLowerCase(), alone: true }, { alone: true }])
    expect(await settle(submission, open)).toMatchObject({ status: 'settled', payer: address, amount: '1000' })
    // Its vouchers are good from now on as they are, and not in their wrapper, which the escrow does not know.
    const voucher = { type: 'voucher', channelConfig: config, voucher: payload.voucher }
    expect(told(await open.verify(ask(voucher)))).toBe('valid')
    const wrapped = serializeErc6492Signature({ address: factory, data: '0x', signature: '0x1234' })
    expect(told(await open.verify(ask({ ...voucher, voucher: { ...voucher.voucher, signature: wrapped } })))).toBe('voucher_signature')
  })

  test('is refused where its factory deploys nothing', async () => {
    const open = batchSettlementFacilitator({ chain, erc6492Factories: [factory] })
    const { payload } = await wallet('02')
    const signature = serializeErc6492Signature({ address: factory, data: `0x${'03'.repeat(32)}fe`, signature: '0x1234' })
    const deposit = Object(payload.deposit)
    const erc3009Authorization = { ...deposit.authorization.erc3009Authorization, signature }
    const verdict = await open.verify(ask({ ...payload, deposit: { ...deposit, authorization: { erc3009Authorization } } }))
    expect(told(verdict)).toBe('smart_wallet_deployment_failed')
  })
})

test('a key’s voucher is worth nothing once code stands at its address that does not take it, where the channel names no key', async () => {
  verifies(['A23', 'M14'])
  const key: Hex = `0x${'5'.repeat(64)}`
  const payer: Address = privateKeyToAccount(key).address
  await local.mint(payer, 5000n)
  const own = channelWire(local, { payer: key, voucher: key, authorizer: local.seller.privateKey })
  const [keyless, keyed] = [channelOf({ payer, payerAuthorizer: zeroAddress }), channelOf({ payer, payerAuthorizer: payer })]
  for (const config of [keyless, keyed]) {
    const submission = ask(await own.deposit(config, { amount: 1000n, max: 10n, salt: BigInt(channels) + BigInt(config.salt) }))
    expect(told(await facilitator.verify(submission))).toBe('valid')
    expect(await settle(submission)).toMatchObject({ status: 'settled' })
  }
  const another = await own.deposit(keyless, { amount: 10n, max: 10n, salt: 99n })
  const forged = { ...another, voucher: { ...Object(another.voucher), signature: `0x${'11'.repeat(65)}` } }
  expect([told(await facilitator.verify(ask(another))), told(await facilitator.verify(ask(forged)))]).toEqual([
    'valid',
    'voucher_signature',
  ])
  const look = async (config: ChannelConfig) => told(await facilitator.verify(ask(await own.voucher(config, 1000n))))
  expect([await look(keyless), await look(keyed)]).toEqual(['valid', 'valid'])
  // Code that ends without a word looks like no code to who only calls it.
  await local.rpc('anvil_setCode', [payer, '0x00'])
  expect([await look(keyless), await look(keyed)]).toEqual(['voucher_signature', 'valid'])
  await local.rpc('anvil_setCode', [payer, '0x'])
  expect(await look(keyless)).toBe('valid')
})
