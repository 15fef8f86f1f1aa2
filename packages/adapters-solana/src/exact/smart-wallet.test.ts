import type { FacilitatorScheme } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { AccountRole, type Address, type Instruction, type KeyPairSigner } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getTransferSolInstruction } from '@solana-program/system'
import { ASSOCIATED_TOKEN_PROGRAM_ADDRESS, findAssociatedTokenPda, getRecoverNestedAssociatedTokenInstruction } from '@solana-program/token'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exactSolanaFacilitator, smartWalletPrograms, solanaChain } from '../facilitator.ts'
import { type Change, memoOf, type Parts, payment as paymentOn, requirementsOn, signerOf } from '../fixtures/payments.ts'

/**
 * No binary of a smart wallet is published with a package. One program that is preloaded moves tokens for who signs, by a
 * TransferChecked of its own: Associated Token, when it recovers what lies in a token account's own token account. It stands in for
 * them, allowed by name as they are.
 */
const program = ASSOCIATED_TOKEN_PROGRAM_ADDRESS

let local: SolanaChain
let payer: KeyPairSigner
let scheme: FacilitatorScheme
let mint: Address

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
  mint = await local.createMint({ decimals: 6 })
  await local.createTokenAccount(payer.address, { mint })
  const { network, rpcUrl, facilitator } = local
  scheme = exactSolanaFacilitator({
    chain: solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] }),
    assets: [{ network, address: mint, symbol: 'TEST', decimals: 6, transfer: 'spl-token' }],
    smartWallets: [...smartWalletPrograms, program],
  })
})
afterAll(() => local?.stop())

const limit = (units = 400_000) => getSetComputeUnitLimitInstruction({ units })
const price = (microLamports = 50_000n) => getSetComputeUnitPriceInstruction({ microLamports })
const terms = (amount: bigint, extra = {}) => ({ ...requirementsOn(local, extra), asset: mint, payTo: payer.address, amount: `${amount}` })

/** Moves all of `amount` to the payer's own account, out of the token account of his account for `ownerMint`. */
async function recovery(amount: bigint, ownerMint: Address): Promise<Instruction> {
  const tokenProgram = local.usdc.tokenProgram
  const owner = await local.createTokenAccount(payer.address, { mint: ownerMint })
  await local.mint(owner, amount, { mint })
  const [[nestedAssociatedAccountAddress], [destinationAssociatedAccountAddress]] = await Promise.all([
    findAssociatedTokenPda({ owner, mint, tokenProgram }),
    findAssociatedTokenPda({ owner: payer.address, mint, tokenProgram }),
  ])
  return getRecoverNestedAssociatedTokenInstruction({
    nestedAssociatedAccountAddress,
    nestedTokenMintAddress: mint,
    destinationAssociatedAccountAddress,
    ownerAssociatedAccountAddress: owner,
    ownerTokenMintAddress: ownerMint,
    walletAddress: payer,
  })
}

const verdictOn = async (amount: bigint, instructions: (parts: Parts) => readonly Instruction[], change: Change = {}) =>
  scheme.verify(await paymentOn({ local, payer }, { requirements: terms(amount), ...change, instructions }))
const refusedFor = (reason: string) => ({ valid: false, reason: `invalid_exact_svm_smart_wallet_${reason}` })

it('says that it takes them', () => {
  expect(scheme.supported().extra).toEqual({ feePayer: local.facilitator.address, features: { smartWalletSupported: true } })
})

it('takes the one transfer that a program makes, of at least the price', async () => {
  verifies('H19')
  const recover = await recovery(5_000n, local.usdc.address)
  expect(await verdictOn(5_000n, () => [limit(), price(), recover])).toMatchObject({ valid: true, payer: payer.address })
  expect(await verdictOn(4_999n, () => [price(), limit(), recover, memoOf('in any order')])).toMatchObject({ valid: true })
  expect(await verdictOn(5_001n, () => [limit(), price(), recover])).toMatchObject(refusedFor('transfer_mismatch'))
  const elsewhere = { ...terms(5_000n), payTo: local.seller.address }
  expect(await verdictOn(5_000n, () => [limit(), price(), recover], { requirements: elsewhere })).toMatchObject(
    refusedFor('transfer_mismatch'),
  )
  const other = await recovery(5_000n, mint)
  expect(await verdictOn(5_000n, () => [limit(), price(), recover, other])).toMatchObject(refusedFor('multiple_matching_transfers'))
})

it('plans only what it has seen run', async () => {
  const recover = await recovery(5_000n, local.usdc.address)
  const submission = await paymentOn({ local, payer }, { requirements: terms(5_000n), instructions: () => [limit(), price(), recover] })
  expect(() => scheme.plan(submission)).toThrow(expect.objectContaining({ code: 'solana/not-settleable' }))
  expect(await scheme.verify(submission)).toMatchObject({ valid: true })
  expect(scheme.plan(submission)).toMatchObject([{ alone: true, signer: local.facilitator.address, gas: 400_000n }])
})

const vouched = (parts: Parts): Instruction => ({
  ...parts.assertion,
  accounts: [{ address: payer.address, role: AccountRole.READONLY_SIGNER }],
})
const refusals: readonly [what: string, reason: string, instructions: (parts: Parts) => readonly Instruction[]][] = [
  ['nothing that moves', 'no_transfer_in_simulation', (parts) => [limit(), price(), vouched(parts)]],
  [
    'a program nobody vouches for',
    'program_not_allowed',
    () => [limit(), price(), getTransferSolInstruction({ source: payer, destination: payer.address, amount: 1n })],
  ],
  [
    'the fee payer by name',
    'fee_payer_not_isolated',
    (parts) => [
      limit(),
      price(),
      vouched(parts),
      { ...parts.assertion, accounts: [{ address: local.facilitator.address, role: AccountRole.WRITABLE }] },
    ],
  ],
  ['too much computing', 'compute_units_too_high', (parts) => [limit(400_001), price(), vouched(parts)]],
  ['too dear computing', 'priority_fee_too_high', (parts) => [limit(), price(50_001n), vouched(parts)]],
  ['no limit', 'malformed_compute_limit', (parts) => [price(), vouched(parts), vouched(parts)]],
  ['two prices', 'malformed_compute_price', (parts) => [limit(), price(), price(), vouched(parts)]],
  [
    'a heap request',
    'unsupported_compute_budget_instruction',
    (parts) => [limit(), price(), { ...limit(), data: Uint8Array.from([1, 0, 0, 4, 0]) }, vouched(parts)],
  ],
]
it.each(refusals)('refuses %s for %s', async (_, reason, instructions) => {
  verifies(['A5', 'A6'])
  expect(await verdictOn(5_000n, instructions)).toMatchObject(refusedFor(reason))
})

it('holds the memo of a seller here too', async () => {
  const recover = await recovery(5_000n, local.usdc.address)
  const requirements = terms(5_000n, { memo: 'order 7' })
  expect(await verdictOn(5_000n, () => [limit(), price(), recover, memoOf('order 7')], { requirements })).toMatchObject({ valid: true })
  expect(await verdictOn(5_000n, () => [limit(), price(), recover], { requirements })).toMatchObject({
    reason: 'invalid_exact_svm_payload_memo_count',
  })
})
