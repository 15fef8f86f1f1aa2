import type { EvmChain } from '@flow402x/testing'
import { createWalletClient, erc20Abi, type Hex, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { expect } from 'vitest'
import { startEvmWorld } from './chains/evm.ts'
import { legacy, official, ours } from './clients.ts'
import { pairsOf, refusalFor, testFailures } from './failures.ts'
import { legacyServer, officialServers, ourServers, price } from './servers.ts'
import type { Account, World } from './world.ts'

const [ourExpress, ourHono] = ourServers
const [officialExpress, officialHono] = officialServers

const pairs = [
  ...pairsOf([official, legacy], { servers: [ourExpress, ourHono], facilitators: ['ours, in process', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: [officialExpress, officialHono], facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: [legacyServer], facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
]

const noMatch = 'No matching payment requirements'
const noBalance = 'invalid_exact_evm_insufficient_balance'

const refusedByOurs = {
  'a broken signature': { status: 402, reason: 'invalid_exact_evm_signature' },
  'a payment that has expired': { status: 402, reason: 'invalid_exact_evm_payload_authorization_valid_before' },
  'less than the price': { status: 402, reason: 'invalid_exact_evm_payload_authorization_value_mismatch' },
  'another network': { status: 402, reason: noMatch },
  'a payer without money': { status: 402, reason: noBalance },
  'the same payment twice': { status: 402, reason: 'receipt: duplicate_settlement' },
  // A node may still answer reads from the block before; then the transaction itself finds out.
  'money gone before settlement': {
    status: 402,
    reason: expect.stringMatching(/^receipt: invalid_exact_evm_(insufficient_balance|transaction_failed)$/),
  },
  'no payment at all': { status: 400, reason: 'invalid_x402_version' },
}

// Official servers have no memory of their own, and call what they cannot read unpaid (wire.md §22).
const refusedByOfficial = {
  ...refusedByOurs,
  'the same payment twice': { status: 402, reason: 'invalid_exact_evm_nonce_already_used' },
  'no payment at all': { status: 402, reason: 'Unsupported x402 version: undefined' },
}

const refusedByLegacy = {
  ...refusedByOfficial,
  'another network': { status: 402, reason: 'Unable to find matching payment requirements' },
  'money gone before settlement': { status: 402, reason: noBalance },
  'no payment at all': { status: 402, reason: 'Invalid network' },
}

const refusedByLegacyThroughOfficial = {
  ...refusedByLegacy,
  'less than the price': { status: 402, reason: 'invalid_exact_evm_authorization_value' },
  'money gone before settlement': { status: 402, reason: expect.stringContaining('transfer amount exceeds balance') },
}

const refusals = {
  ours: refusedByOurs,
  official: refusedByOfficial,
  legacy: refusedByLegacy,
  legacyThroughOfficial: refusedByLegacyThroughOfficial,
}

testFailures<EvmChain>({
  table: '1-refused',
  title: 'x402 interop: what is refused, and why',
  start: startEvmWorld,
  pairs,
  tampered: {
    'a broken signature': () => ({
      payment: (payment) => ({ ...payment, payload: { ...payment.payload, signature: turned(payment.payload) } }),
      paymentV1: (payment) => ({ ...payment, payload: { ...payment.payload, signature: turned(payment.payload) } }),
    }),
    'a payment that has expired': () => ({
      offer: (offer) => ({ ...offer, maxTimeoutSeconds: 1 }),
      offerV1: (offer) => ({ ...offer, maxTimeoutSeconds: 1 }),
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, maxTimeoutSeconds: 300 } }),
    }),
    'less than the price': () => ({
      offer: (offer) => ({ ...offer, amount: '1' }),
      offerV1: (offer) => ({ ...offer, maxAmountRequired: '1' }),
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, amount: String(price) } }),
    }),
    'another network': () => ({
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, network: 'eip155:8453' } }),
      paymentV1: (payment) => ({ ...payment, network: 'base' }),
    }),
  },
  expected: (pair, what) => refusalFor(pair, { what, refusals }),
  penniless: ({ chain }) => chain.owner,
  async endow({ chain }) {
    const payer = chain.accounts[5] ?? chain.buyer
    await chain.mint(payer.address, price)
    return payer
  },
  drain,
})

function turned({ signature: signed }: Readonly<Record<string, unknown>>): string {
  const signature = String(signed)
  return `${signature.slice(0, 20)}${signature[20] === '0' ? '1' : '0'}${signature.slice(21)}`
}

async function drain({ chain }: World<EvmChain>, payer: Account): Promise<void> {
  // Keys and addresses of an EVM chain are written so.
  const [key, address] = [payer.privateKey as Hex, payer.address as Hex]
  const wallet = createWalletClient({ account: privateKeyToAccount(key), chain: baseSepolia, transport: http(chain.rpcUrl) })
  const args = [chain.facilitator.address, await chain.balanceOf(address)] as const
  await wallet.writeContract({ address: chain.usdc.address, abi: erc20Abi, functionName: 'transfer', args })
}
