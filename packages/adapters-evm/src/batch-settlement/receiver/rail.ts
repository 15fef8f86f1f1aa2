import type { Changed, Channel, Submission, VoucherRefusal } from '@flow402x/core'
import {
  adoptLane,
  type Bought,
  type BuyOptions,
  buyWindow,
  creditOf,
  endLane,
  grantedIn,
  growLane,
  type LaneRefusal,
  type LaneResult,
  type LaneStanding,
  type LaneWithheld,
  laneOf,
  type Rail,
  type RailChannel,
  type RailLane,
  raiseVoucher,
} from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { type Hex, toHex } from '../../crypto/bytes.ts'
import type { ChannelConfig } from '../channel.ts'
import type { VoucherCheck } from '../voucher.ts'
import { batchReason, bookId, channelConfig as configSchema } from '../wire.ts'
import { type ReceiverBooks, stateOf } from './books.ts'
import { type ChannelReceiver, refusalOf, unseen } from './receiver.ts'

/** What lanes over channels need: the books, and whoever judges payments and vouchers. */
export type ChannelRailOptions = {
  readonly books: ReceiverBooks
  readonly receiver: ChannelReceiver
  readonly checkVoucher: VoucherCheck
  readonly network: string
  /** Unix milliseconds. */
  readonly clock: () => number
}

/** Streams over channels (FS/1 §12.1): a lane is a part of its channel's row, and no step of it asks the chain unless nothing fresh is known. */
export type ChannelRail = Omit<Rail, 'read' | 'move' | 'grades' | 'refundable' | 'unsigned'>

type Step = { readonly lane: LaneResult | 'draining'; readonly channel: Channel }

/** The receiver's side of streams over channels. Errors: those of `EvmReader.read` and of the store. */
export function channelRail({ books, receiver, checkVoucher, network, clock }: ChannelRailOptions): ChannelRail {
  const told = (change: (channel: Channel) => Changed<LaneResult>) => (channel: Channel) => {
    const { channel: next, result } = change(channel)
    return { channel: next, result: { lane: result, channel: next } }
  }
  /** As `told`, where new credit is given: none while money is on its way out. */
  const paid = (change: (channel: Channel) => Changed<LaneResult>) => {
    const tell = told(change)
    return (channel: Channel) => (isDraining(channel) ? { channel, result: { lane: 'draining' as const, channel } } : tell(channel))
  }
  const isShort = ({ lane }: Step): boolean => lane === 'beyond'
  // Channels that payments have named and whose key signed: an id is the hash of its config, so nobody can name another's.
  const named = new Map<string, ChannelConfig>()
  const storedConfig = async (id: string): Promise<ChannelConfig | undefined> =>
    z.safeParse(configSchema, (await books.find(id))?.config).data
  const channelOf = (channelConfig: ChannelConfig, id: Hex): RailChannel => ({
    id,
    payer: channelConfig.payer.toLowerCase(),
    signed({ max, signature }) {
      if (!isSignature(signature)) return undefined
      const voucher = { channelId: id, maxClaimableAmount: max, signature }
      if (checkVoucher({ channelConfig, voucher }) !== undefined) return undefined
      return typeof signature === 'string' ? signature : toHex(signature)
    },
  })
  const checked = (submission: Submission) => {
    const payload = receiver.check(submission)
    if ('reason' in payload) return payload
    return payload.type === 'refund' ? { reason: batchReason('payload_type') } : payload
  }
  const settled = async (id: string, change: (channel: Channel) => Changed<LaneResult>): Promise<LaneStanding | LaneRefusal> => {
    const step = await books.change(bookId(id), told(change))
    return step === undefined ? over : answerOf(step, 0n)
  }
  // Key by key: to spread something and add a key costs more than all else that is done for a tick in the books.
  const stepOf = ({ id, epoch, used, slice }: RailLane) => ({ id, epoch, used, slice, now: clock() })

  return {
    async check(submission) {
      const payload = checked(submission)
      if ('reason' in payload) return payload
      const id = bookId(payload.voucher.channelId)
      const [oldest] = named.keys()
      if (named.size >= mostNamed && oldest !== undefined) named.delete(oldest)
      named.set(id, payload.channelConfig)
      return channelOf(payload.channelConfig, id)
    },
    async channel(id) {
      const key = bookId(id)
      const config = named.get(key) ?? (await storedConfig(key))
      return config && channelOf(config, key)
    },
    async buy(submission, lane, { opens, signal }): Promise<Bought | LaneRefusal> {
      const payload = checked(submission)
      if ('reason' in payload) return { ...payload, status: 402 }
      const { voucher, channelConfig } = payload
      if (bookId(voucher.channelId) !== bookId(lane.channelId)) return { status: 402, reason: batchReason('channel_id_mismatch') }
      const { maxClaimableAmount: max, signature } = voucher
      const amount = BigInt(submission.requirements.amount)
      const step = await books.changeFresh<Step>(
        bookId(lane.channelId),
        paid((channel) => buyWindow(channel, { ...stepOf(lane), max, amount, signature, opens })),
        { now: clock(), signal, config: channelConfig, isShort },
      )
      if (typeof step === 'string') return { status: 402, reason: unseen[step] }
      const standing = answerOf(step, amount)
      if ('reason' in standing) return standing
      const extra = { chargedAmount: `${amount}`, channelState: stateOf(step.channel, max) }
      return {
        standing,
        receipt: { status: 'settled', transaction: '', amount: '', network, payer: channelConfig.payer.toLowerCase(), extra },
      }
    },
    async raise({ max, signature }, lane, { opens, signal }: BuyOptions) {
      const id = bookId(lane.channelId)
      const config = named.get(id) ?? (await storedConfig(id))
      if (config === undefined) return { status: 402, reason: unseen.missing }
      const { epoch, used, slice, now } = stepOf(lane)
      const voucher = { id: lane.id, epoch, used, slice, now, max, signature, opens }
      const step = await books.changeFresh<Step>(
        id,
        paid((channel) => raiseVoucher(channel, voucher)),
        { now, signal, config, isShort },
      )
      if (typeof step === 'string') return { status: 402, reason: unseen[step] }
      // Who opens with an old voucher may have lost his books: his own newest one shows him where he stands.
      return answerOf(opens && step.lane === 'stale' ? { ...step, lane: 'sold' } : step, 0n)
    },
    grow: (lane) => settled(lane.channelId, (channel) => growLane(channel, drained(channel, stepOf(lane)))),
    adopt: (lane) => settled(lane.channelId, (channel) => adoptLane(channel, drained(channel, { ...stepOf(lane), epoch: lane.epoch }))),
    end: (lane, { refundable }) => settled(lane.channelId, (channel) => endLane(channel, { ...stepOf(lane), refundable })),
  }
}

const mostNamed = 4096

/** Whether it is bytes, or hex of whole bytes. */
function isSignature(signature: string | Uint8Array): signature is Hex | Uint8Array {
  return typeof signature !== 'string' || /^0x(?:[0-9a-fA-F]{2})+$/.test(signature)
}

const over: LaneRefusal = { status: 410, reason: batchReason('missing_channel'), message: 'This lane is over.' }

/** While a payer takes money out what was granted is delivered, and nothing more. */
function drained<Lane extends { readonly slice: bigint }>(channel: Channel, lane: Lane): Lane {
  return isDraining(channel) ? { ...lane, slice: 0n } : lane
}

function isDraining({ funds, refunding }: Channel): boolean {
  return funds.withdrawing > 0n || refunding > 0n
}

function answerOf({ lane, channel }: Step, amount: bigint): LaneStanding | LaneRefusal {
  if (typeof lane === 'string') return withheldOf(lane, { channel, amount })
  const { used, granted } = lane
  const { balance, claimed, withdrawalAt } = channel.funds
  return {
    granted,
    used,
    ahead: used + creditOf(laneOf(channel, lane.id) ?? lane) - granted,
    accepted: channel.top,
    consumed: channel.charged,
    charged: grantedIn(channel),
    isDraining: isDraining(channel),
    channel: { balance, claimed, withdrawRequestedAt: withdrawalAt },
  }
}

function withheldOf(withheld: LaneWithheld | 'draining', { channel, amount }: { channel: Channel; amount: bigint }): LaneRefusal {
  switch (withheld) {
    case 'gone':
      return over
    case 'draining':
      return { status: 423, reason: batchReason('cumulative_exceeds_balance'), message: 'Money is being taken out of this channel.' }
    case 'stale':
      return { status: 409, reason: batchReason('cumulative_amount_mismatch'), accepted: channel.top }
    case 'grade':
      return { status: 402, reason: batchReason('channel_busy'), message: 'Another lane of this channel is paid in the other grade.' }
    case 'crowded':
    case 'busy':
      return { status: 429, reason: batchReason('channel_busy') }
    default: {
      const refusal: VoucherRefusal = refusalOf(withheld, { channel, amount })
      return { ...refusal, status: 402 }
    }
  }
}
