import type { Submission, Verdict } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import {
  AccountRole,
  type Address,
  address,
  generateKeyPairSigner,
  getAddressEncoder,
  type Instruction,
  type KeyPairSigner,
} from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getAdvanceNonceAccountInstruction, getCreateAccountInstruction, getTransferSolInstruction } from '@solana-program/system'
import {
  AuthorityType,
  getApproveInstruction,
  getCloseAccountInstruction,
  getCreateAssociatedTokenInstruction,
  getSetAuthorityInstruction,
  getTransferCheckedInstruction,
} from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { type Change, memoOf, type Parts, partsOf, payment as paymentOn, requirementsOn, signerOf } from '../fixtures/payments.ts'

let local: SolanaChain
let payer: KeyPairSigner
let feePayer: KeyPairSigner
let scheme: ReturnType<typeof exactSolanaFacilitator>
let sent: string[]

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
  feePayer = await signerOf(local.facilitator)
  const [other] = local.accounts.filter(({ role }) => role === 'owner')
  if (other === undefined) throw new TypeError('there is an owner')
  sent = []
  const fetch: typeof globalThis.fetch = (url, init) => {
    sent.push(String(init?.body))
    return globalThis.fetch(url, init)
  }
  const { network, rpcUrl, facilitator } = local
  const chain = solanaChain({ network, rpcUrl, fetch, signers: [facilitator.privateKey, other.privateKey] })
  scheme = exactSolanaFacilitator({ chain })
  await scheme.start()
})
afterAll(() => local?.stop())

const payment = (change: Change = {}) => paymentOn({ local, payer }, change)

/** The verdict, after which nothing was signed or sent. */
async function verdictOn(submission: Submission): Promise<Verdict> {
  const before = sent.length
  const verdict = await scheme.verify(submission)
  expect(sent.slice(before).filter((body) => body.includes('sendTransaction'))).toEqual([])
  if (!verdict.valid) expect(() => scheme.plan(submission)).toThrow()
  return verdict
}

const refusedFor = (reason: string) => ({ valid: false, reason: `invalid_exact_svm_${reason}` })

describe('the fee payer is not drained', () => {
  const fourth = 'payload_unknown_fourth_instruction'
  const usual = ({ limit, price, transfer }: Parts) => [limit, price, transfer]
  /** A memo that makes the payer a signer where nothing else does. */
  const vouched = () => memoOf('paid', [payer])
  const drains: readonly [name: string, reason: string, (parts: Parts) => readonly Instruction[]][] = [
    [
      'a transfer of his SOL',
      fourth,
      (parts) => [...usual(parts), getTransferSolInstruction({ source: feePayer, destination: payer.address, amount: 1_000_000n })],
    ],
    [
      'a transfer of his SOL in the place of the payment',
      'payload_no_transfer_instruction',
      ({ limit, price }) => [
        limit,
        price,
        getTransferSolInstruction({ source: feePayer, destination: payer.address, amount: 1n }),
        vouched(),
      ],
    ],
    [
      'an approval',
      fourth,
      (parts) => [...usual(parts), getApproveInstruction({ source: parts.source, delegate: payer.address, owner: feePayer, amount: 1n })],
    ],
    [
      'the closing of an account to the payer',
      fourth,
      (parts) => [...usual(parts), getCloseAccountInstruction({ account: parts.source, destination: payer.address, owner: feePayer })],
    ],
    [
      'another authority of an account',
      fourth,
      (parts) => [
        ...usual(parts),
        getSetAuthorityInstruction({
          owned: parts.source,
          owner: feePayer,
          authorityType: AuthorityType.AccountOwner,
          newAuthority: payer.address,
        }),
      ],
    ],
    [
      'an account at his expense',
      fourth,
      (parts) => [
        ...usual(parts),
        getCreateAccountInstruction({ payer: feePayer, newAccount: payer, lamports: 1_000_000n, space: 0, programAddress: payer.address }),
      ],
    ],
    [
      'a token account at his expense',
      fourth,
      (parts) => [
        ...usual(parts),
        getCreateAssociatedTokenInstruction({ payer: feePayer, ata: parts.destination, owner: payer.address, mint: local.usdc.address }),
      ],
    ],
    [
      'himself as the authority',
      'payload_transaction_fee_payer_transferring_funds',
      ({ limit, price, source, destination }) => [
        limit,
        price,
        getTransferCheckedInstruction({ source, mint: local.usdc.address, destination, authority: feePayer, amount: 10_000n, decimals: 6 }),
        vouched(),
      ],
    ],
    [
      'himself as the source',
      'payload_transaction_fee_payer_transferring_funds',
      ({ limit, price, destination }) => [
        limit,
        price,
        getTransferCheckedInstruction({
          source: feePayer.address,
          mint: local.usdc.address,
          destination,
          authority: payer,
          amount: 10_000n,
          decimals: 6,
        }),
      ],
    ],
    [
      'himself among the accounts of an assertion, which may write at the expense of who signs',
      'payload_transaction_fee_payer_transferring_funds',
      (parts) => [...usual(parts), { ...parts.assertion, accounts: [{ address: feePayer.address, role: AccountRole.WRITABLE_SIGNER }] }],
    ],
  ]
  it.each(drains)('%s is refused for %s', async (_, reason, instructions) => {
    verifies('A5')
    expect(await verdictOn(await payment({ instructions }))).toMatchObject(refusedFor(reason))
  })

  const limit = 'payload_transaction_instructions_compute_limit_instruction'
  const price = 'payload_transaction_instructions_compute_price_instruction'
  const units = (amount: number) => getSetComputeUnitLimitInstruction({ units: amount })
  const priced = (microLamports: bigint) => getSetComputeUnitPriceInstruction({ microLamports })
  const budgets: readonly [name: string, reason: string, (parts: Parts) => readonly Instruction[]][] = [
    ['no limit', limit, (parts) => [parts.price, parts.transfer, parts.memo]],
    ['no price', price, (parts) => [parts.limit, parts.transfer, parts.memo]],
    ['two limits', price, (parts) => [parts.limit, parts.limit, parts.transfer]],
    ['a second limit behind the transfer', fourth, (parts) => [...usual(parts), units(1_400_000)]],
    ['a second price behind the transfer', fourth, (parts) => [...usual(parts), priced(1n << 40n)]],
    ['a heap request', fourth, (parts) => [...usual(parts), { ...parts.limit, data: Uint8Array.from([1, 0, 0, 4, 0]) }]],
    ['the price 2^63', `${price}_too_high`, (parts) => [parts.limit, priced(1n << 63n), parts.transfer]],
    ['a price over its cap', `${price}_too_high`, (parts) => [parts.limit, priced(5_000_001n), parts.transfer]],
    ['a limit over its cap', `${limit}_too_high`, (parts) => [units(200_001), parts.price, parts.transfer]],
    ['each within its cap and both too dear together', `${price}_too_high`, (parts) => [units(200_000), priced(500_000n), parts.transfer]],
    ['a limit with a tail', limit, (parts) => [{ ...parts.limit, data: Uint8Array.from([2, 0, 1, 0, 0, 9]) }, parts.price, parts.transfer]],
    ['a price too short to read', price, (parts) => [parts.limit, { ...parts.price, data: Uint8Array.from([3, 1]) }, parts.transfer]],
  ]
  it.each(budgets)('a budget with %s is refused for %s', async (_, reason, instructions) => {
    verifies(['A5', 'A6'])
    expect(await verdictOn(await payment({ instructions }))).toMatchObject(refusedFor(reason))
  })

  it('takes the dearest payment that its caps allow, and nothing above', async () => {
    verifies('A6')
    // 10,000 lamports of signatures and 90,000 of computing: 100,000 in all.
    const dear = ({ transfer }: Parts) => [units(180_000), priced(500_000n), transfer]
    expect(await verdictOn(await payment({ instructions: dear }))).toMatchObject({ valid: true })
    const dearer = ({ transfer }: Parts) => [units(180_001), priced(500_000n), transfer]
    expect(await verdictOn(await payment({ instructions: dearer }))).toMatchObject(refusedFor(`${price}_too_high`))
  })

  it('refuses a durable nonce, which would never expire', async () => {
    verifies('A5')
    const nonce = await generateKeyPairSigner()
    const advance = getAdvanceNonceAccountInstruction({ nonceAccount: nonce.address, nonceAuthority: payer })
    const instructions = (parts: Parts) => [advance, ...usual(parts)]
    expect(await verdictOn(await payment({ instructions }))).toMatchObject(refusedFor(limit))
  })

  it('finds an account that hides in a lookup table, and takes a payment whose table hides nothing', async () => {
    verifies('A5')
    const table = (await generateKeyPairSigner()).address
    const { source, destination } = await partsOf(requirementsOn(local), { payer: payer.address, program: local.usdc.tokenProgram })
    const write = (addresses: readonly Uint8Array[]) =>
      local.setAccount(table, {
        lamports: 10_000_000n,
        programAddress: address('AddressLookupTab1e1111111111111111111111111'),
        data: Uint8Array.from([...tableHead, ...addresses.flatMap((bytes) => [...bytes])]),
      })
    const encode = (text: Address) => new Uint8Array(getAddressEncoder().encode(text))
    const tables = { [table]: [source, destination] }
    await write([encode(source), encode(destination)])
    expect(await verdictOn(await payment({ tables }))).toMatchObject({ valid: true })
    // The same message, over a table in which another account stands at that index.
    await write([encode(source), encode(feePayer.address)])
    expect(await verdictOn(await payment({ tables }))).toMatchObject(refusedFor('payload_recipient_mismatch'))
    await write([encode(source)])
    expect(await verdictOn(await payment({ tables }))).toMatchObject(refusedFor('smart_wallet_alt_resolution_failed'))
  })
})

// A table that was never deactivated: kind 1, deactivation slot 2^64 - 1, last extended at slot 0, no authority.
const tableHead = [1, 0, 0, 0, ...new Array<number>(8).fill(255), ...new Array<number>(44).fill(0)]
