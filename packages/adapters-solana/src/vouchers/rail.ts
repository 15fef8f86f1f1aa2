import {
  type Changed,
  type Channel,
  type Charged,
  type LaneCredit,
  nextBase,
  type Submission,
  usableFunds,
  type VoucherRefusal,
} from '@flow402x/core'
import {
  adoptLane,
  buyWindow,
  creditOf,
  endLane,
  grantedIn,
  greater,
  growLane,
  type LaneRefusal,
  type LaneResult,
  type LaneStanding,
  type LaneStep,
  type LaneWithheld,
  laneOf,
  lesser,
  type Rail,
  type RailChannel,
  type RailLane,
  raiseVoucher,
  type TickVoucher,
} from '@flow402x/core/stream'
import { type Ring, reachOf } from './ring.ts'

/** What a payment says; `settled` where its voucher is signed upon that. `signature` is as ticks have it. */
export type ExactPayment<Terms> = {
  readonly terms: Terms
  readonly channelId: string
  readonly payer: string
  readonly max: bigint
  readonly settled?: bigint
  readonly signature: string
}

/** A voucher as books keep it, and on what of settlements it was signed. */
export type ExactVoucher = { readonly max: bigint; readonly signature: string; readonly settled?: bigint | undefined }

/** What a row says of its vouchers: those that are alive, how much was settled, and whether settling will end them in a moment. */
export type ExactView = { readonly ring: Ring; readonly settled: bigint; readonly isSettling: boolean }

/** Books of channels, and what the chain says of them. */
export interface ExactBooks<Terms> {
  find(id: string): Promise<Channel | undefined>
  /** As `ChannelBook.change`, for channels of one scheme alone. */
  change<Result>(id: string, step: (channel: Channel) => Changed<Result>): Promise<Result | undefined>
  /** Reads a channel and writes down what the chain says; opens it where it is not in the books and its terms are given. Nothing for one that is none. */
  learn(id: string, options: { readonly channel?: Terms | undefined; readonly signal?: AbortSignal | undefined }): Promise<unknown>
}

/** Why nothing is done over a channel: as for any lane, or what was signed is dead, or will be in a moment. */
export type ExactWithheld = LaneWithheld | 'stale-nonce' | 'settling'

/** Names of reasons that every such scheme has. */
export type ExactReason =
  | 'payload'
  | 'payload_type'
  | 'network_mismatch'
  | 'voucher_signature'
  | 'channel_not_found'
  | 'channel_busy'
  | 'cumulative_amount_mismatch'
  | 'cumulative_exceeds_balance'
  | 'stale_nonce'
  | 'settling'

/** A scheme whose chain pays a voucher exactly, as its rail needs it. */
export interface ExactScheme<Terms> {
  readonly network: string
  readonly books: ExactBooks<Terms>
  /** Milliseconds for which what the chain said of a channel is believed: a payer may leave at any time. */
  readonly freshFor: number
  readonly clock: () => number
  reason(name: ExactReason): string
  read(payment: Submission['payment']): ExactPayment<Terms> | undefined
  /** Judges a payment with no look anywhere but at its signature. */
  refuse(payment: ExactPayment<Terms>, submission: Submission): Promise<VoucherRefusal | undefined>
  /** The terms of a channel that is in the books. */
  termsOf(channel: Channel): Terms | undefined
  payerOf(terms: Terms): string
  /** The signature of a tick as the books keep it, where the channel's key made it. */
  signed(terms: Terms, id: string, voucher: TickVoucher): Promise<string | undefined>
  /** The signature of a payment that was not refused, as the books keep it. */
  written(payment: Submission['payment']): string | undefined
  view(channel: Channel): ExactView
  /** Whether a voucher can still be settled, and will be able to. */
  isDead(channel: Channel, voucher: Omit<ExactVoucher, 'max'>): 'stale-nonce' | 'settling' | undefined
  /** The row with one voucher more to choose from. */
  withVoucher(channel: Channel, voucher: { readonly max: bigint; readonly signature: string }): Channel
  /** A channel as its payer is told of it. */
  stateOf(channel: Channel): Readonly<Record<string, unknown>>
}

const mostNamed = 4096

type Abortable = { readonly signal?: AbortSignal | undefined }

/** What a step came to: the lane, and the channel as it stands; or why not. */
type Answer = { readonly channel: Channel; readonly result: LaneResult | ExactWithheld }
type Work = (channel: Channel) => Changed<Answer['result']>

/** A rail over channels whose vouchers are paid exactly (FS/1 §12): ticks are checked and taken here, and nothing else of a chain is known. */
export function exactRail<Terms>(scheme: ExactScheme<Terms>): Rail {
  const { books, network, freshFor, clock, reason } = scheme
  // Channels that payments have named and whose key signed: an id is made from its terms, so nobody can name another's.
  const named = new Map<string, Terms>()
  const refusals = refusalsOf(scheme)
  const notFound: LaneRefusal = { status: 402, reason: reason('channel_not_found') }

  const channelOf = (terms: Terms, id: string): RailChannel => ({
    id,
    payer: scheme.payerOf(terms),
    signed: (voucher) => scheme.signed(terms, id, voucher),
  })
  const check: Rail['check'] = async (submission) => {
    const payment = scheme.read(submission.payment)
    if (payment === undefined) return { reason: reason('payload') }
    if (submission.requirements.network !== network) return { reason: reason('network_mismatch') }
    const refusal = await scheme.refuse(payment, submission)
    if (refusal !== undefined) return refusal
    const [oldest] = named.keys()
    if (named.size >= mostNamed && oldest !== undefined) named.delete(oldest)
    named.set(payment.channelId, payment.terms)
    return channelOf(payment.terms, payment.channelId)
  }

  /** A step over a channel, with the chain asked before where nothing fresh is known, and once more where it could know better. */
  async function step(
    id: string,
    work: Work,
    { asks = true, signal }: Abortable & { readonly asks?: boolean } = {},
  ): Promise<Answer | undefined> {
    const attempt = (since: number) =>
      books.change<Answer | undefined>(id, (one) => {
        if (one.funds.readAt < since) return { channel: one, result: undefined }
        const { channel, result } = work(one)
        return { channel, result: { channel, result } }
      })
    const since = clock()
    const first = await attempt(asks ? since - freshFor : 0)
    if (!asks) return first
    const mayBeOld = first === undefined || first.result === 'beyond' || first.result === 'stale-nonce'
    if (!mayBeOld || (first !== undefined && first.channel.funds.readAt >= since)) return first
    const learned = await books.learn(id, { channel: named.get(id), signal })
    return learned === undefined ? undefined : await attempt(0)
  }
  const answered = (answer: Answer | undefined, { slice }: Pick<RailLane, 'slice'>): LaneStanding | LaneRefusal => {
    if (answer === undefined) return notFound
    const { channel, result } = answer
    return typeof result === 'string' ? refusals(result, channel) : standingOf({ channel, ...scheme.view(channel) }, result, { slice })
  }
  const bounded = (lane: RailLane, channel: Channel): LaneStep => boundedStep(lane, { channel, ...scheme.view(channel), now: clock() })

  /** Takes a voucher that is alive, and keeps it to be settled. */
  const taken = (
    channel: Channel,
    { settled, ...voucher }: ExactVoucher,
    take: (channel: Channel, stands: Channel) => Changed<LaneResult>,
  ): Changed<Answer['result']> => {
    const dead = scheme.isDead(channel, { signature: voucher.signature, settled })
    if (dead !== undefined) return { channel, result: dead }
    const kept = scheme.withVoucher(channel, voucher)
    // All of it is signed anew, after a settlement has ended what it was signed upon: it adds nothing and backs what was granted.
    const isAnew = voucher.max === channel.top && !isBacked({ channel, ...scheme.view(channel) })
    const { channel: next, result } = take(isAnew ? kept : channel, kept)
    if (typeof result === 'string') return { channel, result }
    const isKept = scheme.view(channel).ring.some(({ max, signature }) => max === voucher.max && signature === voucher.signature)
    return { channel: isKept ? next : scheme.withVoucher(next, voucher), result }
  }

  return {
    grades: ['A', 'B'],
    refundable: true,
    unsigned: reason('voucher_signature'),
    read(payment) {
      const read = scheme.read(payment)
      return read && { kind: 'voucher', payer: read.payer, channelId: read.channelId, max: read.max, signature: read.signature }
    },
    check,
    async channel(id) {
      const found = await books.find(id)
      const terms = (found && scheme.termsOf(found)) ?? named.get(id)
      return terms && channelOf(terms, id)
    },
    // Deposits are its payer's own transactions, and what he takes back is too.
    move: async () => ({ reason: reason('payload_type') }),
    async buy(submission, lane, { opens, signal }) {
      const checked = await check(submission)
      const payment = scheme.read(submission.payment)
      if ('reason' in checked) return { status: 402, ...checked }
      const signature = scheme.written(submission.payment)
      if (payment === undefined || signature === undefined) return { status: 402, reason: reason('payload') }
      const { channelId, max, settled, payer } = payment
      const amount = BigInt(submission.requirements.amount)
      const work: Work = (channel) =>
        taken(channel, { settled, max, signature }, (one, stands) =>
          buyWindow(one, { ...bounded(lane, stands), max, amount, signature, opens }),
        )
      const answer = await step(channelId, work, { signal })
      const standing = answered(answer, lane)
      if ('reason' in standing) return standing
      if (answer === undefined) return notFound
      const channelState = { ...scheme.stateOf(answer.channel), chargedCumulativeAmount: `${max}` }
      const extra = { chargedAmount: `${amount}`, channelState }
      const receipt: Charged = { status: 'settled', transaction: '', amount: '', network, payer, extra }
      return { standing, receipt }
    },
    async raise(voucher, lane, { opens, signal }) {
      const work: Work = (channel) =>
        taken(channel, voucher, (one, stands) => raiseVoucher(one, { ...bounded(lane, stands), ...voucher, opens }))
      const answer = await step(lane.channelId, work, { signal })
      const standing = answered(answer, lane)
      // Who opens a lane has no tick to follow up: he is told where he stands, as for any payment.
      if (!opens || answer === undefined || !('reason' in standing) || standing.status !== 409) return standing
      return { status: 402, reason: standing.reason, extra: { channelState: scheme.stateOf(answer.channel) } }
    },
    grow: async (lane) => answered(await step(lane.channelId, (channel) => growLane(channel, bounded(lane, channel))), lane),
    async adopt(lane) {
      const work: Work = (channel) => adoptLane(channel, { ...bounded(lane, channel), epoch: lane.epoch })
      return answered(await step(lane.channelId, work), lane)
    },
    keep: async (voucher, id) =>
      await books.change<LaneRefusal | undefined>(id, (channel) => {
        const dead = scheme.isDead(channel, voucher)
        if (dead !== undefined) return { channel, result: refusals(dead, channel) }
        if (voucher.max > channel.charged) return { channel, result: { ...refusals('stale', channel), accepted: channel.charged } }
        return { channel: scheme.withVoucher(channel, voucher), result: undefined }
      }),
    async end(lane, { refundable }) {
      // An end is written down whether or not the chain can be asked.
      const work: Work = (channel) => endLane(channel, { ...stepOf(lane, clock()), refundable })
      return answered(await step(lane.channelId, work, { asks: false }), lane)
    },
  }
}

function stepOf({ id, epoch, used, slice }: RailLane, now: number): LaneStep {
  return { id, slice, now, ...(epoch === undefined ? {} : { epoch }), ...(used === undefined ? {} : { used }) }
}

/** A channel with what its row says of its vouchers. */
type Standing = ExactView & { readonly channel: Channel }

/**
 * Whether all that was ever signed over a channel can be settled, and no settlement ends it in a moment: only then is more of it granted
 * (FS/1 §12.3, rule 8).
 */
function isBacked({ channel: { top }, ring, settled, isSettling }: Standing): boolean {
  return !isSettling && top <= (ring.at(-1)?.max ?? settled)
}

/**
 * A step that grants no more than can be settled but for two of the largest windows, wherever its payer vanishes; and nothing where what was
 * signed is dead or will be in a moment: the lane gates until its payer has signed anew.
 */
function boundedStep(lane: RailLane, { now, ...stands }: Standing & { readonly now: number }): LaneStep {
  const { channel } = stands
  const step = stepOf(lane, now)
  const isGood = isBacked(stands) && channel.top <= usableFunds(channel)
  if (!isGood) return { ...step, slice: 0n }
  const { used = 0n, granted = 0n } = laneOf(channel, lane.id) ?? {}
  const unwritten = greater((lane.used ?? used) - used, 0n)
  const room = roomIn(stands, lane) + granted - used - unwritten
  return { ...step, slice: lesser(step.slice, greater(room, 0n)) }
}

/** How much more may be granted over a channel: what lies between its vouchers, or beyond them, stays within two windows. */
function roomIn({ channel, ring, settled }: Standing, { slice }: Pick<RailLane, 'slice'>): bigint {
  return reachOf(ring, { settled, most: 2n * slice }) - grantedIn(channel)
}

function standingOf(stands: Standing, lane: LaneCredit, { slice }: Pick<RailLane, 'slice'>): LaneStanding {
  const { channel, ring, settled } = stands
  const { funds, top, charged } = channel
  const { granted, used } = lane
  const isGood = isBacked(stands)
  const ahead = lesser(creditOf(lane) - (granted - used), greater(roomIn(stands, { slice }), 0n))
  // The highest that is alive: one for as much after a settlement must be taken, and not be told for the same.
  const accepted = isGood ? top : (ring.at(-1)?.max ?? settled)
  return {
    granted,
    used,
    ahead: isGood ? ahead : 0n,
    accepted,
    consumed: charged,
    charged: isGood ? grantedIn(channel) : lesser(grantedIn(channel), accepted),
    isDraining: usableFunds(channel) < top,
    channel: { balance: funds.balance, claimed: funds.claimed, withdrawRequestedAt: funds.withdrawalAt },
  }
}

const statuses = {
  'stale-nonce': { status: 402, name: 'stale_nonce' },
  settling: { status: 429, name: 'settling' },
  beyond: { status: 402, name: 'cumulative_exceeds_balance' },
  sold: { status: 402, name: 'cumulative_amount_mismatch' },
  stale: { status: 409, name: 'cumulative_amount_mismatch' },
  gone: { status: 410, name: 'channel_busy' },
  held: { status: 429, name: 'channel_busy' },
  busy: { status: 429, name: 'channel_busy' },
  crowded: { status: 429, name: 'channel_busy' },
  grade: { status: 429, name: 'channel_busy' },
} as const satisfies Record<ExactWithheld, { readonly status: LaneRefusal['status']; readonly name: ExactReason }>

function refusalsOf<Terms>({ reason, stateOf }: Pick<ExactScheme<Terms>, 'reason' | 'stateOf'>) {
  return (result: ExactWithheld, channel: Channel): LaneRefusal => {
    const { status, name } = statuses[result]
    const said = { status, reason: reason(name) }
    if (result === 'beyond' && usableFunds(channel) < channel.top) return { ...said, status: 423 }
    if (status === 409) return { ...said, accepted: channel.top }
    return status === 402 ? { ...said, extra: { channelState: stateOf(channel) } } : said
  }
}

/** What every payer is told of a channel, whatever its chain: from where he goes on. */
export function standingText(channel: Channel): Readonly<Record<string, unknown>> {
  const { id, funds } = channel
  return { channelId: id, balance: `${funds.balance}`, chargedCumulativeAmount: `${nextBase(channel, 0n)}` }
}
