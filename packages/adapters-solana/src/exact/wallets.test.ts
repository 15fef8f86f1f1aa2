import type { FacilitatorScheme, Verdict } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { AccountRole, address, type Instruction, type KeyPairSigner } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getTransferCheckedInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { type Change, memoOf, type Parts, payment as paymentOn, requirementsOn, signerOf } from '../fixtures/payments.ts'

let local: SolanaChain
let payer: KeyPairSigner
let scheme: FacilitatorScheme

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
  const { network, rpcUrl, facilitator } = local
  scheme = exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] }) })
})
afterAll(() => local?.stop())

const payment = (change: Change = {}) => paymentOn({ local, payer }, change)
const verdictOn = async (change: Change = {}): Promise<Verdict> => scheme.verify(await payment(change))
const refusedFor = (reason: string) => ({ valid: false, reason: `invalid_exact_svm_${reason}` })
const budget = (units: number, microLamports: bigint) => [
  getSetComputeUnitLimitInstruction({ units }),
  getSetComputeUnitPriceInstruction({ microLamports }),
]

describe('what wallets sign is taken', () => {
  // The layouts that these wallets are documented to send: which instructions, in which order, within which budget.
  const layouts: readonly [wallet: string, instructions: (parts: Parts) => readonly Instruction[]][] = [
    ['the official client', ({ limit, price, transfer, memo }) => [limit, price, transfer, memo]],
    ['Phantom with one assertion', ({ transfer, assertion }) => [...budget(60_000, 100_000n), transfer, assertion]],
    ['Phantom with two', ({ transfer, memo, assertion }) => [...budget(80_000, 375_000n), transfer, memo, assertion, assertion]],
    [
      'Phantom with three',
      ({ transfer, memo, assertion }) => [...budget(100_000, 50_000n), transfer, memo, assertion, assertion, assertion],
    ],
    [
      'Phantom, its assertions before the memo',
      ({ transfer, memo, assertion }) => [...budget(60_000, 1n), transfer, assertion, assertion, memo],
    ],
    ['Solflare', ({ transfer, memo, assertion }) => [...budget(40_000, 20_000n), transfer, memo, assertion]],
    ['Backpack', ({ transfer, memo }) => [...budget(33_000, 10_000n), transfer, memo]],
    ['a wallet that adds nothing', ({ limit, price, transfer }) => [limit, price, transfer]],
  ]
  it.each(layouts)('%s', async (_, instructions) => {
    verifies('H19')
    expect(await verdictOn({ instructions })).toMatchObject({ valid: true, payer: payer.address })
  })

  const mutations: readonly [what: string, reason: string, instructions: (parts: Parts) => readonly Instruction[]][] = [
    [
      'a fifth addition',
      'payload_transaction_instructions_length',
      (p) => [p.limit, p.price, p.transfer, p.memo, ...new Array(4).fill(p.assertion)],
    ],
    [
      'nothing but a budget',
      'payload_transaction_instructions_length',
      (p) => [p.limit, { ...p.price, accounts: [{ address: payer.address, role: AccountRole.READONLY_SIGNER }] }],
    ],
    ['an assertion where the transfer was', 'payload_no_transfer_instruction', (p) => [p.limit, p.price, p.assertion, p.transfer]],
    ['the price before the limit', 'payload_transaction_instructions_compute_limit_instruction', (p) => [p.price, p.limit, p.transfer]],
    ['a second transfer', 'payload_unknown_fourth_instruction', (p) => [p.limit, p.price, p.transfer, p.transfer]],
    [
      'a program that only looks like one',
      'payload_unknown_fifth_instruction',
      (p) => [p.limit, p.price, p.transfer, p.memo, alike(p.assertion)],
    ],
    ['it at the sixth place', 'payload_unknown_sixth_instruction', (p) => [p.limit, p.price, p.transfer, p.memo, p.memo, alike(p.memo)]],
    [
      'it at the seventh',
      'payload_unknown_seventh_instruction',
      (p) => [p.limit, p.price, p.transfer, p.memo, p.memo, p.memo, alike(p.memo)],
    ],
    [
      'a transfer with one more account, as hooks need',
      'payload_no_transfer_instruction',
      (p) => [p.limit, p.price, withAccount(p.transfer), p.memo],
    ],
    ['a transfer with one more byte', 'payload_no_transfer_instruction', (p) => [p.limit, p.price, withByte(p.transfer), p.memo]],
  ]
  it.each(mutations)('but not with %s: %s', async (_, reason, instructions) => {
    verifies('H19')
    expect(await verdictOn({ instructions })).toMatchObject(refusedFor(reason))
  })

  const alike = (instruction: Instruction): Instruction => ({
    ...instruction,
    programAddress: address('L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S94'),
  })
  const withAccount = ({ programAddress, accounts = [], data = new Uint8Array() }: Instruction): Instruction => ({
    programAddress,
    accounts: [...accounts, { address: local.seller.address, role: AccountRole.READONLY }],
    data,
  })
  const withByte = ({ data = new Uint8Array(), ...rest }: Instruction): Instruction => ({ ...rest, data: Uint8Array.from([...data, 0]) })
})

describe('a memo', () => {
  it('of the seller must be there once, to the letter', async () => {
    const requirements = requirementsOn(local, { memo: 'order 7 ✓' })
    const withMemos = (...texts: string[]) =>
      verdictOn({
        requirements,
        instructions: ({ limit, price, transfer }) => [limit, price, transfer, ...texts.map((text) => memoOf(text))],
      })
    expect(await withMemos('order 7 ✓')).toMatchObject({ valid: true })
    expect(await withMemos('order 8 ✓')).toMatchObject(refusedFor('payload_memo_mismatch'))
    expect(await withMemos()).toMatchObject(refusedFor('payload_memo_count'))
    expect(await withMemos('order 7 ✓', 'order 7 ✓')).toMatchObject(refusedFor('payload_memo_count'))
  })
})

describe('what was signed is what was asked', () => {
  const transferOf = (parts: Parts, change: Partial<Parameters<typeof getTransferCheckedInstruction>[0]>) => {
    const usual = {
      source: parts.source,
      destination: parts.destination,
      mint: local.usdc.address,
      authority: payer,
      amount: 10_000n,
      decimals: 6,
    }
    return [parts.limit, parts.price, getTransferCheckedInstruction({ ...usual, ...change })]
  }
  const changes: readonly [what: string, reason: string, (parts: Parts) => readonly Instruction[]][] = [
    ['an amount below', 'payload_amount_mismatch', (parts) => transferOf(parts, { amount: 9_999n })],
    ['an amount above', 'payload_amount_mismatch', (parts) => transferOf(parts, { amount: 10_001n })],
    ['another account', 'payload_recipient_mismatch', (parts) => transferOf(parts, { destination: parts.source })],
    ['another mint', 'payload_mint_mismatch', (parts) => transferOf(parts, { mint: parts.source })],
    ['other decimals', 'payload_mint_mismatch', (parts) => transferOf(parts, { decimals: 9 })],
  ]
  it.each(changes)('%s is refused for %s', async (_, reason, instructions) => {
    verifies('A26')
    expect(await verdictOn({ instructions })).toMatchObject(refusedFor(reason))
  })

  it('refuses a payment to the payer himself, which moves nothing', async () => {
    expect(await verdictOn({ requirements: { ...requirementsOn(local), payTo: payer.address } })).toMatchObject(
      refusedFor('payload_recipient_mismatch'),
    )
  })

  it('refuses other signatures than those of fee payer and payer', async () => {
    const [, spare] = local.accounts.filter(({ role }) => role === 'buyer')
    if (spare === undefined) return expect.unreachable()
    const third = await signerOf(spare)
    const instructions = ({ limit, price, transfer }: Parts) => [limit, price, transfer, memoOf('three of us', [third])]
    expect(await verdictOn({ instructions, signers: [payer, third] })).toMatchObject(refusedFor('payload_excessive_signers'))
    expect(await verdictOn({ signers: [] })).toMatchObject(refusedFor('payload_signature_invalid'))
    expect(await verdictOn({ feePayer: local.seller.address })).toMatchObject(refusedFor('fee_payer_mismatch'))
    expect(await verdictOn({ requirements: requirementsOn(local, { feePayer: local.seller.address }) })).toMatchObject(
      refusedFor('fee_payer_not_managed_by_facilitator'),
    )
    const { extra: _, ...without } = requirementsOn(local)
    expect(await verdictOn({ requirements: without, feePayer: local.facilitator.address })).toMatchObject(
      refusedFor('payload_missing_fee_payer'),
    )
  })

  it('says what the chain says of what would fail there', async () => {
    const unfunded = { ...requirementsOn(local), amount: '999999999999' }
    expect(await verdictOn({ requirements: unfunded })).toMatchObject(refusedFor('transaction_simulation_failed'))
    const late = await payment()
    await local.expireBlockhashes()
    expect(await scheme.verify(late)).toMatchObject({ ...refusedFor('transaction_simulation_failed'), message: '"BlockhashNotFound"' })
  })
})
