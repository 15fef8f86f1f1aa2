import type { Call, FacilitatorScheme, Outcome, PaymentPayload, Submission, Verdict } from '@flow402x/core'
import { toSeconds } from '../../checks/signed.ts'
import { numberIn, type Refusal } from '../../checks/simulation.ts'
import { approvalFault, relayApproval } from '../../permit2/approval.ts'
import { isSet } from '../../permit2/proxy.ts'
import { batchReason, readBatchPayload } from '../wire.ts'
import { type Deposit, type DepositPayload, readDeposit, refuseDeposit } from './deposit.ts'
import { depositIn } from './evidence.ts'
import { type Abortable, type Ground, type Mined, refuseDrawn, voucherProof } from './ground.ts'
import { lookAtDeposit, soughtOf } from './look.ts'
import { depositRehearsal, spentMessage, withState } from './rehearsal.ts'

type Looking = Required<Pick<FacilitatorScheme, 'look' | 'relay' | 'complete'>>

/** What becomes of deposits. */
export type Deposits = Looking & {
  verify(payload: DepositPayload, submission: Submission, options: Abortable): Promise<Verdict>
  /** The calls of a deposit: several where its payer's wallet comes into being with it. Nothing where it cannot be read. */
  calls(payment: PaymentPayload): readonly Call[] | undefined
  outcome(submission: Submission, mined: Mined): Outcome
}

/** Verifies and settles deposits, whose payers sign them for anybody to send. */
export function depositsOn(ground: Ground, { approvalWaitMs }: { readonly approvalWaitMs: number }): Deposits {
  const { chain } = ground
  const readings = new WeakMap<PaymentPayload, Deposit | Refusal>()
  // All that is asked of a payment goes by what it says, so each payment object is recovered once.
  const read = (payload: DepositPayload, payment: PaymentPayload): Deposit | Refusal => {
    const reading = readings.get(payment) ?? readDeposit(payload, payment, ground)
    readings.set(payment, reading)
    return reading
  }
  const find = (payment: PaymentPayload): Deposit | undefined => {
    const payload = readBatchPayload(payment)
    const deposit = payload?.type === 'deposit' ? read(payload, payment) : undefined
    return deposit === undefined || 'reason' in deposit ? undefined : deposit
  }
  // Deposits that were seen to run no code of their payers'; of any other that is not known.
  const plain = new WeakSet<PaymentPayload>()

  const verify: Deposits['verify'] = async (payload, submission, { signal }) => {
    const { payment } = submission
    const { payer } = payload.channelConfig
    const refused = (refusal: Refusal): Verdict & { valid: false } => ({ valid: false, ...refusal, payer })
    const wrong = refuseDrawn(payload, submission, ground)
    if (wrong !== undefined) return refused(wrong)
    const deposit = read(payload, payment)
    if ('reason' in deposit) return refused(deposit)
    const late = refuseDeposit(deposit, submission, ground)
    const over = deposit.proof.by === 'key' && deposit.window.until <= BigInt(Math.floor(ground.now()))
    if (late !== undefined) return over ? { ...refused(late), over } : refused(late)
    const voucher = await voucherProof(payload, ground, { signal })
    if ('reason' in voucher) return refused(voucher)
    const { refusal: found, held, runsPayerCode, extra } = await ground.simulate(depositRehearsal(deposit, voucher), { signal })
    if (!runsPayerCode) plain.add(payment)
    const comes = found?.reason === batchReason('permit2_allowance_required') && deposit.approval
    const refusal = comes ? await approvalFault(comes, payer, { ...chain, signal }) : found
    if (refusal !== undefined) return { ...refused(refusal), ...(refusal.message === spentMessage ? { over: true } : {}) }
    return { valid: true, payer, ...(held === undefined ? {} : { funds: held }), ...(extra === undefined ? {} : { extra }) }
  }
  return {
    verify,
    async relay(submission, { signal } = {}) {
      const payload = readBatchPayload(submission.payment)
      const deposit = find(submission.payment)
      if (payload?.type !== 'deposit' || deposit?.approval === undefined) return undefined
      const { payer: from, token } = deposit.channelConfig
      const paying = { from, permitted: { token, amount: deposit.amount } }
      const relayed = await relayApproval(deposit.approval, paying, { chain, signal, waitMs: approvalWaitMs })
      if (relayed === 'in place') return undefined
      return relayed === undefined ? verify(payload, submission, { signal }) : { valid: false, ...relayed, payer: from }
    },
    calls(payment) {
      const deposit = find(payment)
      return deposit && callsOf(deposit, { ...chain, plain: plain.has(payment) })
    },
    outcome({ payment, requirements: { network } }, { transaction, success, logs }) {
      const deposit = find(payment)
      const failed = { status: 'notSettled', network, transaction, retry: 'never' } as const
      if (deposit === undefined) return { ...failed, reason: 'invalid_payload' }
      const { payer } = deposit.channelConfig
      if (success && depositIn(logs, soughtOf(deposit)) !== undefined)
        return { status: 'settled', transaction, network, payer, amount: `${deposit.amount}` }
      const deadAfter = toSeconds(deposit.window.until)
      return { ...failed, reason: batchReason('deposit_transaction_failed'), payer, deadAfter }
    },
    async complete({ payment }, settled) {
      const deposit = find(payment)
      if (deposit === undefined) return settled
      const { channelId, spent } = deposit
      const isSpent = (word: bigint) => (spent.bit === undefined ? word !== 0n : isSet(word, spent.bit))
      return withState(settled, { chain, channelId, also: [spent], seen: (_, [word]) => isSpent(numberIn(word) ?? 0n) })
    },
    async look(submission, given) {
      const deposit = find(submission.payment)
      if (deposit === undefined) return { status: 'pending', network: chain.network }
      return lookAtDeposit(deposit, submission, { rpc: chain.rpc, final: () => chain.final(), ...given })
    },
  }
}

/** Permit2 tells no nonce, and one channel's deposits by it leave the same logs: they never share a transaction (M16). */
function callsOf(
  { calls, channelId, permit }: Deposit,
  { maxGasPerPayment, plain }: { readonly maxGasPerPayment: bigint; readonly plain: boolean },
): readonly Call[] {
  // A permit costs more than what is known of deposits, and may fail in the token.
  const alone = !plain || permit !== undefined
  const apart = `deposit ${channelId}`
  return calls.map((call) => ({ ...call, gas: maxGasPerPayment / BigInt(calls.length), alone, apart }))
}
