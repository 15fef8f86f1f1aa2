import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/contracts.json'
import {
  createPublicClient,
  domainSeparator,
  encodeAbiParameters,
  getAddress,
  getContract,
  type Hex,
  hashTypedData,
  http,
  isHex,
  keccak256,
  parseAbi,
  toHex,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { developmentAccounts } from '../chains/accounts.ts'
import { type EvmChain, startEvmChain } from '../chains/evm-chain.ts'
import { batchSettlement, eip3009Collector, exactPermit2Proxy, permit2Collector, uptoPermit2Proxy } from './artifacts.ts'
import { contracts } from './placement.ts'
import { batchDomain, batchTypes, eip3009DepositTypes, exactTypes, permit2DepositTypes, permit2Domain, uptoTypes } from './typed-data.ts'

const separatorAbi = parseAbi(['function DOMAIN_SEPARATOR() view returns (bytes32)'])
const { channel, permit2 } = vectors
const config = {
  ...channel.config,
  payer: address(channel.config.payer),
  payerAuthorizer: address(channel.config.payerAuthorizer),
  receiver: address(channel.config.receiver),
  receiverAuthorizer: address(channel.config.receiverAuthorizer),
  token: address(channel.config.token),
  salt: hex(channel.config.salt),
}
const channelId = hex(channel.channelId)

test.each(vectors.types)('the type hash of $name is that of its text', ({ type, hash }) => {
  verifies('EVM-DIGEST')
  expect(keccak256(toHex(type))).toBe(hash)
})

describe('the contracts of a local chain', () => {
  let chain: EvmChain
  beforeAll(async () => {
    chain = await startEvmChain()
  })
  afterAll(() => chain.stop())

  test('hash the published types', async () => {
    verifies('X402-CONTRACTS')
    const { batch, exact, upto, permit2Deposits } = reader(chain)
    const hashes = Object.fromEntries(vectors.types.map(({ name, hash }) => [name, hash]))
    expect({
      ChannelConfig: await batch.CHANNEL_CONFIG_TYPEHASH(),
      Voucher: await batch.VOUCHER_TYPEHASH(),
      Refund: await batch.REFUND_TYPEHASH(),
      ClaimBatch: await batch.CLAIM_BATCH_TYPEHASH(),
      ClaimEntry: await batch.CLAIM_ENTRY_TYPEHASH(),
      'exact Witness': await exact.WITNESS_TYPEHASH(),
      'upto Witness': await upto.WITNESS_TYPEHASH(),
      DepositWitness: await permit2Deposits.DEPOSIT_WITNESS_TYPEHASH(),
    }).toEqual(Object.fromEntries(Object.entries(hashes).filter(([name]) => !/Authorization|Permit/.test(name))))
    const stub = 'PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,'
    const strings = await Promise.all([
      exact.WITNESS_TYPE_STRING(),
      upto.WITNESS_TYPE_STRING(),
      permit2Deposits.DEPOSIT_WITNESS_TYPE_STRING(),
    ])
    expect(strings.map((string) => keccak256(toHex(stub + string)))).toEqual(
      ['exact', 'upto', 'deposit'].map((scheme) => hashes[`${scheme} PermitWitnessTransferFrom`]),
    )
  })

  test('know each other', async () => {
    verifies('X402-CONTRACTS')
    const { exact, upto, eip3009Deposits, permit2Deposits } = reader(chain)
    expect(await Promise.all([exact.PERMIT2(), upto.PERMIT2(), permit2Deposits.PERMIT2()])).toEqual(Array(3).fill(contracts.permit2))
    expect(await Promise.all([eip3009Deposits.x402BatchSettlement(), permit2Deposits.x402BatchSettlement()])).toEqual(
      Array(2).fill(contracts.batchSettlement),
    )
    expect(chain.contracts).toEqual(contracts)
  })

  test('tell the delays and the domain of the escrow', async () => {
    verifies('X402-CONTRACTS')
    const { batch } = reader(chain)
    expect(await Promise.all([batch.MIN_WITHDRAW_DELAY(), batch.MAX_WITHDRAW_DELAY()])).toEqual([900, 2_592_000])
    expect(await batch.eip712Domain()).toEqual([
      '0x0f',
      'x402 Batch Settlement',
      '1',
      84532n,
      contracts.batchSettlement,
      toHex(0, { size: 32 }),
      [],
    ])
  })

  test('digest a channel, its voucher, refund and claim as published', async () => {
    verifies(['EVM-DIGEST', 'X402-CONTRACTS'])
    const { batch } = reader(chain)
    const domain = batchDomain(84532)
    const voucher = { channelId, maxClaimableAmount: BigInt(channel.voucher.maxClaimableAmount) }
    const refund = { channelId, nonce: BigInt(channel.refund.nonce), amount: BigInt(channel.refund.amount) }
    const { maxClaimableAmount, totalClaimed } = channel.claimBatch
    const entry = { channelId, maxClaimableAmount: BigInt(maxClaimableAmount), totalClaimed: BigInt(totalClaimed) }
    const row = {
      voucher: { channel: config, maxClaimableAmount: entry.maxClaimableAmount },
      signature: '0x',
      totalClaimed: entry.totalClaimed,
    } as const
    const published = [channelId, channel.voucher.digest, channel.refund.digest, channel.claimBatch.digest]
    expect(
      await Promise.all([
        batch.getChannelId([config]),
        batch.getVoucherDigest([channelId, voucher.maxClaimableAmount]),
        batch.getRefundDigest([channelId, refund.nonce, refund.amount]),
        batch.getClaimBatchDigest([[row]]),
      ]),
    ).toEqual(published)
    expect([
      hashTypedData({ domain, types: batchTypes, primaryType: 'ChannelConfig', message: config }),
      hashTypedData({ domain, types: batchTypes, primaryType: 'Voucher', message: voucher }),
      hashTypedData({ domain, types: batchTypes, primaryType: 'Refund', message: refund }),
      hashTypedData({ domain, types: batchTypes, primaryType: 'ClaimBatch', message: { claims: [entry] } }),
    ]).toEqual(published)
    const account = privateKeyToAccount(developmentAccounts[0]?.privateKey ?? '0x')
    expect(await account.signTypedData({ domain, types: batchTypes, primaryType: 'Voucher', message: voucher })).toBe(
      channel.voucher.signature,
    )
  })
})

test('the typed data of deposits and of Permit2 payments digests as published', () => {
  verifies('EVM-DIGEST')
  const { salt, from, value, validAfter, validBefore, ...deposit } = channel.eip3009Deposit
  const nonce = keccak256(encodeAbiParameters([{ type: 'bytes32' }, { type: 'uint256' }], [channelId, BigInt(salt)]))
  const authorization = {
    from: address(from),
    to: contracts.eip3009Collector,
    value: BigInt(value),
    validAfter: BigInt(validAfter),
    validBefore: BigInt(validBefore),
    nonce,
  }
  const usdc = { name: 'USDC', version: '2', chainId: 84532, verifyingContract: config.token }
  expect(nonce).toBe(deposit.nonce)
  expect(hashTypedData({ domain: usdc, types: eip3009DepositTypes, primaryType: 'ReceiveWithAuthorization', message: authorization })).toBe(
    deposit.digest,
  )

  const domain = permit2Domain(84532)
  const permit = {
    permitted: { token: address(permit2.token), amount: BigInt(permit2.amount) },
    nonce: BigInt(permit2.nonce),
    deadline: BigInt(permit2.deadline),
  }
  const witness = { to: address(permit2.to), validAfter: BigInt(permit2.validAfter) }
  const primaryType = 'PermitWitnessTransferFrom'
  const depositPermit = { ...permit, spender: contracts.permit2Collector, witness: { channelId } }
  expect(hashTypedData({ domain, types: permit2DepositTypes, primaryType, message: depositPermit })).toBe(channel.permit2Deposit.digest)
  const exact = { ...permit, spender: contracts.exactPermit2Proxy, witness }
  expect(hashTypedData({ domain, types: exactTypes, primaryType, message: exact })).toBe(permit2.exactDigest)
  const upto = { ...permit, spender: contracts.uptoPermit2Proxy, witness: { ...witness, facilitator: address(permit2.facilitator) } }
  expect(hashTypedData({ domain, types: uptoTypes, primaryType, message: upto })).toBe(permit2.uptoDigest)
})

test.each(vectors.domainSeparators)('the domain of $contract on $network is the published one', ({ contract, network, separator }) => {
  verifies('EVM-DIGEST')
  const chainId = Number(network.slice('eip155:'.length))
  const domain = contract === 'permit2' ? permit2Domain(chainId) : batchDomain(chainId)
  expect(domainSeparator({ domain })).toBe(separator)
})

test.each(['base', 'arbitrum'])('on %s the domains are those of that chain', async (network) => {
  verifies('X402-CONTRACTS')
  const chain = await startEvmChain({ network })
  try {
    const { batch, permit2 } = reader(chain)
    expect(await permit2.DOMAIN_SEPARATOR()).toBe(domainSeparator({ domain: permit2Domain(chain.chainId) }))
    const typed = { domain: batchDomain(chain.chainId), types: batchTypes, primaryType: 'ChannelConfig', message: config } as const
    expect(await batch.getChannelId([config])).toBe(hashTypedData(typed))
  } finally {
    await chain.stop()
  }
})

function reader(chain: EvmChain) {
  const client = createPublicClient({ transport: http(chain.rpcUrl) })
  const at = chain.contracts
  return {
    permit2: getContract({ address: at.permit2, abi: separatorAbi, client }).read,
    batch: getContract({ address: at.batchSettlement, abi: batchSettlement.abi, client }).read,
    exact: getContract({ address: at.exactPermit2Proxy, abi: exactPermit2Proxy.abi, client }).read,
    upto: getContract({ address: at.uptoPermit2Proxy, abi: uptoPermit2Proxy.abi, client }).read,
    eip3009Deposits: getContract({ address: at.eip3009Collector, abi: eip3009Collector.abi, client }).read,
    permit2Deposits: getContract({ address: at.permit2Collector, abi: permit2Collector.abi, client }).read,
  }
}

function address(text: string) {
  return getAddress(text)
}

function hex(text: string): Hex {
  if (!isHex(text)) throw new TypeError(`${text} is not hex`)
  return text
}
