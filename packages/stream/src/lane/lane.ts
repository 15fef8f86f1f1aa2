/** What a lane does (streaming.md §7.1). Credit is on its way in `flowing`, `low` and `gated`; the other states stop its clock. */
export type LaneState = 'flowing' | 'low' | 'gated' | 'paused' | 'detached' | 'draining' | 'ended'

/**
 * What a lane tells whoever delivers over it, for its control messages (M5): credit runs low; the gate shut, because of `credit`, a payer who
 * is `withdrawing`, the `store` or a `lease` that was lost; it opened again; it ended. The last he hears is `over`, when `signal` aborts: for
 * himself, and no message. `need` is the voucher that a payer of grade B would sign now, `ttl` the seconds of credit that are left where units
 * are time. Amounts are atomic: `consumed` and `charged` are the lane's own.
 */
export type LaneEvent = {
  readonly t: 'low' | 'need' | 'gated' | 'open' | 'receipt' | 'end' | 'over'
  readonly consumed: bigint
  readonly charged: bigint
  readonly need?: bigint | undefined
  readonly units?: bigint | undefined
  readonly ttl?: number | undefined
  readonly reason?: string | undefined
}

/** What a lane came to: `units` (10⁻⁹) were delivered, which cost `used` in atomic units; its channel was charged `charged` in all by then. */
export type LaneReceipt = {
  readonly sid: string
  readonly units: bigint
  readonly used: bigint
  readonly charged?: bigint | undefined
  readonly reason: string
}

/**
 * A metered delivery, as a transport sees it: it asks before each write and does nothing else for the money. One transport at a time
 * has a lane; `release` hands it back, `end` ends it.
 *
 * On a lane whose `clock` is `wall` time is debited by itself, whatever units are said, from a `debit` until what it was for has `left`, and a
 * tick longer: then it stands still, and goes on by itself with the next. On others nothing costs but what is debited.
 */
export interface Lane {
  /** Secret: whoever has it may spend the lane's credit. Neither logged nor cached. */
  readonly sid: string
  readonly unit: string
  readonly clock: 'wall' | 'media'
  readonly state: LaneState
  /** At which unit (10⁻⁹ of one) the content goes on: zero, but for a lane that is resumed. */
  readonly from: bigint
  /** Units (10⁻⁹) that were delivered so far. */
  readonly units: bigint
  /** What they cost, and how much may be delivered, in atomic units. */
  readonly used: bigint
  readonly granted: bigint
  /**
   * Aborts when nothing will be delivered over it any more: it ended, its payer is gone, or the gate stayed shut for too long. It is made when
   * it is asked for: it weighs a third of all else that a lane takes, and whoever hears `over` needs none.
   */
  readonly signal: AbortSignal
  /** Units (10⁻⁹) that can be delivered at once. */
  remaining(): bigint
  /**
   * Pays for so many units (10⁻⁹) more, before they are released: `true` at once; while there is not enough credit a promise, that waits for
   * it with no timer; `false` where the lane is over, and then nothing may be released.
   */
  debit(units: bigint): boolean | Promise<boolean>
  /** As `debit`, and pays nothing: what comes from a source is not asked for before it can be paid. */
  ready(units: bigint): boolean | Promise<boolean>
  /** Says that all that was paid has left, and nothing is under way: time stands still a tick from now, unless something more is paid. */
  left(): void
  /**
   * Says at which unit (10⁻⁹) content goes on that was asked for by its place, whatever its payer said that he has: what he missed costs
   * nothing again, and what he never had does (M25).
   */
  goOnAt(units: bigint): void
  /** Pays at once for as much of `most` as there is credit for, in whole `step`s, and says how much that is: for a range that may be short. */
  take(most: bigint, step: bigint): bigint
  /** Hears what the lane has to tell, until the answer is called. */
  hear(listener: (event: LaneEvent) => void): () => void
  /** Lets the lane go without an end: its payer's connection is gone, and he may resume it for a while. Later steps of this holder are nothing. */
  release(): void
  /** Ends it: what was not used is its payer's again. Answers the same to everybody who ends it. */
  end(reason?: string): Promise<LaneReceipt>
}
