import {
  isX402Error,
  type LedgerEntry,
  type LedgerStore,
  type Outcome,
  type SettleResponse,
  type SignedPayment,
  type Submission,
} from '@flow402x/core'
import type { Message } from '../http/message.ts'
import { freezeTerms, schemeFor, type Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { Limits } from './limits.ts'
import type { ClientOptions } from './options.ts'
import { withPayment } from './sign.ts'
import type { Purse } from './spending.ts'

/** What a client's money is written down in. */
export type Books = {
  readonly ledger: LedgerStore
  readonly purse: Purse
  readonly limits: Limits
  readonly schemes: ClientOptions['schemes']
  readonly now: () => number
}

/** One signed payment and everything needed to send it again, byte for byte. It never leaves the client. */
export type Attempt = {
  readonly id: string
  readonly terms: Terms
  readonly entry: LedgerEntry
  readonly signed: SignedPayment
  /** The request with its payment header. */
  readonly message: Message
  /** Whether redirects led to who asked. */
  readonly redirected: boolean
  sends: number
  receipt: SettleResponse | undefined
}

/** The payment of an entry, put onto its request; nothing where it was not signed, or in an asset that is not known here. */
export function attemptOf(
  books: Books,
  entry: LedgerEntry,
  { message, redirected }: { readonly message: Message; readonly redirected: boolean },
): Attempt | undefined {
  const { id, signed } = entry
  if (signed === undefined) return undefined
  const { accepted, resource } = signed.payment
  const asset = books.limits.asset(accepted.network, accepted.asset)
  if (asset === undefined) return undefined
  const { url, method, version, maxTimeoutSeconds } = signed
  const terms = freezeTerms(accepted, { url, method, version, maxTimeoutSeconds, asset, resource: resource ?? { url } })
  return { id, terms, entry, signed, message: withPayment(message, signed), redirected, sends: 0, receipt: undefined }
}

/** The money of a call moved, or counts as moved. */
export async function settle({ purse, ledger }: Books, entry: LedgerEntry, receipt?: SettleResponse): Promise<void> {
  await purse.commit(entry.reservation)
  await ledger.update(entry, { state: 'paid', ...(receipt === undefined ? {} : { receipt }) })
}

/** The money of a call cannot move: nobody may have sent it since it was looked at. */
export async function release({ purse, ledger }: Books, entry: LedgerEntry): Promise<void> {
  const held = await ledger.update(entry, {})
  if (held === undefined) return
  await purse.release(entry.reservation)
  await ledger.update(held, { state: 'released' })
}

/** How long after its end a payment waits for the chain's word on it, where it can be asked, in milliseconds. */
const chainPatience = 600_000

/**
 * Ends what a process left behind and nobody can send any more: never sent, it is free again; signed, it counts as spent, unless
 * the chain says otherwise (M32). Says whether an amount came free.
 */
export async function sweep(books: Books): Promise<boolean> {
  let freed = false
  for await (const entry of books.ledger.overdue(books.now())) {
    const outcome = await lookAt(books, entry)
    if (isDead(entry, outcome)) {
      await release(books, entry)
      freed = true
    } else if (outcome?.status !== 'pending' || entry.deadAfter * 1000 + chainPatience < books.now()) await settle(books, entry)
  }
  return freed
}

function isDead({ signed }: LedgerEntry, outcome: Outcome | undefined): boolean {
  return signed === undefined || (outcome?.status === 'notSettled' && outcome.retry === 'resign')
}

async function lookAt({ schemes }: Books, { signed }: LedgerEntry): Promise<Outcome | undefined> {
  if (signed === undefined) return undefined
  const submission = submissionOf(signed)
  const { network } = submission.requirements
  return await schemeFor(schemes, submission.requirements)
    ?.look?.(submission)
    .catch((error: unknown): Outcome => {
      if (isX402Error(error)) return { status: 'pending', network }
      throw error
    })
}

/**
 * Cancels a signed payment on chain, and gives its amount back once that is proved.
 *
 * Errors: `client/nothing-to-cancel`, `client/cannot-cancel`, `client/cancel-failed`, `client/already-spent`.
 */
export async function cancel(books: Books, id: string | undefined, signal: AbortSignal | undefined): Promise<LedgerEntry> {
  const entry = id === undefined ? undefined : await books.ledger.find(id)
  if (entry?.signed === undefined) throw clientErrors('client/nothing-to-cancel', {})
  if (entry.state === 'released') return entry
  const { deadAfter } = entry
  const { url } = entry.signed
  const submission = submissionOf(entry.signed)
  const { scheme: name, network } = submission.requirements
  const scheme = schemeFor(books.schemes, submission.requirements)
  if (scheme?.cancel === undefined) throw clientErrors('client/cannot-cancel', { scheme: name, network })
  const outcome = await scheme.cancel(submission, { signal }).catch((cause: unknown) => {
    signal?.throwIfAborted()
    throw clientErrors('client/cancel-failed', { url, deadAfter, cause })
  })
  if (outcome.status === 'settled') {
    await settle(books, entry)
    throw clientErrors('client/already-spent', { url, transaction: outcome.transaction })
  }
  if (!isDead(entry, outcome)) throw clientErrors('client/cancel-failed', { url, deadAfter })
  await release(books, entry)
  return entry
}

function submissionOf({ payment }: SignedPayment): Submission {
  return { payment, requirements: payment.accepted }
}
