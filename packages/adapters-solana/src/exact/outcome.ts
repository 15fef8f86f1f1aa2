import type { Log, Outcome, Submission } from '@flow402x/core'
import { encodeBase58 } from '../chain/base58.ts'
import { readEffects } from '../chain/confirmation.ts'
import { messageHash, type Transaction } from '../chain/transaction.ts'
import { keyOf, type MintFacts, payeeAccount } from './wire.ts'

/** A mined transaction, and the payment that it may have settled. `now` in Unix seconds. */
export type Mined = {
  readonly transaction: string
  readonly read: Transaction | undefined
  /** Whether the payment has the usual layout, which pays the price and no more. */
  readonly exact: boolean
  readonly mint: MintFacts | undefined
  readonly now: number
  readonly success: boolean
  readonly logs: readonly Log[]
}

/**
 * Paid is only what the mined transaction shows: that it is this payment's own message, and that the payee's token account has more by the
 * price (M1). A smart wallet may have paid more (wire.md §22, 24).
 */
export function outcomeOf({ requirements }: Submission, { transaction, read, exact, mint, now, success, logs }: Mined): Outcome {
  const { network, asset, payTo } = requirements
  const failed = { status: 'notSettled', network, transaction, retry: 'never' } as const
  const key = read && keyOf(read, { network, now })
  const account = mint && payeeAccount(payTo, mint)
  if (read === undefined || key === undefined || account === undefined)
    return { ...failed, reason: 'invalid_exact_svm_payload_transaction' }
  const { payer, deadAfter } = key
  const effects = readEffects(logs)
  const ours = effects.message === messageHash(read)
  if (ours && !success) return { ...failed, reason: 'invalid_exact_svm_transaction_failed', payer, deadAfter }
  const [amount, received] = [BigInt(requirements.amount), effects.changeOf(encodeBase58(account), asset)]
  const paid = ours && (exact ? received === amount : received >= amount)
  if (!paid) return { ...failed, reason: 'post_settlement_transfer_not_confirmed', payer, deadAfter }
  return { status: 'settled', transaction, network, payer, amount: `${received}` }
}
