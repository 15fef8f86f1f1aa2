/** Part of what was signed over a channel: above `from`, up to and with `to`. */
export type Stretch = { readonly from: bigint; readonly to: bigint }

/**
 * A stretch that pays for work under way; `until` (Unix ms) its worker is believed to be alive. `used`: the work is done and this much of
 * it is charged, its answer is on the way to its payer. `before`: what an earlier run charged whose answer nobody may have had, and `again`
 * how often it was done again for that. `request`: nobody had its answer, which was to a request of this digest.
 */
export type Hold = Stretch & {
  readonly id: string
  readonly until: number
  readonly used?: bigint
  readonly before?: bigint
  readonly again?: number
  readonly request?: string
}

/** A stretch that can be sold again; `spent`: a voucher up to its very end was served and may be public by now. */
export type FreeStretch = Stretch & { readonly spent?: true | undefined }

/**
 * What a live lane holds of its channel (streaming.md §3): credit that was signed for, of which the used part becomes charged step by
 * step. `used` is all of it that is charged, counted since the lane began, and `granted` how far it may deliver before the books are asked
 * again; `credit` is what was signed and not used, lowest first. A step of an older `epoch` changes nothing (M25).
 */
export type LaneCredit = {
  readonly id: string
  readonly epoch: number
  readonly grade: 'A' | 'B'
  readonly used: bigint
  readonly granted: bigint
  readonly credit: readonly FreeStretch[]
  /** In a payer's books: until when his process is believed to be alive (Unix ms). */
  readonly until?: number | undefined
}

/**
 * A deposit that was signed and that nobody has seen land yet; until then (Unix ms) it may, and the same one can be sent again. `by` is
 * the work whose payment brings it.
 */
export type Filling = {
  readonly amount: bigint
  readonly until: number
  readonly by: string
  readonly authorization: Readonly<Record<string, unknown>>
}

/** What the chain says of a channel, read at `readAt` (Unix ms). Amounts are atomic units; `balance` counts claimed money too. */
export type ChannelFunds = {
  readonly balance: bigint
  readonly claimed: bigint
  /** What its payer is about to withdraw, and when he said so (Unix seconds). */
  readonly withdrawing: bigint
  readonly withdrawalAt: number
  readonly refundNonce: bigint
  readonly readAt: number
}

/** Which side keeps a channel's books: each has its own, and believes no number of the other's. */
export type ChannelSide = 'payer' | 'receiver'

/** One channel in the books of one side. */
export type ChannelKey = { readonly side: ChannelSide; readonly id: string }

/**
 * A channel as one side keeps it. Vouchers are cumulative, so one for an amount that reaches up to `max` pays for the stretch that
 * ends there, and each stretch is sold once: that is a voucher's claim. `top` is the end of the highest stretch that was ever taken; what
 * lies below it is charged, held by work under way, credit of a lane, free again, or given up.
 */
export type Channel = ChannelKey & {
  readonly network: string
  /** What the scheme made it from. */
  readonly config: Readonly<Record<string, unknown>>
  readonly funds: ChannelFunds
  /** What refunds that were signed for the live nonce may still take (M27). */
  readonly refunding: bigint
  /** All that was delivered, and all that is ever claimed. */
  readonly charged: bigint
  readonly top: bigint
  readonly held: readonly Hold[]
  readonly free: readonly FreeStretch[]
  /** Live lanes. */
  readonly lanes?: readonly LaneCredit[] | undefined
  /** In a payer's books: his deposit under way. */
  readonly filling?: Filling | undefined
  /** The highest voucher that was served; no other is ever shown to anybody (M26). */
  readonly voucher?: { readonly max: bigint; readonly signature: string } | undefined
  /** What a claim or a refund under way has the chain pay: of work that may be done once more for its payer, none of that is given back. */
  readonly claiming?: bigint | undefined
  /** Since when something is charged and not claimed (Unix ms). */
  readonly owedSince?: number | undefined
  /** Raised by every change. */
  readonly epoch: number
}

/** Why a stretch is not granted: it was sold, somebody works for it right now, the channel has not that much, or too much is under way. */
export type Withheld = 'sold' | 'held' | 'beyond' | 'busy'

/** The row after a change, and what came of it. */
export type Changed<Result> = { readonly channel: Channel; readonly result: Result }

// So much credit lies about in a row. What is dropped is the payer's to sign anew, and never claimed.
const mostFree = 32

/** A row with some of its members changed. */
export function rowWith(channel: Channel, changes: Partial<Channel>): Channel {
  const { side, id, network, config, funds, refunding, charged, top, held, free, lanes, filling, voucher, claiming, owedSince, epoch } =
    channel
  // All rows look alike, whatever became of them: one that is spread from one that was spread costs fifty times as much as this.
  const row: { readonly [Member in keyof Required<Channel>]: Channel[Member] } = {
    side,
    id,
    network,
    config,
    funds,
    refunding,
    charged,
    top,
    held,
    free,
    lanes,
    filling,
    voucher,
    claiming,
    owedSince,
    epoch,
  }
  return Object.assign(row, changes)
}

/** What can be signed for: without what is being withdrawn and what a signed refund may take (M27). */
export function usableFunds({ funds, refunding }: Channel): bigint {
  return funds.balance - funds.withdrawing - refunding
}

/** The row from which a claim is made: what that asks for is not given back meanwhile. */
export function beforeClaim(channel: Channel): Channel {
  const mayGiveBack = channel.held.some(({ used, before }) => used !== undefined || before !== undefined)
  return mayGiveBack && channel.charged > (channel.claiming ?? 0n) ? rowWith(channel, { claiming: channel.charged }) : channel
}

/** Writes down what the chain says, unless something later was read. What was claimed without being charged here counts as charged. */
export function learnFunds(channel: Channel, funds: ChannelFunds): Changed<boolean> {
  if (funds.readAt < channel.funds.readAt) return { channel, result: false }
  const claimed = greater(funds.claimed, channel.funds.claimed)
  const nonceMoved = funds.refundNonce > channel.funds.refundNonce
  // What is owed after a claim is younger than the claim.
  const owedSince = claimed > channel.funds.claimed ? undefined : channel.owedSince
  const known = rowWith(channel, { owedSince, funds: { ...funds, claimed }, refunding: nonceMoved ? 0n : channel.refunding })
  // Books restored from a backup: the chain knows vouchers that are forgotten here, and nobody knows which stretches they paid for.
  const lost = claimed > channel.charged
  if (!lost) return { channel: withDebt(known, funds.readAt), result: true }
  const resumed = rowWith(known, { charged: claimed, top: greater(known.top, claimed), free: [], held: [], lanes: undefined })
  return { channel: withDebt(resumed, funds.readAt), result: true }
}

/**
 * From where the next voucher is to be signed, so that one of `amount` more is taken: below what was ever served never, and below
 * other credit wherever that can be used (M26).
 */
export function nextBase(channel: Channel, amount: bigint): bigint {
  let base = channel.top
  for (const { from, to } of channel.free.toSorted((a, b) => (a.from < b.from ? 1 : -1))) if (to === base) base = from
  const blocked = channel.free.some(({ to, spent }) => spent === true && to === base + amount)
  return blocked ? channel.top : greater(base, channel.funds.claimed)
}

/** The row, and since when its owner is owed something. */
export function withDebt(channel: Channel, now: number): Channel {
  const owedSince = channel.charged > channel.funds.claimed ? (channel.owedSince ?? now) : undefined
  return owedSince === channel.owedSince ? channel : rowWith(channel, { owedSince })
}

/** What is left of a free stretch where `wanted` is taken out of it. */
export function cut(one: FreeStretch, wanted: Stretch): FreeStretch[] {
  if (shared(one, wanted) === 0n) return [one]
  const before = { from: one.from, to: wanted.from }
  const after = { ...one, from: wanted.to }
  return [before, after].filter(({ from, to }) => from < to)
}

/** As many free stretches as a row holds, in order: the highest. */
export function bounded(free: readonly FreeStretch[]): FreeStretch[] {
  return free.length < 2 ? [...free] : free.toSorted((a, b) => (a.from < b.from ? -1 : 1)).slice(-mostFree)
}

/** How much two stretches have in common. */
export function shared(a: Stretch, b: Stretch): bigint {
  const length = lesser(a.to, b.to) - greater(a.from, b.from)
  return length > 0n ? length : 0n
}

/** The greater of two amounts. */
export function greater(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

/** The lesser of two amounts. */
export function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
