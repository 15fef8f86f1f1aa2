import {
  type Channel,
  type ChannelBook,
  type ChannelFunds,
  type ChannelStore,
  channelBook,
  finishStretch,
  learnFunds,
  nextBase,
  type SettleResponse,
  type Submission,
  sameAddress,
  takeStretch,
} from '@flow402x/core'
import * as z from 'zod/mini'
import type { EvmChain } from '../chain/evm-chain.ts'
import { toBytes, toHex } from '../crypto/bytes.ts'
import { canonicalSignature } from '../crypto/secp256k1.ts'
import { stateCalls, stateIn } from './calls.ts'
import { type Drawn, refuseChannel, voucherCheck } from './voucher.ts'
import { type BatchReason, type BatchRefusal, batchReason, batchTerms, channelConfig, readBatchPayload, type VoucherClaim } from './wire.ts'

/** What taking vouchers needs: the chain to read channels from, and a durable store for their books. */
export type ChannelReceiverOptions = {
  readonly chain: Pick<EvmChain, 'network' | 'chainId' | 'secp256k1' | 'read'>
  readonly store: ChannelStore
}

/** Work that a voucher pays for: done under `id`, for at most what it holds. */
export type TakenVoucher = Drawn & { readonly id: string; readonly from: bigint; readonly amount: bigint }

/** Why a voucher does not pay, and where its payer may go on from: `extra` belongs into the offer of the 402 (wire.md §11.5). */
export type VoucherRefusal = BatchRefusal & { readonly extra?: Readonly<Record<string, unknown>> }

/** The receiver's side of channels on one network: vouchers pay here without a facilitator and without the chain. */
export interface ChannelReceiver {
  /**
   * Takes the voucher of a payment for one run of the work it pays for, until `until` (Unix ms): as long is no copy of it taken. Many of
   * one channel may be under way. The chain is asked only where nothing fresh is known of the channel.
   */
  take(
    submission: Submission,
    options: { readonly id: string; readonly now: number; readonly until: number; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly taken: TakenVoucher } | VoucherRefusal>
  /** Charges `used` for work that was done, nothing for work that failed; without a receipt nothing may be delivered. */
  finish(taken: TakenVoucher, options: { readonly used: bigint; readonly now: number }): Promise<SettleResponse | undefined>
  /** Reads a channel from the chain again: after a deposit, a claim or a refund, and to notice a withdrawal (A24). */
  refresh(channelId: string, options: { readonly now: number; readonly signal?: AbortSignal | undefined }): Promise<void>
  /** What can be claimed: of each channel all that was charged, never what was only signed. */
  claims(): AsyncIterable<VoucherClaim>
}

/** The receiver's side of channels. Errors: those of `EvmChain.read` and of the store. */
export function channelReceiver({ chain, store }: ChannelReceiverOptions): ChannelReceiver {
  const book = channelBook(store, { side: 'receiver' })
  const check = voucherCheck(chain)
  const known = (drawn: Drawn, options: Reading): Promise<Channel | undefined> => knownChannel(drawn, { ...options, book, chain })

  return {
    async take({ payment, requirements }, { id, now, until, signal }) {
      const payload = readBatchPayload(payment)
      if (payload?.type !== 'voucher') return { reason: payload === undefined ? 'invalid_payload' : batchReason('payload_type') }
      const refused = refuseTerms(payload, { payment, requirements }) ?? check(payload)
      if (refused !== undefined) return refused
      const amount = BigInt(requirements.amount)
      const { maxClaimableAmount: max } = payload.voucher
      const channelId = payload.voucher.channelId.toLowerCase()
      const row = await known(payload, { now, signal })
      if (row === undefined) return { reason: batchReason('channel_not_found') }
      const take = (channel: Channel) => takeStretch(channel, { id, max, amount, now, until })
      let withheld = await book.change(channelId, take)
      if (withheld === 'beyond' && row.funds.readAt < now) {
        // Its payer may have filled it since.
        await known(payload, { now, signal, atLeast: now })
        withheld = await book.change(channelId, take)
      }
      if (withheld === undefined) return { taken: { ...payload, voucher: claimable(payload.voucher), id, from: max - amount, amount } }
      const standing = await book.find(channelId)
      return withheld === 'sold' && standing !== undefined ? correction(standing, amount) : { reason: reasons[withheld] }
    },
    async finish({ id, from, voucher, channelConfig: { payer } }, { used, now }) {
      const channelId = voucher.channelId.toLowerCase()
      const done = await book.change(channelId, (channel) => {
        const { channel: next, result } = finishStretch(channel, { id, used, signature: voucher.signature, now })
        return { channel: next, result: result ? next : undefined }
      })
      if (done === undefined) return undefined
      const extra = { chargedAmount: `${used}`, channelState: stateOf(done, from + used) }
      return { success: true, transaction: '', amount: '', network: chain.network, payer: payer.toLowerCase(), extra }
    },
    async refresh(channelId, { now, signal }) {
      const id = channelId.toLowerCase()
      const funds = await readFunds(id, { chain, now, signal })
      if (funds !== undefined) await book.change(id, (channel) => learnFunds(channel, funds))
    },
    async *claims() {
      for await (const channel of store.list({ side: 'receiver', owed: true })) {
        const claim = channel.network === chain.network ? claimOf(channel) : undefined
        if (claim !== undefined) yield claim
      }
    },
  }
}

/** A voucher with its signature in the one form that the escrow takes: it knows no v of 0 or 1, as some wallets write it. */
function claimable(voucher: Drawn['voucher']): Drawn['voucher'] {
  const canonical = canonicalSignature(toBytes(voucher.signature))
  return canonical === undefined ? voucher : { ...voucher, signature: toHex(canonical) }
}

const reasons = {
  beyond: batchReason('cumulative_exceeds_balance'),
  held: batchReason('channel_busy'),
  busy: batchReason('channel_busy'),
  sold: batchReason('cumulative_amount_mismatch'),
} as const satisfies Record<string, BatchReason>

function refuseTerms({ channelConfig: config }: Drawn, { payment: { accepted }, requirements }: Submission): BatchRefusal | undefined {
  if (accepted.scheme !== 'batch-settlement' || requirements.scheme !== 'batch-settlement') return { reason: batchReason('scheme') }
  if (accepted.network !== requirements.network) return { reason: batchReason('network_mismatch') }
  if (!sameAddress(accepted.asset, requirements.asset)) return { reason: batchReason('token_mismatch') }
  const terms = z.safeParse(batchTerms, requirements.extra)
  if (!terms.success) return { reason: batchReason('receiver_authorizer_mismatch') }
  return refuseChannel(config, { ...terms.data, receiver: requirements.payTo, token: requirements.asset })
}

type Reading = { readonly now: number; readonly signal?: AbortSignal | undefined; readonly atLeast?: number }
type Sources = Reading & Pick<ChannelReceiverOptions, 'chain'> & { readonly book: ChannelBook }

/** The row of a channel, of which the chain was asked not too long ago; nothing where no deposit stands there. */
async function knownChannel(
  { channelConfig: config, voucher }: Drawn,
  { now, signal, atLeast = now - freshFor(config.withdrawDelay), book, chain }: Sources,
): Promise<Channel | undefined> {
  const id = voucher.channelId.toLowerCase()
  const found = await book.find(id)
  if (found !== undefined && found.funds.readAt >= atLeast) return found
  const funds = await readFunds(id, { chain, now, signal })
  // An answer that does not come must not let old numbers pay.
  if (funds === undefined || funds.balance === 0n) return undefined
  if (found === undefined) {
    const { network } = chain
    const charged = funds.claimed
    return book.open({ id, network, config, funds, refunding: 0n, charged, top: charged, held: [], free: [] })
  }
  await book.change(id, (channel) => learnFunds(channel, funds))
  return book.find(id)
}

async function readFunds(id: string, { chain, now, signal }: Reading & Pick<Sources, 'chain'>): Promise<ChannelFunds | undefined> {
  const state = stateIn(await chain.read(stateCalls(`0x${id.slice(2)}`), { signal }))
  if (state === undefined) return undefined
  const { balance, totalClaimed: claimed, withdrawing, withdrawRequestedAt: withdrawalAt, refundNonce } = state
  return { balance, claimed, withdrawing, withdrawalAt, refundNonce, readAt: now }
}

/** A third of the delay after which a withdrawal is over, from 30 seconds to 5 minutes (wire.md §21); in milliseconds. */
function freshFor(withdrawDelay: number): number {
  return Math.min(Math.max(withdrawDelay / 3, 30), 300) * 1000
}

/** Tells who signed for this channel from where to go on; while work is under way that is not settled yet. */
function correction(channel: Channel, amount: bigint): VoucherRefusal {
  const base = nextBase(channel, amount)
  const { voucher } = channel
  if (base > (voucher?.max ?? channel.funds.claimed)) return { reason: reasons.busy }
  const voucherState = voucher === undefined ? {} : { voucherState: { signedMaxClaimable: `${voucher.max}`, signature: voucher.signature } }
  return { reason: reasons.sold, extra: { channelState: stateOf(channel, base), ...voucherState } }
}

function stateOf({ id, funds }: Channel, charged: bigint): Readonly<Record<string, unknown>> {
  return {
    channelId: id,
    balance: `${funds.balance}`,
    totalClaimed: `${funds.claimed}`,
    withdrawRequestedAt: funds.withdrawalAt,
    refundNonce: `${funds.refundNonce}`,
    chargedCumulativeAmount: `${charged}`,
  }
}

function claimOf({ config, voucher, charged, funds }: Channel): VoucherClaim | undefined {
  const channel = z.safeParse(channelConfig, config)
  const signature = z.safeParse(z.templateLiteral(['0x', z.string()]), voucher?.signature)
  // The escrow pays no more than is in it, and one row that asks for more takes the whole batch down.
  const totalClaimed = charged < funds.balance ? charged : funds.balance
  if (!channel.success || !signature.success || voucher === undefined || totalClaimed <= funds.claimed) return undefined
  return { voucher: { channel: channel.data, maxClaimableAmount: voucher.max }, signature: signature.data, totalClaimed }
}
