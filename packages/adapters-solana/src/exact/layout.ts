import type { PaymentRequirements } from '@flow402x/core'
import { sameBytes } from '../chain/address.ts'
import { type Budget, readComputeLimit, readComputePrice } from '../chain/budget.ts'
import { computeBudget, lighthouse, memo, type Program, splToken, token2022 } from '../chain/programs.ts'
import type { Instruction, Transaction } from '../chain/transaction.ts'
import { type MintFacts, payeeAccount, payerOf, type Refusal, readExtra } from './wire.ts'

/** A TransferChecked: 32 bytes each, and atomic units. */
export type Transfer = {
  readonly program: Program
  readonly source: Uint8Array
  readonly mint: Uint8Array
  readonly destination: Uint8Array
  readonly authority: Uint8Array
  readonly amount: bigint
  readonly decimals: number
}

/** A payment in the layout of wire.md §14: budget, transfer, and the texts of its memos. */
export type Layout = Budget & { readonly transfer: Transfer; readonly memos: readonly string[] }

const optional = ['fourth', 'fifth', 'sixth', 'seventh'] as const

/**
 * Reads the layout that wallets sign (wire.md §14, steps 7 to 10 and 15): compute limit, compute price, one TransferChecked, and up to
 * four of Lighthouse or Memo. `accounts` are those of the message and then those of its lookup tables.
 */
export function readLayout(transaction: Transaction, accounts: readonly Uint8Array[]): Layout | Refusal {
  const [limit, price, transfer, ...others] = transaction.instructions
  if (limit === undefined || price === undefined || transfer === undefined || others.length > optional.length)
    return { reason: 'invalid_exact_svm_payload_transaction_instructions_length' }
  const programOf = ({ program }: Instruction) => accounts[program] ?? new Uint8Array()
  const computeUnits = sameBytes(programOf(limit), computeBudget.bytes) ? readComputeLimit(limit.data) : undefined
  if (computeUnits === undefined) return { reason: 'invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction' }
  const microLamports = sameBytes(programOf(price), computeBudget.bytes) ? readComputePrice(price.data) : undefined
  if (microLamports === undefined) return { reason: 'invalid_exact_svm_payload_transaction_instructions_compute_price_instruction' }
  const moved = readTransfer(transfer, accounts)
  if (moved === undefined) return { reason: 'invalid_exact_svm_payload_no_transfer_instruction' }
  const foreign = others.findIndex((one) => ![memo, lighthouse].some(({ bytes }) => sameBytes(bytes, programOf(one))))
  if (foreign >= 0) return { reason: `invalid_exact_svm_payload_unknown_${optional[foreign] ?? 'seventh'}_instruction` }
  return { computeUnits, microLamports, transfer: moved, memos: memosOf(transaction, accounts) }
}

/** A TransferChecked of SPL Token or Token-2022 without further accounts, as hooks and multisignatures would need, or nothing. */
function readTransfer({ program, accounts: named, data }: Instruction, accounts: readonly Uint8Array[]): Transfer | undefined {
  const owner = [splToken, token2022].find(({ bytes }) => sameBytes(bytes, accounts[program] ?? new Uint8Array()))
  const [source, mint, destination, authority] = Array.from(named, (index) => accounts[index])
  if (owner === undefined || data[0] !== 12 || data.length !== 10 || named.length !== 4) return undefined
  if (source === undefined || mint === undefined || destination === undefined || authority === undefined) return undefined
  const amount = new DataView(data.buffer, data.byteOffset, data.length).getBigUint64(1, true)
  return { program: owner, source, mint, destination, authority, amount, decimals: data[9] ?? 0 }
}

/** The texts of a transaction's memos. */
export function memosOf({ instructions }: Transaction, accounts: readonly Uint8Array[]): readonly string[] {
  return instructions.flatMap(({ program, data }) =>
    sameBytes(accounts[program] ?? new Uint8Array(), memo.bytes) ? [new TextDecoder().decode(data)] : [],
  )
}

/** What a transfer is compared with: who signed it, the requirements, and the mint they ask for. */
export type Wanted = { readonly transaction: Transaction; readonly requirements: PaymentRequirements; readonly mint: MintFacts }

/** The signed authority, mint, payee, amount and memo against what was asked (A26; wire.md §14, steps 11 to 16). */
export function refuseTransfer({ transfer, memos }: Layout, { transaction, requirements, mint }: Wanted): Refusal | undefined {
  const payer = payerOf(transaction)
  if (payer === undefined) return { reason: 'invalid_exact_svm_payload_excessive_signers' }
  if (sameBytes(transfer.authority, transaction.accounts[0] ?? payer))
    return { reason: 'invalid_exact_svm_payload_transaction_fee_payer_transferring_funds' }
  if (!sameBytes(transfer.authority, payer))
    return { reason: 'invalid_exact_svm_payload_signature_invalid', message: 'The authority of the transfer has not signed.' }
  if (!sameBytes(transfer.mint, mint.mint) || transfer.program !== mint.program || transfer.decimals !== mint.decimals)
    return { reason: 'invalid_exact_svm_payload_mint_mismatch' }
  const account = payeeAccount(requirements.payTo, mint)
  if (account === undefined || !sameBytes(transfer.destination, account)) return { reason: 'invalid_exact_svm_payload_recipient_mismatch' }
  if (sameBytes(transfer.source, account))
    return { reason: 'invalid_exact_svm_payload_recipient_mismatch', message: 'The account would pay itself, which moves nothing.' }
  if (transfer.amount !== BigInt(requirements.amount)) return { reason: 'invalid_exact_svm_payload_amount_mismatch' }
  return refuseMemos(memos, requirements)
}

/** A seller's memo must be the only one; without it any will do (wire.md §14, step 16). */
export function refuseMemos(memos: readonly string[], requirements: PaymentRequirements): Refusal | undefined {
  const wanted = readExtra(requirements)?.memo
  if (wanted == null) return undefined
  if (memos.length !== 1) return { reason: 'invalid_exact_svm_payload_memo_count' }
  return memos[0] === wanted ? undefined : { reason: 'invalid_exact_svm_payload_memo_mismatch' }
}

/** Whether what was read is a refusal. */
export function isRefusal<Value extends object>(read: Value | Refusal): read is Refusal {
  return 'reason' in read
}
