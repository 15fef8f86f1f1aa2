import type { Submission } from './facilitator.ts'
import type { Outcome } from './settlement.ts'

/**
 * What makes a payment itself and not its bytes (DESIGN §4, M11): built from parsed values, so that another spelling of the
 * same authorization has the same `id`. `deadAfter` (Unix seconds) is when the signature can no longer be used.
 */
export type PaymentKey = { readonly id: string; readonly payer: string; readonly deadAfter: number }

/** A response as it is kept for its payer: replayed byte for byte. */
export type StoredResponse = {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array
}

/**
 * Where a claim stands. `claimed`: the handler runs. `open`: it failed, nothing was settled, the same request may try
 * again. `settling`: the facilitator was asked and money may have moved. `settled`: it moved, the goods were not delivered.
 * `delivered` and `failed` are ends.
 */
export type ClaimState = 'claimed' | 'open' | 'settling' | 'settled' | 'delivered' | 'failed'

/** The server's exclusive hold on one payment, with everything needed to finish it after a crash. */
export type Claim = {
  /** `PaymentKey.id`. */
  readonly id: string
  readonly payer: string
  readonly deadAfter: number
  /** Digest of what is bought: method, URL, body and credentials (M12). */
  readonly binding: string
  /** Random, made by the server: the idempotency key towards its facilitator (M2). */
  readonly claimId: string
  /** What the facilitator is asked, also after a restart. */
  readonly submission: Submission
  /** Digest of the payment id that only payer and server know (M4). */
  readonly secret?: string
  readonly state: ClaimState
  /** Raised by every change; a holder that slept past its lease changes nothing (M6). */
  readonly epoch: number
  readonly attempts: number
  /** Unix milliseconds until which the holder of `claimed` or `settling` is taken to be alive. */
  readonly leaseUntil: number
  /** What settling came to. */
  readonly outcome?: Outcome
  readonly response?: StoredResponse
}

/** What a claim is asked for; `now` and `leaseUntil` in Unix milliseconds. */
export type ClaimRequest = {
  readonly key: PaymentKey
  readonly binding: string
  readonly claimId: string
  readonly submission: Submission
  readonly secret?: string
  readonly now: number
  readonly leaseUntil: number
}

/** The fields a holder may change. */
export type ClaimChange = Partial<Pick<Claim, 'state' | 'leaseUntil' | 'outcome' | 'response' | 'attempts'>>

/**
 * Claims on payments. Every operation is one atomic statement, and there is no default: without a claim store no handler runs.
 */
export interface ClaimStore {
  /**
   * Inserts the claim, or takes an `open` one of the same binding with attempts left; else grants nothing and says what stands.
   * `maxAttempts` counts runs of the handler. A payer's `secret` names one payment, and a claim keeps the first it had: where the
   * secret already names another payment, that one's claim is what stands, and its `id` is not the one asked for.
   */
  claim(request: ClaimRequest, options: { readonly maxAttempts: number }): Promise<{ readonly granted: boolean; readonly claim: Claim }>
  /** The claim on a payment. */
  find(id: string): Promise<Claim | undefined>
  /**
   * The payer's oldest `settled` or `settling` claim for the same binding that nobody serves: paid, or maybe paid, and not
   * delivered (M4). `now` (Unix ms) tells which leases have ended. Claims whose handler failed `maxAttempts` times are left to
   * a refund.
   */
  undelivered(payer: string, binding: string, options: { readonly maxAttempts: number; readonly now: number }): Promise<Claim | undefined>
  /** Changes a claim if its state and epoch are still those of `claim`, raising the epoch; else nothing and `undefined` (M6). */
  update(claim: Claim, change: ClaimChange): Promise<Claim | undefined>
  /** The claims that have not ended and that nobody holds at `now` (Unix ms), in any order: what a reconciler finishes (hazards §2). */
  unfinished(options: { readonly now: number }): AsyncIterable<Claim>
  /** Forgets claims that ended and whose payment has long been dead at `now` (Unix ms), and says how many; others are kept (M12). */
  purge(now: number): Promise<number>
}

/** One log on chain. Spelled as the chain's adapter writes it, so that one log has one spelling. */
export type LogKey = { readonly network: string; readonly transaction: string; readonly logIndex: number }

/** What on chain has paid for something: shared by all schemes, kept for ever (M1). */
export interface LogStore {
  /** Lets a log pay a key, and says whether it is this key that it pays: the first one asked for, whoever asks again. */
  consume(log: LogKey, key: string): Promise<boolean>
}

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

/** A store as the packages share it: one value, every engine the same. */
export interface Store {
  readonly claims: ClaimStore
  readonly budgets: BudgetStore
  readonly logs: LogStore
  /** Lets go of files and connections; what was answered before is safe without it. */
  close(): Promise<void>
}
