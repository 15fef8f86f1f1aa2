import { endStretch, landFilling, type PaymentEnd, type Prepared, type PrepareOptions, unsignedFunds } from '@flow402x/core'
import type { Hex } from '../../crypto/bytes.ts'
import { payerErrors } from '../../crypto/errors.ts'
import type { EvmSigner } from '../../crypto/signer.ts'
import { signVoucher } from '../signing.ts'
import { type BatchPayload, readBatchPayload } from '../wire.ts'
import { type Drawing, type DrawOptions, learnWhen, type PayerDesk, undo } from './books.ts'
import { broughtSchema } from './deposit.ts'
import type { ChannelOffer } from './offer.ts'
import { refunded } from './refund.ts'

/** What happened on a channel of the payer; amounts in atomic units of its token. */
export type PayerChannelEvent = { readonly channelId: Hex; readonly network: string; readonly token: Hex } & (
  | { readonly type: 'deposited'; readonly amount: bigint; readonly transaction: string }
  /** A call was charged; `left` can still be signed for. */
  | { readonly type: 'drew'; readonly amount: bigint; readonly left: bigint }
)

/** What the parts of a paying client share. */
export type Payer = {
  readonly desk: PayerDesk
  readonly voucherSigner: EvmSigner
  /** By how much each payment under way raised what is signed in all. */
  readonly raises: Map<string, bigint>
  readonly tell: (event: PayerChannelEvent) => void
}

/** What a payment is under way as, in these books. */
export function holdOf({ key }: Prepared): string {
  return key.id.slice(key.id.lastIndexOf('/') + 1)
}

/** Until when what is signed now can be used, by the seller's clock. */
export function drawOptions({ now, maxTimeoutSeconds, extensions, signal }: PrepareOptions): DrawOptions {
  return { until: Math.floor(now) + Math.floor(maxTimeoutSeconds), offered: extensions, signal }
}

type Signed = { readonly drawing: Drawing; readonly given: PrepareOptions }

/** Signs the voucher of a drawing, with its deposit. Errors: `evm/bad-signature`, and whatever the signer throws. */
export async function signed({ desk, voucherSigner, raises }: Payer, offer: ChannelOffer, { drawing, given }: Signed): Promise<Prepared> {
  const { id: channelId, config, chainId, network } = offer
  const { id, to, raised, filling } = drawing
  try {
    const { signature } = await signVoucher(config, to, { signer: voucherSigner, chainId })
    // The escrow recovers a key from 65 bytes and knows no other form for a key of its own.
    if (signature.length !== 132) throw payerErrors('evm/bad-signature', { address: voucherSigner.address })
    raises.set(id, raised)
    const drawn = { channelConfig: config, voucher: { channelId, maxClaimableAmount: `${to}`, signature } }
    const { authorization, extensions } = broughtSchema.parse(filling?.authorization ?? { authorization: {} })
    const deposit = filling && { amount: `${filling.amount}`, authorization }
    const payload = deposit === undefined ? { type: 'voucher', ...drawn } : { type: 'deposit', ...drawn, deposit }
    const key = { id: `${network}/${channelId}/${id}`, payer: config.payer.toLowerCase(), deadAfter: drawOptions(given).until }
    return { payload, key, ...(extensions === undefined ? {} : { extensions }) }
  } catch (error) {
    await undo(desk, channelId, drawing)
    throw error
  }
}

/** Writes down how a payment ended: never more than was agreed, and a deposit where the chain shows it. */
export async function finished(payer: Payer, prepared: Prepared, end: PaymentEnd): Promise<void> {
  const payload = readBatchPayload(prepared)
  if (payload === undefined || !('voucher' in payload)) return
  if (payload.type === 'refund') return await refunded(payer.desk, { payload, prepared, end })
  const { desk, raises, tell } = payer
  const { book, clock, chainOf } = desk
  const id = holdOf(prepared)
  const [network = ''] = prepared.key.id.split('/')
  const channelId = lower(payload.voucher.channelId)
  raises.delete(id)
  const trusts = chainOf(network) === undefined
  const ended = await book.change(channelId, (channel) => {
    const hold = channel.held.find((one) => one.id === id)
    const used = hold === undefined ? 0n : usedOf(hold.to - hold.from, end)
    const { channel: next } = endStretch(channel, { id, used, signature: payload.voucher.signature, now: clock() })
    const brought = isBrought(next.filling, payload) ? next.filling : undefined
    // The chain is asked whatever was said; without one a receipt is all there is.
    const isIn = brought !== undefined && end.status === 'paid' && (!trusts || end.receipt?.success === true)
    const row = isIn && trusts ? landFilling(next) : next
    return { channel: row, result: { row, used, brought: isIn ? brought.amount : 0n } }
  })
  if (ended === undefined) return
  const { row, used, brought } = ended
  const wanted = row.funds.balance + brought
  const isThere =
    brought > 0n && (trusts || (await learnWhen(desk, { id: channelId, network }, { isSeen: ({ balance }) => balance >= wanted })))
  const about = { channelId, network, token: payload.channelConfig.token }
  if (isThere) tell({ ...about, type: 'deposited', amount: brought, transaction: end.receipt?.transaction ?? '' })
  if (end.status === 'paid') tell({ ...about, type: 'drew', amount: used, left: unsignedFunds((await book.find(channelId)) ?? row) })
}

/** What of a stretch is charged: at most what was agreed, whatever the receipt says, and all of it where nothing is known. */
function usedOf(amount: bigint, { status, receipt }: PaymentEnd): bigint {
  if (status === 'unpaid') return 0n
  const said = receipt?.success === true ? receipt.extra?.chargedAmount : undefined
  const charged = typeof said === 'string' && /^\d{1,39}$/.test(said) ? BigInt(said) : amount
  return status === 'paid' && charged < amount ? charged : amount
}

function isBrought(filling: { readonly authorization: object } | undefined, payload: BatchPayload): boolean {
  if (filling === undefined || payload.type !== 'deposit') return false
  const { erc3009Authorization, permit2Authorization } = payload.deposit.authorization
  const signature = erc3009Authorization?.signature ?? permit2Authorization?.signature
  return JSON.stringify(filling.authorization).includes(`"${signature}"`)
}

/** An id in the one spelling that books have. */
export function lower(id: Hex): Hex {
  return `0x${id.slice(2).toLowerCase()}`
}
