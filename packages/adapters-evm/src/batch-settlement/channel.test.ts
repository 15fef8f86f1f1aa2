import { verifies } from '@flow402x/testing/requirements'
import vectors from '@flow402x/testing/vectors/contracts.json'
import fc from 'fast-check'
import { encodeAbiParameters, hashTypedData, keccak256, parseAbiParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, test, vi } from 'vitest'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { domainSeparator, receiveDigest, receiveTypedData } from '../crypto/eip712.ts'
import { fastestSecp256k1 } from '../crypto/native-secp256k1.ts'
import { nobleSecp256k1 } from '../crypto/secp256k1.ts'
import { tabledSecp256k1 } from '../crypto/tabled-secp256k1.ts'
import { permit2Digest } from '../permit2/typed-data.ts'
import { permit2Collector } from './calls.ts'
import {
  batchDomain,
  batchSettlement,
  type ChannelConfig,
  channelIdOf,
  claimBatchDigest,
  claimBatchTypedData,
  depositNonce,
  refundDigest,
  refundTypedData,
  voucherDigest,
  voucherDigests,
  voucherTypedData,
} from './channel.ts'
import { recoverable, refuseChannel, voucherCheck } from './voucher.ts'
import { batchReasons, readBatchPayload } from './wire.ts'

const { channel } = vectors
const chainId = BigInt(channel.network.slice(7))
const config: ChannelConfig = {
  payer: hex(channel.config.payer),
  payerAuthorizer: hex(channel.config.payerAuthorizer),
  receiver: hex(channel.config.receiver),
  receiverAuthorizer: hex(channel.config.receiverAuthorizer),
  token: hex(channel.config.token),
  withdrawDelay: channel.config.withdrawDelay,
  salt: hex(channel.config.salt),
}
const channelId = hex(channel.channelId)

const hexOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(toHex)
const uint = (bits: bigint) => fc.bigInt({ min: 0n, max: 2n ** bits - 1n })
const chain = fc.bigInt({ min: 1n, max: BigInt(Number.MAX_SAFE_INTEGER) })
const anyConfig = fc.record({
  payer: hexOf(20),
  payerAuthorizer: hexOf(20),
  receiver: hexOf(20),
  receiverAuthorizer: hexOf(20),
  token: hexOf(20),
  withdrawDelay: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
  salt: hexOf(32),
})
const entry = fc.record({ channelId: hexOf(32), maxClaimableAmount: uint(128n), totalClaimed: uint(128n) })

describe('what is signed', () => {
  test('the published vectors', () => {
    verifies('EVM-CHANNEL')
    expect(channelIdOf(chainId, config)).toBe(channelId)
    const maxClaimableAmount = BigInt(channel.voucher.maxClaimableAmount)
    expect(toHex(voucherDigest(chainId, { channelId, maxClaimableAmount }))).toBe(channel.voucher.digest)
    const refund = { channelId, nonce: BigInt(channel.refund.nonce), amount: BigInt(channel.refund.amount) }
    expect(toHex(refundDigest(chainId, refund))).toBe(channel.refund.digest)
    const claim = { channelId, maxClaimableAmount, totalClaimed: BigInt(channel.claimBatch.totalClaimed) }
    expect(toHex(claimBatchDigest(chainId, [claim]))).toBe(channel.claimBatch.digest)
    const { salt, nonce, from, value, validAfter, validBefore, digest } = channel.eip3009Deposit
    expect(depositNonce(channelId, BigInt(salt))).toBe(nonce)
    const usdc = { name: 'USDC', version: '2', chainId, verifyingContract: config.token }
    const to = hex('0x4020806089470a89826cB9fB1f4059150b550004')
    const times = { validAfter: BigInt(validAfter), validBefore: BigInt(validBefore) }
    expect(toHex(receiveDigest(usdc, { from: hex(from), to, value: BigInt(value), ...times, nonce: hex(nonce) }))).toBe(digest)
    const { amount, ...deposit } = channel.permit2Deposit
    const permitted = { token: config.token, amount: BigInt(amount) }
    const signed = { nonce: BigInt(deposit.nonce), deadline: BigInt(deposit.deadline), witness: { channelId } }
    expect(toHex(permit2Digest(chainId, { permitted, spender: permit2Collector, ...signed }))).toBe(deposit.digest)
  })

  test.each(vectors.domainSeparators.filter(({ contract }) => contract === 'batchSettlement'))('domain on $network', (vector) => {
    expect(toHex(domainSeparator(batchDomain(BigInt(vector.network.slice(7)))))).toBe(vector.separator)
  })

  test('is what viem makes of the typed data, for any message', () => {
    verifies('EVM-CHANNEL')
    fc.assert(
      fc.property(chain, hexOf(32), uint(128n), uint(256n), fc.array(entry, { maxLength: 5 }), (id, one, amount, nonce, claims) => {
        const voucher = { channelId: one, maxClaimableAmount: amount }
        expect(toHex(voucherDigest(id, voucher))).toBe(hashTypedData(voucherTypedData(id, voucher)))
        const digestOf = voucherDigests(id, one)
        for (const max of [2n ** 128n - 1n, amount, 0n, amount])
          expect(toHex(digestOf(max))).toBe(hashTypedData(voucherTypedData(id, { channelId: one, maxClaimableAmount: max })))
        const refund = { channelId: one, nonce, amount }
        expect(toHex(refundDigest(id, refund))).toBe(hashTypedData(refundTypedData(id, refund)))
        expect(toHex(claimBatchDigest(id, claims))).toBe(hashTypedData(claimBatchTypedData(id, claims)))
        const packed = encodeAbiParameters(parseAbiParameters('bytes32, uint256'), [one, nonce])
        expect(depositNonce(one, nonce)).toBe(keccak256(packed))
      }),
      { numRuns: 100 },
    )
  })

  test('a channel id is the digest viem makes of its config, for any config', () => {
    const fields = ['payer', 'payerAuthorizer', 'receiver', 'receiverAuthorizer', 'token'].map((name) => ({ name, type: 'address' }))
    const types = { ChannelConfig: [...fields, { name: 'withdrawDelay', type: 'uint40' }, { name: 'salt', type: 'bytes32' }] }
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 53 - 1 }), anyConfig, (id, message) => {
        const domain = { name: 'x402 Batch Settlement', version: '1', chainId: id, verifyingContract: batchSettlement } as const
        expect(channelIdOf(BigInt(id), message)).toBe(hashTypedData({ domain, types, primaryType: 'ChannelConfig', message }))
      }),
      { numRuns: 100 },
    )
  })

  test('a deposit is what viem makes of the typed data', () => {
    const usdc = { name: 'USDC', version: '2', chainId, verifyingContract: config.token }
    const message = { from: config.payer, to: config.receiver, value: 1n, validAfter: 2n, validBefore: 3n, nonce: channelId }
    expect(toHex(receiveDigest(usdc, message))).toBe(hashTypedData(receiveTypedData(usdc, message)))
  })
})

const key = hex('0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80')
const account = privateKeyToAccount(key)
const mine = { ...config, payerAuthorizer: account.address }
const draw = async (maxClaimableAmount: bigint, of: ChannelConfig = mine, by = account) => {
  const id = channelIdOf(chainId, of)
  const signature = await by.signTypedData(voucherTypedData(chainId, { channelId: id, maxClaimableAmount }))
  return { channelConfig: of, voucher: { channelId: id, maxClaimableAmount, signature } }
}

test('of keys that sign often so many are known as the curve says, and a new one takes the place of the oldest', async () => {
  const recover = vi.fn(nobleSecp256k1.recover)
  const judgeOf = fastestSecp256k1().often?.judgeOf
  if (judgeOf === undefined) throw new TypeError('no judge')
  const check = voucherCheck({ chainId, secp256k1: { ...nobleSecp256k1, recover, often: { from: 2, most: 2, judgeOf } } }, { anyV: true })
  const [first, second, third] = ['11', '22', '33'].map((byte) => privateKeyToAccount(hex(`0x${byte.repeat(32)}`)))
  const recovered: number[] = []
  for (const by of [first, first, first, second, second, first, second, third, third, third, second, first]) {
    if (by === undefined) throw new TypeError('no key')
    expect(check(await draw(5n, { ...config, payerAuthorizer: by.address }, by))).toBeUndefined()
    recovered.push(recover.mock.calls.length)
  }
  expect(recovered).toEqual([1, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7])
})

describe.each([fastestSecp256k1(), tabledSecp256k1])('vouchers checked by $name', (secp256k1) => {
  const check = voucherCheck({ chainId, secp256k1 })

  test('takes the published signature, and a voucher of the channel’s own key in any letters', async () => {
    verifies('A23')
    const { signature } = channel.voucher
    const given = await draw(1000n)
    expect(check(given)).toBeUndefined()
    const { voucher } = given
    const shouted = { ...voucher, channelId: upper(voucher.channelId), signature: upper(voucher.signature) }
    expect(check({ ...given, voucher: shouted })).toBeUndefined()
    const published = { channelConfig: config, voucher: { channelId, maxClaimableAmount: 1000n, signature: hex(signature) } }
    // It is the development account's over a channel that names another key.
    expect(check(published)).toEqual({ reason: 'invalid_batch_settlement_evm_voucher_signature' })
  })

  test('refuses every other amount, channel, key and form', async () => {
    verifies(['A23', 'M28'])
    const { voucher } = await draw(1000n)
    const refused = (change: object, channelConfig: ChannelConfig = mine) =>
      check({ channelConfig, voucher: { ...voucher, ...change } })?.reason
    const bad = 'invalid_batch_settlement_evm_voucher_signature'
    expect(refused({ maxClaimableAmount: 1001n })).toBe(bad)
    expect(refused({ maxClaimableAmount: 0n, signature: `0x${'00'.repeat(65)}` })).toBe(bad)
    expect(refused({ signature: voucher.signature.slice(0, -2) })).toBe(bad)
    expect(refused({ signature: `${voucher.signature}00` })).toBe(bad)
    expect(refused({ signature: hex(`0x${'11'.repeat(64)}1b`) })).toBe(bad)
    const other = { ...mine, salt: hex(`0x${'01'.repeat(32)}`) }
    expect(refused({}, other)).toBe('invalid_batch_settlement_evm_channel_id_mismatch')
    expect(refused({ channelId: channelIdOf(chainId, other) }, other)).toBe(bad)
    const keyless = { ...mine, payerAuthorizer: hex(`0x${'00'.repeat(20)}`) }
    expect(refused({ channelId: channelIdOf(chainId, keyless) }, keyless)).toBe('invalid_batch_settlement_evm_authorizer_address_mismatch')
  })

  test('a key that signed often is checked as strictly as before but for v, which claims are given', async () => {
    verifies('A23')
    const turned = (signature: Hex) => hex(`${signature.slice(0, -2)}${signature.endsWith('1b') ? '1c' : '1b'}`)
    const first = await draw(1n)
    const check = voucherCheck({ chainId, secp256k1 }, { anyV: true })
    const rare = { ...first, voucher: { ...first.voucher, signature: turned(first.voucher.signature) } }
    expect(check(rare)).toEqual({ reason: 'invalid_batch_settlement_evm_voucher_signature' })
    for (let max = 1n; max <= 40n; max += 1n) expect(check(await draw(max))).toBeUndefined()
    const given = await draw(41n)
    const wrong = { reason: 'invalid_batch_settlement_evm_voucher_signature' }
    const { signature } = given.voucher
    expect(check({ ...given, voucher: { ...given.voucher, maxClaimableAmount: 42n } })).toEqual(wrong)
    expect(check({ ...given, voucher: { ...given.voucher, signature: hex(`0x${'11'.repeat(64)}1b`) } })).toEqual(wrong)
    expect(check(given)).toBeUndefined()
    expect(check({ ...given, voucher: { ...given.voucher, signature: turned(signature) } })).toBeUndefined()
    const row = { voucher: { channel: mine, maxClaimableAmount: 41n }, totalClaimed: 40n }
    const claimable = recoverable({ chainId, secp256k1 })
    const written = (text: Hex, v: string) => hex(`${text.slice(0, -2)}${v}`)
    for (const v of ['00', '01', '1b', '1c']) expect(claimable({ ...row, signature: written(signature, v) })).toEqual({ ...row, signature })
    const nobodys = { ...row, signature: hex(`0x${'11'.repeat(64)}1b`) }
    expect(claimable(nobodys)).toEqual(nobodys)
  })

  test('more channels than are kept are checked rightly still', async () => {
    const given = await draw(7n)
    expect(check(given)).toBeUndefined()
    for (let index = 0; index < 4100; index += 1) {
      const salt = hex(`0x${index.toString(16).padStart(64, '0')}`)
      expect(check({ ...given, channelConfig: { ...mine, payer: config.receiver, salt } })).toBeDefined()
    }
    expect(check(given)).toBeUndefined()
  })
})

test('a channel must be what the offer asks for, in the order of the specification', () => {
  const terms = { receiver: config.receiver, receiverAuthorizer: config.receiverAuthorizer, token: config.token, withdrawDelay: 900 }
  const reason = (change: Partial<ChannelConfig>, asked = terms) => refuseChannel({ ...config, ...change }, asked)?.reason
  const other = hex(`0x${'99'.repeat(20)}`)
  expect(reason({})).toBeUndefined()
  expect(reason({ receiver: other, receiverAuthorizer: other })).toBe('invalid_batch_settlement_evm_receiver_mismatch')
  expect(reason({ receiverAuthorizer: other, token: other })).toBe('invalid_batch_settlement_evm_receiver_authorizer_mismatch')
  expect(reason({ token: other, withdrawDelay: 901 })).toBe('invalid_batch_settlement_evm_token_mismatch')
  expect(reason({ withdrawDelay: 901 })).toBe('invalid_batch_settlement_evm_withdraw_delay_mismatch')
  const short = { ...terms, withdrawDelay: 899 }
  expect(reason({ withdrawDelay: 899 }, short)).toBe('invalid_batch_settlement_evm_withdraw_delay_out_of_range')
})

describe('payloads', () => {
  const signature = `0x${'ab'.repeat(65)}`
  const drawn = { channelConfig: config, voucher: { channelId, maxClaimableAmount: '1000', signature } }
  const claims = [{ voucher: { channel: config, maxClaimableAmount: '10' }, signature, totalClaimed: '7' }]
  const erc3009Authorization = { validAfter: '0', validBefore: '1900000000', salt: `0x${'00'.repeat(31)}01`, signature }
  const permit2Authorization = {
    from: config.payer,
    permitted: { token: config.token, amount: '5' },
    spender: config.payer,
    nonce: '1',
    deadline: '2',
    witness: { channelId },
    signature,
  }
  const whole: readonly { readonly [field: string]: unknown }[] = [
    { type: 'voucher', ...drawn },
    { type: 'deposit', ...drawn, deposit: { amount: '5000', authorization: { erc3009Authorization } } },
    { type: 'deposit', ...drawn, deposit: { amount: '5000', authorization: { permit2Authorization } } },
    { type: 'refund', ...drawn },
    { type: 'refund', ...drawn, amount: '5', refundNonce: '0', claims, refundAuthorizerSignature: signature },
    { type: 'claim', claims, claimAuthorizerSignature: signature },
    { type: 'settle', receiver: config.receiver, token: config.token },
  ]

  test('of every type are read, amounts as integers', () => {
    for (const payload of whole) expect(readBatchPayload({ payload })?.type).toBe(payload.type)
    expect(readBatchPayload({ payload: whole[1] ?? {} })).toMatchObject({
      voucher: { maxClaimableAmount: 1000n },
      deposit: { amount: 5000n, authorization: { erc3009Authorization: { salt: 1n } } },
    })
    const both = { type: 'deposit', ...drawn, deposit: { amount: '1', authorization: { erc3009Authorization, permit2Authorization } } }
    expect(readBatchPayload({ payload: both })).toBeUndefined()
    expect(readBatchPayload({ payload: { type: 'claim', claims: [] } })).toBeUndefined()
    const large = { ...drawn.voucher, maxClaimableAmount: (2n ** 128n).toString() }
    expect(readBatchPayload({ payload: { type: 'voucher', ...drawn, voucher: large } })).toBeUndefined()
  })

  test('that are damaged are nothing, or still whole, and never throw', () => {
    const paths = whole.flatMap((payload) => pathsOf(payload).map((path) => ({ payload, path })))
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), ({ payload, path }, value) => {
        const read = readBatchPayload({ payload: put(payload, { path, value: value === 0 ? 0 : value }) })
        const again = read === undefined ? undefined : readBatchPayload({ payload: textual(read) })
        expect(again).toEqual(read)
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (payload) => {
        expect(readBatchPayload({ payload })).toBeUndefined()
      }),
    )
  })

  test('reasons are the words of the specification', () => {
    expect(new Set(batchReasons).size).toBe(batchReasons.length)
    expect(batchReasons).toContain('invalid_batch_settlement_evm_cumulative_amount_mismatch')
  })
})

function hex(text: string): Hex {
  return `0x${text.slice(2)}`
}

function upper(text: Hex): Hex {
  return hex(toHex(toBytes(text)).toUpperCase())
}

type Json = { readonly [field: string]: unknown }

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null
}

function pathsOf(value: unknown): string[][] {
  if (!isObject(value)) return [[]]
  return Object.entries(value).flatMap(([field, inner]) => [[field], ...pathsOf(inner).map((path) => [field, ...path])])
}

function put(target: Json, { path: [field = '', ...rest], value }: { readonly path: readonly string[]; readonly value: unknown }): Json {
  const inner = target[field]
  const next = rest.length === 0 || !isObject(inner) ? value : put(inner, { path: rest, value })
  if (Array.isArray(target)) return Object.assign([...target], { [field]: next })
  return { ...target, [field]: next }
}

/** What was read, as it stands on the wire. */
function textual(value: unknown): Json {
  const text = JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? one.toString() : one))
  const parsed: unknown = JSON.parse(text)
  return isObject(parsed) ? parsed : {}
}
