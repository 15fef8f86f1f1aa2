import type { PaymentPayload, PaymentRequirements, Submission, VoucherRefusal } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema } from '../chain/address.ts'
import { decodeBase58 } from '../chain/base58.ts'
import type { ExactReason } from '../vouchers/rail.ts'
import { type ChannelSeeds, channelAddress } from './program.ts'

/** The scheme's name: streams over channels of the payment-channels program (FS/1 §12.2). */
export const channelsScheme = 'flow402x-channels'

const u64 = z.string().check(
  z.regex(/^(0|[1-9]\d{0,19})$/),
  z.refine((text) => BigInt(text) < 1n << 64n),
)

/** What a channel is made from, as it travels and is kept. */
export const channelTerms = z.object({
  payer: addressSchema,
  payee: addressSchema,
  mint: addressSchema,
  authorizedSigner: addressSchema,
  salt: u64,
  openSlot: u64,
})

/** What a channel is made from, as it travels and is kept. */
export type ChannelTerms = z.infer<typeof channelTerms>

/** The seeds of a channel. */
export function seedsOf({ salt, openSlot, ...parties }: ChannelTerms): ChannelSeeds {
  return { ...parties, salt: BigInt(salt), openSlot: BigInt(openSlot) }
}

/** The name of a channel. */
export function idOf(terms: ChannelTerms): string {
  return channelAddress(seedsOf(terms))
}

/** A payment over a channel: everything up to `maxClaimableAmount` over its life, by a voucher that never expires. */
const channelPayload = z.object({
  type: z.literal('voucher'),
  channel: channelTerms,
  voucher: z.object({
    channelId: addressSchema,
    maxClaimableAmount: u64,
    signature: z.string().check(z.refine((text) => decodeBase58(text)?.length === 64)),
  }),
})

/** A payment over a channel. */
export type ChannelPayload = z.infer<typeof channelPayload>

/** What an offer says beside the price: who ends channels and so settles them to the last, how long he is left for it, which deposit is advised. */
export const channelExtra = z.looseObject({ payee: addressSchema, withdrawDelay: z.int().check(z.positive()) })

/** Why a payment over a channel is refused, by its short name. */
export function channelsReason(name: ExactReason | 'scheme' | 'channel_id_mismatch' | 'payee_mismatch' | 'asset_mismatch'): string {
  return `invalid_flow402x_channels_${name}`
}

/** The payload of a payment; nothing for another's. */
export function readChannelPayload(payment: PaymentPayload): ChannelPayload | undefined {
  if (payment.accepted.scheme !== channelsScheme) return undefined
  return z.safeParse(channelPayload, payment.payload).data
}

/** Whether a payment is over a channel that requirements ask for: told with no look anywhere. */
export function refuseTerms({ channel, voucher }: ChannelPayload, { payment, requirements }: Submission): VoucherRefusal | undefined {
  if (payment.accepted.scheme !== channelsScheme || requirements.scheme !== channelsScheme) return { reason: channelsReason('scheme') }
  if (payment.accepted.network !== requirements.network) return { reason: channelsReason('network_mismatch') }
  if (idOf(channel) !== voucher.channelId) return { reason: channelsReason('channel_id_mismatch') }
  return refuseParties(channel, requirements)
}

function refuseParties({ payee, mint }: ChannelTerms, { asset, extra }: PaymentRequirements): VoucherRefusal | undefined {
  if (mint !== asset) return { reason: channelsReason('asset_mismatch') }
  return z.safeParse(channelExtra, extra).data?.payee === payee ? undefined : { reason: channelsReason('payee_mismatch') }
}
