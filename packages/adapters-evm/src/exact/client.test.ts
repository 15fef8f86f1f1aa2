import { createHash } from 'node:crypto'
import { isX402Error, type PaymentRequirements, requestBinding } from '@flow402x/core'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { createWalletClient, http, recoverTypedDataAddress } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { describe, expect, test } from 'vitest'
import { commitsTo } from '../checks/commitment.ts'
import { type EvmSigner, exactEvmClient, privateKeySigner, type TypedData } from '../client.ts'
import { readPayload } from './wire.ts'

const [payer] = developmentAccounts
if (payer === undefined) throw new Error('there are no development accounts')
const account = privateKeyToAccount(payer.privateKey)
const wallet = createWalletClient({ account, chain: baseSepolia, transport: http('http://127.0.0.1:9') })

const requirements: PaymentRequirements = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '10000',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  maxTimeoutSeconds: 300,
  extra: { name: 'USDC', version: '2' },
}
const options = { now: 1_899_999_700.9, maxTimeoutSeconds: 300 }
const ones = (bytes: Uint8Array) => bytes.fill(0x11)

// Every kind of signer must make the signature of wire.md §20, V2.
const signers: Record<string, EvmSigner> = {
  'a private key': privateKeySigner(payer.privateKey),
  'a viem account': account,
  'a viem account that only signs typed data': { address: account.address, signTypedData: account.signTypedData },
  'a viem wallet client': { address: account.address, signTypedData: (typedData) => wallet.signTypedData({ ...typedData }) },
  'hardware that gives v of 0 or 1': {
    address: account.address,
    sign: async (input) => (await account.sign(input)).replace(/1b$/, '00').replace(/1c$/, '01'),
  },
}

describe.each(Object.entries(signers))('%s', (_, signer) => {
  test('signs the published vector', async () => {
    const prepared = await exactEvmClient({ signer, random: ones }).prepare(requirements, options)
    expect(prepared).toEqual({
      payload: {
        signature:
          '0xce2966c3fccb19b78025ec464a806a65d3bf9755f72c2451a1b06b30ca074ddd36e247ce7c15ad88c8da6ccbde485de425459cbe54d1941d614b03b5bfefcf941b',
        authorization: {
          from: payer.address,
          to: requirements.payTo,
          value: '10000',
          validAfter: '0',
          validBefore: '1900000000',
          nonce: `0x${'11'.repeat(32)}`,
        },
      },
      key: {
        id: `eip155:84532/${requirements.asset.toLowerCase()}/${payer.address.toLowerCase()}/0x${'11'.repeat(32)}`,
        payer: payer.address.toLowerCase(),
        deadAfter: 1_900_000_000,
      },
    })
  })
})

test('typed data is complete, with EIP712Domain (H20)', async () => {
  verifies('H20')
  let seen: TypedData | undefined
  const signer: EvmSigner = {
    address: account.address,
    signTypedData(typedData) {
      seen = typedData
      return account.signTypedData({ ...typedData })
    },
  }
  const { payload } = await exactEvmClient({ signer }).prepare(requirements, options)
  if (seen === undefined) throw new Error('nothing was signed')
  expect(seen.types.EIP712Domain).toEqual([
    { name: 'name', type: 'string' },
    { name: 'version', type: 'string' },
    { name: 'chainId', type: 'uint256' },
    { name: 'verifyingContract', type: 'address' },
  ])
  const read = readPayload({ x402Version: 2, accepted: requirements, payload })
  expect(read?.authorization).toEqual(seen.message)
  expect(await recoverTypedDataAddress({ ...seen, signature: read?.signature ?? '0x' })).toBe(account.address)
})

test('every payment has a nonce of its own', async () => {
  const client = exactEvmClient({ signer: account })
  const keys = await Promise.all(Array.from({ length: 20 }, async () => (await client.prepare(requirements, options)).key.id))
  expect(new Set(keys).size).toBe(20)
})

describe('a nonce commits to the request', () => {
  verifies('M2')
  const binding = requestBinding({ method: 'post', url: 'https://shop.example/story?x=1#part', bodyHash: 'ab'.repeat(32) })
  const nonceFor = async (more: { binding?: string; random?: typeof ones }) => {
    const { random, ...bound } = more
    const client = exactEvmClient({ signer: account, ...(random === undefined ? {} : { random }) })
    const { payload } = await client.prepare(requirements, { ...options, ...bound })
    return readPayload({ x402Version: 2, accepted: requirements, payload })?.authorization.nonce ?? ''
  }

  test('by twelve random bytes and a digest over them and the binding', async () => {
    expect(binding).toBe(`POST https://shop.example/story?x=1 ${'ab'.repeat(32)}`)
    const digest = createHash('sha256').update('flow402x nonce 1\n').update(Buffer.alloc(12, 0x11)).update(binding).digest('hex')
    expect(await nonceFor({ binding, random: ones })).toBe(`0x${'11'.repeat(12)}${digest.slice(0, 40)}`)
  })

  test('and to no other, in any case of its hex', async () => {
    const nonce = await nonceFor({ binding })
    expect([nonce, `0x${nonce.slice(2).toUpperCase()}`].map((spelling) => commitsTo(spelling, binding))).toEqual([true, true])
    expect(commitsTo(nonce, `${binding} `)).toBe(false)
    expect(commitsTo(await nonceFor({ binding: `${binding}0` }), binding)).toBe(false)
    expect(commitsTo(await nonceFor({}), binding)).toBe(false)
    expect(await nonceFor({ binding })).not.toBe(nonce)
  })
})

const altered = (change: Partial<PaymentRequirements>): PaymentRequirements => ({ ...requirements, ...change })

describe('terms it does not pay', () => {
  test.each([
    ['another scheme', altered({ scheme: 'upto' })],
    ['another family', altered({ network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' })],
    ['a chain id that is not canonical', altered({ network: 'eip155:084532' })],
    ['Permit2', altered({ extra: { name: 'USDC', version: '2', assetTransferMethod: 'permit2' } })],
    ['no domain', altered({ extra: null })],
    ['no version', altered({ extra: { name: 'USDC' } })],
    ['a version that is no text', altered({ extra: { name: 'USDC', version: 2 } })],
    ['another name for a known token', altered({ extra: { name: 'USD Coin', version: '2' } })],
    ['another version for a known token', altered({ extra: { name: 'USDC', version: '1' } })],
    ['a token without EIP-3009', altered({ network: 'eip155:1', asset: '0x6B175474E89094C44Da98b954EedeAC495271d0F' })],
    ['an asset that is no address', altered({ asset: 'USDC' })],
    ['a payee that is no address', altered({ payTo: 'seller.eth' })],
    ['the zero address', altered({ payTo: `0x${'0'.repeat(40)}` })],
  ])('%s', async (_, terms) => {
    const client = exactEvmClient({ signer: { address: account.address, sign: () => Promise.reject(new Error('asked to sign')) } })
    expect(client.supports(terms)).toBe(false)
    await expect(client.prepare(terms, options)).rejects.toMatchObject({ code: 'evm/unsupported-terms', moneyMoved: 'no' })
  })

  test('a network that was not named', () => {
    const client = exactEvmClient({ signer: account, networks: ['base'] })
    expect(client.networks).toEqual(['eip155:8453'])
    expect(client.supports(requirements)).toBe(false)
  })
})

test('terms of an unlisted token with a domain are payable, known ones in any case of their address', () => {
  const client = exactEvmClient({ signer: account })
  expect(client.networks).toEqual(['eip155:*'])
  expect(client.supports(altered({ asset: `0x${'ab'.repeat(20)}`, extra: { name: 'Anything', version: '7' } }))).toBe(true)
  expect(
    client.supports(
      altered({ asset: requirements.asset.toLowerCase(), extra: { name: 'USDC', version: '2', assetTransferMethod: 'eip3009' } }),
    ),
  ).toBe(true)
})

test('what is wrong at creation is said there', () => {
  expect(codeOf(() => exactEvmClient({ signer: { address: '0x12', sign: account.sign } }))).toBe('config/bad-address')
  expect(codeOf(() => exactEvmClient({ signer: { address: account.address } }))).toBe('config/no-signer')
  expect(codeOf(() => exactEvmClient({ signer: account, networks: ['solana'] }))).toBe('config/not-evm')
  expect(codeOf(() => exactEvmClient({ signer: account, networks: ['nowhere'] }))).toBe('config/unknown-network')
})

test('a signer that gives no signature, and one that is not waited for, are errors', async () => {
  const broken = exactEvmClient({ signer: { address: account.address, sign: async () => 'yes' } })
  await expect(broken.prepare(requirements, options)).rejects.toMatchObject({ code: 'evm/bad-signature', phase: 'sign' })
  const reason = new Error('changed my mind')
  await expect(exactEvmClient({ signer: account }).prepare(requirements, { ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  )
})

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return isX402Error(error) ? error.code : String(error)
  }
}
