import type { PaymentPayload } from '@flow402x/core'
import { remembered } from '@flow402x/core/remembered'
import * as z from 'zod/mini'
import { addressSchema, hexText } from '../chain/address.ts'
import { signatureSchema as signature, uint256 } from '../checks/signed.ts'
import type { Refusal } from '../checks/simulation.ts'
import type { Hex } from '../crypto/bytes.ts'

const uint128 = uint256.check(z.refine((value) => value < 1n << 128n))
const bytes32 = hexText(32)

/** What makes a channel (wire.md §11.2). */
export const channelConfig = z.object({
  payer: addressSchema,
  payerAuthorizer: addressSchema,
  receiver: addressSchema,
  receiverAuthorizer: addressSchema,
  token: addressSchema,
  withdrawDelay: z.int().check(z.gte(0), z.lt(2 ** 40)),
  salt: bytes32,
})

const signedVoucher = z.object({ channelId: bytes32, maxClaimableAmount: uint128, signature })
// Of a channel the config comes with each of its vouchers.
const drawn = { channelConfig: remembered(channelConfig, { members: ['payer', 'salt'], most: 1024 }), voucher: signedVoucher }

// Official clients write the salt as 32 bytes of hex; it is an integer all the same.
const salt = z.union([
  uint256,
  z.pipe(
    bytes32,
    z.transform((digits) => BigInt(digits)),
  ),
])
const erc3009Authorization = z.object({ validAfter: uint256, validBefore: uint256, salt, signature })
const permit2Authorization = z.object({
  from: addressSchema,
  permitted: z.object({ token: addressSchema, amount: uint256 }),
  spender: addressSchema,
  nonce: uint256,
  deadline: uint256,
  witness: z.object({ channelId: bytes32 }),
  signature,
})

/** What brings a deposit, in exactly one of two ways. */
export const depositAuthorization = z.union([
  z.object({ erc3009Authorization, permit2Authorization: z.optional(z.undefined()) }),
  z.object({ permit2Authorization, erc3009Authorization: z.optional(z.undefined()) }),
])

const voucherClaim = z.object({
  voucher: z.object({ channel: channelConfig, maxClaimableAmount: uint128 }),
  signature,
  totalClaimed: uint128,
})
// What simulates and what is sent is bounded; official servers put at most 100 claims together.
const claims = z.array(voucherClaim).check(z.minLength(1), z.maxLength(100))

/** The most receivers that a claim pays in its own transaction. */
export const mostSettles = 16

const sweep = z.object({ receiver: addressSchema, token: addressSchema })

/** The payload of `batch-settlement`, by its `type` (wire.md §11.3). Amounts and times become bigint. */
export const batchPayload = z.discriminatedUnion('type', [
  z.object({ type: z.literal('voucher'), ...drawn }),
  z.object({
    type: z.literal('deposit'),
    ...drawn,
    deposit: z.object({
      amount: uint128,
      authorization: depositAuthorization,
    }),
  }),
  z.object({
    type: z.literal('refund'),
    ...drawn,
    amount: z.optional(uint128),
    refundNonce: z.optional(uint256),
    claims: z.optional(z.array(voucherClaim).check(z.maxLength(100))),
    refundAuthorizerSignature: z.optional(signature),
    claimAuthorizerSignature: z.optional(signature),
  }),
  z.object({
    type: z.literal('claim'),
    claims,
    claimAuthorizerSignature: z.optional(signature),
    // Who is to be paid in the same transaction (streaming.md §9). Other facilitators do not read it: what they leave is settled afterwards.
    settles: z.optional(z.array(sweep).check(z.maxLength(mostSettles))),
  }),
  z.object({ type: z.literal('settle'), ...sweep.shape }),
])

/** The payload of `batch-settlement`, by its `type` (wire.md §11.3). Amounts and times become bigint. */
export type BatchPayload = z.infer<typeof batchPayload>

/** What a payload may be. */
export const payloadTypes = ['voucher', 'deposit', 'refund', 'claim', 'settle'] as const satisfies readonly BatchPayload['type'][]

/** One channel's row of a claim. */
export type VoucherClaim = z.infer<typeof voucherClaim>

/** What a 402 says of the channels it takes (wire.md §11.1). */
export const batchTerms = z.looseObject({
  receiverAuthorizer: addressSchema.check(z.regex(/[1-9a-fA-F]/)),
  withdrawDelay: z.int().check(z.gte(900), z.lte(2_592_000)),
  minDeposit: z.optional(uint128),
  name: z.optional(z.string()),
  version: z.optional(z.string()),
  assetTransferMethod: z.optional(z.enum(['eip3009', 'permit2'])),
})

/** What a corrective 402 says beside its terms (wire.md §11.5): where the receiver stands, and what it holds of the payer. */
export const correctiveState = z.looseObject({
  channelState: z.looseObject({ channelId: bytes32, chargedCumulativeAmount: uint128 }),
  voucherState: z.optional(z.looseObject({ signedMaxClaimable: uint128, signature })),
})

/** The payload of a payment, or nothing where it is none of this scheme's. */
export function readBatchPayload({ payload }: Pick<PaymentPayload, 'payload'>): BatchPayload | undefined {
  const known = lately.find((one) => one.payload === payload)
  if (known !== undefined) return known.parsed
  const { data: parsed } = z.safeParse(batchPayload, payload)
  if (parsed === undefined) return undefined
  lately[newest] = { payload, parsed }
  newest = (newest + 1) % mostLately
  return parsed
}

// A message is read by several who look at it, and costs each of them what a signature does. No WeakMap: what is in one, with all that
// hangs on it, stays until the next full collection of garbage.
const lately: { readonly payload: object; readonly parsed: BatchPayload }[] = []
const mostLately = 16
let newest = 0

const names = [
  'channel_not_found',
  'token_mismatch',
  'voucher_signature',
  'cumulative_exceeds_balance',
  'cumulative_below_claimed',
  'insufficient_balance',
  'deposit_transaction_failed',
  'claim_transaction_failed',
  'settle_transaction_failed',
  'scheme',
  'network_mismatch',
  'missing_eip712_domain',
  'payload_authorization_valid_before',
  'payload_authorization_valid_after',
  'receive_authorization_signature',
  'erc3009_authorization_required',
  'refund_transaction_failed',
  'payload_type',
  'withdraw_delay_out_of_range',
  'channel_id_mismatch',
  'channel_id_invalid',
  'receiver_mismatch',
  'receiver_authorizer_mismatch',
  'withdraw_delay_mismatch',
  'authorizer_address_mismatch',
  'authorizer_not_configured',
  'deposit_simulation_failed',
  'deposit_below_min_deposit',
  'eip6492_factory_not_allowed',
  'smart_wallet_deployment_failed',
  'claim_simulation_failed',
  'settle_simulation_failed',
  'nothing_to_settle',
  'refund_payload',
  'refund_simulation_failed',
  'rpc_read_failed',
  'permit2_authorization_required',
  'permit2_invalid_spender',
  'permit2_amount_mismatch',
  'permit2_deadline_expired',
  'permit2_invalid_signature',
  'permit2_allowance_required',
  'eip2612_amount_mismatch',
  'eip2612_owner_mismatch',
  'eip2612_asset_mismatch',
  'eip2612_spender_mismatch',
  'eip2612_deadline_expired',
  'erc20_approval_unavailable',
  'cumulative_amount_mismatch',
  'channel_busy',
  'verification_state_unavailable',
  'charge_exceeds_signed_cumulative',
  'missing_channel',
  'refund_no_balance',
  'refund_amount_invalid',
] as const

/** What a payment over a channel is refused for (wire.md §19). */
export type BatchReason = `invalid_batch_settlement_evm_${(typeof names)[number]}` | 'invalid_payload'

/** The wire's spelling of a reason. */
export function batchReason(name: (typeof names)[number]): BatchReason {
  return `invalid_batch_settlement_evm_${name}`
}

/** Every reason, as the wire spells it. */
export const batchReasons: readonly BatchReason[] = names.map(batchReason)

/** Why a payment over a channel is refused. */
export type BatchRefusal = Refusal<BatchReason>

/** The id of a channel as the books have it. */
export function bookId(channelId: string): Hex {
  // The text itself wherever it can be: a new one is hashed anew where it is looked up.
  return isBookId(channelId) ? channelId : `0x${channelId.slice(2).toLowerCase()}`
}

function isBookId(channelId: string): channelId is Hex {
  return /^0x[^A-Z]*$/.test(channelId)
}
