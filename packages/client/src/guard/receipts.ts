import type { LedgerEntry, LedgerStore, PaymentRequirements, SettleResponse } from '@flow402x/core'
import { checkReceipt, findReceipt, type ReceiptStanding, type StatementVerifier } from '@flow402x/core/receipt'

/** Something that was paid for, and what its seller says that came to. */
export type Purchase = {
  /** The call's own id, or a random one. */
  readonly callId: string
  readonly url: string
  readonly method: string
  /** Who paid, as the payment itself says. */
  readonly payer: string
  /** What was asked and signed. */
  readonly requirements: PaymentRequirements
  readonly receipt: SettleResponse
  /** When the payment was dead if it had not been spent (Unix seconds). */
  readonly deadAfter: number
  readonly maxTimeoutSeconds: number
}

/** Says whether a seller stands by its receipt. */
export type ReceiptCheck = (purchase: Purchase) => Promise<ReceiptStanding>

/** Who may sign a seller's receipts: beside the payee, the keys that an origin names, where they are known. */
export type SignedReceiptsOptions = {
  /** `evmStatementVerifier()`, `solanaStatementVerifier()`. */
  readonly verifiers: readonly StatementVerifier[]
  readonly keysOf?: (origin: string) => readonly string[] | Promise<readonly string[]>
}

// As far as clocks may be apart for a payment to be made at all.
const skewSeconds = 605

/**
 * Checks that receipts are signed by who was paid, for exactly what was bought (wire.md §16.4). What fails is told in the event `paid`;
 * it does not undo the purchase.
 */
export function signedReceipts({ verifiers, keysOf = () => [] }: SignedReceiptsOptions): ReceiptCheck {
  return async ({ url, payer, requirements, receipt, deadAfter, maxTimeoutSeconds }) => {
    const { network, payTo } = requirements
    const issued = { from: deadAfter - maxTimeoutSeconds - skewSeconds, until: deadAfter + skewSeconds }
    const keys = await keysOf(new URL(url).origin)
    return checkReceipt(findReceipt(receipt), { url, payer, network, payTo, keys, verifiers, issued, transaction: receipt.transaction })
  }
}

/** The purchase of an entry that has a receipt. */
export function purchaseOf({ id, signed, receipt }: LedgerEntry): Purchase | undefined {
  if (signed === undefined || receipt === undefined) return undefined
  const { url, method, key, payment, maxTimeoutSeconds } = signed
  return { callId: id, url, method, payer: key.payer, requirements: payment.accepted, receipt, deadAfter: key.deadAfter, maxTimeoutSeconds }
}

/** All that was paid and has a receipt, as far as it is kept. */
export async function* purchasesIn(ledger: LedgerStore): AsyncGenerator<Purchase> {
  for await (const entry of ledger.receipts()) {
    const purchase = purchaseOf(entry)
    if (purchase !== undefined) yield purchase
  }
}
