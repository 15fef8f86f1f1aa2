import type { Outcome } from '@flow402x/core'
import { type CallResult, encodeCall, revertReason, type Target } from '../../chain/abi.ts'
import { evmErrors } from '../../chain/errors.ts'
import type { EvmChain } from '../../chain/evm-chain.ts'
import { isAccepted, signatureCheck } from '../../checks/proof.ts'
import { type Answers, numberIn, type Refusal, type Rehearsal } from '../../checks/simulation.ts'
import type { Hex } from '../../crypto/bytes.ts'
import { allowanceCall, isSet } from '../../permit2/proxy.ts'
import { type EscrowState, stateCalls, stateIn } from '../calls.ts'
import type { Drawn } from '../voucher.ts'
import { batchReason } from '../wire.ts'
import type { Deposit } from './deposit.ts'
import type { VoucherProof } from './ground.ts'

/** A channel as verifying and settling tell it (wire.md §11.4): numbers as text, but for the time. */
function stateToWire(channelId: Hex, state: EscrowState): Readonly<Record<string, unknown>> {
  const { balance, totalClaimed, withdrawRequestedAt, refundNonce } = state
  return { channelId, balance: `${balance}`, totalClaimed: `${totalClaimed}`, withdrawRequestedAt, refundNonce: `${refundNonce}` }
}

type Seeing = {
  readonly chain: Pick<EvmChain, 'read' | 'rpc'>
  readonly channelId: Hex
  /** What is asked beside the channel. */
  readonly also?: readonly Target[]
  /** Whether the answers show what was settled. */
  seen(state: EscrowState, also: readonly CallResult[]): boolean
}

/** A settled payment with its channel as it is now (wire.md §11.4). Errors: `evm/rpc` also where who answers has not seen the block yet. */
export async function withState(
  settled: Outcome & { readonly status: 'settled' },
  { chain, channelId, also = [], seen }: Seeing,
): Promise<Outcome> {
  const calls = stateCalls(channelId)
  const answers = await chain.read([...calls, ...also])
  const state = stateIn(answers)
  if (state === undefined || !seen(state, answers.slice(calls.length)))
    throw evmErrors('evm/rpc', { host: chain.rpc.host, method: 'eth_call', why: 'it is behind the block of a transaction' })
  return { ...settled, extra: { ...settled.extra, channelState: stateToWire(channelId, state) } }
}

/** What the chain is asked of a voucher: its channel, and where that names no key its payer. `refund` is a voucher that asks for money back. */
export function voucherRehearsal({ voucher }: Drawn, proof: VoucherProof, { refund }: { readonly refund: boolean }): Rehearsal {
  const { check } = proof
  const acts = check === undefined ? [] : [check]
  return {
    alone: acts.length > 0,
    reads: stateCalls(voucher.channelId),
    acts,
    burned: { reason: batchReason('voucher_signature'), message: 'Checking it uses more gas than one payment may.' },
    judge({ reads, acts: [checked] }) {
      const state = stateIn(reads)
      const refusal = proof.accepts(checked) ? drawnRefusal(voucher.maxClaimableAmount, state, { refund }) : wrongVoucher
      return { runsPayerCode: true, ...told(voucher.channelId, state), ...(refusal === undefined ? {} : { refusal }) }
    },
  }
}

/**
 * What the chain is asked of a deposit: its channel, the payer's tokens, whether its authorization is spent, and the deposit itself. After
 * it, where the channel names no key, its payer is asked about the voucher: his wallet may come into being with the deposit.
 */
export function depositRehearsal(deposit: Deposit, proof: VoucherProof): Rehearsal {
  const { channelConfig, voucher, channelId, digest, spent, calls } = deposit
  const { payer, token } = channelConfig
  const deploys = calls.slice(0, -1)
  const signed = signatureCheck({ payer, digest, proof: deposit.proof })
  const check = proof.check === undefined ? [] : [proof.check]
  const judge = ({ reads, acts }: Answers) => {
    const state = stateIn(reads)
    const [held, word, allowance] = reads.slice(3).map(numberIn)
    const [deployed, code, done, checked] = deploys.length > 0 ? acts : [undefined, ...acts]
    const isSpent = word !== undefined && (spent.bit === undefined ? word !== 0n : isSet(word, spent.bit))
    const answers = { state, held, word, allowance, isSpent, deployed, code, done, vouched: proof.accepts(checked) }
    const refusal = depositRefusal(deposit, answers)
    const runsPayerCode = deposit.proof.by !== 'key' || code?.success !== true || code.data !== '0x'
    return {
      runsPayerCode,
      ...told(channelId, state),
      ...(held === undefined ? {} : { held }),
      ...(refusal === undefined ? {} : { refusal }),
    }
  }
  return {
    alone: deposit.proof.by !== 'key' || check.length > 0,
    reads: [
      ...stateCalls(voucher.channelId),
      { target: token, data: encodeCall('0x70a08231', [payer]) },
      spent,
      ...(deposit.nonce === undefined ? [allowanceCall(token, payer)] : []),
    ],
    acts: [...deploys, signed, ...calls.slice(-1), ...check],
    burned: { reason: batchReason('deposit_simulation_failed'), message: 'It uses more gas than one payment may.' },
    judge,
  }
}

/** Why a deposit whose authorization is spent is refused; the chain knows by what. */
export const spentMessage = 'Its authorization is spent.'

const wrongVoucher: Refusal = { reason: batchReason('voucher_signature') }

function told(channelId: Hex, state: EscrowState | undefined) {
  return state === undefined ? {} : { extra: stateToWire(channelId, state) }
}

/** Whether what a voucher promises is in its channel, beside what its payer is taking out (wire.md §11.4, §22.20, M27). */
function drawnRefusal(max: bigint, state: EscrowState | undefined, { refund }: { readonly refund: boolean }): Refusal | undefined {
  if (state === undefined) return { reason: batchReason('rpc_read_failed') }
  const { balance, withdrawing, totalClaimed } = state
  if (balance === 0n) return { reason: batchReason('channel_not_found') }
  if (max > (refund ? balance : balance - withdrawing)) return { reason: batchReason('cumulative_exceeds_balance') }
  const covered = refund ? max >= totalClaimed : max > totalClaimed
  return covered ? undefined : { reason: batchReason('cumulative_below_claimed') }
}

type DepositAnswers = {
  readonly state: EscrowState | undefined
  readonly held: bigint | undefined
  readonly word: bigint | undefined
  readonly allowance: bigint | undefined
  readonly isSpent: boolean
  readonly deployed: CallResult | undefined
  readonly code: CallResult | undefined
  readonly done: CallResult | undefined
  readonly vouched: boolean
}

function depositRefusal(deposit: Deposit, answers: DepositAnswers): Refusal | undefined {
  const { amount, voucher, nonce, permit } = deposit
  const { state, held, word, allowance, isSpent, done, vouched } = answers
  if (state === undefined || held === undefined || word === undefined) return { reason: batchReason('rpc_read_failed') }
  const unsigned = signatureRefusal(deposit, answers)
  if (unsigned !== undefined) return unsigned
  if (isSpent) return { reason: batchReason('deposit_simulation_failed'), message: spentMessage }
  const short = nonce === undefined && permit === undefined && (allowance === undefined || allowance < amount)
  if (short) return { reason: batchReason('permit2_allowance_required'), message: 'Its payer must first approve Permit2 for this token.' }
  if (held < amount) return { reason: batchReason('insufficient_balance') }
  const filled = { ...state, balance: state.balance + amount }
  const drawn = drawnRefusal(voucher.maxClaimableAmount, filled, { refund: false })
  if (drawn !== undefined) return drawn
  if (done?.success !== true) return { reason: batchReason('deposit_simulation_failed'), message: revertReason(done?.data ?? '0x') }
  return vouched ? undefined : wrongVoucher
}

/** Why a deposit is not its payer's, where his contract or the token say so: a key's own shows in the simulation. */
function signatureRefusal({ proof, nonce }: Deposit, { deployed, code, done }: DepositAnswers): Refusal | undefined {
  if (proof.by === 'undeployed' && deployed?.success === false && code?.data === '0x')
    return { reason: batchReason('smart_wallet_deployment_failed') }
  const asksCode = proof.by !== 'key' || (done?.success !== true && code?.data !== '0x')
  if (!asksCode || (code?.success === true && isAccepted(code.data))) return undefined
  return { reason: batchReason(nonce === undefined ? 'permit2_invalid_signature' : 'receive_authorization_signature') }
}
