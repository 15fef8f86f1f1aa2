import { type Changed, type Channel, type Charged, type LaneCredit, nextBase, usableFunds } from '@flow402x/core'
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
} from '@flow402x/core/stream'
import { decodeBase58, encodeBase58 } from '../../chain/base58.ts'
import type { Ed25519 } from '../../crypto/ed25519.ts'
import { reachOf } from '../../vouchers/ring.ts'
import type { NonceChannel } from '../channel.ts'
import type { Epoch } from '../state.ts'
import { isVoucher } from '../voucher.ts'
import { type NoncePayload, nonceReason, readNoncePayload, refuseTerms } from '../wire.ts'
import type { NonceBooks, NonceStep } from './books.ts'
import { isBacked, type NonceRow, readRow, readSignature, signatureText, withVoucher } from './row.ts'

/** What a rail over channels of nonces is made of. */
export type NonceRailParts = {
  readonly books: NonceBooks
  readonly network: string
  readonly decimals: number
  readonly ed25519: Ed25519
  /** Milliseconds for which what the chain said of a channel is believed: a payer may revoke at any time. */
  readonly freshFor: number
  readonly clock: () => number
}

const mostNamed = 4096

type Abortable = { readonly signal?: AbortSignal | undefined }

/** What a step came to: the lane, and the channel as it stands; or why not. */
type Answer = { readonly channel: Channel; readonly row: NonceRow; readonly result: LaneResult | Refused }

/** A rail over channels of nonces (FS/1 §12.3): ticks are checked and taken here, and nothing else of a chain is known. */
export function railOf({ books, network, decimals, ed25519, freshFor, clock }: NonceRailParts): Rail {
  // Channels that payments have named and whose key signed: an id is the hash of its terms, so nobody can name another's.
  const named = new Map<string, NonceChannel>()

  const channelOf = (channel: NonceChannel, id: string): RailChannel => ({
    id,
    payer: channel.payer,
    async signed({ max, signature: given }) {
      const signature = typeof given === 'string' ? decodeBase58(given) : given
      if (signature?.length !== 64) return undefined
      const tried = new Set<string>()
      const by = async (epochs: readonly Epoch[]): Promise<string | undefined> => {
        for (const { nonce, settled } of epochs.filter((one) => !tried.has(one.nonce))) {
          tried.add(nonce)
          const voucher = { nonce, amount: max - settled, decimals, signature }
          if (await isVoucher(channel, voucher, { ed25519 })) return signatureText(nonce, signature)
        }
        return undefined
      }
      // Over the nonce of before it is still its payer's word: he is told that the nonce has moved on (M26). Another process may know of
      // a newer one.
      const known = await by(books.epochs(id))
      if (known !== undefined) return known
      if ((await books.find(id)) === undefined) await books.learn(id, { channel })
      return await by(books.epochs(id))
    },
  })

  const check: Rail['check'] = async (submission) => {
    const payload = readNoncePayload(submission.payment)
    if (payload?.type !== 'voucher') return { reason: nonceReason(payload === undefined ? 'payload' : 'payload_type') }
    if (submission.requirements.network !== network) return { reason: nonceReason('network_mismatch') }
    const refusal = refuseTerms(payload, submission)
    if (refusal !== undefined) return refusal
    const { channel, voucher } = payload
    const { max, settled, signature } = amountsOf(payload)
    const signed = { nonce: voucher.nonce, amount: max - settled, decimals, signature }
    if (!(await isVoucher(channel, signed, { ed25519 }))) return { reason: nonceReason('voucher_signature') }
    const [oldest] = named.keys()
    if (named.size >= mostNamed && oldest !== undefined) named.delete(oldest)
    named.set(voucher.channelId, channel)
    return channelOf(channel, voucher.channelId)
  }

  const bounded = (lane: RailLane, stands: Standing): LaneStep => boundedStep(lane, { ...stands, now: clock() })

  /** A step over a channel, with the chain asked before where nothing fresh is known, and once more where it could know better. */
  async function step(
    id: string,
    work: NonceStep<Answer['result']>,
    { asks = true, signal }: Abortable & { readonly asks?: boolean } = {},
  ): Promise<Answer | undefined> {
    const attempt = (since: number) =>
      books.change<Answer | undefined>(id, (one, row) => {
        if (one.funds.readAt < since) return { channel: one, result: undefined }
        const { channel: next, result } = work(one, row)
        return { channel: next, result: { channel: next, row: readRow(next) ?? row, result } }
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
    const { channel, row, result } = answer
    return typeof result === 'string' ? refusalOf(result, { channel, row }) : standingOf({ channel, row }, result, { slice })
  }

  return {
    grades: ['A', 'B'],
    refundable: true,
    unsigned: nonceReason('voucher_signature'),
    read(payment) {
      const payload = readNoncePayload(payment)
      if (payload?.type !== 'voucher') return undefined
      const { channelId, maxClaimableAmount, signature } = payload.voucher
      return { kind: 'voucher', payer: payload.channel.payer, channelId, max: BigInt(maxClaimableAmount), signature }
    },
    check,
    async channel(id) {
      const found = await books.find(id)
      const channel = (found && readRow(found)?.channel) ?? named.get(id)
      return channel && channelOf(channel, id)
    },
    // Deposits are its payer's own transactions, and what he takes back is too.
    move: async () => ({ reason: nonceReason('payload_type') }),
    async buy(submission, lane, { opens, signal }) {
      const checked = await check(submission)
      const payload = readNoncePayload(submission.payment)
      if ('reason' in checked) return { status: 402, ...checked }
      if (payload === undefined) return { status: 402, reason: nonceReason('payload') }
      const { max, settled, signature } = amountsOf(payload)
      const { nonce, channelId: id } = payload.voucher
      const amount = BigInt(submission.requirements.amount)
      const text = signatureText(nonce, signature)
      const answer = await step(
        id,
        (channel, row) =>
          taken(channel, row, { nonce, settled, max, signature: text }, (one, stands) =>
            buyWindow(one, { ...bounded(lane, stands), max, amount, signature: text, opens }),
          ),
        { signal },
      )
      const standing = answered(answer, lane)
      if ('reason' in standing) return standing
      if (answer === undefined) return notFound
      return { standing, receipt: receiptOf(answer, { network, payer: payload.channel.payer, amount, max }) }
    },
    async raise({ max, signature }, lane, { opens, signal }) {
      const read = readSignature(signature)
      if (read === undefined) return { status: 402, reason: nonceReason('voucher_signature') }
      const answer = await step(
        lane.channelId,
        (channel, row) =>
          taken(channel, row, { nonce: read.nonce, max, signature }, (one, stands) =>
            raiseVoucher(one, { ...bounded(lane, stands), max, signature, opens }),
          ),
        { signal },
      )
      const standing = answered(answer, lane)
      // Who opens a lane has no tick to follow up: he is told where he stands, as for any payment.
      if (!opens || answer === undefined || !('reason' in standing) || standing.status !== 409) return standing
      return { status: 402, reason: standing.reason, extra: { channelState: stateOf(answer.channel, answer.row) } }
    },
    grow: async (lane) => answered(await step(lane.channelId, (channel, row) => growLane(channel, bounded(lane, { channel, row }))), lane),
    async adopt(lane) {
      const work: NonceStep<LaneResult> = (channel, row) => adoptLane(channel, { ...bounded(lane, { channel, row }), epoch: lane.epoch })
      return answered(await step(lane.channelId, work), lane)
    },
    async keep({ max, signature }, id) {
      const read = readSignature(signature)
      if (read === undefined) return { status: 402, reason: nonceReason('voucher_signature') }
      const kept = await books.change<LaneRefusal | undefined>(id, (channel, row) => {
        const dead = refuseNonce({ nonce: read.nonce, settled: row.settled }, row)
        const result = dead ?? (max > channel.charged ? 'stale' : undefined)
        if (result === undefined) return { channel: withVoucher(channel, row, { max, signature }), result }
        const refusal = refusalOf(result, { channel, row })
        return { channel, result: result === 'stale' ? { ...refusal, accepted: channel.charged } : refusal }
      })
      return kept
    },
    async end(lane, { refundable }) {
      // An end is written down whether or not the chain can be asked.
      const work: NonceStep<LaneResult> = (channel) => endLane(channel, { ...stepOf(lane, clock()), refundable })
      return answered(await step(lane.channelId, work, { asks: false }), lane)
    },
  }
}

/** What a voucher says of itself; `settled` is in payments alone, for ticks say no more than their ceiling. */
type Given = { readonly nonce: string; readonly settled?: bigint; readonly max: bigint; readonly signature: string }

/** Takes a voucher over the nonce of today, and keeps it to be settled. */
function taken(
  channel: Channel,
  row: NonceRow,
  { nonce, settled = row.settled, ...voucher }: Given,
  take: (channel: Channel, stands: Standing) => Changed<LaneResult>,
): Changed<Answer['result']> {
  const dead = refuseNonce({ nonce, settled }, row)
  if (dead !== undefined) return { channel, result: dead }
  const kept = withVoucher(channel, row, voucher)
  // All of it is signed anew, over the new nonce: it adds nothing and backs what was granted.
  const isAnew = voucher.max === channel.top && !isBacked(channel, row)
  const { channel: next, result } = take(isAnew ? kept : channel, { channel: kept, row: readRow(kept) ?? row })
  if (typeof result === 'string') return { channel, result }
  const isKept = row.ring.some(({ max, signature }) => max === voucher.max && signature === voucher.signature)
  return { channel: isKept ? next : withVoucher(next, row, voucher), result }
}

/** Why a voucher over a nonce settles nothing, or will not in a moment. */
function refuseNonce({ nonce, settled }: Pick<Given, 'nonce' | 'settled'>, row: NonceRow): 'settling' | 'stale-nonce' | undefined {
  if (row.settling !== undefined) return 'settling'
  return nonce !== row.nonce || settled !== row.settled ? 'stale-nonce' : undefined
}

function stepOf({ id, epoch, used, slice }: RailLane, now: number): LaneStep {
  return { id, slice, now, ...(epoch === undefined ? {} : { epoch }), ...(used === undefined ? {} : { used }) }
}

/** A channel with its row, as they stand. */
type Standing = Pick<Answer, 'channel' | 'row'>

/**
 * A step that grants no more than can be settled but for two of the largest windows, wherever its payer vanishes; and nothing where what was
 * signed is dead or will be in a moment: the lane gates until its payer has signed anew.
 */
function boundedStep(lane: RailLane, { channel, row, now }: Standing & { readonly now: number }): LaneStep {
  const step = stepOf(lane, now)
  const isGood = isBacked(channel, row) && channel.top <= usableFunds(channel)
  if (!isGood) return { ...step, slice: 0n }
  const { used = 0n, granted = 0n } = laneOf(channel, lane.id) ?? {}
  const unwritten = greater((lane.used ?? used) - used, 0n)
  const room = roomIn({ channel, row }, lane) + granted - used - unwritten
  return { ...step, slice: lesser(step.slice, greater(room, 0n)) }
}

/** How much more may be granted over a channel: what lies between its vouchers, or beyond them, stays within two windows. */
function roomIn({ channel, row }: Standing, { slice }: Pick<RailLane, 'slice'>): bigint {
  return reachOf(row.ring, { settled: row.settled, most: 2n * slice }) - grantedIn(channel)
}

function amountsOf({ voucher }: NoncePayload) {
  const { maxClaimableAmount, settled, signature } = voucher
  return { max: BigInt(maxClaimableAmount), settled: BigInt(settled), signature: decodeBase58(signature) ?? new Uint8Array() }
}

function standingOf({ channel, row }: Standing, lane: LaneCredit, { slice }: Pick<RailLane, 'slice'>): LaneStanding {
  const { funds, top, charged } = channel
  const { granted, used } = lane
  const isGood = isBacked(channel, row)
  const ahead = lesser(creditOf(lane) - (granted - used), greater(roomIn({ channel, row }, { slice }), 0n))
  // The highest that is alive: one for as much over a new nonce must be taken, and not be told for the same.
  const accepted = isGood ? top : (row.ring.at(-1)?.max ?? row.settled)
  return {
    granted,
    used,
    ahead: isGood ? ahead : 0n,
    accepted,
    consumed: charged,
    charged: isGood ? grantedIn(channel) : lesser(grantedIn(channel), accepted),
    isDraining: usableFunds(channel) < top,
    channel: { balance: funds.balance, claimed: funds.claimed, withdrawRequestedAt: 0 },
  }
}

const statuses = {
  'stale-nonce': { status: 402, reason: nonceReason('stale_nonce') },
  settling: { status: 429, reason: nonceReason('settling') },
  beyond: { status: 402, reason: nonceReason('cumulative_exceeds_balance') },
  sold: { status: 402, reason: nonceReason('cumulative_amount_mismatch') },
  stale: { status: 409, reason: nonceReason('cumulative_amount_mismatch') },
  gone: { status: 410, reason: nonceReason('channel_busy') },
  held: { status: 429, reason: nonceReason('channel_busy') },
  busy: { status: 429, reason: nonceReason('channel_busy') },
  crowded: { status: 429, reason: nonceReason('channel_busy') },
  grade: { status: 429, reason: nonceReason('channel_busy') },
} as const satisfies Record<Refused, LaneRefusal>

type Refused = LaneWithheld | 'stale-nonce' | 'settling'
const notFound: LaneRefusal = { status: 402, reason: nonceReason('channel_not_found') }

function refusalOf(result: keyof typeof statuses, { channel, row }: Pick<Answer, 'channel' | 'row'>): LaneRefusal {
  const said = statuses[result]
  if (result === 'beyond' && usableFunds(channel) < channel.top) return { ...said, status: 423 }
  if (said.status === 409) return { ...said, accepted: channel.top }
  return said.status === 402 ? { ...said, extra: { channelState: stateOf(channel, row) } } : said
}

/** A channel as its payer is told of it: from where he goes on, and by which transaction the nonce moved. */
function stateOf(channel: Channel, { nonce, settled, last, ring }: NonceRow): Readonly<Record<string, unknown>> {
  const { id, funds } = channel
  const highest = ring.at(-1)
  const { signature } = readSignature(highest?.signature ?? '') ?? {}
  return {
    channelId: id,
    nonce,
    settled: `${settled}`,
    ...(last === undefined ? {} : { transaction: last }),
    balance: `${funds.balance}`,
    chargedCumulativeAmount: `${nextBase(channel, 0n)}`,
    // His own voucher, for who has lost his books: all that is told here was asked for with a signature of his.
    ...(highest === undefined || signature === undefined
      ? {}
      : { signedMaxClaimable: `${highest.max}`, signature: encodeBase58(signature) }),
  }
}

type Receiving = { readonly network: string; readonly payer: string; readonly amount: bigint; readonly max: bigint }

function receiptOf({ channel, row }: Answer, { network, payer, amount, max }: Receiving): Charged {
  const channelState = { ...stateOf(channel, row), chargedCumulativeAmount: `${max}` }
  return { status: 'settled', transaction: '', amount: '', network, payer, extra: { chargedAmount: `${amount}`, channelState } }
}
