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

// Bounds of a row: work under way at once, and credit that lies about. What is dropped is the payer's to sign anew, and never claimed.
const mostHeld = 64
const mostFree = 32
// So often work is done again for a payer who had no answer: he may be one who hangs up each time, and wants the work alone (M9).
const mostAgain = 3
// For how long who was charged for an answer that may never have left can come for it (ms).
const longestAway = 3_600_000

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

/**
 * Takes the stretch of `amount` that ends at `max` for work under way, unless any of it is sold, held or beyond what is usable.
 * Holds whose time is over at `now` (Unix ms) are free again: their worker died, and the same voucher pays for another try. It does so
 * too where the worker died with the answer in its hands, and is not charged again. An answer that nobody had is made again for a
 * `request` of the same digest alone: what else is done is other work.
 */
export function takeStretch(
  channel: Channel,
  { id, max, amount, now, until, request }: { id: string; max: bigint; amount: bigint; now: number; until: number; request?: string },
): Changed<Withheld | undefined> {
  const current = withoutDead(channel, now)
  const wanted = { from: max - amount, to: max, now, request }
  const mine = { from: wanted.from, to: max, id, until }
  // Two holds of one name would end as each other.
  if (current.held.some((hold) => hold.id === id)) return { channel, result: 'held' }
  const away = lostAnswer(current, wanted)
  if (away !== undefined) {
    // He may ask for more than before, and the money may be gone meanwhile.
    const more = amount - (away.used ?? 0n)
    if (more > 0n && !covers(current, more)) return { channel, result: 'beyond' }
    const again = { ...mine, before: away.used ?? 0n, again: (away.again ?? 0) + 1 }
    return { channel: rowWith(current, { held: current.held.map((hold) => (hold === away ? again : hold)) }), result: undefined }
  }
  const withheld = reasonAgainst(current, wanted)
  if (withheld !== undefined) return { channel, result: withheld }
  const skipped = wanted.from > current.top ? [{ from: current.top, to: wanted.from }] : []
  const free = bounded([...current.free.flatMap((one) => cut(one, wanted)), ...skipped])
  const held = [...current.held, mine]
  return { channel: rowWith(current, { top: greater(current.top, max), free, held }), result: undefined }
}

/** Lets work go on until `until` (Unix ms). `false` where the hold is gone. */
export function extendStretch(channel: Channel, { id, until }: { id: string; until: number }): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined) return { channel, result: false }
  return { channel: rowWith(channel, { held: channel.held.map((one) => (one === hold ? { ...hold, until } : one)) }), result: true }
}

/**
 * Ends work: `used` of what it held is charged. Where that is nothing all of it is free again; else it stays held until `leaveStretch`,
 * so that nobody pays for what he never had. `false` where the hold is gone: then nothing may be delivered.
 */
export function finishStretch(
  channel: Channel,
  { id, used, signature, now }: { id: string; used: bigint; signature: string; now: number },
): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined || hold.used !== undefined || used > hold.to - hold.from || used < 0n) return { channel, result: false }
  const { from, to, until, before = 0n, again } = hold
  const others = channel.held.filter((one) => one !== hold)
  // Of what an earlier run charged nothing is given back that is claimed already, or will be: it stays what was paid for this work.
  const claimed = greater(channel.funds.claimed, channel.claiming ?? 0n)
  const paid = greater(used, before - (channel.charged - claimed))
  const charged = channel.charged + paid - before
  if (paid === 0n) {
    const isShown = to === channel.voucher?.max
    const free = bounded([...channel.free, { from, to, ...(isShown ? { spent: true as const } : {}) }])
    return { channel: withDebt(rowWith(channel, { charged, held: others, free }), now), result: true }
  }
  // Work that failed left nothing to have: the same voucher brings it again.
  const lasts = used === 0n ? now : until
  const done = { from, to, id, until: lasts, used: paid, ...(again !== undefined && { again }) }
  const voucher = to > (channel.voucher?.max ?? 0n) ? { max: to, signature } : channel.voucher
  return { channel: withDebt(rowWith(channel, { charged, held: [...others, done], voucher }), now), result: true }
}

/** What nobody had, as was seen `at` this time (Unix ms), and the digest of the request that it was for, if that is known. */
export type LostAnswer = { readonly at: number; readonly request?: string | undefined }

/**
 * The answer of work that was charged has left, and what it did not use is free again; or it is `lost`, and the same voucher has it made
 * once more.
 */
export function leaveStretch(channel: Channel, { id, lost }: { id: string; lost?: LostAnswer | undefined }): Changed<void> {
  const hold = channel.held.find((one) => one.id === id && one.used !== undefined)
  if (hold === undefined) return { channel, result: undefined }
  const others = channel.held.filter((one) => one !== hold)
  if (lost !== undefined) {
    const { at, request } = lost
    const waiting = { ...hold, until: at, ...(request !== undefined && { request }) }
    return { channel: rowWith(channel, { held: [...others, waiting] }), result: undefined }
  }
  return { channel: rowWith(channel, { held: others, free: bounded([...channel.free, ...restOf(hold)]) }), result: undefined }
}

/**
 * Sets `amount` aside that is to be given back to the payer (M27): what was set aside before for the same nonce of the escrow stands.
 * Nothing where work or a lane is under way or there is not so much. Work whose time is over ends with it, should its worker come back.
 */
export function setAside(channel: Channel, { amount, now }: { amount: bigint; now: number }): Changed<bigint | undefined> {
  if (channel.refunding > 0n) return { channel, result: channel.refunding }
  const current = withoutDead(channel, now)
  const isWorkedFor = current.lanes !== undefined || current.held.some(({ used }) => used === undefined)
  if (isWorkedFor || amount <= 0n || amount > current.funds.balance - current.charged) return { channel, result: undefined }
  return { channel: rowWith(beforeClaim(current), { refunding: amount }), result: amount }
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

function reasonAgainst(channel: Channel, wanted: Stretch & { readonly now: number }): Withheld | undefined {
  if (wanted.from < 0n || wanted.from >= wanted.to) return 'sold'
  if (wanted.to > usableFunds(channel) || !covers(channel, wanted.to - wanted.from)) return 'beyond'
  if (channel.held.some((hold) => hold.until > wanted.now && shared(hold, wanted) > 0n)) return 'held'
  const below = shared({ from: 0n, to: channel.top }, wanted)
  const covered = channel.free.reduce((sum, one) => sum + shared(one, wanted), 0n)
  const served = channel.free.some(({ to, spent }) => spent === true && to === wanted.to)
  if (covered < below || served) return 'sold'
  return channel.held.length >= mostHeld ? 'busy' : undefined
}

/**
 * What is left beside all that is charged and work under way. Who took money out may have less than his vouchers reach up to: then neither
 * what is free below them nor the credit of lanes is worth what it was.
 */
export function roomIn(channel: Channel): bigint {
  const working = channel.held.reduce((sum, { from, to, used, before = 0n }) => (used === undefined ? sum + to - from - before : sum), 0n)
  return usableFunds(channel) - channel.charged - working
}

/** Whether there is so much beside that and the credit of lanes. */
function covers(channel: Channel, more: bigint): boolean {
  const { lanes = [] } = channel
  return lanes.flatMap(({ credit }) => credit).reduce((room, { from, to }) => room - (to - from), roomIn(channel)) >= more
}

/** The hold of an answer that may never have left, for exactly this stretch; the voucher that claims show to everybody brings none (M26). */
function lostAnswer(
  { held, voucher, funds }: Channel,
  { from, to, now, request }: Stretch & { readonly now: number; readonly request: string | undefined },
): Hold | undefined {
  if (funds.claimed > 0n && to === voucher?.max) return undefined
  const isAway = ({ used, until, again = 0 }: Hold): boolean => used !== undefined && until <= now && again < mostAgain
  const isAsked = (hold: Hold): boolean => hold.request === undefined || hold.request === request
  return held.find((hold) => hold.from === from && hold.to === to && isAway(hold) && isAsked(hold))
}

function withoutDead(channel: Channel, now: number): Channel {
  if (!channel.held.some(({ until }) => until <= now)) return channel
  const [held, free]: [Hold[], FreeStretch[]] = [[], [...channel.free]]
  for (const hold of channel.held) {
    const { before, ...bare } = hold
    // What an earlier run charged stays charged where a later one died.
    const used = hold.used ?? before
    if (hold.until > now) held.push(hold)
    else if (used === undefined) free.push({ from: hold.from, to: hold.to })
    else if (hold.until + longestAway > now) held.push({ ...bare, used })
    else free.push(...restOf({ ...bare, used }))
  }
  return rowWith(channel, { held, free: bounded(free) })
}

/** What is left of a stretch of which `used` was charged. */
function restOf({ from, to, used = 0n }: Hold): FreeStretch[] {
  return from + used === to ? [] : [{ from: from + used, to, spent: true }]
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
