import type { PaymentRequirements } from '@flow402x/core'
import * as z from 'zod/mini'
import { encodeBase58 } from '../chain/base58.ts'
import { type Budget, feeOf, readBudget } from '../chain/budget.ts'
import { computeBudget, lighthouse, memo } from '../chain/programs.ts'
import { namesFeePayer, type Transaction } from '../chain/transaction.ts'
import { memosOf, refuseMemos } from './layout.ts'
import { type MintFacts, payeeAccount, type Refusal } from './wire.ts'

/** Smart wallets and the programs they are signed with (wire.md §14): Squads, Swig and their kind. */
export const smartWalletPrograms: readonly string[] = [
  'SQDS4ep65T869zMMBKyuUq6aD6EgTu8psMjkvj52pCf',
  'SMRTzfY6DfH5ik3TKiyLFfXexV8uSG3d2UksSCYdunG',
  'SWiGmQedKzMz1tiTqoJCWeGDnGXfNBp2PkXLkpCAtQo',
  'swigypWHEksbC64pWKwah1WTeh9JXwx8H1rJHLdbQMB',
  'GovER5Lthms3bLBqWub97yVrMmEogzX7xNjdXpPPCVZw',
  'CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d',
  lighthouse.address,
]

const mostComputeUnits = 400_000n
const mostMicroLamports = 50_000n

/** What a smart wallet's transaction is judged by; `most` in lamports. */
export type SmartWalletTerms = { readonly requirements: PaymentRequirements; readonly programs: ReadonlySet<string>; readonly most: bigint }

/** Its budget, or what it is refused for before anything is simulated: the fee payer named anywhere, a program nobody vouches for. */
export function judgeSmartWallet(
  { transaction, accounts }: { readonly transaction: Transaction; readonly accounts: readonly Uint8Array[] },
  { requirements, programs, most }: SmartWalletTerms,
): Budget | Refusal {
  if (namesFeePayer(transaction)) return { reason: 'invalid_exact_svm_smart_wallet_fee_payer_not_isolated' }
  const budget = readBudget(transaction)
  if (typeof budget === 'string') return { reason: `invalid_exact_svm_smart_wallet_${budget}` }
  if (budget.computeUnits > mostComputeUnits) return { reason: 'invalid_exact_svm_smart_wallet_compute_units_too_high' }
  if (budget.microLamports > mostMicroLamports || feeOf(transaction, budget) > most)
    return { reason: 'invalid_exact_svm_smart_wallet_priority_fee_too_high' }
  const called = transaction.instructions.map(({ program }) => encodeBase58(accounts[program] ?? new Uint8Array()))
  const foreign = called.find((program) => program !== computeBudget.address && program !== memo.address && !programs.has(program))
  if (foreign !== undefined) return { reason: 'invalid_exact_svm_smart_wallet_program_not_allowed', message: `It calls ${foreign}.` }
  return refuseMemos(memosOf(transaction, accounts), requirements) ?? budget
}

// What an RPC makes of a TransferChecked that a program called.
const transferSchema = z.looseObject({
  programId: z.string(),
  parsed: z.looseObject({
    type: z.literal('transferChecked'),
    info: z.looseObject({
      mint: z.string(),
      source: z.string(),
      destination: z.string(),
      tokenAmount: z.looseObject({ amount: z.string().check(z.regex(/^\d{1,20}$/)) }),
    }),
  }),
})

const traceSchema = z.array(z.looseObject({ instructions: z.array(z.unknown()) }))

/** What a simulation showed, against what was asked: one TransferChecked to the payee, of at least the price (wire.md §14). */
export function refuseTrace(
  inner: readonly unknown[],
  { requirements, mint }: { readonly requirements: PaymentRequirements; readonly mint: MintFacts },
): Refusal | undefined {
  const trace = z.safeParse(traceSchema, inner).data ?? []
  const transfers = trace.flatMap(({ instructions }) => instructions.flatMap((one) => z.safeParse(transferSchema, one).data ?? []))
  const account = payeeAccount(requirements.payTo, mint)
  const wanted = account && encodeBase58(account)
  const matching = transfers.filter(
    ({ programId, parsed: { info } }) =>
      programId === mint.program.address &&
      info.mint === requirements.asset &&
      info.destination === wanted &&
      info.source !== wanted &&
      BigInt(info.tokenAmount.amount) >= BigInt(requirements.amount),
  )
  if (matching.length > 1) return { reason: 'invalid_exact_svm_smart_wallet_multiple_matching_transfers' }
  if (matching.length === 1) return undefined
  return { reason: `invalid_exact_svm_smart_wallet_${transfers.length === 0 ? 'no_transfer_in_simulation' : 'transfer_mismatch'}` }
}
