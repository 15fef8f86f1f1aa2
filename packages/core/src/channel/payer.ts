import {
  bounded,
  type Changed,
  type Channel,
  type ChannelFunds,
  cut,
  type Filling,
  greater,
  nextBase,
  type Stretch,
  shared,
  usableFunds,
  type Withheld,
  withDebt,
} from './channel.ts'
import { takeStretch } from './work.ts'

/** What a payer is about to sign: the stretch, and by how much it raises what he has signed in all. */
export type Signing = Stretch & { readonly raised: bigint }

/** For which work a stretch is taken, and with which deposit of the same payment. */
export type SignStretchOptions = {
  readonly id: string
  readonly amount: bigint
  readonly now: number
  readonly until: number
  readonly filling?: Filling | undefined
}

/**
 * Takes the next stretch for a payer to sign, credit before anything new. What a dead worker had signed counts as spent and is never
 * signed again, unless the receiver himself says that it was not (`adoptPosition`). A deposit that goes along counts as there.
 */
export function signStretch(channel: Channel, options: SignStretchOptions): Changed<Signing | Withheld> {
  const { id, amount, now, until, filling } = options
  const current = withoutLost(channel, now)
  const { funds } = current
  const filled = filling === undefined ? current : { ...current, filling, funds: { ...funds, balance: funds.balance + filling.amount } }
  const from = nextBase(current, amount)
  const { channel: next, result } = takeStretch(filled, { id, max: from + amount, amount, now, until })
  if (result !== undefined) return { channel: current, result }
  return { channel: { ...next, funds }, result: { from, to: from + amount, raised: next.top - current.top } }
}

/**
 * Ends what a stretch was signed for: `used` of it is charged and the rest credit, which a later payment signs again before anything
 * new. `false` where a later one has passed over it.
 */
export function endStretch(
  channel: Channel,
  { id, used, signature, now }: { readonly id: string; readonly used: bigint; readonly signature: string; readonly now: number },
): Changed<boolean> {
  const hold = channel.held.find((one) => one.id === id)
  if (hold === undefined || used < 0n || used > hold.to - hold.from) return { channel, result: false }
  const rest = hold.from + used === hold.to ? [] : [{ from: hold.from + used, to: hold.to, ...(used > 0n ? { spent: true as const } : {}) }]
  const ended = {
    ...channel,
    held: channel.held.filter((one) => one !== hold),
    free: bounded([...channel.free, ...rest]),
    charged: channel.charged + used,
    ...(used > 0n && hold.to > (channel.voucher?.max ?? 0n) ? { voucher: { max: hold.to, signature } } : {}),
  }
  return { channel: withDebt(ended, now), result: true }
}

/**
 * Goes on from a position that the receiver names: what lies below it is charged, and what lies above it is credit, but for what work
 * under way and lanes hold. `except` is the work that the receiver refused. Whoever calls this has judged whether the position may be believed.
 */
export function adoptPosition(channel: Channel, { position, except }: { readonly position: bigint; readonly except?: string }): Channel {
  const held = channel.held.filter(({ id }) => id !== except)
  const top = greater(channel.top, position)
  const above = position < top ? [{ from: position, to: top }] : []
  const away: readonly Stretch[] = [...held, ...(channel.lanes ?? []).flatMap(({ credit }) => credit)]
  const free = away.reduce((rest, one) => rest.flatMap((other) => cut(other, one)), above)
  const charged = away.reduce((sum, one) => sum - shared(one, { from: 0n, to: position }), position)
  return { ...channel, held, top, free: bounded(free), charged }
}

/**
 * Writes down what the chain says of a payer's channel, unless something later was read. More than the whole balance was never charged, and
 * what was claimed was: of a channel that is empty exactly that. A deposit under way has landed, or is over.
 */
export function learnPayerFunds(known: Channel, funds: ChannelFunds): Channel {
  if (funds.readAt < known.funds.readAt) return known
  const channel = withoutLost(known, funds.readAt)
  const { filling, ...rest } = channel
  const landed = filling !== undefined && funds.balance >= channel.funds.balance + filling.amount
  const waits = filling !== undefined && !landed && filling.until > funds.readAt
  const learned = { ...rest, ...(waits ? { filling } : {}), funds }
  if (funds.claimed > learned.charged)
    return withDebt({ ...learned, charged: funds.claimed, top: greater(learned.top, funds.claimed) }, funds.readAt)
  const room = funds.balance + (waits ? filling.amount : 0n)
  return withDebt(learned.charged > room ? adoptPosition(learned, { position: room }) : learned, funds.readAt)
}

/** A deposit that came with a payment has landed, by the word of who took that. */
export function landFilling(channel: Channel): Channel {
  const { filling, ...rest } = channel
  if (filling === undefined) return channel
  return { ...rest, funds: { ...rest.funds, balance: rest.funds.balance + filling.amount } }
}

/** What a payer can still sign for, with what he was given back. */
export function unsignedFunds(channel: Channel): bigint {
  const left = channel.free.reduce((sum, { from, to }) => sum + to - from, usableFunds(channel) - channel.top)
  return left > 0n ? left : 0n
}

/** What of a payer's money lies in a channel and is not spent. */
export function lockedFunds({ funds, filling, charged }: Channel): bigint {
  const locked = funds.balance + (filling?.amount ?? 0n) - charged
  return locked > 0n ? locked : 0n
}

/** What a dead process had signed, for payments and for lanes, counts as spent, unless the receiver himself says that it was not. */
export function withoutLost(channel: Channel, now: number): Channel {
  const { lanes = [], held, ...bare } = channel
  const isLost = ({ until = now }: { readonly until?: number | undefined }): boolean => until <= now
  const lost = [...held.filter(isLost), ...lanes.filter(isLost)]
  if (lost.length === 0) return channel
  const signed = lost.flatMap((one) => ('credit' in one ? one.credit : [one]))
  const charged = signed.reduce((sum, { from, to }) => sum + to - from, channel.charged)
  const live = lanes.filter((lane) => !isLost(lane))
  return withDebt({ ...bare, held: held.filter((one) => !isLost(one)), ...(live.length === 0 ? {} : { lanes: live }), charged }, now)
}
