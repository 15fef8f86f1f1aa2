import type { PaymentPayload, PaymentRequirements, Submission, VoucherRefusal } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema } from '../chain/address.ts'
import { decodeBase58 } from '../chain/base58.ts'
import { channelIdOf, type NonceChannel, nonceChannel } from './channel.ts'

/** The scheme's name (FS/1 §12.3). */
export const nonceScheme = 'flow402x-nonce'

const amount = z.string().check(z.regex(/^(0|[1-9]\d{0,19})$/))
const signature = z.string().check(z.refine((text) => decodeBase58(text)?.length === 64))

/**
 * A voucher as a payment carries it: everything up to `maxClaimableAmount` over the channel's life, of which `settled` was paid in earlier
 * epochs; the signature is over the rest, on `nonce`.
 */
const wireVoucher = z.object({
  channelId: addressSchema,
  maxClaimableAmount: amount,
  settled: amount,
  nonce: addressSchema,
  signature,
})

/** A payment of a payer, or with `settle` what a receiver asks of the facilitator that is the nonce's authority. */
export const noncePayload = z.object({ type: z.enum(['voucher', 'settle']), channel: nonceChannel, voucher: wireVoucher })

/** A payment over a channel of nonces. */
export type NoncePayload = z.infer<typeof noncePayload>

/** What an offer says beside the price: who settles, and which deposit is advised. */
export const nonceExtra = z.looseObject({ nonceAuthority: addressSchema, minDeposit: z.nullish(amount) })

const reasons = [
  'payload',
  'payload_type',
  'network_mismatch',
  'scheme',
  'channel_id_mismatch',
  'receiver_mismatch',
  'asset_mismatch',
  'authority_mismatch',
  'voucher_signature',
  'channel_not_found',
  'channel_busy',
  'cumulative_amount_mismatch',
  'cumulative_exceeds_balance',
  /** Signed over a nonce that has moved on: `extra` says from where to go on. */
  'stale_nonce',
  /** It is being settled: what is signed over its nonce now would be dead a moment later. */
  'settling',
  'settlement_simulation',
  'settlement_failed',
] as const

/** Why a payment over a channel of nonces is refused. */
export type NonceReason = `invalid_flow402x_nonce_${(typeof reasons)[number]}`

/** A reason by its short name. */
export function nonceReason(name: (typeof reasons)[number]): NonceReason {
  return `invalid_flow402x_nonce_${name}`
}

/** Why nothing is taken. */
export type NonceRefusal = VoucherRefusal & { readonly reason: NonceReason }

/** The payload of a payment; nothing for another's. */
export function readNoncePayload(payment: PaymentPayload): NoncePayload | undefined {
  if (payment.accepted.scheme !== nonceScheme) return undefined
  const parsed = z.safeParse(noncePayload, payment.payload)
  return parsed.success ? parsed.data : undefined
}

/** Whether a payment is over a channel that the requirements ask for: told with no look anywhere. */
export function refuseTerms({ channel, voucher }: NoncePayload, { payment, requirements }: Submission): NonceRefusal | undefined {
  const { accepted } = payment
  if (accepted.scheme !== nonceScheme || requirements.scheme !== nonceScheme) return { reason: nonceReason('scheme') }
  if (accepted.network !== requirements.network) return { reason: nonceReason('network_mismatch') }
  if (channelIdOf(channel) !== voucher.channelId) return { reason: nonceReason('channel_id_mismatch') }
  return refuseChannel(channel, requirements)
}

/** Whether a channel is one that requirements ask for. */
function refuseChannel(channel: NonceChannel, { payTo, asset, extra }: PaymentRequirements): NonceRefusal | undefined {
  if (channel.receiver !== payTo) return { reason: nonceReason('receiver_mismatch') }
  if (channel.asset !== asset) return { reason: nonceReason('asset_mismatch') }
  const terms = z.safeParse(nonceExtra, extra)
  if (!terms.success || terms.data.nonceAuthority !== channel.nonceAuthority) return { reason: nonceReason('authority_mismatch') }
  return undefined
}
