import type { Submission } from '../protocol/facilitator.ts'
import type { Outcome } from '../protocol/settlement.ts'
import type { OutboxStore, Telling } from './outbox.ts'

/**
 * What makes a payment itself and not its bytes (DESIGN §4, M11): built from parsed values, so that another spelling of the
 * same authorization has the same `id`. `deadAfter` (Unix seconds) is when the signature can no longer be used. `told` says that nothing
 * is ever delivered for it, so that whoever asks again hears what came of it.
 */
export type PaymentKey = { readonly id: string; readonly payer: string; readonly deadAfter: number; readonly told?: 'anyone' }

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
  /** The server whose request serves it until then; empty where none does, and somebody finds out what became of it. */
  readonly holder?: string
  /** What settling came to. */
  readonly outcome?: Outcome
  readonly response?: StoredResponse
  /** Whether the payer committed the payment to the very request it was claimed for (M2). */
  readonly committed?: boolean
  /** When its money was seen to have moved (Unix ms). */
  readonly settledAt?: number
  /** On whose word alone its outcome stands, until the chain itself was asked; empty from then on (M13). */
  readonly vouchedBy?: string
  /** The facilitator that was asked to settle it: that another has never heard of it says nothing (M5). */
  readonly asked?: string
}

/** What a payer held of the asset it pays with, and since when at the latest that may have become less (Unix ms). */
export type Funds = { readonly held: bigint; readonly since: number }

/** What a claim is asked for; `now` and `leaseUntil` in Unix milliseconds. */
export type ClaimRequest = {
  readonly key: PaymentKey
  readonly binding: string
  readonly claimId: string
  readonly submission: Submission
  readonly secret?: string
  readonly committed?: boolean
  readonly now: number
  readonly leaseUntil: number
  readonly holder?: string
  /** Where it is known: live claims of one payer together never pass it (M8). */
  readonly funds?: Funds
}

/** The answer to a request for a claim: what stands now, or where the payer's money is spoken for, what would have stood. */
export type ClaimAnswer = { readonly granted: boolean; readonly claim: Claim; readonly overdrawn?: true }

/** The fields a holder may change. */
export type ClaimChange = Partial<
  Pick<Claim, 'state' | 'leaseUntil' | 'holder' | 'submission' | 'outcome' | 'response' | 'attempts' | 'settledAt' | 'vouchedBy' | 'asked'>
>

/** Who looks for what was paid and not delivered, and when (Unix ms). */
export type UndeliveredOptions = { readonly maxAttempts: number; readonly now: number; readonly holder: string }

/**
 * Claims on payments. Every operation is one atomic statement, and there is no default: without a claim store no handler runs.
 */
export interface ClaimStore {
  /**
   * Inserts the claim, or takes an `open` one of the same binding with attempts left; else grants nothing and says what stands.
   * `maxAttempts` counts runs of the handler. A claim with a stored response keeps its submission: that is what was worked for. A payer's `secret` names one payment, and a claim keeps the first it had: where the
   * secret already names another payment, that one's claim is what stands, and its `id` is not the one asked for.
   *
   * Where `funds` are told, nothing is granted that they do not pay beside the payer's other claims on the same network and asset
   * that are `claimed` or `settling`, or that were settled later than `since` (M8).
   */
  claim(request: ClaimRequest, options: { readonly maxAttempts: number }): Promise<ClaimAnswer>
  /** The claim on a payment. */
  find(id: string): Promise<Claim | undefined>
  /**
   * The payer's oldest `settled` or `settling` claim for the same binding: paid, or maybe paid, and not delivered (M4). Where there
   * is none, his oldest `open` one with a stored response and a payment that lives at `now`: worked for, and not paid. Claims whose
   * handler failed `maxAttempts` times are left to a refund.
   *
   * A claim is left out while `holder` holds it itself at `now` (Unix ms). One that somebody else holds is given all the same: only
   * its holder knows whether it is being served, or was left by a process that died.
   */
  undelivered(payer: string, binding: string, options: UndeliveredOptions): Promise<Claim | undefined>
  /** The outbox of the same store, where it has one: what `tell` is written to. */
  readonly outbox?: OutboxStore
  /**
   * Changes a claim if its state and epoch are still those of `claim`, raising the epoch; else nothing and `undefined` (M6). `tell`
   * goes into the outbox in the same commit, or not at all; a store without an outbox is given none.
   */
  update(claim: Claim, change: ClaimChange, options?: Telling): Promise<Claim | undefined>
  /** The claims that have not ended and that nobody holds at `now` (Unix ms), in any order: what a reconciler finishes (hazards §2). */
  unfinished(options: { readonly now: number }): AsyncIterable<Claim>
  /** The claims whose money moved at `since` (Unix ms) or later, as far as they are kept, in any order: a seller's books (H42). */
  settlements(options: { readonly since: number }): AsyncIterable<Claim>
  /** The claims whose outcome stands on somebody's word alone, ended or not, in any order (M13). */
  vouched(): AsyncIterable<Claim>
  /**
   * Forgets claims that ended and whose payment has long been dead at `now` (Unix ms), and says how many; others are kept, and so
   * are those that stand on somebody's word (M12).
   */
  purge(now: number): Promise<number>
}

/** One log on chain. Spelled as the chain's adapter writes it, so that one log has one spelling. */
export type LogKey = { readonly network: string; readonly transaction: string; readonly logIndex: number }

/** What on chain has paid for something: shared by all schemes, kept for ever (M1). */
export interface LogStore {
  /** Lets a log pay a key, and says whether it is this key that it pays: the first one asked for, whoever asks again. */
  consume(log: LogKey, key: string): Promise<boolean>
}
