import type { Facilitator, Submission } from '../protocol/facilitator.ts'
import type { PaymentPayload } from '../protocol/payment.ts'
import type { Outcome } from '../protocol/settlement.ts'

/** What a payment of such a scheme is: one voucher, a deposit with the first voucher on it, or a payer's wish to have money back. */
export type VoucherPayment = { readonly kind: 'voucher' | 'deposit' | 'refund'; readonly payer: string; readonly channelId: string }

/** Why nothing is taken. `extra` belongs into the offer of the 402: from where its payer may go on (wire.md §11.5). */
export type VoucherRefusal = {
  readonly reason: string
  readonly message?: string
  readonly extra?: Readonly<Record<string, unknown>>
}

/** What came of a charge: its receipt has no transaction, since a voucher's money moves when it is claimed. */
export type Charged = Outcome & { readonly status: 'settled' }

/** A voucher that pays for one run of a handler, for at most `amount` (atomic units). */
export interface TakenVoucher {
  /** Names the run in the channel's books. */
  readonly id: string
  readonly payer: string
  readonly amount: bigint
  /** The run goes on, and no copy of the voucher is taken until then (Unix ms). `false` where it is no longer this run's. */
  extend(until: number): Promise<boolean>
  /** Charges what was used, nothing for work that failed. Without an answer nothing may be delivered. */
  finish(used: bigint): Promise<Charged | undefined>
  /** The answer of a charged run has left, or nobody had any of it: then the same voucher brings it once more to the same request. */
  leave(hasLeft: boolean): Promise<void>
}

/** For which run a voucher is taken, and until when (Unix ms) no copy of it is. */
export type TakeOptions = {
  readonly id: string
  readonly until: number
  /** Digest of what is asked, for which alone an answer that was lost is made again; asked for where one was. */
  readonly request?: () => Promise<string>
  readonly signal?: AbortSignal | undefined
}

/** What happened to channels on chain. Amounts in atomic units of `token`. */
export type ChannelEvent =
  | {
      readonly type: 'channelsClaimed'
      readonly network: string
      readonly transaction: string
      readonly channels: number
      readonly amount: bigint
    }
  | {
      readonly type: 'channelsSettled'
      readonly network: string
      readonly transaction: string
      readonly receiver: string
      readonly token: string
      readonly amount: bigint
    }
  /** Its payer takes money out: what is owed is claimed at once, before `before` (Unix ms). */
  | {
      readonly type: 'channelWithdrawing'
      readonly channelId: string
      readonly amount: bigint
      readonly owed: bigint
      readonly before: number
    }
  /** A claim of it would fail, and is left out: `owed` can no longer be had, or the chain was not as it is now. */
  | { readonly type: 'channelPoisoned'; readonly channelId: string; readonly owed: bigint; readonly reason: string }
  /** A claim, or with no channels a payout, that is not known to have been mined; a later round sees what became of it. */
  | { readonly type: 'channelClaimOpen'; readonly channels: number; readonly outcome: Outcome }
  | { readonly type: 'error'; readonly error: unknown }

/** With what a runner works. */
export type RunnerOptions = { readonly facilitator: Facilitator; readonly onEvent?: (event: ChannelEvent) => void }

/** What one round came to: channels claimed, and what was paid out to receivers. `led` is false where another process does it. */
export type RunnerRound = { readonly led: boolean; readonly claimed: number; readonly settled: bigint }

/** Brings what vouchers promise onto the chain. Of all that share a store one works at a time. */
export interface ChannelRunner {
  /** One round; with `all` whatever is owed, however little. */
  round(options?: { readonly all?: boolean; readonly signal?: AbortSignal | undefined }): Promise<RunnerRound>
  /** Rounds from now on until `close`. They keep no process alive. */
  start(): void
  close(): Promise<void>
}

/**
 * The seller's books of channels (DESIGN §4): vouchers have no key, compare-and-set on the channel's row is their claim. Nothing of it
 * asks a facilitator but `move`, and a chain only where nothing fresh is known of a channel.
 */
export interface Vouchers {
  /** What a payment is, by its shape alone; nothing for one that is not this scheme's. */
  read(payment: PaymentPayload): VoucherPayment | undefined
  /** Takes the voucher of a `voucher` or `deposit` payment for one run: many of one channel may be under way. */
  take(submission: Submission, options: TakeOptions): Promise<TakenVoucher | VoucherRefusal>
  /**
   * Moves a channel's money through the facilitator: a deposit comes in before its voucher is taken, a refund goes back. What the chain
   * shows counts and not the facilitator's word; a deposit that is in already is settled without a transaction.
   */
  move(
    submission: Submission,
    options: { readonly facilitator: Facilitator; readonly signal?: AbortSignal | undefined },
  ): Promise<Outcome | VoucherRefusal>
  runner(options: RunnerOptions): ChannelRunner
}
