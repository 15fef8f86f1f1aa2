import { type Call, type Outcome, type PaymentKey, type PaymentPayload, type Submission, sameAddress, type Verdict } from '@flow402x/core'
import { decodeWord, revertReason, type Target } from '../../chain/abi.ts'
import { type Refusal, tryCall } from '../../checks/simulation.ts'
import { toHex } from '../../crypto/bytes.ts'
import { claimCall, ownClaimCall, receiverCall, settleCall, togetherCall } from '../calls.ts'
import { batchSettlement, channelIdOf, claimBatchDigest } from '../channel.ts'
import { claimGas, sortClaims } from '../claims.ts'
import { claimedIn, sweptIn } from '../events.ts'
import { claimEntries } from '../signing.ts'
import { claimable } from '../voucher.ts'
import { type BatchPayload, batchReason, type VoucherClaim } from '../wire.ts'
import { type Abortable, type Ground, keyFor, type Mined, refuseOwn } from './ground.ts'
import { isCompleted, judgeRefund, refundCalls, refundKey, refundOutcome } from './refunding.ts'
import { withState } from './rehearsal.ts'

type ClaimPayload = Extract<BatchPayload, { readonly type: 'claim' }>
type SettlePayload = Extract<BatchPayload, { readonly type: 'settle' }>

/** What becomes of what receivers ask for; nothing for payloads that are not theirs. */
export type Receiving = {
  /** Its identity, where the payload alone says it. */
  key(payload: BatchPayload): PaymentKey | undefined
  verify(payload: BatchPayload, submission: Submission, options: Abortable): Promise<Verdict>
  /** The calls of what was verified; none where nothing is left to be done. */
  calls(payload: BatchPayload, payment: PaymentPayload): readonly Call[] | undefined
  outcome(payload: BatchPayload, submission: Submission, mined: Mined): Outcome | undefined
  complete(payload: BatchPayload, settled: Outcome & { readonly status: 'settled' }): Promise<Outcome>
}

/** Settles claims, sweeps and refunds. */
export function receivingOn(ground: Ground): Receiving {
  // Claims of which nothing is left to be made.
  const over = new WeakSet<PaymentPayload>()
  return {
    key(payload) {
      if (payload.type === 'claim') return claimKey(payload, ground)
      return isCompleted(payload) ? refundKey(payload, ground) : undefined
    },
    async verify(payload, submission, options) {
      if (payload.type === 'settle') return judgeSweep(payload, ground, options)
      if (isCompleted(payload)) return judgeRefund(payload, submission, ground, options)
      if (payload.type !== 'claim') return { valid: false, reason: batchReason('payload_type') }
      const { done, ...verdict } = await judgeClaims(payload, ground, options)
      if (done) over.add(submission.payment)
      return verdict
    },
    calls(payload, payment) {
      if (over.has(payment)) return []
      if (payload.type === 'claim') return claimCalls(payload, ground)
      if (payload.type === 'settle') return sweepCalls(payload, ground)
      return isCompleted(payload) ? refundCalls(payload, ground) : undefined
    },
    outcome(payload, submission, mined) {
      if (payload.type === 'claim') return claimOutcome(payload, submission, ground, mined)
      if (payload.type === 'settle') return sweepOutcome(payload, submission, mined)
      return isCompleted(payload) ? refundOutcome(payload, submission, ground, mined) : undefined
    },
    async complete(payload, settled) {
      if (!isCompleted(payload)) return settled
      const { chain } = ground
      const channelId = channelIdOf(chain.chainId, payload.channelConfig)
      return withState(settled, { chain, channelId, seen: ({ refundNonce }) => refundNonce > payload.refundNonce })
    },
  }
}

/** What makes claims themselves: the rows that their receiver signs. Whoever asks is told the same of them. */
function claimKey({ claims }: ClaimPayload, { chain: { network, chainId }, now }: Ground): PaymentKey {
  const digest = toHex(claimBatchDigest(chainId, claimEntries(claims, chainId)))
  return keyFor([network, 'claim', digest], { payer: claims[0]?.voucher.channel.receiver ?? '', now })
}

/** Whether claims can be made as they are: all rows, by somebody who may. With `done` there is nothing to send: all of it is claimed. */
async function judgeClaims(
  { claims, claimAuthorizerSignature, settles = [] }: ClaimPayload,
  ground: Ground,
  { signal }: Abortable,
): Promise<Verdict & { readonly done?: true }> {
  const { chain, authority } = ground
  const payer = claims[0]?.voucher.channel.receiver ?? ''
  const refused = (refusal: Refusal): Verdict => ({ valid: false, ...refusal, payer })
  const unsigned = claimAuthorizerSignature === undefined ? refuseOwn(claims, ground) : undefined
  if (unsigned !== undefined) return refused(unsigned)
  const { good, bad } = await sortClaims(claims.map(claimable), { chain, signal })
  if (bad.length > 0) {
    const told = bad.slice(0, mostTold).map(({ claim, reason }) => `${channelIdOf(chain.chainId, claim.voucher.channel)}: ${reason}`)
    return refused({ reason: batchReason('claim_simulation_failed'), message: `${bad.length} rows cannot be claimed. ${told.join('; ')}` })
  }
  if (good.length === 0) return { valid: true, payer, done: true }
  if (claimAuthorizerSignature === undefined) await authority?.signClaims(claims)
  const works = async (payouts: NonNullable<ClaimPayload['settles']>): Promise<boolean> => {
    const call = claimTarget({ claims, claimAuthorizerSignature, settles: payouts }, ground)
    const [from = ''] = call?.signer === undefined ? chain.signers : [call.signer]
    return call !== undefined && (await tryCall(chain, { ...call, from, gas: gasOf({ claims, settles: payouts }) }, { signal })).success
  }
  if (await works(settles)) return { valid: true, payer }
  if (settles.length > 0 && (await works([])))
    return refused({ reason: batchReason('settle_simulation_failed'), message: 'A receiver cannot be paid. Claim without settling.' })
  return refused({ reason: batchReason('claim_simulation_failed'), message: 'Its authorizer’s signature is not good for these rows.' })
}

/** The calls of claims that were judged: alone, since their gas grows with their rows, and rows may ask payers' contracts (M14). */
function claimCalls(payload: ClaimPayload, ground: Ground): readonly Call[] | undefined {
  const call = claimTarget(payload, ground)
  return call && [{ ...call, gas: gasOf(payload), alone: true }]
}

/** What a transaction did for claims: every row or none. A row that the events do not show was claimed before. */
function claimOutcome({ claims }: ClaimPayload, { requirements }: Submission, { chain }: Ground, mined: Mined): Outcome {
  const totals = claimedIn(mined.logs)
  const isMet = ({ voucher, totalClaimed }: VoucherClaim): boolean =>
    (totals.get(channelIdOf(chain.chainId, voucher.channel)) ?? totalClaimed) >= totalClaimed
  const { transaction, success } = mined
  if (success && claims.every(isMet)) return { status: 'settled', transaction, network: requirements.network }
  return {
    status: 'notSettled',
    network: requirements.network,
    transaction,
    reason: batchReason('claim_transaction_failed'),
    retry: 'resign',
  }
}

/** Whether a receiver has something to be paid. One sweep is told from the next by what was paid before it, which the escrow alone knows. */
async function judgeSweep({ receiver, token }: SettlePayload, { chain, tokens, now }: Ground, { signal }: Abortable): Promise<Verdict> {
  const refused = (refusal: Refusal): Verdict => ({ valid: false, ...refusal, payer: receiver })
  if (!tokens.has(token.toLowerCase())) return refused({ reason: batchReason('token_mismatch'), message: `${token} is not served here.` })
  const [counted, swept] = await chain.read([receiverCall(receiver, token), settleCall(receiver, token)], { signal })
  const [claimed, settled] = counted?.success === true ? [decodeWord(counted.data), decodeWord(counted.data, 1)] : []
  if (claimed === undefined || settled === undefined) return refused({ reason: batchReason('rpc_read_failed') })
  if (claimed <= settled) return refused({ reason: batchReason('nothing_to_settle') })
  if (swept?.success !== true)
    return refused({ reason: batchReason('settle_simulation_failed'), message: revertReason(swept?.data ?? '0x') })
  const id = [chain.network, 'settle', receiver.toLowerCase(), token.toLowerCase(), `${settled}`]
  return { valid: true, payer: receiver, key: keyFor(id, { payer: receiver, now }) }
}

/** The call of a sweep; no two of one receiver and token share a transaction, in which they could not be told apart (M16). */
function sweepCalls({ receiver, token }: SettlePayload, { chain }: Ground): readonly Call[] {
  const apart = ['settle', receiver, token].join(' ').toLowerCase()
  return [{ ...settleCall(receiver, token), gas: chain.maxGasPerPayment, alone: false, apart }]
}

/** What a transaction paid a receiver; a sweep that came after another one pays nothing, and that is no failure (wire.md §11.5). */
function sweepOutcome(payload: SettlePayload, { requirements: { network } }: Submission, mined: Mined): Outcome {
  const { transaction, success, logs, call } = mined
  const paid = success ? sweptIn(logs, payload) : undefined
  // Among others a call may fail by itself and leave no trace; by itself it may not.
  const isEmpty = success && paid === undefined && call !== undefined && sameAddress(call.target, batchSettlement)
  if (paid !== undefined || isEmpty) return { status: 'settled', transaction, network, amount: `${paid ?? 0n}` }
  return { status: 'notSettled', network, transaction, reason: batchReason('settle_transaction_failed'), retry: 'resign' }
}

const mostTold = 10

type Signed = Pick<ClaimPayload, 'claims' | 'claimAuthorizerSignature' | 'settles'>

/** The claims, and behind them what their receivers are paid of them: all of it, or nothing. */
function claimTarget(
  { claims, claimAuthorizerSignature, settles = [] }: Signed,
  ground: Ground,
): (Target & { readonly signer?: string }) | undefined {
  const { chain, authority } = ground
  const rows = claims.map(claimable)
  const payouts = settles.map(({ receiver, token }) => settleCall(receiver, token))
  const signer = authority && chain.signers.find((one) => sameAddress(one, authority.address))
  if (claimAuthorizerSignature === undefined && signer !== undefined) return { ...togetherCall([ownClaimCall(rows), ...payouts]), signer }
  const signature = claimAuthorizerSignature ?? authority?.keptClaims(claims)
  return signature && togetherCall([claimCall(rows, signature), ...payouts])
}

// What official facilitators give one payout (wire.md §11.4).
const settleGas = 120_000n

function gasOf({ claims, settles = [] }: Pick<Signed, 'claims' | 'settles'>): bigint {
  return claimGas(claims.length) + settleGas * BigInt(settles.length)
}
