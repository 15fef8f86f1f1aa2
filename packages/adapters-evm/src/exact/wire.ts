import type { PaymentKey, PaymentPayload, PaymentRequirements, Submission } from '@flow402x/core'
import { sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema, chainIdOf, hexText, isAddress } from '../chain/address.ts'
import { domainOf, isOneAsset, signatureSchema, toSeconds, transferMethodOf, uint256, windowFault } from '../checks/signed.ts'
import type { Refusal as AnyRefusal } from '../checks/simulation.ts'

const nonceSchema = hexText(32)

/** The payload of `exact` by EIP-3009: an authorization with its signature (wire.md §8). Amounts and times become bigint. */
export const exactPayload = z.object({
  signature: signatureSchema,
  authorization: z.object({
    from: addressSchema,
    to: addressSchema,
    value: uint256,
    validAfter: uint256,
    validBefore: uint256,
    nonce: nonceSchema,
  }),
})

/** The payload of `exact` by EIP-3009: an authorization with its signature (wire.md §8). Amounts and times become bigint. */
export type ExactPayload = z.infer<typeof exactPayload>

/** What a payment by EIP-3009 is refused for (wire.md §19). */
export const exactReasons = [
  'invalid_payload',
  'invalid_payment_requirements',
  'unsupported_payload_type',
  'asset_not_deployed_contract',
  'eip6492_factory_not_allowed',
  'smart_wallet_deployment_failed',
  'invalid_exact_evm_scheme',
  'invalid_exact_evm_missing_eip712_domain',
  'invalid_exact_evm_network_mismatch',
  'invalid_exact_evm_signature',
  'invalid_exact_evm_recipient_mismatch',
  'invalid_exact_evm_payload_authorization_valid_before',
  'invalid_exact_evm_payload_authorization_valid_after',
  'invalid_exact_evm_payload_authorization_value_mismatch',
  'invalid_exact_evm_token_name_mismatch',
  'invalid_exact_evm_token_version_mismatch',
  'invalid_exact_evm_eip3009_not_supported',
  'invalid_exact_evm_nonce_already_used',
  'invalid_exact_evm_insufficient_balance',
  'invalid_exact_evm_transaction_simulation_failed',
  'invalid_exact_evm_transaction_failed',
  'invalid_exact_evm_transfer_event_mismatch',
] as const

/** What a payment by EIP-3009 is refused for (wire.md §19). */
export type ExactReason = (typeof exactReasons)[number]

/** Why a payment is refused: the spec's string, and where it helps a sentence. */
export type Refusal = AnyRefusal<ExactReason>

const read = new WeakMap<object, ExactPayload | undefined>()

/** The payload of a payment, or nothing where it is no EIP-3009 payload; each is read once, for what came over the wire is not changed. */
export function readPayload({ payload }: PaymentPayload): ExactPayload | undefined {
  if (read.has(payload)) return read.get(payload)
  const parsed = z.safeParse(exactPayload, payload).data
  read.set(payload, parsed)
  return parsed
}

/**
 * The identity of a payment by EIP-3009 (M11): network, asset, payer and nonce, each in one spelling, so that the case of
 * hex, the encoding of the signature and the order of JSON make no second key. Nothing for another scheme's payment.
 */
export function paymentKey(payment: PaymentPayload): PaymentKey | undefined {
  const { scheme, network, asset } = payment.accepted
  const payload = readPayload(payment)
  if (scheme !== 'exact' || payload === undefined || chainIdOf(network) === undefined || !isAddress(asset)) return undefined
  return keyOf(payload.authorization, { network, asset })
}

/** The identity of an authorization of `asset`. */
export function keyOf(
  { from, nonce, validBefore }: ExactPayload['authorization'],
  { network, asset }: Pick<PaymentRequirements, 'network' | 'asset'>,
): PaymentKey {
  const payer = from.toLowerCase()
  return { id: [network, asset.toLowerCase(), payer, nonce.toLowerCase()].join('/'), payer, deadAfter: toSeconds(validBefore) }
}

/** What a submission must say of itself before its signature is looked at: scheme, transfer method, domain, network (wire.md §8). */
export function refuseTerms({ payment, requirements }: Submission, network: string): Refusal | undefined {
  const { accepted } = payment
  if (accepted.scheme !== 'exact' || requirements.scheme !== 'exact') return { reason: 'invalid_exact_evm_scheme' }
  if (!isEip3009(requirements)) return { reason: 'unsupported_payload_type', message: 'Only assetTransferMethod eip3009 is served here.' }
  if (domainOf(requirements) === undefined) return { reason: 'invalid_exact_evm_missing_eip712_domain' }
  if (accepted.network !== network || requirements.network !== network) return { reason: 'invalid_exact_evm_network_mismatch' }
  if (!isOneAsset({ payment, requirements }))
    return { reason: 'invalid_payment_requirements', message: 'The payment is for another asset.' }
  return undefined
}

/**
 * The signed payee, window and amount against what was asked, in the order of wire.md §8 (A26). A window that reaches further
 * than was asked is refused too: its money would stay in doubt for longer than the seller agreed to (M12).
 */
export function refuseAuthorization(
  { to, value, validAfter, validBefore }: ExactPayload['authorization'],
  { requirements, now }: { readonly requirements: PaymentRequirements; readonly now: number },
): Refusal | undefined {
  if (!sameAddress(to, requirements.payTo)) return { reason: 'invalid_exact_evm_recipient_mismatch' }
  const fault = windowFault({ from: validAfter, until: validBefore }, { requirements, now })
  if (fault?.end === 'until') return { reason: 'invalid_exact_evm_payload_authorization_valid_before', message: fault.message }
  if (fault !== undefined) return { reason: 'invalid_exact_evm_payload_authorization_valid_after' }
  if (value !== BigInt(requirements.amount)) return { reason: 'invalid_exact_evm_payload_authorization_value_mismatch' }
  return undefined
}

/** Whether requirements ask for a transfer by EIP-3009, which is what they mean when they do not say. */
function isEip3009(requirements: PaymentRequirements): boolean {
  return transferMethodOf(requirements) === 'eip3009'
}
