/** Part of what was signed over a channel: above `from`, up to and with `to`. */
export type Stretch = { readonly from: bigint; readonly to: bigint }

/** A stretch that pays for work under way; `until` (Unix ms) its worker is believed to be alive. */
export type Hold = Stretch & { readonly id: string; readonly until: number }

/** A stretch that can be sold again; `spent`: a voucher up to its very end was served and may be public by now. */
export type FreeStretch = Stretch & { readonly spent?: true }

/** A deposit that was signed and that no one has seen land yet; until then (Unix ms) it may, and the same one can be sent again. */
export type Filling = { readonly amount: bigint; readonly until: number; readonly authorization: Readonly<Record<string, unknown>> }

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
 * lies below it is charged, held by work under way, free again, or given up.
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
  /** In a payer's books: his deposit under way. */
  readonly filling?: Filling
  /** The highest voucher that was served; no other is ever shown to anybody (M26). */
  readonly voucher?: { readonly max: bigint; readonly signature: string }
  /** Since when something is charged and not claimed (Unix ms). */
  readonly owedSince?: number
  /** Raised by every change. */
  readonly epoch: number
}

/** Why a stretch is not granted: it was sold, somebody works for it right now, the channel has not that much, or too much is under way. */
export type Withheld = 'sold' | 'held' | 'beyond' | 'busy'

/** The row after a change, and what came of it. */
export type Changed<Result> = { readonly channel: Channel; readonly result: Result }

// Bounds of a row: work under way at once, and credit that lies about. What is dropped is the payer's to sign anew, and never claimed.
const mostHeld = 64
const mostFree = 32

/** What can be signed for: without what is being withdrawn and what a signed refund may take (M27). */
export function usableFunds({ funds, refunding }: Channel): bigint {
  return funds.balance - funds.withdrawing - refunding
}

/**
 * Takes the stretch of `amount` that ends at `max` for work under way, unless any of it is sold, held or beyond what is usable.
 * Holds whose time is over at `now` (Unix ms) are free again: their worker died, and the same voucher pays for another try.
 */
export function takeStretch(
  channel: Channel,
  { id, max, amount, now, until }: { id: string; max: bigint; amount: bigint; now: number; until: number },
): Changed<Withheld | undefined> {
  const current = withoutDead(channel, now)
  const wanted = { from: max - amount, to: max }
  // Two holds of one name would end as each other.
  const withheld = current.held.some((hold) => hold.id === id) ? 'held' : reasonAgainst(current, wanted)
  if (withheld !== undefined) return { channel, result: withheld }
  const skipped = wanted.from > current.top ? [{ from: current.top, to: wanted.from }] : []
  const free = bounded([...current.free.flatMap((one) => cut(one, wanted)), ...skipped])
  const held = [...current.held, { ...wanted, id, until }]
  return { channel: { ...current, top: greater(current.top, max), free, held }, result: undefined }
}

/**
 * Ends work: `used` of what it held is charged and the rest free again. `false` where the hold is gone: then nothing may be delivered.
 */
export function finishStretch(
  channel: Channel,
  { id, used, signature, now }: { id: string; used: bigint; signature: string; now: number },
): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined || used > hold.to - hold.from || used < 0n) return { channel, result: false }
  const { from, to } = hold
  const rest: FreeStretch[] = from + used === to ? [] : [{ from: from + used, to, ...(used > 0n ? { spent: true as const } : {}) }]
  const next = {
    ...channel,
    held: channel.held.filter((one) => one !== hold),
    free: bounded([...channel.free, ...rest]),
    charged: channel.charged + used,
    ...(used > 0n && to > (channel.voucher?.max ?? 0n) ? { voucher: { max: to, signature } } : {}),
  }
  return { channel: withDebt(next, now), result: true }
}

/** Writes down what the chain says, unless something later was read. What was claimed without being charged here counts as charged. */
export function learnFunds(channel: Channel, funds: ChannelFunds): Changed<boolean> {
  if (funds.readAt < channel.funds.readAt) return { channel, result: false }
  const claimed = greater(funds.claimed, channel.funds.claimed)
  const nonceMoved = funds.refundNonce > channel.funds.refundNonce
  const known = { ...channel, funds: { ...funds, claimed }, refunding: nonceMoved ? 0n : channel.refunding }
  // Books restored from a backup: the chain knows vouchers that are forgotten here, and nobody knows which stretches they paid for.
  const lost = claimed > channel.charged
  const next = lost ? { ...known, charged: claimed, top: greater(known.top, claimed), free: [], held: [] } : known
  return { channel: withDebt(next, funds.readAt), result: true }
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

function reasonAgainst(channel: Channel, wanted: Stretch): Withheld | undefined {
  if (wanted.from < 0n || wanted.from >= wanted.to) return 'sold'
  if (wanted.to > usableFunds(channel)) return 'beyond'
  if (channel.held.some((hold) => shared(hold, wanted) > 0n)) return 'held'
  const below = shared({ from: 0n, to: channel.top }, wanted)
  const covered = channel.free.reduce((sum, one) => sum + shared(one, wanted), 0n)
  const served = channel.free.some(({ to, spent }) => spent === true && to === wanted.to)
  if (covered < below || served) return 'sold'
  return channel.held.length >= mostHeld ? 'busy' : undefined
}

function withoutDead(channel: Channel, now: number): Channel {
  const held = channel.held.filter(({ until }) => until > now)
  if (held.length === channel.held.length) return channel
  const dead = channel.held.filter(({ until }) => until <= now).map(({ from, to }) => ({ from, to }))
  return { ...channel, held, free: bounded([...channel.free, ...dead]) }
}

/** The row, and since when its owner is owed something. */
export function withDebt(channel: Channel, now: number): Channel {
  const { owedSince, ...rest } = channel
  return channel.charged > channel.funds.claimed ? { ...rest, owedSince: owedSince ?? now } : rest
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
  return free.toSorted((a, b) => (a.from < b.from ? -1 : 1)).slice(-mostFree)
}

/** How much two stretches have in common. */
export function shared(a: Stretch, b: Stretch): bigint {
  const length = -greater(-a.to, -b.to) - greater(a.from, b.from)
  return length > 0n ? length : 0n
}

/** The greater of two amounts. */
export function greater(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
