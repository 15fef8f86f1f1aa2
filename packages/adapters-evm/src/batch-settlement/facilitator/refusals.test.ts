import type { PaymentPayload, PaymentRequirements, Submission, Verdict } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { type ChannelConfig, type ChannelWire, channelWire } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { type Address, encodeFunctionData, erc20Abi, type Hex, isHex, maxUint256, parseAbi } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeAggregate, multicall3, type Target } from '../../chain/abi.ts'
import { type EvmChain, evmChain } from '../../chain/evm-chain.ts'
import { withdrawCalls } from '../calls.ts'
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
  facilitator = batchSettlementFacilitator({ chain })
  wire = channelWire(local, { payer: buyer.privateKey, voucher: buyer.privateKey, authorizer: seller.privateKey })
})
afterAll(() => local?.stop())

function channelOf(change: Partial<ChannelConfig> = {}): ChannelConfig {
  channels += 1
  const { buyer, seller, usdc } = local
  const parties = { payer: buyer.address, payerAuthorizer: buyer.address, receiver: seller.address, receiverAuthorizer: seller.address }
  return { ...parties, token: usdc.address, withdrawDelay: 900, salt: `0x${channels.toString(16).padStart(64, '0')}`, ...change }
}

function ask(payload: PaymentPayload['payload'], change: Partial<PaymentRequirements> = {}): Submission {
  const { usdc, seller, network } = local
  const extra = { receiverAuthorizer: seller.address, withdrawDelay: 900, name: usdc.name, version: usdc.version }
  const terms = { scheme: 'batch-settlement', network, amount: '10', asset: usdc.address, payTo: seller.address, maxTimeoutSeconds: 300 }
  const requirements = { ...terms, extra, ...change }
  return { payment: { x402Version: 2, accepted: requirements, payload }, requirements }
}

const told = (verdict: Verdict) => (verdict.valid ? 'valid' : verdict.reason.replace('invalid_batch_settlement_evm_', ''))
const look = async (payload: PaymentPayload['payload'], change: Partial<PaymentRequirements> = {}) =>
  told(await facilitator.verify(ask(payload, change)))
const settling = async (payload: PaymentPayload['payload']) => told(await facilitator.verify(ask(payload), { settle: true }))

async function send({ target, data }: Target, from: Address): Promise<void> {
  const { status } = Object(await local.rpc('eth_sendTransactionSync', [{ from, to: target, data, gas: 2_000_000n }]))
  expect(status).toBe('0x1')
}

async function settle(payload: PaymentPayload['payload']): Promise<void> {
  const submission = ask(payload)
  expect(told(await facilitator.verify(submission, { settle: true }))).toBe('valid')
  for (const { target, data } of facilitator.plan(submission)) await send({ target, data: hexOf(data) }, local.owner.address)
}

async function opened(change: Partial<ChannelConfig> = {}): Promise<ChannelConfig> {
  const config = channelOf(change)
  await settle(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 1n }))
  return config
}

/** Part of a payload in another form; `path` like `voucher.signature`. */
function altered(payload: PaymentPayload['payload'], path: string, value: unknown): PaymentPayload['payload'] {
  const [head = '', ...rest] = path.split('.')
  const inner = Object(payload[head])
  return { ...payload, [head]: rest.length === 0 ? value : altered(inner, rest.join('.'), value) }
}

const garbage = `0x${'11'.repeat(65)}`
const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** The twin of a signature, which recovers to the same key and which tokens and the escrow refuse (EIP-2). */
function highS(signature: unknown): string {
  const text = String(signature)
  const s = order - BigInt(`0x${text.slice(66, 130)}`)
  return `${text.slice(0, 66)}${s.toString(16).padStart(64, '0')}${text.endsWith('1b') ? '1c' : '1b'}`
}

const transferTypes = [
  { name: 'from', type: 'address' },
  { name: 'to', type: 'address' },
  { name: 'value', type: 'uint256' },
  { name: 'validAfter', type: 'uint256' },
  { name: 'validBefore', type: 'uint256' },
  { name: 'nonce', type: 'bytes32' },
] as const
const transferAbi = parseAbi(['function transferWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes)'])

function hexOf(text: string | undefined): Hex {
  if (!isHex(text)) throw new TypeError('no hex')
  return text
}

/** The payer's own spending of an authorization of 100, to whomever he likes. */
async function spending(nonce: Hex, to: Address): Promise<Target> {
  const { usdc, buyer, chainId } = local
  const message = { from: buyer.address, to, value: 100n, validAfter: 0n, validBefore: 4_000_000_000n, nonce }
  const signature = await privateKeyToAccount(buyer.privateKey).signTypedData({
    domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: usdc.address },
    types: { TransferWithAuthorization: transferTypes },
    primaryType: 'TransferWithAuthorization',
    message,
  })
  const args = [buyer.address, to, 100n, 0n, 4_000_000_000n, nonce, signature] as const
  return { target: usdc.address, data: encodeFunctionData({ abi: transferAbi, args }) }
}

describe('vouchers', () => {
  test('are refused where they promise what is not in their channel, or is claimed already', async () => {
    verifies(['A23', 'M27'])
    const config = await opened()
    expect(await look(await wire.voucher(config, 1000n))).toBe('valid')
    expect(await look(await wire.voucher(config, 1001n))).toBe('cumulative_exceeds_balance')
    expect(await look(await wire.voucher(channelOf(), 10n))).toBe('channel_not_found')
    await settle({ ...(await wire.claim([await wire.row(config, { max: 500n, total: 500n })])) })
    expect(await look(await wire.voucher(config, 500n))).toBe('cumulative_below_claimed')
    expect(await look(await wire.voucher(config, 501n))).toBe('valid')
    // Money back is asked for with what is claimed already, and not with less.
    expect(await look({ ...(await wire.voucher(config, 500n)), type: 'refund' })).toBe('valid')
    expect(await look({ ...(await wire.voucher(config, 499n)), type: 'refund' })).toBe('cumulative_below_claimed')
  })

  test('are refused where they were forged, before anything is looked up', async () => {
    verifies('A23')
    const config = await opened()
    const good = await wire.voucher(config, 100n)
    const { signature } = Object(good.voucher)
    for (let count = 0n; count < 3n; count += 1n) expect(await look(await wire.voucher(config, 20n + count))).toBe('valid')
    const forged = [
      altered(good, 'voucher.maxClaimableAmount', '101'),
      altered(good, 'voucher.signature', garbage),
      altered(good, 'voucher.signature', highS(signature)),
      // Of a key that was seen before too: whose voucher it is claims it as it came.
      altered(good, 'voucher.signature', `${signature.slice(0, -2)}${signature.endsWith('1b') ? '1c' : '1b'}`),
      altered(good, 'voucher.signature', `${signature}00`),
      // A stale voucher with a garbage signature tells its sender nothing of the channel.
      altered(altered(good, 'voucher.maxClaimableAmount', '0'), 'voucher.signature', garbage),
    ]
    const other = channelWire(local, {
      payer: local.owner.privateKey,
      voucher: local.owner.privateKey,
      authorizer: local.seller.privateKey,
    })
    for (const payload of [...forged, await other.voucher(config, 100n)]) {
      const verdict = await facilitator.verify(ask(payload))
      expect(told(verdict)).toBe('voucher_signature')
      expect(verdict.extra).toBeUndefined()
    }
  })

  test('are refused for another channel, chain, contract, receiver, token or delay', async () => {
    verifies('A26')
    const config = await opened()
    const good = await wire.voucher(config, 100n)
    const elsewhere = channelWire(
      { ...local, chainId: 1 },
      { payer: local.buyer.privateKey, voucher: local.buyer.privateKey, authorizer: local.seller.privateKey },
    )
    expect(await look(await elsewhere.voucher(config, 100n))).toBe('channel_id_mismatch')
    // Signed for another chain, and said to be of this one.
    const [{ voucher }, { signature }] = [good, Object((await elsewhere.voucher(config, 100n)).voucher)]
    expect(await look({ ...good, voucher: { ...Object(voucher), signature } })).toBe('voucher_signature')
    expect(await look(altered(good, 'channelConfig.salt', `0x${'22'.repeat(32)}`))).toBe('channel_id_mismatch')
    expect(await look(good, { payTo: local.owner.address })).toBe('receiver_mismatch')
    const { extra } = ask(good).requirements
    expect(await look(good, { extra: { ...extra, receiverAuthorizer: local.owner.address } })).toBe('receiver_authorizer_mismatch')
    expect(await look(good, { extra: {} })).toBe('receiver_authorizer_mismatch')
    expect(await look(good, { extra: { ...extra, withdrawDelay: 901 } })).toBe('withdraw_delay_mismatch')
    expect(await look(good, { asset: local.contracts.permit2 })).toBe('token_mismatch')
    expect(await look(await wire.voucher(channelOf({ token: local.contracts.permit2 }), 10n))).toBe('token_mismatch')
    expect(await look(good, { network: 'eip155:8453' })).toBe('network_mismatch')
    expect(await look(good, { scheme: 'exact' })).toBe('scheme')
    expect(await look({ ...good, type: 'gift' })).toBe('payload_type')
    expect(await look({ type: 'voucher' })).toBe('invalid_payload')
    expect(await look(await wire.claim([await wire.row(config, { max: 1n, total: 1n })]))).toBe('payload_type')
  })
})

describe('deposits', () => {
  test.each(['eip3009', 'permit2'] as const)('by %s are refused where they were forged or changed', async (by) => {
    verifies(['A26', 'EVM-CHANNEL'])
    await approve(maxUint256)
    const config = channelOf()
    const good = await wire.deposit(config, { amount: 1000n, max: 10n, salt: 5n, by })
    expect(await look(good)).toBe('valid')
    const named = by === 'eip3009' ? 'erc3009Authorization' : 'permit2Authorization'
    const path = `deposit.authorization.${named}`
    const bad = by === 'eip3009' ? 'receive_authorization_signature' : 'permit2_invalid_signature'
    const { signature } = Object(Object(Object(good.deposit).authorization)[named])
    expect(await look(altered(good, `${path}.signature`, garbage))).toBe(bad)
    expect(await look(altered(good, `${path}.signature`, highS(signature)))).toBe(bad)
    expect(await look(altered(good, 'voucher.signature', garbage))).toBe('voucher_signature')
    expect(await look(altered(good, 'deposit.amount', '999'))).toBe(by === 'eip3009' ? bad : 'permit2_amount_mismatch')
    // Into another channel of the same payer.
    const other = await wire.voucher(channelOf(), 10n)
    expect(await look({ ...good, ...other, type: 'deposit' })).toBe(by === 'eip3009' ? bad : 'channel_id_mismatch')
    expect(await look(await wire.deposit(config, { amount: 1000n, max: 1001n, salt: 6n, by }))).toBe('cumulative_exceeds_balance')
    expect(await look(await wire.deposit(config, { amount: 0n, max: 0n, salt: 6n, by }))).not.toBe('valid')
    const dear = await local.balanceOf(local.buyer.address)
    expect(await look(await wire.deposit(config, { amount: dear + 1n, max: 10n, salt: 6n, by }))).toBe('insufficient_balance')
    const now = BigInt(Math.floor(Date.now() / 1000))
    const late = by === 'eip3009' ? 'payload_authorization_valid_before' : 'permit2_deadline_expired'
    for (const until of [now - 1n, now + 3n, now + 3600n])
      expect(await look(await wire.deposit(config, { amount: 1000n, max: 10n, salt: 6n, by, until }))).toBe(late)
    const { extra } = ask(good).requirements
    const way = by === 'eip3009' ? 'permit2' : 'eip3009'
    expect(await look(good, { extra: { ...extra, assetTransferMethod: way } })).toBe(
      way === 'permit2' ? 'permit2_authorization_required' : 'erc3009_authorization_required',
    )
    expect(await look(good, { extra: { ...extra, assetTransferMethod: by } })).toBe('valid')
  })

  test('by Permit2 are refused for another spender or owner, and without an approval', async () => {
    verifies('PERMIT2-EVM')
    const config = channelOf()
    await approve(maxUint256)
    const good = await wire.deposit(config, { amount: 1000n, max: 10n, salt: 9n, by: 'permit2' })
    const path = 'deposit.authorization.permit2Authorization'
    expect(await look(altered(good, `${path}.spender`, local.owner.address))).toBe('permit2_invalid_spender')
    expect(await look(altered(good, `${path}.from`, local.owner.address))).toBe('permit2_invalid_signature')
    expect(await look(altered(good, `${path}.permitted.token`, local.owner.address))).toBe('token_mismatch')
    expect(await look(altered(good, `${path}.witness.channelId`, `0x${'01'.repeat(32)}`))).toBe('channel_id_mismatch')
    expect(await look(altered(good, `${path}.nonce`, '10'))).toBe('permit2_invalid_signature')
    await approve(999n)
    expect(await look(good)).toBe('permit2_allowance_required')
    await approve(1000n)
    expect(await look(good)).toBe('valid')
  })

  test.each(['eip3009', 'permit2'] as const)('by %s are refused a second time, also where another transaction spent them', async (by) => {
    verifies('M1')
    await approve(maxUint256)
    const config = await opened()
    const payload = await wire.deposit(config, { amount: 100n, max: 20n, salt: 40n, by })
    const submission = ask(payload)
    expect(await facilitator.verify(submission)).toMatchObject({ valid: true })
    expect(await facilitator.look?.(submission)).toMatchObject({ status: 'pending' })
    await settle(payload)
    const again = await facilitator.verify(submission)
    expect(told(again)).toBe('deposit_simulation_failed')
    expect(again).toMatchObject({ over: true })
    // A stranger's transaction made it, and the chain says which.
    await local.mine(64)
    await expect
      .poll(() => facilitator.look?.(submission))
      .toMatchObject({
        status: 'settled',
        amount: '100',
        transaction: expect.stringMatching(/^0x/),
      })
    const other = ask(await wire.deposit(config, { amount: 100n, max: 20n, salt: 41n, by }))
    expect(await facilitator.look?.(other)).toMatchObject({ status: 'pending' })
    expect(facilitator.key(submission.payment)?.id).not.toBe(facilitator.key(other.payment)?.id)
  })

  test.each(['himself', 'the collector', 'the collector, beside another deposit'] as const)(
    'whose payer spent the authorization on %s are not called made',
    async (way) => {
      verifies('M1')
      const config = await opened()
      const submission = ask(await wire.deposit(config, { amount: 100n, max: 20n, salt: 50n }))
      const nonce = hexOf(facilitator.key(submission.payment)?.id.split('/').at(-1))
      const decoy = await spending(nonce, way === 'himself' ? local.buyer.address : local.contracts.eip3009Collector)
      const other = ask(await wire.deposit(config, { amount: 100n, max: 20n, salt: 51n }))
      const beside = facilitator.plan(other).map(({ target, data }) => ({ target, data: hexOf(data) }))
      // All that such a deposit shows is there, but not in its order.
      const both = { target: multicall3, data: encodeAggregate([decoy, ...beside]) }
      await send(way === 'the collector, beside another deposit' ? both : decoy, local.owner.address)
      expect(await facilitator.verify(submission)).toMatchObject({ valid: false, over: true })
      await local.mine(64)
      expect(await facilitator.look?.(submission)).toMatchObject({ status: 'notSettled', retry: 'resign' })
      expect(await facilitator.look?.(other)).toMatchObject({ status: way.includes('beside') ? 'settled' : 'pending' })
    },
  )

  test.each([true, false])('by Permit2 whose nonce was thrown away are not taken for others like them, traced: %s', async (traced) => {
    verifies(['M1', 'M16'])
    await approve(maxUint256)
    const config = await opened()
    const looking = traced ? facilitator : batchSettlementFacilitator({ chain: untraced() })
    const [made, thrown, beside] = await Promise.all(
      [60n, 61n, 62n].map(async (salt) =>
        ask(await wire.deposit(config, { amount: 100n, max: 20n, salt: salt + (traced ? 0n : 8n), by: 'permit2' })),
      ),
    )
    if (made === undefined || thrown === undefined || beside === undefined) throw new TypeError('no deposits')
    const callOf = (submission: Submission) => facilitator.plan(submission).map(({ target, data }) => ({ target, data: hexOf(data) }))
    for (const call of callOf(made)) await send(call, local.owner.address)
    // By another's batch, in which the same deposit stands twice and one of them fails.
    await send({ target: multicall3, data: encodeAggregate([...callOf(beside), ...callOf(beside)]) }, local.owner.address)
    const mask = 1n << (61n + (traced ? 0n : 8n))
    const data = encodeFunctionData({ abi: parseAbi(['function invalidateUnorderedNonces(uint256, uint256)']), args: [0n, mask] })
    await send({ target: local.contracts.permit2, data }, local.buyer.address)
    await local.mine(64)
    expect(await looking.look?.(made)).toMatchObject({ status: 'settled', amount: '100' })
    // Beside a deposit by EIP-3009 that looks like it, one by Permit2 that fails is told from it by a trace alone.
    const twin = ask(await wire.deposit(config, { amount: 100n, max: 20n, salt: 7n }))
    await send({ target: multicall3, data: encodeAggregate([...callOf(thrown), ...callOf(twin)]) }, local.owner.address)
    await local.mine(64)
    // Where nobody traces, calls in a batch of somebody's do not show which of them took effect, and nothing is said.
    expect(await looking.look?.(thrown)).toMatchObject(traced ? { status: 'notSettled', retry: 'resign' } : { status: 'pending' })
    expect(await looking.look?.(beside)).toMatchObject({ status: traced ? 'settled' : 'pending' })
  })

  test('of two spellings are one, and an exact payment with the same nonce is the same too', async () => {
    verifies('M11')
    const payload = await wire.deposit(channelOf(), { amount: 100n, max: 20n, salt: 0xabcdefn })
    const { payment } = ask(payload)
    const shouted: unknown = JSON.parse(JSON.stringify(payload).replaceAll(/0x[0-9a-f]{40,}/gi, (hex) => `0x${hex.slice(2).toUpperCase()}`))
    const decimal = altered(payload, 'deposit.authorization.erc3009Authorization.salt', `${0xabcdefn}`)
    for (const other of [Object(shouted), decimal])
      expect(facilitator.key({ ...payment, payload: other })).toEqual(facilitator.key(payment))
    expect(facilitator.key(payment)?.id).toMatch(
      new RegExp(`^${local.network}/${local.usdc.address}/${local.buyer.address}/0x[0-9a-f]{64}$`, 'i'),
    )
  })
})

describe('what receivers ask for', () => {
  test('is refused without their own word for just this', async () => {
    verifies(['M14', 'M27'])
    const config = await opened()
    const row = await wire.row(config, { max: 100n, total: 100n })
    const good = await wire.claim([row])
    expect(await settling(good)).toBe('valid')
    expect(await settling(altered(good, 'claimAuthorizerSignature', garbage))).toBe('claim_simulation_failed')
    expect(await settling({ ...good, claims: [{ ...row, totalClaimed: '99' }] })).toBe('claim_simulation_failed')
    expect(await settling({ ...good, claims: [{ ...row, totalClaimed: '101' }] })).toBe('claim_simulation_failed')
    expect(await settling({ ...good, claims: [{ ...row, signature: garbage }] })).toBe('claim_simulation_failed')
    expect(await settling({ ...good, claims: [] })).toBe('invalid_payload')
    expect(await settling({ type: 'settle', receiver: local.owner.address, token: local.usdc.address })).toBe('nothing_to_settle')
    expect(await settling({ type: 'settle', receiver: local.owner.address, token: local.contracts.permit2 })).toBe('token_mismatch')

    const refund = await wire.refund(config, { max: 100n, amount: 100n, nonce: 0n })
    expect(await settling(refund)).toBe('valid')
    expect(await settling(altered(refund, 'amount', '101'))).toBe('refund_simulation_failed')
    expect(await settling(altered(refund, 'refundAuthorizerSignature', garbage))).toBe('refund_simulation_failed')
    expect(await settling({ ...refund, refundNonce: undefined })).toBe('payload_type')
    expect(await settling({ ...refund, refundAuthorizerSignature: undefined })).toBe('authorizer_not_configured')
    const stranger = await wire.refund(channelOf({ salt: config.salt, withdrawDelay: 901 }), { max: 1n, amount: 1n, nonce: 0n })
    expect(await settling(stranger)).toBe('refund_no_balance')
    expect(await settling({ ...stranger, channelConfig: config })).toBe('channel_id_mismatch')
  })

  test('gives nothing back twice on one nonce, and nothing of what is claimed before', async () => {
    verifies('M27')
    const config = await opened()
    const refund = await wire.refund(config, { max: 1000n, amount: 100n, nonce: 0n })
    const second = await wire.refund(config, { max: 1000n, amount: 200n, nonce: 0n })
    await settle(refund)
    for (const used of [refund, second]) {
      expect(await settling(used)).toBe('refund_simulation_failed')
      expect(Object(await facilitator.verify(ask(used), { settle: true })).message).toContain('refund nonce is 1')
    }
    const all = await wire.row(config, { max: 1000n, total: 900n })
    expect(await settling(await wire.refund(config, { max: 1000n, amount: 1n, nonce: 1n, rows: [all] }))).toBe('refund_no_balance')
    const beyond = await wire.row(config, { max: 1000n, total: 899n })
    expect(await settling(await wire.refund(config, { max: 1000n, amount: 1n, nonce: 1n, rows: [beyond] }))).toBe('valid')
  })
})

test('whatever is asked, the answer is a verdict', async () => {
  verifies('EVM-CHANNEL')
  await approve(maxUint256)
  const config = await opened()
  const rows = [await wire.row(config, { max: 100n, total: 50n })]
  const good = await Promise.all([
    wire.voucher(config, 100n),
    wire.deposit(config, { amount: 5n, max: 10n, salt: 91n }),
    wire.deposit(config, { amount: 5n, max: 10n, salt: 92n, by: 'permit2' }),
    wire.claim(rows),
    wire.refund(config, { max: 100n, amount: 5n, nonce: 0n, rows }),
  ])
  const paths = (value: unknown, at = ''): string[] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, inner]) => [`${at}${key}`, ...paths(inner, `${at}${key}.`)])
      : []
  const mutated = fc
    .constantFrom(...good)
    .chain((payload) =>
      fc.tuple(
        fc.constant(payload),
        fc.constantFrom(...paths(payload)),
        fc.oneof(
          fc.jsonValue(),
          fc.bigInt({ min: 0n }).map(String),
          fc.uint8Array({ maxLength: 80 }).map((bytes) => `0x${Buffer.from(bytes).toString('hex')}`),
        ),
      ),
    )
    .map(([payload, path, value]) => altered(payload, path, value))
  const types = fc.constantFrom('voucher', 'deposit', 'refund', 'claim', 'settle')
  const wild = fc.tuple(types, fc.dictionary(fc.string(), fc.jsonValue())).map(([type, rest]) => ({ ...rest, type }))
  await fc.assert(
    fc.asyncProperty(fc.oneof({ arbitrary: mutated, weight: 4 }, { arbitrary: wild, weight: 1 }), fc.boolean(), async (payload, settle) => {
      const submission = ask(payload)
      expect(['undefined', 'object']).toContain(typeof facilitator.key(submission.payment))
      expect(typeof facilitator.draw?.(submission.payment)).toBe('bigint')
      const verdict = await facilitator.verify(submission, { settle })
      expect(verdict.valid || (typeof verdict.reason === 'string' && verdict.reason !== '')).toBe(true)
      if (verdict.valid && settle) expect(facilitator.plan(submission)).toBeDefined()
    }),
    { numRuns: 600 },
  )
})

// The last one: it takes the chain's clock out of step with the payers'.
test('vouchers do not count on what their payer is taking out, and on nothing once he has', async () => {
  verifies(['A24', 'M27'])
  const config = await opened()
  const { initiate, finalize } = withdrawCalls(config, 800n)
  await send(initiate, local.buyer.address)
  expect(await look(await wire.voucher(config, 200n))).toBe('valid')
  expect(await look(await wire.voucher(config, 201n))).toBe('cumulative_exceeds_balance')
  const claim = await wire.claim([await wire.row(config, { max: 1000n, total: 900n })])
  // Until it is over the receiver may claim all that was signed.
  expect(await settling(claim)).toBe('valid')
  await local.increaseTime(901)
  await send(finalize, local.buyer.address)
  expect(await settling(claim)).toBe('claim_simulation_failed')
  const { message } = Object(await facilitator.verify(ask(claim), { settle: true }))
  expect(message).toContain(`${wire.idOf(config)}: invalid_batch_settlement_evm_cumulative_exceeds_balance`)
  expect(await look(await wire.voucher(config, 201n))).toBe('cumulative_exceeds_balance')
})

/** The same chain by a node that does not trace. */
function untraced(): EvmChain {
  const { network, rpcUrl, facilitator: signer } = local
  const plain: typeof fetch = (input, init) =>
    fetch(input, { ...init, body: String(init?.body).replace('debug_traceTransaction', 'debug_nothing') })
  return evmChain({ network, rpcUrl, signers: [signer.privateKey], fetch: plain })
}

async function approve(amount: bigint): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [local.contracts.permit2, amount] })
  await send({ target: local.usdc.address, data }, local.buyer.address)
}
