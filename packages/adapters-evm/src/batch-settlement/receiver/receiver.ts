import {
  type Channel,
  type ChannelFunds,
  type Charged,
  extendStretch,
  finishStretch,
  type Hold,
  type LostAnswer,
  leaveStretch,
  nextBase,
  type Submission,
  sameAddress,
  type TakeOptions,
  takeStretch,
  usableFunds,
  type VoucherRefusal,
  type Withheld,
} from '@flow402x/core'
import { isSliding } from '@flow402x/core/stream'
import { type Drawn, refuseTerms, type VoucherCheck } from '../voucher.ts'
import {
  type BatchPayload,
  type BatchReason,
  type BatchRefusal,
  batchReason,
  bookId,
  readBatchPayload,
  type VoucherClaim,
} from '../wire.ts'
import { claimOf, type ReceiverBooks, stateOf } from './books.ts'

/** What taking vouchers needs: the books of channels, and whoever checks signatures. */
export type ChannelReceiverOptions = {
  readonly books: ReceiverBooks
  readonly chain: { readonly network: string }
  readonly checkVoucher: VoucherCheck
  /** A row of a claim as the escrow takes it. */
  readonly claimable: (row: VoucherClaim) => VoucherClaim
}

/** Work that a voucher pays for: done under `id`, for at most `amount`, which begins at `from`. */
export type Taken = Drawn & { readonly id: string; readonly from: bigint; readonly amount: bigint }

type Run = TakeOptions & { readonly now: number }

type Attempt = { readonly withheld: Withheld | undefined; readonly channel: Channel }

/** A payment over a channel whose terms and signature are right. */
export type Checked = Extract<BatchPayload, { readonly channelConfig: unknown }>

/** The receiver's side of channels on one network: vouchers pay here without a facilitator and without the chain. */
export interface ChannelReceiver {
  /** Whether a payment is of a channel that is asked for, and signed by its payer: told with no look anywhere (A23). */
  check(submission: Submission): Checked | BatchRefusal
  /**
   * Takes the voucher of a payment for one run of the work it pays for, until `until` (Unix ms): as long is no copy of it taken. Many of
   * one channel may be under way. The chain is asked only where nothing fresh is known of the channel.
   */
  take(submission: Submission, run: Run): Promise<{ readonly taken: Taken } | VoucherRefusal>
  /** What `take` would say now, if the channel held `more` (atomic units): nothing is written. */
  foresee(submission: Submission, options: { readonly now: number; readonly more: bigint }): Promise<VoucherRefusal | undefined>
  /** Lets work go on until then. `false` where it is no longer its own. */
  extend(taken: Taken, until: number): Promise<boolean>
  /** Charges `used` for work that was done, nothing for work that failed; without a receipt nothing may be delivered. */
  finish(taken: Taken, options: { readonly used: bigint; readonly now: number }): Promise<Charged | undefined>
  /** The answer of charged work has left; or it is `lost`, and the same voucher brings it again. */
  leave(taken: Taken, lost?: LostAnswer): Promise<void>
  /** What can be claimed: of each channel all that was charged, never what was only signed. */
  claims(): AsyncIterable<VoucherClaim>
}

/** The receiver's side of channels. Errors: those of `EvmReader.read` and of the store. */
export function channelReceiver({ books, chain, checkVoucher, claimable }: ChannelReceiverOptions): ChannelReceiver {
  const check = ({ payment, requirements }: Submission): Checked | BatchRefusal => {
    const payload = readBatchPayload(payment)
    if (payload === undefined) return { reason: 'invalid_payload' }
    if (!('channelConfig' in payload)) return { reason: batchReason('payload_type') }
    return refuseOffer(payload, { payment, requirements }) ?? checkVoucher(payload) ?? payload
  }

  return {
    check,
    async take(submission, { id, now, until, request, signal }) {
      const payload = check(submission)
      if ('reason' in payload) return payload
      if (payload.type === 'refund') return { reason: batchReason('payload_type') }
      const { voucher, channelConfig } = payload
      const [max, amount] = [voucher.maxClaimableAmount, BigInt(submission.requirements.amount)]
      const run = { id, max, amount, now, until }
      const attempt = (asked: { readonly request?: string }) => {
        const step = (channel: Channel) => {
          const { channel: next, result } = takeStretch(channel, { ...run, ...asked })
          return { channel: next, result: { withheld: result, channel: next } }
        }
        const isShort = ({ withheld }: Attempt): boolean => withheld === 'beyond'
        return books.changeFresh<Attempt>(bookId(voucher.channelId), step, { now, signal, config: channelConfig, isShort })
      }
      const first = await attempt({})
      const mayBeAgain = typeof first === 'object' && first.withheld === 'sold' && first.channel.held.some((hold) => isLost(hold, run))
      const answer = mayBeAgain && request !== undefined ? await attempt({ request: await request() }) : first
      if (typeof answer === 'string') return { reason: unseen[answer] }
      if (answer.withheld === undefined) return { taken: { channelConfig, voucher, id, from: max - amount, amount } }
      return refusalOf(answer.withheld, { channel: answer.channel, amount })
    },
    async foresee({ payment, requirements }, { now, more }) {
      const payload = readBatchPayload(payment)
      if (payload === undefined || !('voucher' in payload) || !('channelConfig' in payload)) return { reason: 'invalid_payload' }
      const { channelId, maxClaimableAmount: max } = payload.voucher
      const known = await books.find(bookId(channelId))
      if (known === undefined) return undefined
      const amount = BigInt(requirements.amount)
      const filled: ChannelFunds = { ...known.funds, balance: known.funds.balance + more }
      const there = { ...known, funds: filled }
      const result = isSliding(payment) ? refuseSliding(there, max) : takeStretch(there, { id: '', max, amount, now, until: now }).result
      return result === undefined ? undefined : refusalOf(result, { channel: known, amount })
    },
    async extend({ id, voucher }, until) {
      return (await books.change(bookId(voucher.channelId), (channel) => extendStretch(channel, { id, until }))) ?? false
    },
    async finish({ id, from, voucher, channelConfig: { payer } }, { used, now }) {
      const done = await books.change(bookId(voucher.channelId), (channel) => {
        const { channel: next, result } = finishStretch(channel, { id, used, signature: voucher.signature, now })
        return { channel: next, result: result ? next : undefined }
      })
      if (done === undefined) return undefined
      // More than it used where an earlier run was charged for it, and that is claimed by now.
      const paid = done.held.find((hold) => hold.id === id)?.used ?? used
      const extra = { chargedAmount: `${paid}`, channelState: stateOf(done, from + paid) }
      return { status: 'settled', transaction: '', amount: '', network: chain.network, payer: payer.toLowerCase(), extra }
    },
    async leave({ id, voucher }, lost) {
      if (lost === undefined) books.leave(bookId(voucher.channelId), id)
      else await books.change(bookId(voucher.channelId), (channel) => leaveStretch(channel, { id, lost }))
    },
    async *claims() {
      for await (const channel of books.store.list({ side: 'receiver', owed: true })) {
        const claim = channel.network === chain.network ? claimOf(channel) : undefined
        if (claim !== undefined) yield claimable(claim)
      }
    },
  }
}

const reasons = {
  beyond: batchReason('cumulative_exceeds_balance'),
  held: batchReason('channel_busy'),
  busy: batchReason('channel_busy'),
  sold: batchReason('cumulative_amount_mismatch'),
} as const satisfies Record<Withheld, BatchReason>

/** Whether its answer was lost to who asked for it by a voucher of just these amounts. */
function isLost({ request, from, to }: Hold, { max, amount }: { readonly max: bigint; readonly amount: bigint }): boolean {
  return request !== undefined && from === max - amount && to === max
}

function refuseOffer({ channelConfig }: Drawn, { payment: { accepted }, requirements }: Submission): BatchRefusal | undefined {
  if (accepted.scheme !== 'batch-settlement' || requirements.scheme !== 'batch-settlement') return { reason: batchReason('scheme') }
  if (accepted.network !== requirements.network) return { reason: batchReason('network_mismatch') }
  if (!sameAddress(accepted.asset, requirements.asset)) return { reason: batchReason('token_mismatch') }
  return refuseTerms(channelConfig, requirements)
}

/** Deposits also come in the midst of a stream, with a voucher that is taken already. */
function refuseSliding(channel: Channel, max: bigint): Withheld | undefined {
  if (max < channel.top) return 'sold'
  return max > usableFunds(channel) ? 'beyond' : undefined
}

/** Why nothing is known of a channel. */
export const unseen = {
  missing: batchReason('channel_not_found'),
  unknown: batchReason('verification_state_unavailable'),
} as const

/** Tells who signed for this channel from where to go on; while work is under way that is not settled yet. */
export function refusalOf(withheld: Withheld, { channel, amount }: { readonly channel: Channel; readonly amount: bigint }): VoucherRefusal {
  if (withheld !== 'sold') return { reason: reasons[withheld] }
  const base = nextBase(channel, amount)
  const { voucher } = channel
  if (base > (voucher?.max ?? channel.funds.claimed)) return { reason: reasons.busy }
  const voucherState = voucher === undefined ? {} : { voucherState: { signedMaxClaimable: `${voucher.max}`, signature: voucher.signature } }
  return { reason: reasons.sold, extra: { channelState: stateOf(channel, base), ...voucherState } }
}
