import { type CallResult, decodeWord } from '../chain/abi.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { tryCall } from '../checks/simulation.ts'
import { ownClaimCall, stateCalls } from './calls.ts'
import { channelIdOf } from './channel.ts'
import { type BatchReason, batchReason, type VoucherClaim } from './wire.ts'

/** What claims are tried on; a signal ends the trying. */
export type ClaimTrial = {
  readonly chain: Pick<EvmChain, 'chainId' | 'read' | 'rpc'>
  readonly signal?: AbortSignal | undefined
}

/** A row that would take a whole batch down, and why. */
export type BadClaim = { readonly claim: VoucherClaim; readonly reason: BatchReason }

/** Rows by what the escrow would do now: take them all in one transaction, skip them as claimed already, or revert because of them. */
export type SortedClaims = {
  readonly good: readonly VoucherClaim[]
  readonly done: readonly VoucherClaim[]
  readonly bad: readonly BadClaim[]
}

/**
 * Tells the rows that can be claimed together from those that would take all others down (M14, M16): what the escrow's numbers show
 * needs one round trip whatever the number of rows, and a bad signature is found by halving.
 *
 * Errors: `evm/rpc`, `evm/call-failed`, `config/no-multicall`.
 */
export async function sortClaims(claims: readonly VoucherClaim[], trial: ClaimTrial): Promise<SortedClaims> {
  const { chain, signal } = trial
  const ids = claims.map(({ voucher }) => channelIdOf(chain.chainId, voucher.channel))
  const states = await chain.read(
    ids.flatMap((id) => stateCalls(id).slice(0, 1)),
    { signal },
  )
  const judged = claims.map((claim, index) => ({ claim, fault: faultOf(claim, states[index]) }))
  const bad = judged.flatMap(({ claim, fault }) => (fault === undefined || fault === 'done' ? [] : [{ claim, reason: fault }]))
  const good: VoucherClaim[] = []
  const rest = judged.flatMap(({ claim, fault }) => (fault === undefined ? [claim] : []))
  // The escrow lets the receiver's side alone claim without a signature, and asks that of every row.
  for (const authorizer of new Set(rest.map(authorizerOf))) {
    const rows = rest.filter((claim) => authorizerOf(claim) === authorizer)
    const tried = await halve(rows, { ...trial, authorizer })
    good.push(...tried.good)
    bad.push(...tried.bad)
  }
  return { good, bad, done: judged.flatMap(({ claim, fault }) => (fault === 'done' ? [claim] : [])) }
}

/**
 * The most gas that a batch of claims may use, so that no payer's contract burns what all others need (M14): for each row several times
 * what the escrow takes.
 */
export function claimGas(rows: number): bigint {
  return 150_000n + 60_000n * BigInt(rows)
}

/** What the escrow finds first, in its own order (wire.md §12.4). */
function faultOf({ voucher, totalClaimed }: VoucherClaim, state: CallResult | undefined): BatchReason | 'done' | undefined {
  const [balance, already] = state?.success === true ? [decodeWord(state.data), decodeWord(state.data, 1)] : []
  if (balance === undefined || already === undefined) return undefined
  if (totalClaimed <= already) return 'done'
  if (totalClaimed > voucher.maxClaimableAmount) return batchReason('charge_exceeds_signed_cumulative')
  return totalClaimed > balance ? batchReason('cumulative_exceeds_balance') : undefined
}

/** Who may claim a row without a signature. */
function authorizerOf({ voucher }: VoucherClaim): string {
  return voucher.channel.receiverAuthorizer.toLowerCase()
}

type Tried = { readonly good: readonly VoucherClaim[]; readonly bad: readonly BadClaim[] }

async function halve(rows: readonly VoucherClaim[], trial: ClaimTrial & { readonly authorizer: string }): Promise<Tried> {
  const call = { ...ownClaimCall(rows), from: trial.authorizer, gas: claimGas(rows.length) }
  const { success } = await tryCall(trial.chain, call, trial)
  if (success) return { good: rows, bad: [] }
  if (rows.length === 1) return { good: [], bad: rows.map((claim) => ({ claim, reason: batchReason('voucher_signature') })) }
  const half = Math.ceil(rows.length / 2)
  const [left, right] = [await halve(rows.slice(0, half), trial), await halve(rows.slice(half), trial)]
  return { good: [...left.good, ...right.good], bad: [...left.bad, ...right.bad] }
}
