import { isX402Error } from '@flow402x/core'
import { schemeFor } from './choose.ts'
import { clientErrors } from './errors.ts'
import { type Attempt, type Books, release } from './ledger.ts'

/**
 * Makes the transfer of a payment that moves before it is shown: what was written down and nothing else, however often it is called.
 * Where it provably can be made no more, its amount is free again. Errors: those of the scheme's `send`, `client/cannot-transfer`.
 */
export async function makeTransfer(books: Books, { signed, entry }: Attempt, signal: AbortSignal | undefined): Promise<void> {
  const { transfer, payment, key, url } = signed
  if (transfer === undefined || entry.state === 'paid') return
  const { accepted, payload } = payment
  const send = schemeFor(books.schemes, accepted)?.send
  if (send === undefined) throw clientErrors('client/cannot-transfer', { url, scheme: accepted.scheme, network: accepted.network })
  try {
    await send({ payload, key, transfer }, accepted, { signal })
  } catch (error) {
    if (isX402Error(error) && error.moneyMoved === 'no' && error.retry === 'resign') await release(books, entry)
    throw error
  }
}
