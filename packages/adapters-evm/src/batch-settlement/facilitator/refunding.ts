import { type Call, type Outcome, type PaymentKey, type Submission, sameAddress, type Verdict } from '@flow402x/core'
import { revertReason, type Target } from '../../chain/abi.ts'
import type { Refusal } from '../../checks/simulation.ts'
import { toHex } from '../../crypto/bytes.ts'
import { claimCall, refundCall, stateCalls, stateIn, togetherCall } from '../calls.ts'
import { channelIdOf, claimBatchDigest } from '../channel.ts'
import { claimGas } from '../claims.ts'
import { claimEntries } from '../signing.ts'
import { claimable } from '../voucher.ts'
import { type BatchPayload, batchReason, type VoucherClaim } from '../wire.ts'
import { refundedIn } from './evidence.ts'
import { type Abortable, type Ground, keyFor, type Mined, refuseOwn } from './ground.ts'

/** A refund that the receiver has completed: how much, on which nonce, and what is claimed before. */
type RefundPayload = RefundRequest & {
  readonly amount: bigint
  readonly refundNonce: bigint
  readonly claims: readonly VoucherClaim[]
}
type RefundRequest = Extract<BatchPayload, { readonly type: 'refund' }>

/** Whether a receiver has added to a payer's wish what settles it. */
export function isCompleted(refund: BatchPayload): refund is RefundPayload {
  return refund.type === 'refund' && refund.amount !== undefined && refund.refundNonce !== undefined && refund.claims !== undefined
}

/** What makes a refund itself: its channel, the escrow's nonce, the amount, and what is claimed before. */
export function refundKey({ channelConfig, amount, refundNonce, claims }: RefundPayload, { chain, now }: Ground): PaymentKey {
  const { network, chainId } = chain
  const claimed = toHex(claimBatchDigest(chainId, claimEntries(claims, chainId)))
  const id = [network, 'refund', channelIdOf(chainId, channelConfig), `${refundNonce}`, `${amount}`, claimed]
  return keyFor(id, { payer: channelConfig.payer, now })
}

/** Whether a refund can be made, and is its receiver's wish. */
export async function judgeRefund(payload: RefundPayload, submission: Submission, ground: Ground, { signal }: Abortable): Promise<Verdict> {
  const { chain, tokens } = ground
  const { channelConfig, voucher, amount, refundNonce, claims } = payload
  const { payer, token } = channelConfig
  const refused = (refusal: Refusal): Verdict => ({ valid: false, ...refusal, payer })
  const channelId = channelIdOf(chain.chainId, channelConfig)
  if (voucher.channelId.toLowerCase() !== channelId) return refused({ reason: batchReason('channel_id_mismatch') })
  if (!tokens.has(token.toLowerCase())) return refused({ reason: batchReason('token_mismatch'), message: `${token} is not served here.` })
  const unsigned = await signMissing(payload, submission, ground)
  if (unsigned !== undefined) return refused(unsigned)
  const call = refundTarget(payload, ground)
  const gas = refundGas(payload, ground)
  const answers = await chain.read([...stateCalls(channelId), ...(call === undefined ? [] : [call])], { signal, gas: gas + gas / 2n })
  const state = stateIn(answers)
  if (state === undefined) return refused({ reason: batchReason('rpc_read_failed') })
  const own = claims.filter(({ voucher: { channel } }) => channelIdOf(chain.chainId, channel) === channelId)
  const { balance } = state
  const isTaken = state.totalClaimed >= balance || own.some(({ totalClaimed }) => totalClaimed >= balance)
  if (amount > 0n && isTaken) return refused({ reason: batchReason('refund_no_balance') })
  const done = answers[3]
  if (done?.success === true) return { valid: true, payer }
  const isOld = state.refundNonce !== refundNonce && `The channel's refund nonce is ${state.refundNonce}.`
  return refused({ reason: batchReason('refund_simulation_failed'), message: isOld || revertReason(done?.data ?? '0x') })
}

/** The calls of a refund that was judged: what is claimed before, and the refund, or neither. Alone: they may ask a receiver's contract (M14). */
export function refundCalls(payload: RefundPayload, ground: Ground): readonly Call[] | undefined {
  const call = refundTarget(payload, ground)
  return call && [{ ...call, gas: refundGas(payload, ground), alone: true }]
}

/** What went back to the payer. */
export function refundOutcome(
  { channelConfig }: RefundPayload,
  { requirements: { network } }: Submission,
  { chain }: Ground,
  mined: Mined,
): Outcome {
  const { transaction, success, logs } = mined
  const { payer } = channelConfig
  if (!success)
    return { status: 'notSettled', network, transaction, payer, reason: batchReason('refund_transaction_failed'), retry: 'never' }
  // The nonce moves also where nothing is left to give back.
  const amount = refundedIn(logs, channelIdOf(chain.chainId, channelConfig)) ?? 0n
  return { status: 'settled', transaction, network, payer, amount: `${amount}` }
}

/** Signs for the receiver what it did not sign itself, where that may be; else why not. */
async function signMissing(payload: RefundPayload, submission: Submission, ground: Ground): Promise<Refusal | undefined> {
  const { channelConfig, amount, refundNonce: nonce, claims } = payload
  const { authority } = ground
  const claimsUnsigned = claims.length > 0 && payload.claimAuthorizerSignature === undefined
  const refundUnsigned = payload.refundAuthorizerSignature === undefined
  if (!claimsUnsigned && !refundUnsigned) return undefined
  if (authority === undefined) return { reason: batchReason('authorizer_not_configured') }
  const named = refundUnsigned && !sameAddress(channelConfig.receiverAuthorizer, authority.address)
  const unsigned = named ? { reason: batchReason('authorizer_address_mismatch') } : claimsUnsigned ? refuseOwn(claims, ground) : undefined
  if (unsigned !== undefined) return unsigned
  if (refundUnsigned && !(await authority.mayRefund(submission)))
    return { reason: batchReason('authorizer_not_configured'), message: 'This facilitator signs no refund for who asks.' }
  if (claimsUnsigned) await authority.signClaims(claims)
  if (refundUnsigned) await authority.signRefund(channelConfig, { amount, nonce })
  return undefined
}

function refundTarget(payload: RefundPayload, { authority }: Ground): Target | undefined {
  const { channelConfig, amount, refundNonce: nonce, claims } = payload
  const signature = payload.refundAuthorizerSignature ?? authority?.keptRefund(channelConfig, { amount, nonce })
  if (signature === undefined) return undefined
  const refund = refundCall(channelConfig, { amount, nonce, signature })
  if (claims.length === 0) return refund
  const claimSignature = payload.claimAuthorizerSignature ?? authority?.keptClaims(claims)
  return claimSignature && togetherCall([claimCall(claims.map(claimable), claimSignature), refund])
}

function refundGas({ claims }: RefundPayload, { chain }: Ground): bigint {
  return chain.maxGasPerPayment + claimGas(claims.length)
}
