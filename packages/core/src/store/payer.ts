import type { PaymentPayload } from '../protocol/payment.ts'
import type { SettleResponse } from '../protocol/settlement.ts'
import type { PaymentKey } from './claims.ts'

/** A limit that a reservation must fit: the sum of everything reserved or committed under `scope` stays at or below `limit`. */
export type BudgetLimit = { readonly scope: string; readonly limit: bigint }

/** One amount set aside before signing; amounts and limits share one unit, chosen by the client. */
export type Reservation = {
  readonly id: string
  readonly amount: bigint
  readonly limits: readonly BudgetLimit[]
}

/** What of a budget is used, per scope. */
export type BudgetUse = { readonly reserved: bigint; readonly committed: bigint }

/** A budget: reserved before signing, committed or released after, kept while the outcome is unknown. Each operation is atomic. */
export interface BudgetStore {
  /** Sets the amount aside under every scope, or under none and names the first scope that would pass its limit. */
  reserve(
    reservation: Reservation,
  ): Promise<{ readonly granted: true } | { readonly granted: false; readonly scope: string; readonly left: bigint }>
  /** The money moved: the reservation becomes spending. Repeating it changes nothing. */
  commit(id: string): Promise<void>
  /** The money provably cannot move: the amount is free again. Repeating it changes nothing. */
  release(id: string): Promise<void>
  /** What a scope has in use. */
  use(scope: string): Promise<BudgetUse>
}

/** A payment as it was signed: all that sends it again. Who reads it can hand it in to its payee, and nothing else. */
export type SignedPayment = {
  readonly key: PaymentKey
  readonly payment: PaymentPayload
  /** What it was asked in, and where. */
  readonly version: 1 | 2
  readonly url: string
  readonly method: string
  readonly maxTimeoutSeconds: number
  /** `Prepared.transfer` and `Prepared.headers`. */
  readonly transfer?: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * One call that pays, from before its signature until its money has moved or provably cannot. `signing`: nothing was sent.
 * `open`: it may be spent. `paid`: it was, or counts as that (M32). `released`: it was never sent, or can never be spent.
 */
export type LedgerEntry = {
  /** The logical call: its caller's own id, or a random one. */
  readonly id: string
  /** The request that is paid for (`requestBinding`): one call buys one thing. */
  readonly binding: string
  /** What its amounts are reserved under, new each time it is begun. */
  readonly reservation: string
  /** Unix seconds until which its signature can be spent, or could be once it is made. */
  readonly deadAfter: number
  readonly state: 'signing' | 'open' | 'paid' | 'released'
  readonly epoch: number
  readonly signed?: SignedPayment
  /** What the seller says it came to, as it came: its word, and where it signs receipts its signature. */
  readonly receipt?: SettleResponse
}

/** What a client signed, so that a call never pays twice, also after a restart (H2). Every operation is atomic. */
export interface LedgerStore {
  /** Writes a call down as `signing` where there is none, or where it was `released` for the same binding; else says what stands. */
  begin(
    call: Pick<LedgerEntry, 'id' | 'binding' | 'reservation' | 'deadAfter'>,
    now: number,
  ): Promise<{ readonly begun: boolean; readonly entry: LedgerEntry }>
  find(id: string): Promise<LedgerEntry | undefined>
  /** Changes an entry if its epoch is still this one, raising it; else nothing and `undefined`. */
  update(
    entry: LedgerEntry,
    change: Partial<Pick<LedgerEntry, 'state' | 'deadAfter' | 'signed' | 'receipt'>>,
  ): Promise<LedgerEntry | undefined>
  /** Entries that are `signing` or `open` and dead at `now` (Unix ms): what nobody will send any more. */
  overdue(now: number): AsyncIterable<LedgerEntry>
  /** What was paid and has a receipt, as far as it is kept, in any order. */
  receipts(): AsyncIterable<LedgerEntry>
  /** Forgets what is over and has long been dead at `now` (Unix ms), and says how many. */
  purge(now: number): Promise<number>
}

/** Who is paid by one scheme on one network, for whom. */
export type PayeeName = { readonly origin: string; readonly network: string; readonly scheme: string }

/** Who is paid, and in what, as an offer spells them. */
export type Payee = { readonly payTo: string; readonly asset: string }

/** Whom each origin had paid the first time (M32, H36). */
export interface PayeeStore {
  find(name: PayeeName): Promise<Payee | undefined>
  /** Keeps a payee where there is none, or where it is still `was`, and gives the one that stands. Atomic. */
  pin(name: PayeeName, payee: Payee, was?: Payee): Promise<Payee>
}
