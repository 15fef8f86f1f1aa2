import { type Channel, type Correction, learnPayerFunds, type Prepared, type PrepareOptions, usableFunds } from '@flow402x/core'
import * as z from 'zod/mini'
import { nobleSecp256k1 } from '../../crypto/secp256k1.ts'
import { voucherCheck } from '../voucher.ts'
import { type BatchPayload, correctiveState } from '../wire.ts'
import { type Drawing, draw, pause, readFunds, release } from './books.ts'
import { channelErrors } from './errors.ts'
import type { ChannelOffer } from './offer.ts'
import { drawOptions, holdOf, type Payer } from './payment.ts'
import { signedRefund } from './refund.ts'

/** A payment that was not taken, and what was said of it. */
export type Correcting = {
  readonly offer: ChannelOffer
  readonly prepared: Prepared
  readonly payload: Extract<BatchPayload, { readonly type: 'voucher' | 'deposit' | 'refund' }>
  readonly correction: Correction
  readonly given: PrepareOptions
}

const busyMs = 250
const mostBusyMs = 5000

/**
 * What to sign or send in the place of a payment that was not taken. The server's numbers lower what is signed; they raise it only up to
 * what these books, or a voucher of the payer's own that it shows, say was signed before this call.
 *
 * Errors: `evm/channel-disagrees`, `evm/channel-busy`, those of `draw`.
 */
export async function correct(payer: Payer, correcting: Correcting): Promise<Drawing | Prepared | undefined> {
  const { payload, prepared, correction } = correcting
  const code = correction.reason.replace('invalid_batch_settlement_evm_', '')
  const isMoved = code === 'cumulative_amount_mismatch' || code === 'cumulative_below_claimed'
  if (payload.type === 'refund') return isMoved ? await refundElsewhere(payer, correcting) : undefined
  if (isMoved) return await rebase(payer, correcting)
  if (code === 'channel_busy') return await sendAgain(payer, correcting)
  if (payload.type === 'deposit') return await withoutDeposit(payer, correcting, code)
  if (code !== 'channel_not_found' && code !== 'cumulative_exceeds_balance') return undefined
  const { desk } = payer
  const { offer, given } = correcting
  const funds = await readFunds(desk, offer, given.signal)
  if (funds === undefined) throw disagrees(offer, 'it finds less in the channel than was deposited, and no chain is given to look at')
  const first = (channel: Channel) => release(learnPayerFunds(channel, funds), { id: holdOf(prepared), now: desk.clock() })
  return await drawAgain(payer, correcting, first)
}

async function rebase(payer: Payer, correcting: Correcting): Promise<Drawing | undefined> {
  const { offer, prepared, given } = correcting
  const { desk } = payer
  const said = saidIn(correcting)
  if (said !== undefined) return await drawAgain(payer, correcting, (channel) => judged(payer, { ...correcting, ...said, channel }))
  const funds = await readFunds(desk, offer, given.signal)
  const id = holdOf(prepared)
  return funds && (await drawAgain(payer, correcting, (channel) => release(learnPayerFunds(channel, funds), { id, now: desk.clock() })))
}

async function drawAgain(payer: Payer, { offer, prepared, given }: Correcting, first: (channel: Channel) => Channel): Promise<Drawing> {
  const before = payer.raises.get(holdOf(prepared)) ?? offer.amount
  const drawing = await draw(payer.desk, offer, { ...drawOptions(given), first })
  // All that one call signs counts, so that no row of corrections adds up.
  return { ...drawing, raised: drawing.raised + before }
}

/** From where a receiver says to go on, and up to where it shows that the payer had signed. */
type Said = { readonly charged: bigint; readonly proven: bigint }

/** What a corrective 402 says of the channel; nothing where it says nothing of one. Errors: `evm/channel-disagrees` for another channel. */
export function saidIn({ offer, correction }: Pick<Correcting, 'offer' | 'correction'>): Said | undefined {
  const parsed = z.safeParse(correctiveState, correction.requirements.extra)
  if (!parsed.success) return undefined
  const { channelState, voucherState } = parsed.data
  if (channelState.channelId.toLowerCase() !== offer.id) throw disagrees(offer, 'it speaks of another channel')
  const { chainId, config: channelConfig, id: channelId } = offer
  const shown = voucherState && { channelId, maxClaimableAmount: voucherState.signedMaxClaimable, signature: voucherState.signature }
  const isOurs =
    shown !== undefined && voucherCheck({ chainId, secp256k1: nobleSecp256k1 })({ channelConfig, voucher: shown }) === undefined
  return { charged: channelState.chargedCumulativeAmount, proven: isOurs ? shown.maxClaimableAmount : 0n }
}

type Judging = Correcting & Said & { readonly channel: Channel }

function judged({ desk, raises }: Payer, { channel, charged, proven, offer, payload, prepared, correction }: Judging): Channel {
  const id = holdOf(prepared)
  const now = desk.clock()
  const end = 'voucher' in payload ? payload.voucher.maxClaimableAmount : 0n
  const position = charged > channel.funds.claimed ? charged : channel.funds.claimed
  const others = channel.top - (raises.get(id) ?? offer.amount)
  // The voucher that was just sent proves nothing: it was refused.
  const reach = proven > end && proven > others ? proven : others
  if (position > reach) throw disagrees(offer, `it counts ${position} as charged, and before this call ${reach} were signed`)
  if (correction.sends > 1 && position >= end) throw disagrees(offer, 'it counts this payment, which was sent more than once, as charged')
  if (channel.held.some((hold) => hold.id !== id && hold.until > now && hold.to > position)) {
    // It knows nothing yet of payments under way, which it would take beside others if it could.
    desk.oneByOne.add(offer.id)
    return release(channel, { id, now })
  }
  const row = release(channel, { id, position, now })
  if (position <= row.funds.balance || desk.chainOf(offer.network) !== undefined) return row
  return { ...row, funds: { ...row.funds, balance: position } }
}

/** Waits for what else is under way on the channel, and sends the very same payment. */
async function sendAgain({ desk }: Payer, { offer, prepared, given }: Correcting): Promise<Prepared> {
  const { book, clock, oneByOne } = desk
  const id = holdOf(prepared)
  oneByOne.add(offer.id)
  const deadline = clock() + mostBusyMs
  for (let isBusy = true; isBusy && clock() < deadline; ) {
    await pause(busyMs, given.signal)
    isBusy = (await book.find(offer.id))?.held.some((hold) => hold.id !== id && hold.until > clock()) ?? false
  }
  return prepared
}

/** The voucher alone, where the deposit that came with it is in already or was not needed yet. */
async function withoutDeposit(
  { desk }: Payer,
  { offer, payload, prepared, given }: Correcting,
  code: string,
): Promise<Prepared | undefined> {
  const row = await desk.book.find(offer.id)
  const max = 'voucher' in payload ? payload.voucher.maxClaimableAmount : 0n
  const isUsed = code === 'deposit_simulation_failed' || code === 'deposit_transaction_failed'
  const funds = isUsed ? await readFunds(desk, offer, given.signal) : undefined
  if (funds !== undefined) await desk.book.change(offer.id, (channel) => ({ channel: learnPayerFunds(channel, funds), result: undefined }))
  const standing = funds === undefined ? row : await desk.book.find(offer.id)
  const fits = standing !== undefined && max <= usableFunds(standing)
  if (!fits && (funds !== undefined || !isUsed)) return undefined
  const { deposit: _, ...rest } = prepared.payload
  return { key: prepared.key, payload: { ...rest, type: 'voucher' } }
}

async function refundElsewhere(payer: Payer, correcting: Correcting): Promise<Prepared | undefined> {
  const { offer, given } = correcting
  const said = saidIn(correcting)
  const row = await payer.desk.book.find(offer.id)
  if (said === undefined || row === undefined) return undefined
  if (said.charged > said.proven && said.charged > row.top) {
    throw disagrees(offer, `it counts ${said.charged} as charged, and ${row.top} were signed`)
  }
  const now = payer.desk.clock()
  const id = holdOf(correcting.prepared)
  await payer.desk.book.change(offer.id, (channel) => ({
    channel: release(channel, { id, position: said.charged, now }),
    result: undefined,
  }))
  return await signedRefund(payer, offer, { max: said.charged, given })
}

/** A seller's word that these books do not take. */
export function disagrees({ id }: ChannelOffer, why: string): Error {
  return channelErrors('evm/channel-disagrees', { channelId: id, why })
}
