import type { Charged, VoucherPayment, VoucherRefusal } from '../channel/vouchers.ts'
import type { Facilitator, Submission } from '../protocol/facilitator.ts'
import type { PaymentPayload } from '../protocol/payment.ts'
import type { Outcome } from '../protocol/settlement.ts'

/** How a lane is paid (streaming.md §2): windows that any x402 client buys, or a sliding voucher. A channel has one at a time (M29). */
export type Grade = 'A' | 'B'

/**
 * A lane as its rail knows it. `id` is not the `sid`, which nobody but its payer and the engine knows. `epoch` is its owner's: an instance
 * that only took a tick in leaves `epoch` and `used` away. `used`: all that was delivered so far, in atomic units, which may be claimed
 * from then on. `slice`: what the largest window costs, beyond which nothing is granted ahead.
 */
export type RailLane = {
  readonly id: string
  readonly channelId: string
  readonly epoch?: number
  readonly used?: bigint
  readonly slice: bigint
}

/** A voucher of a tick: everything up to `max` (atomic, cumulative), signed as the rail's clients write it, or as a frame has it. */
export type TickVoucher = { readonly max: bigint; readonly signature: string | Uint8Array }

/**
 * What a lane may deliver. All amounts are atomic: `granted` and `used` since the lane began; `ahead` is signed for it beyond `granted`, and
 * comes with `grow`. `accepted` is the highest voucher of its channel, `consumed` and `charged` what FS/1 calls so (streaming.md §3.1).
 * `isDraining`: its payer withdraws, so that nothing is signed for any more.
 */
export type LaneStanding = {
  readonly granted: bigint
  readonly used: bigint
  readonly ahead: bigint
  readonly accepted: bigint
  readonly consumed: bigint
  readonly charged: bigint
  readonly isDraining: boolean
  readonly channel: ChannelFigures
}

/** What a tick's answer says of the channel (streaming.md §6, M3). */
export type ChannelFigures = { readonly balance: bigint; readonly claimed: bigint; readonly withdrawRequestedAt: number }

/**
 * Why a lane gets nothing, by the status that tells its client what to do (streaming.md §6): `402` resync or top up, with the rail's own
 * reason and state; `409` sign above `accepted`; `410` the lane is over; `423` the channel is withdrawing or closing; `429` slow down.
 */
export type LaneRefusal = VoucherRefusal & { readonly status: 402 | 409 | 410 | 423 | 429; readonly accepted?: bigint }

/** A window that was bought, with the receipt for `PAYMENT-RESPONSE`. */
export type Bought = { readonly standing: LaneStanding; readonly receipt: Charged }

/** One payer's channel, as much as checking his vouchers takes. */
export interface RailChannel {
  readonly id: string
  readonly payer: string
  /** The signature as the books keep it, where the channel's own key signed for everything up to `max`. Pure CPU; at most the books are looked into. */
  signed(voucher: TickVoucher): string | undefined | Promise<string | undefined>
}

/**
 * What the engine of streams needs of a chain (streaming.md §12); it knows nothing else of one. The books are the rows of `ChannelStore`:
 * every operation is one change of a row, by compare-and-set, so that a voucher pays once over any number of instances. Rails over
 * channels are made from `buyWindow`, `raiseVoucher`, `growLane`, `adoptLane` and `endLane`; one without vouchers brings each payment in by
 * `move` and sells from what has come in.
 */
export interface Rail {
  /** How its lanes can be paid. */
  readonly grades: readonly Grade[]
  /** Whether what a lane did not use is its payer's again; `false` makes `refundable=0` of every offer. */
  readonly refundable: boolean
  /** The scheme's reason for a voucher that is not signed as its channel's are. */
  readonly unsigned: string
  /** What a payment is, by its shape alone; nothing for one that is not this rail's. `deposit` and `refund` go through `move`. */
  read(payment: PaymentPayload): RailPayment | undefined
  /** The channel of a payment whose terms and signature are right, judged with no look anywhere (A23). */
  check(submission: Submission): Promise<RailChannel | VoucherRefusal>
  /** A channel by its id, for a tick of a lane whose channel this instance has not seen yet. */
  channel(id: string): Promise<RailChannel | undefined>
  /** Brings a deposit in, or a refund back: see `Vouchers.move`. */
  move(
    submission: Submission,
    options: { readonly facilitator: Facilitator; readonly signal?: AbortSignal | undefined },
  ): Promise<Outcome | VoucherRefusal>
  /** Accept A: the payment buys exactly one window (`max == charged + amount`) for a lane, which it `opens` or which is there. */
  buy(submission: Submission, lane: RailLane, options: BuyOptions): Promise<Bought | LaneRefusal>
  /**
   * Accept B: any `signed < max ≤ usable`. `max == signed` grants from headroom, of a lane that is there (M26). The signature is one that
   * `RailChannel.signed` gave.
   */
  raise(
    voucher: { readonly max: bigint; readonly signature: string },
    lane: RailLane,
    options: BuyOptions,
  ): Promise<LaneStanding | LaneRefusal>
  /** Writes down what was used, and grants another slice of what is signed. */
  grow(lane: RailLane): Promise<LaneStanding | LaneRefusal>
  /** As `grow`, by a new owner: from then on steps of a lower epoch change nothing (M25). */
  adopt(lane: RailLane & { readonly epoch: number }): Promise<LaneStanding | LaneRefusal>
  /**
   * Keeps a voucher for no more than what was delivered over a channel, so that exactly so much can be claimed (FS/1 §3.4): of rails whose
   * chain pays a voucher exactly. It grants nothing. `409` where it is for more, with what was delivered as `accepted`. The signature is one
   * that `RailChannel.signed` gave.
   */
  keep?(voucher: { readonly max: bigint; readonly signature: string }, channelId: string): Promise<LaneRefusal | undefined>
  /** Ends a lane: `used` is charged in all and the rest is its payer's again. `410` where it is ended, or another's by now. */
  end(lane: RailLane, options: { readonly refundable: boolean }): Promise<LaneStanding | LaneRefusal>
}

/** How a payment is taken. Its `deposit` has been moved before. */
export type BuyOptions = { readonly opens: boolean; readonly signal?: AbortSignal | undefined }

/** What a payment of a rail is. */
export type RailPayment = VoucherPayment & { readonly max: bigint; readonly signature: string }
