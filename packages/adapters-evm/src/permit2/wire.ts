import { type PaymentKey, type PaymentPayload, type PaymentRequirements, type Submission, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { addressSchema, chainIdOf } from '../chain/address.ts'
import { isOneAsset, signatureSchema, toSeconds, transferMethodOf, uint256, windowFault } from '../checks/signed.ts'
import type { Refusal as AnyRefusal } from '../checks/simulation.ts'

/** Where Permit2 stands on every chain. */
export const permit2Address = '0x000000000022D473030F116dDEE9F6B43aC78BA3'

/** The payload of a payment by Permit2: a transfer with its witness and signature (wire.md §8, §10). Amounts and times become bigint. */
export const permit2Payload = z.object({
  signature: signatureSchema,
  permit2Authorization: z.object({
    from: addressSchema,
    permitted: z.object({ token: addressSchema, amount: uint256 }),
    spender: addressSchema,
    nonce: uint256,
    deadline: uint256,
    witness: z.object({ to: addressSchema, facilitator: z.optional(addressSchema), validAfter: uint256 }),
  }),
})

/** The payload of a payment by Permit2: a transfer with its witness and signature (wire.md §8, §10). Amounts and times become bigint. */
export type Permit2Payload = z.infer<typeof permit2Payload>

/** What the payer of a payment by Permit2 signed, and who he says he is. */
export type Permit2Authorization = Permit2Payload['permit2Authorization']

/** What a payment by Permit2 is refused for, whatever its scheme (wire.md §19). */
export const permit2Reasons = [
  'invalid_payload',
  'invalid_payment_requirements',
  'unsupported_payload_type',
  'asset_not_deployed_contract',
  'invalid_permit2_spender',
  'invalid_permit2_recipient_mismatch',
  'permit2_deadline_expired',
  'permit2_not_yet_valid',
  'permit2_amount_mismatch',
  'permit2_token_mismatch',
  'invalid_permit2_signature',
  'permit2_allowance_required',
  'permit2_simulation_failed',
  'permit2_insufficient_balance',
  'permit2_proxy_not_deployed',
  'permit2_invalid_amount',
  'permit2_invalid_destination',
  'permit2_invalid_owner',
  'permit2_payment_too_early',
  'permit2_invalid_nonce',
  'permit2_2612_amount_mismatch',
  'invalid_eip2612_extension_format',
  'eip2612_from_mismatch',
  'eip2612_asset_mismatch',
  'eip2612_spender_not_permit2',
  'eip2612_deadline_expired',
  'invalid_erc20_approval_extension_format',
  'erc20_approval_from_mismatch',
  'erc20_approval_asset_mismatch',
  'erc20_approval_spender_not_permit2',
  'erc20_approval_tx_parse_failed',
  'erc20_approval_tx_wrong_target',
  'erc20_approval_tx_wrong_selector',
  'erc20_approval_tx_wrong_spender',
  'erc20_approval_tx_invalid_calldata',
  'erc20_approval_tx_signer_mismatch',
  'erc20_approval_tx_invalid_signature',
  'erc20_approval_tx_failed',
  'erc20_approval_broadcast_failed',
] as const

/** What an `exact` payment by Permit2 is refused for beside that (wire.md §19). */
export const exactPermit2Reasons = [
  'invalid_exact_evm_scheme',
  'invalid_exact_evm_network_mismatch',
  'invalid_exact_evm_transaction_failed',
  'invalid_exact_evm_transfer_event_mismatch',
] as const

/** What an `upto` payment is refused for beside that (wire.md §19). */
export const uptoReasons = [
  'invalid_upto_evm_scheme',
  'invalid_upto_evm_network_mismatch',
  'invalid_upto_evm_transaction_failed',
  'invalid_upto_evm_payload_settlement_exceeds_amount',
  'upto_amount_exceeds_permitted',
  'upto_unauthorized_facilitator',
  'upto_facilitator_mismatch',
] as const

/** What a payment by Permit2 is refused for (wire.md §19). */
export type Permit2Reason = (typeof permit2Reasons | typeof exactPermit2Reasons | typeof uptoReasons)[number]

/** Why a payment by Permit2 is refused. */
export type Refusal = AnyRefusal<Permit2Reason>

/** A scheme whose payments go through a proxy of its own. */
export type Permit2Scheme = {
  readonly scheme: 'exact' | 'upto'
  /** The only spender that its payers sign for. */
  readonly proxy: `0x${string}`
  readonly wrongScheme: Permit2Reason
  readonly wrongNetwork: Permit2Reason
  readonly failed: Permit2Reason
}

/** `exact` by Permit2: pays exactly what was signed, whoever sends it. */
export const exactPermit2: Permit2Scheme = {
  scheme: 'exact',
  proxy: '0x402085c248EeA27D92E8b30b2C58ed07f9E20001',
  wrongScheme: 'invalid_exact_evm_scheme',
  wrongNetwork: 'invalid_exact_evm_network_mismatch',
  failed: 'invalid_exact_evm_transaction_failed',
}

/** `upto`: pays at most what was signed, and for the signed facilitator alone. */
export const uptoPermit2: Permit2Scheme = {
  scheme: 'upto',
  proxy: '0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002',
  wrongScheme: 'invalid_upto_evm_scheme',
  wrongNetwork: 'invalid_upto_evm_network_mismatch',
  failed: 'invalid_upto_evm_transaction_failed',
}

/** The payload of a payment, or nothing where it is none of this scheme's. */
export function readPayload({ scheme }: Permit2Scheme, payment: PaymentPayload): Permit2Payload | undefined {
  if (payment.accepted.scheme !== scheme || !isPermit2(payment.accepted)) return undefined
  const { data } = z.safeParse(permit2Payload, payment.payload)
  if (data === undefined || scheme === 'exact') return data && withoutFacilitator(data)
  return data.permit2Authorization.witness.facilitator === undefined ? undefined : data
}

// The exact proxy knows no facilitator, and no signature for it covers one.
function withoutFacilitator(payload: Permit2Payload): Permit2Payload {
  const { to, validAfter } = payload.permit2Authorization.witness
  return { ...payload, permit2Authorization: { ...payload.permit2Authorization, witness: { to, validAfter } } }
}

/** The identity of a payment by Permit2 (M11): network, payer and nonce, since Permit2 spends a nonce once whatever it moves. */
export function paymentKey(scheme: Permit2Scheme, payment: PaymentPayload): PaymentKey | undefined {
  const { network } = payment.accepted
  const payload = chainIdOf(network) === undefined ? undefined : readPayload(scheme, payment)
  return payload && keyOf(payload.permit2Authorization, network)
}

/** The identity of a Permit2 transfer on a network. */
export function keyOf({ from, nonce, deadline }: Pick<Permit2Authorization, 'from' | 'nonce' | 'deadline'>, network: string): PaymentKey {
  const payer = from.toLowerCase()
  return { id: [network, 'permit2', payer, nonce.toString()].join('/'), payer, deadAfter: toSeconds(deadline) }
}

/** Whether requirements ask for a transfer by Permit2. */
export function isPermit2(requirements: PaymentRequirements): boolean {
  return transferMethodOf(requirements) === 'permit2'
}

/** What a submission must say of itself before what was signed is looked at: scheme, transfer method, network (wire.md §8). */
export function refuseTerms(terms: Permit2Scheme, submission: Submission, network: string): Refusal | undefined {
  const { accepted } = submission.payment
  const { requirements } = submission
  if (accepted.scheme !== terms.scheme || requirements.scheme !== terms.scheme) return { reason: terms.wrongScheme }
  if (!isPermit2(accepted) || !isPermit2(requirements))
    return { reason: 'unsupported_payload_type', message: 'Only assetTransferMethod permit2 is served here.' }
  if (accepted.network !== network || requirements.network !== network) return { reason: terms.wrongNetwork }
  if (!isOneAsset(submission)) return { reason: 'invalid_payment_requirements', message: 'The payment is for another asset.' }
  return undefined
}

/** The signed spender, payee, window, amount and token against what was asked, in the order of wire.md §8 (A26, M12). */
export function refuseSigned(
  { scheme, proxy }: Permit2Scheme,
  { permitted, spender, witness, deadline }: Permit2Authorization,
  { payment, requirements, now }: Submission & { readonly now: number },
): Refusal | undefined {
  if (!sameAddress(spender, proxy)) return { reason: 'invalid_permit2_spender' }
  if (!sameAddress(witness.to, requirements.payTo)) return { reason: 'invalid_permit2_recipient_mismatch' }
  const fault = windowFault({ from: witness.validAfter, until: deadline }, { requirements, now })
  if (fault !== undefined) {
    return { reason: fault.end === 'until' ? 'permit2_deadline_expired' : 'permit2_not_yet_valid', message: fault.message }
  }
  // What `upto` settles is named by its requirements; what was signed is the ceiling that was accepted (wire.md §5.4).
  const ceiling = scheme === 'upto' ? payment.accepted.amount : requirements.amount
  if (permitted.amount !== BigInt(ceiling)) return { reason: 'permit2_amount_mismatch' }
  if (BigInt(requirements.amount) > permitted.amount) return { reason: 'invalid_upto_evm_payload_settlement_exceeds_amount' }
  return sameAddress(permitted.token, requirements.asset) ? undefined : { reason: 'permit2_token_mismatch' }
}
