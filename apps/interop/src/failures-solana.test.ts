import type { SolanaChain } from '@flow402x/testing'
import { expect } from 'vitest'
import { drain, startSolanaWorld } from './chains/solana.ts'
import { legacy, official, ours } from './clients.ts'
import { type Pair, pairsOf, refusalFor, testFailures } from './failures.ts'
import { legacyServer, officialServers, ourServers, price } from './servers.ts'

const pairs = [
  ...pairsOf([official, legacy], { servers: ourServers.slice(0, 1), facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: officialServers.slice(0, 1), facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
  ...pairsOf([ours], { servers: [legacyServer], facilitators: ['ours, HTTP', '@x402/core, HTTP'] }),
]

const noMatch = 'No matching payment requirements'
const failed = 'invalid_exact_svm_transaction_simulation_failed'

const refusedByOurs = {
  'a broken signature': { status: 402, reason: 'invalid_exact_svm_payload_signature_invalid' },
  'a payment that has expired': { status: 402, reason: failed },
  'less than the price': { status: 402, reason: 'invalid_exact_svm_payload_amount_mismatch' },
  'another payee': { status: 402, reason: 'invalid_exact_svm_payload_recipient_mismatch' },
  'another network': { status: 402, reason: noMatch },
  'a payer without money': { status: 402, reason: failed },
  'the same payment twice': { status: 402, reason: 'receipt: duplicate_settlement' },
  'money gone before settlement': { status: 402, reason: `receipt: ${failed}` },
  'no payment at all': { status: 400, reason: 'invalid_x402_version' },
}

// Official servers have no memory of their own, and call what they cannot read unpaid (wire.md §22).
const refusedByOfficial = {
  ...refusedByOurs,
  'the same payment twice': { status: 402, reason: failed },
  'no payment at all': { status: 402, reason: 'Unsupported x402 version: undefined' },
}

const refusedByLegacy = {
  ...refusedByOfficial,
  'another network': { status: 402, reason: 'Unable to find matching payment requirements' },
  'money gone before settlement': { status: 402, reason: failed },
  'no payment at all': { status: 402, reason: 'Invalid network' },
}

// The v1 path of the official facilitator has reasons without a prefix (wire.md §19).
const failedInV1 = { status: 402, reason: 'transaction_simulation_failed' }
const refusedByLegacyThroughOfficial = {
  ...refusedByLegacy,
  'a payment that has expired': failedInV1,
  'a payer without money': failedInV1,
  'the same payment twice': failedInV1,
  'money gone before settlement': failedInV1,
}

const refusals = {
  ours: refusedByOurs,
  official: refusedByOfficial,
  legacy: refusedByLegacy,
  legacyThroughOfficial: refusedByLegacyThroughOfficial,
}

testFailures<SolanaChain>({
  table: '3-refused-solana',
  title: 'x402 interop on Solana: what is refused, and why',
  start: startSolanaWorld,
  pairs,
  tampered: {
    'a broken signature': () => ({
      payment: (payment) => ({ ...payment, payload: turned(payment.payload) }),
      paymentV1: (payment) => ({ ...payment, payload: turned(payment.payload) }),
    }),
    'a payment that has expired': ({ chain }) => ({ delay: () => chain.expireBlockhashes() }),
    'less than the price': () => ({
      offer: (offer) => ({ ...offer, amount: '1' }),
      offerV1: (offer) => ({ ...offer, maxAmountRequired: '1' }),
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, amount: String(price) } }),
    }),
    'another payee': ({ chain }) => ({
      offer: (offer) => ({ ...offer, payTo: chain.accounts[4]?.address ?? '' }),
      offerV1: (offer) => ({ ...offer, payTo: chain.accounts[4]?.address ?? '' }),
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, payTo: chain.seller.address } }),
    }),
    'another network': () => ({
      payment: (payment) => ({ ...payment, accepted: { ...payment.accepted, network: mainnet } }),
      paymentV1: (payment) => ({ ...payment, network: 'solana' }),
    }),
  },
  expected,
  penniless: ({ chain }) => chain.owner,
  async endow({ chain }) {
    const payer = chain.accounts[5] ?? chain.buyer
    await chain.mint(payer.address, price)
    return payer
  },
  drain,
})

function expected(pair: Pair, what: string): unknown {
  // It simulates what it would sign, and gives up there.
  if (pair.client === legacy && what === 'a payer without money') return { status: 0, reason: expect.stringContaining('client: ') }
  return refusalFor(pair, { what, refusals })
}

const mainnet = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'

/** The payer's signature, the second of two, with a bit of it turned. */
function turned({ transaction }: Readonly<Record<string, unknown>>): { readonly transaction: string } {
  const bytes = Buffer.from(String(transaction), 'base64')
  bytes[80] = (bytes[80] ?? 0) ^ 1
  return { transaction: bytes.toString('base64') }
}
