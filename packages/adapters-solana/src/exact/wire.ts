import { assets, type PaymentKey, type PaymentPayload, type PaymentRequirements, type Submission } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressBytes, addressSchema, isSolana } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { decodeBase64 } from '../chain/base64.ts'
import { type Program, splToken, token2022 } from '../chain/programs.ts'
import { associatedTokenAccount } from '../chain/token-account.ts'
import { decodeTransaction, messageHash, mostTransactionBytes, type Transaction } from '../chain/transaction.ts'

const mostLetters = 4 * Math.ceil(mostTransactionBytes / 3)

/** The payload of `exact` on Solana: a transaction that the payer has signed and the fee payer has not (wire.md §14). */
export const exactPayload = z.object({ transaction: z.string().check(z.maxLength(mostLetters)) })

const mostMemoBytes = 256

const memoText = z.string().check(z.refine((text) => new TextEncoder().encode(text).length <= mostMemoBytes))

/**
 * What requirements of `exact` on Solana say beside the price (wire.md §14). `recentBlockhash` and `lastValidBlockHeight` spare the
 * payer a question to the chain; so do `tokenProgram` and `decimals` for a mint that is in nobody's table (H47).
 */
export const exactExtra = z.looseObject({
  feePayer: addressSchema,
  memo: z.nullish(memoText),
  recentBlockhash: z.nullish(addressSchema),
  lastValidBlockHeight: z.nullish(z.string().check(z.regex(/^\d{1,20}$/))),
  tokenProgram: z.nullish(z.enum([splToken.address, token2022.address])),
  decimals: z.nullish(z.int().check(z.nonnegative(), z.maximum(255))),
})

/** What requirements of `exact` on Solana say beside the price (wire.md §14). */
export type ExactExtra = z.infer<typeof exactExtra>

/** What may differ between an offer and its payment: the offer's blockhash is only a service (wire.md §5.2). */
export const ignoredExtra: readonly string[] = ['recentBlockhash', 'lastValidBlockHeight']

const prefix = 'invalid_exact_svm_'

const suffixes = [
  'unsupported_scheme',
  'network_mismatch',
  'payload_missing_fee_payer',
  'fee_payer_not_managed_by_facilitator',
  'payload_transaction',
  'payload_transaction_could_not_be_decoded',
  'payload_signature_invalid',
  'payload_excessive_signers',
  'payload_transaction_instructions_length',
  'payload_transaction_instructions_compute_limit_instruction',
  'payload_transaction_instructions_compute_limit_instruction_too_high',
  'payload_transaction_instructions_compute_price_instruction',
  'payload_transaction_instructions_compute_price_instruction_too_high',
  'payload_unknown_fourth_instruction',
  'payload_unknown_fifth_instruction',
  'payload_unknown_sixth_instruction',
  'payload_unknown_seventh_instruction',
  'payload_no_transfer_instruction',
  'payload_transaction_fee_payer_transferring_funds',
  'payload_mint_mismatch',
  'payload_recipient_mismatch',
  'payload_amount_mismatch',
  'payload_memo_mismatch',
  'payload_memo_count',
  'fee_payer_mismatch',
  'transaction_simulation_failed',
  'transaction_failed',
  'smart_wallet_fee_payer_not_isolated',
  'smart_wallet_malformed_compute_limit',
  'smart_wallet_malformed_compute_price',
  'smart_wallet_compute_units_too_high',
  'smart_wallet_priority_fee_too_high',
  'smart_wallet_unsupported_compute_budget_instruction',
  'smart_wallet_compute_budget_violation',
  'smart_wallet_alt_resolution_failed',
  'smart_wallet_no_transfer_in_simulation',
  'smart_wallet_transfer_mismatch',
  'smart_wallet_multiple_matching_transfers',
  'smart_wallet_program_not_allowed',
] as const

/** What a payment by `exact` on Solana is refused for (wire.md §19). */
export type ExactReason =
  | `${typeof prefix}${(typeof suffixes)[number]}`
  | 'invalid_payment_requirements'
  | 'post_settlement_transfer_not_confirmed'

/** Why a payment is refused: the spec's string, and where it helps a sentence. */
export type Refusal = { readonly reason: ExactReason; readonly message?: string }

/** The wire transaction in a payment, or nothing where there is none that can be read. */
export function readTransaction(payment: PaymentPayload): Transaction | undefined {
  const parsed = z.safeParse(exactPayload, payment.payload)
  const bytes = parsed.success ? decodeBase64(parsed.data.transaction) : undefined
  return bytes === undefined ? undefined : decodeTransaction(bytes)
}

/** What the requirements of a payment say beside the price, or nothing where that cannot be read. */
export function readExtra({ extra }: PaymentRequirements): ExactExtra | undefined {
  const parsed = z.safeParse(exactExtra, extra)
  return parsed.success ? parsed.data : undefined
}

/**
 * The identity of a payment (M11): network and SHA-256 of the message, so that a filled signature slot, another base64 or the
 * order of JSON makes no second key (A4). Nothing for what is no transaction signed by a payer beside its fee payer.
 */
export function paymentKey(payment: PaymentPayload, { now }: { readonly now: number }): PaymentKey | undefined {
  const { scheme, network } = payment.accepted
  if (scheme !== 'exact' || !isSolana(network)) return undefined
  const transaction = readTransaction(payment)
  return transaction === undefined ? undefined : keyOf(transaction, { network, now })
}

/** The identity of a transaction, whose second signer is the payer. `now` in Unix seconds. */
export function keyOf(
  transaction: Transaction,
  { network, now }: { readonly network: string; readonly now: number },
): PaymentKey | undefined {
  const payer = payerOf(transaction)
  if (payer === undefined) return undefined
  return { id: `${network}/${messageHash(transaction)}`, payer: encodeBase58(payer), deadAfter: deadAfterOf(now) }
}

/** The payer: the one signer beside the fee payer, or nothing where the signers are not these two. */
export function payerOf({ signatures, accounts }: Transaction): Uint8Array | undefined {
  return signatures.length === 2 ? accounts[1] : undefined
}

const lifeSeconds = 600

/**
 * When a transaction met at `now` is dead on a chain that runs. It ends with block heights and no clock: 150 blocks after its
 * blockhash, about a minute, of which ten minutes are a generous bound. It is no proof where the chain itself stands still: that is the
 * status `expired` (M21). Rounded up, so that all who meet it within minutes name the same time.
 */
function deadAfterOf(now: number): number {
  return Math.ceil(now / lifeSeconds + 1) * lifeSeconds
}

/** What a submission must say of itself before its transaction is looked at: scheme and network (wire.md §14, step 1). */
export function refuseTerms({ payment, requirements }: Submission, network: string): Refusal | undefined {
  const { accepted } = payment
  if (accepted.scheme !== 'exact' || requirements.scheme !== 'exact') return { reason: 'invalid_exact_svm_unsupported_scheme' }
  if (accepted.network !== network || requirements.network !== network) return { reason: 'invalid_exact_svm_network_mismatch' }
  if (accepted.asset !== requirements.asset) return { reason: 'invalid_payment_requirements', message: 'The payment is for another asset.' }
  return undefined
}

/** The facts of a mint that a transfer needs. */
export type MintFacts = { readonly mint: Uint8Array; readonly program: Program; readonly decimals: number }

/**
 * The facts of the mint that requirements ask for: of a listed asset those of the table, else what `extra` tells. A wrong word there
 * moves nothing, for the token program compares the decimals and an account of another program does not exist.
 */
export function mintFactsOf(requirements: PaymentRequirements): MintFacts | undefined {
  const { network, asset } = requirements
  const mint = addressBytes(asset)
  if (mint === undefined) return undefined
  const known = assets.find((one) => one.network === network && one.address === asset && one.transfer !== 'native')
  if (known !== undefined) return { mint, program: known.transfer === 'token-2022' ? token2022 : splToken, decimals: known.decimals }
  const { tokenProgram, decimals } = readExtra(requirements) ?? {}
  const program = [splToken, token2022].find(({ address }) => address === tokenProgram)
  return program === undefined || decimals == null ? undefined : { mint, program, decimals }
}

/** The token account that a payment must reach: that of `payTo` for the mint, or nothing where `payTo` is no address. */
export function payeeAccount(payTo: string, { mint, program }: Pick<MintFacts, 'mint' | 'program'>): Uint8Array | undefined {
  const owner = addressBytes(payTo)
  return owner === undefined ? undefined : associatedTokenAccount({ owner, mint, program: program.bytes })
}
