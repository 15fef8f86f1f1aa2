import { type PaymentKey, type PaymentPayload, type Submission, sameAddress } from '@flow402x/core'
import { encodeCall, type Target } from '../../chain/abi.ts'
import { type Proof, proofOf, signatureOf } from '../../checks/proof.ts'
import { domainOf, windowFault } from '../../checks/signed.ts'
import type { Refusal } from '../../checks/simulation.ts'
import type { Hex } from '../../crypto/bytes.ts'
import { receiveDigest } from '../../crypto/eip712.ts'
import { keyOf as authorizationKey } from '../../exact/wire.ts'
import { type SignedApproval, signedApproval } from '../../permit2/approval.ts'
import { nonceWord, type RidingPermit } from '../../permit2/proxy.ts'
import { ridingPermit } from '../../permit2/sponsoring.ts'
import { permit2Digest } from '../../permit2/typed-data.ts'
import { keyOf as permit2Key } from '../../permit2/wire.ts'
import { depositCall, eip3009Collector, permit2Collector, permit2DepositCall } from '../calls.ts'
import { channelIdOf, depositNonce } from '../channel.ts'
import type { Drawn } from '../voucher.ts'
import { type BatchPayload, batchReason } from '../wire.ts'
import type { Ground } from './ground.ts'

/** The payload of a deposit. */
export type DepositPayload = Extract<BatchPayload, { readonly type: 'deposit' }>

/** One signed deposit with its proof: everything that settling it is made from. */
export type Deposit = Drawn & {
  readonly channelId: Hex
  readonly amount: bigint
  readonly digest: Uint8Array
  readonly proof: Proof
  /** The payer's own spending of it: a question whose answer is zero, or has this bit unset, until then. */
  readonly spent: Target & { readonly bit?: bigint }
  /** From when until when it can be made. */
  readonly window: { readonly from: bigint; readonly until: bigint }
  /** The nonce of its authorization, by EIP-3009. */
  readonly nonce?: Hex
  /** What came along for want of an approval, by Permit2. */
  readonly permit?: RidingPermit | undefined
  readonly approval?: SignedApproval | undefined
  readonly calls: readonly Target[]
}

/** Reads a deposit from what was signed alone: the same whenever it is asked, and also long after its end. */
export function readDeposit(payload: DepositPayload, payment: PaymentPayload, ground: Ground): Deposit | Refusal {
  const { erc3009Authorization, permit2Authorization } = payload.deposit.authorization
  return permit2Authorization === undefined
    ? readErc3009({ ...payload, authorization: erc3009Authorization }, ground)
    : readPermit2({ ...payload, authorization: permit2Authorization }, payment, ground)
}

/** Whether a deposit is what was asked for, in the way and at the time that was asked. */
export function refuseDeposit(deposit: Deposit, { payment, requirements }: Submission, { factories, now }: Ground): Refusal | undefined {
  const { nonce, window, proof, channelConfig, amount } = deposit
  // Requirements that do not say how leave it to the payer (wire.md §11.1).
  const asked = requirements.extra?.assetTransferMethod
  if (asked === 'eip3009' && nonce === undefined) return { reason: batchReason('erc3009_authorization_required') }
  if (asked === 'permit2' && nonce !== undefined) return { reason: batchReason('permit2_authorization_required') }
  if (nonce !== undefined && domainOf(requirements) === undefined) return { reason: batchReason('missing_eip712_domain') }
  const fault = windowFault(window, { requirements, now: now() })
  const end = nonce === undefined ? 'permit2_deadline_expired' : ends[fault?.end ?? 'until']
  if (fault !== undefined) return { reason: batchReason(end), message: fault.message }
  if (proof.by === 'undeployed' && !factories.has(proof.wrapped.factory.toLowerCase()))
    return { reason: batchReason('eip6492_factory_not_allowed') }
  if (nonce !== undefined) return undefined
  const permit = ridingPermit(payment, { from: channelConfig.payer, permitted: { token: channelConfig.token, amount } }, { now: now() })
  return permit !== undefined && 'reason' in permit ? permit : undefined
}

const ends = { until: 'payload_authorization_valid_before', from: 'payload_authorization_valid_after' } as const

/**
 * What makes a deposit itself (M11): the authorization that its payer spends with it, whoever sends it and for whatever scheme. Its
 * channel is in the authorization's nonce, so the id that the payload claims has no say.
 */
export function depositKey({ channelConfig, deposit }: DepositPayload, { accepted }: PaymentPayload, chainId: bigint): PaymentKey {
  const { payer: from, token: asset } = channelConfig
  const { network } = accepted
  const { erc3009Authorization, permit2Authorization } = deposit.authorization
  if (permit2Authorization !== undefined) return permit2Key({ ...permit2Authorization, from }, network)
  const nonce = depositNonce(channelIdOf(chainId, channelConfig), erc3009Authorization.salt)
  const { validBefore } = erc3009Authorization
  return authorizationKey({ from, to: eip3009Collector, value: deposit.amount, validAfter: 0n, validBefore, nonce }, { network, asset })
}

type Authorization = DepositPayload['deposit']['authorization']
type With<Signed> = DepositPayload & { readonly authorization: NonNullable<Signed> }

function readErc3009(
  { channelConfig, voucher, deposit, authorization }: With<Authorization['erc3009Authorization']>,
  { chain, tokens }: Ground,
): Deposit | Refusal {
  const { payer, token } = channelConfig
  const { amount } = deposit
  const { validAfter, validBefore, salt, signature } = authorization
  const domain = tokens.get(token.toLowerCase())
  if (domain === undefined) return notServed(token, 'EIP-3009')
  const channelId = channelIdOf(chain.chainId, channelConfig)
  const nonce = depositNonce(channelId, salt)
  const digest = receiveDigest(domain, { from: payer, to: eip3009Collector, value: amount, validAfter, validBefore, nonce })
  const proof = proofOf(signature, { payer, digest, secp256k1: chain.secp256k1 })
  if (proof === undefined) return { reason: batchReason('receive_authorization_signature') }
  const deploy = proof.by === 'undeployed' ? [{ target: proof.wrapped.factory, data: proof.wrapped.factoryData }] : []
  return {
    ...{ channelConfig, voucher, channelId, amount, digest, proof, nonce, window: { from: validAfter, until: validBefore } },
    spent: { target: token, data: encodeCall('0xe94a0102', [payer, nonce]) },
    calls: [...deploy, depositCall(channelConfig, { amount, validAfter, validBefore, salt, signature: signatureOf(proof) })],
  }
}

function readPermit2(
  { channelConfig, voucher, deposit: { amount }, authorization }: With<Authorization['permit2Authorization']>,
  payment: PaymentPayload,
  { chain, tokens }: Ground,
): Deposit | Refusal {
  const { payer, token } = channelConfig
  const { from, spender, permitted, witness, nonce, deadline, signature } = authorization
  if (!sameAddress(from, payer)) return { reason: batchReason('permit2_invalid_signature'), message: 'It is not the payer’s.' }
  if (!sameAddress(spender, permit2Collector)) return { reason: batchReason('permit2_invalid_spender') }
  if (!sameAddress(permitted.token, token)) return { reason: batchReason('token_mismatch') }
  if (permitted.amount !== amount) return { reason: batchReason('permit2_amount_mismatch') }
  const channelId = channelIdOf(chain.chainId, channelConfig)
  if (!sameAddress(witness.channelId, channelId)) return { reason: batchReason('channel_id_mismatch') }
  if (!tokens.has(token.toLowerCase())) return notServed(token, 'Permit2')
  const digest = permit2Digest(chain.chainId, { permitted, spender, nonce, deadline, witness })
  const proof = proofOf(signature, { payer, digest, secp256k1: chain.secp256k1 })
  // A wallet that is not deployed has approved nothing, and what its factory runs could spend another of its nonces.
  if (proof === undefined || proof.by === 'undeployed') return { reason: batchReason('permit2_invalid_signature') }
  // Whether it is still in time is not its content.
  const permit = ridingPermit(payment, authorization, { now: 0 })
  if (permit !== undefined && 'reason' in permit)
    return permit.reason === 'permit2_2612_amount_mismatch' ? { reason: batchReason('eip2612_amount_mismatch') } : permit
  const approval = signedApproval(payment, authorization, chain)
  if (approval !== undefined && 'reason' in approval) return approval
  const spent = { ...nonceWord(authorization), bit: nonce & 255n }
  return {
    ...{ channelConfig, voucher, channelId, amount, digest, proof, permit, approval, spent, window: { from: 0n, until: deadline } },
    calls: [permit2DepositCall(channelConfig, { amount, nonce, deadline, signature: signatureOf(proof), permit })],
  }
}

function notServed(token: Hex, by: string): Refusal {
  return { reason: batchReason('token_mismatch'), message: `The token ${token} is not served by ${by} here.` }
}
