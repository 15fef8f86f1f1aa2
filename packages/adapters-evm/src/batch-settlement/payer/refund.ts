import { learnPayerFunds, nextBase, type PaymentEnd, type Prepared, type PrepareOptions } from '@flow402x/core'
import { signVoucher } from '../signing.ts'
import type { BatchPayload } from '../wire.ts'
import { learnWhen, openRow, type PayerDesk, readFunds } from './books.ts'
import { channelErrors } from './errors.ts'
import type { ChannelOffer } from './offer.ts'
import { drawOptions, lower, type Payer } from './payment.ts'

/** Asks a receiver to give back what was not charged; nothing where nothing is kept with it. Errors: `evm/channel-busy`, those of the chain. */
export async function refundOf(payer: Payer, offer: ChannelOffer, given: PrepareOptions): Promise<Prepared | undefined> {
  const { desk } = payer
  const found = await desk.book.find(offer.id)
  const funds = await readFunds(desk, offer, given.signal)
  if (found === undefined && (funds === undefined || funds.balance === 0n)) return undefined
  await openRow(desk, offer, { signal: given.signal })
  const row = await desk.book.change(offer.id, (channel) => {
    const next = funds === undefined ? channel : learnPayerFunds(channel, funds)
    return { channel: next, result: next }
  })
  if (row === undefined || row.funds.balance <= row.charged) return undefined
  if (row.held.some(({ until }) => until > desk.clock())) throw channelErrors('evm/channel-busy', { channelId: offer.id })
  return await signedRefund(payer, offer, { max: nextBase(row, 0n), given })
}

/** The wish to have back what lies above `max`, which a receiver that counts the same takes. It is signed for already. */
export async function signedRefund(
  { desk, voucherSigner }: Payer,
  { id: channelId, config, chainId, network }: ChannelOffer,
  { max, given }: { readonly max: bigint; readonly given: PrepareOptions },
): Promise<Prepared> {
  // Receivers compare it with the signature they have.
  const kept = (await desk.book.find(channelId))?.voucher
  const { signature } = kept?.max === max ? kept : await signVoucher(config, max, { signer: voucherSigner, chainId })
  const voucher = { channelId, maxClaimableAmount: `${max}`, signature }
  const key = { id: `${network}/${channelId}/refund`, payer: config.payer.toLowerCase(), deadAfter: drawOptions(given).until }
  return { payload: { type: 'refund', channelConfig: config, voucher }, key }
}

type Refunded = { readonly payload: BatchPayload & { readonly type: 'refund' }; readonly prepared: Prepared; readonly end: PaymentEnd }

/** Writes down what the chain says after a refund; where it cannot be asked, what the receiver says. */
export async function refunded(desk: PayerDesk, { payload, prepared, end: { status, receipt } }: Refunded): Promise<void> {
  const id = lower(payload.voucher.channelId)
  const [network = ''] = prepared.key.id.split('/')
  const before = await desk.book.find(id)
  if (before === undefined || status !== 'paid') return
  if (desk.chainOf(network) !== undefined) {
    await learnWhen(desk, { id, network }, { isSeen: ({ refundNonce }) => refundNonce > before.funds.refundNonce })
    return
  }
  const said = /^\d{1,39}$/.test(receipt?.amount ?? '') ? BigInt(receipt?.amount ?? 0) : 0n
  await desk.book.change(id, (channel) => {
    const unspent = channel.funds.balance - channel.charged
    const balance = channel.funds.balance - (said < unspent ? said : unspent)
    return { channel: { ...channel, funds: { ...channel.funds, balance } }, result: undefined }
  })
}
