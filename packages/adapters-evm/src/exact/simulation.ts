import { coalesce, isX402Error } from '@flow402x/core'
import { type CallResult, decodeWord, decodeWrapped, encodeCall, isWrapped, revertReason, type Target, type Wrapped } from '../chain/abi.ts'

import type { EvmChain } from '../chain/evm-chain.ts'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import type { Authorization } from '../crypto/eip712.ts'
import { addressOf, canonicalSignature, type Secp256k1 } from '../crypto/secp256k1.ts'
import type { Refusal } from './wire.ts'

/** How a payment proves its payer: by the payer's own key, or by whatever the contract at the payer's address accepts. */
export type Proof =
  | { readonly by: 'key'; readonly signature: Uint8Array }
  | { readonly by: 'contract'; readonly signature: Hex }
  | { readonly by: 'undeployed'; readonly wrapped: Wrapped }

/** One authorization of `asset` with its proof: everything a settlement of it is made from. */
export type Settleable = { readonly asset: Hex; readonly authorization: Authorization; readonly digest: Uint8Array; readonly proof: Proof }

/** Tells how a signature proves its payer, or nothing for an ERC-6492 wrapper that does not hold together. */
export function proofOf(
  signature: Hex,
  { payer, digest, secp256k1 }: { payer: string; digest: Uint8Array; secp256k1: Secp256k1 },
): Proof | undefined {
  if (isWrapped(signature)) {
    const wrapped = decodeWrapped(signature)
    return wrapped === undefined ? undefined : { by: 'undeployed', wrapped }
  }
  const canonical = canonicalSignature(toBytes(signature))
  const key = canonical === undefined ? undefined : secp256k1.recover(digest, canonical)
  if (canonical !== undefined && key !== undefined && addressOf(key) === payer.toLowerCase()) return { by: 'key', signature: canonical }
  return { by: 'contract', signature }
}

/** The call that moves the money: the overload with v, r, s for a key's signature, the one with bytes for all others (wire.md §7.4). */
export function transferCall({ asset, authorization, proof }: Settleable): Target {
  const { from, to, value, validAfter, validBefore, nonce } = authorization
  const words = [from, to, value, validAfter, validBefore, nonce] as const
  if (proof.by !== 'key') return { target: asset, data: encodeCall('0xcf092995', words, signatureOf(proof)) }
  const { signature } = proof
  const vrs = [BigInt(signature[64] ?? 0), toHex(signature.subarray(0, 32)), toHex(signature.subarray(32, 64))] as const
  return { target: asset, data: encodeCall('0xe3ee160e', [...words, ...vrs]) }
}

/** The call that deploys a payer's smart wallet, where its signature brings one (ERC-6492). */
export function deployCall({ proof }: Settleable): Target | undefined {
  return proof.by === 'undeployed' ? { target: proof.wrapped.factory, data: proof.wrapped.factoryData } : undefined
}

/** Why a payment would not settle, if so, what its payer holds, and whether settling it runs code that he chose (M14). */
export type Simulation = { readonly refusal?: Refusal; readonly held?: bigint; readonly runsPayerCode: boolean }

/**
 * Asks the chain whether payments would settle: nonce, balance, and the settlement itself, in one `eth_call`.
 *
 * Payments proved by a key share a call under load. All reads come before all transfers, so that none is paid from another's
 * money, and what fails in company is asked again alone: one that burns all gas takes nobody else down. What runs a payer's
 * code is always alone.
 * Errors: those of `EvmChain.read`.
 */
export function simulator(
  chain: EvmChain,
): (payment: Settleable, options?: { readonly signal?: AbortSignal | undefined }) => Promise<Simulation> {
  const alone = async (payment: Settleable, signal?: AbortSignal) => {
    const reads = readCalls(payment)
    const acts = actCalls(payment)
    const results = await chain.read([...reads, ...acts], { signal, gas: gasFor(chain) }).catch((error: unknown) => {
      if (!isX402Error(error, 'evm/call-failed') || !/out ?of ?gas/i.test(error.message)) throw error
      return undefined
    })
    if (results === undefined) return { runsPayerCode: true, refusal: burned }
    return simulation(payment, { reads: results.slice(0, reads.length), acts: results.slice(reads.length) })
  }
  const shared = coalesce((payments: readonly Settleable[]) => together(chain, payments), { most: 32, atOnce: 4, patience })
  return async (payment, { signal } = {}) => {
    signal?.throwIfAborted()
    if (payment.proof.by !== 'key') return alone(payment, signal)
    const answer = await unlessAborted(shared(payment), signal)
    return answer === 'ask alone' ? alone(payment, signal) : answer
  }
}

// Nodes count calls and blocks take seconds: under load a payment waits these milliseconds for another's call to end.
const patience = 25

// A payer's code runs twice, in the check and in the transfer; Multicall3 and the reads come on top.
const gasFor = ({ maxGasPerPayment }: EvmChain): bigint => 2n * maxGasPerPayment + 200_000n

const burned: Refusal = { reason: 'invalid_exact_evm_transaction_simulation_failed', message: 'It uses more gas than one payment may.' }

type Shared = Simulation | 'ask alone'

async function together(chain: EvmChain, payments: readonly Settleable[]): Promise<readonly Shared[]> {
  const reads = payments.map(readCalls)
  const acts = payments.map(actCalls)
  const gas = gasFor(chain) * BigInt(payments.length)
  const results = await chain.read([...reads.flat(), ...acts.flat()], { gas }).catch((error: unknown) => {
    if (payments.length > 1 && isX402Error(error, 'evm/call-failed')) return undefined
    throw error
  })
  if (results === undefined) return payments.map(() => 'ask alone')
  let read = 0
  let act = reads.flat().length
  return payments.map((payment, index) => {
    const readEnd = read + (reads[index]?.length ?? 0)
    const actEnd = act + (acts[index]?.length ?? 0)
    const answer = simulation(payment, { reads: results.slice(read, readEnd), acts: results.slice(act, actEnd) })
    read = readEnd
    act = actEnd
    return answer.refusal !== undefined && payments.length > 1 ? 'ask alone' : answer
  })
}

function readCalls({ asset, authorization: { from, nonce } }: Settleable): readonly Target[] {
  return [
    { target: asset, data: encodeCall('0xe94a0102', [from, nonce]) },
    { target: asset, data: encodeCall('0x70a08231', [from]) },
  ]
}

// Of a payer without code the check answers nothing: so a key account is told from one that delegates to a contract (EIP-7702).
function actCalls(payment: Settleable): readonly Target[] {
  const { authorization, digest, proof } = payment
  const check = { target: authorization.from, data: encodeCall(isValidSignature, [toHex(digest)], signatureOf(proof)) }
  const deploy = deployCall(payment)
  return [...(deploy === undefined ? [] : [deploy]), check, transferCall(payment)]
}

function signatureOf(proof: Proof): Hex {
  if (proof.by === 'key') return toHex(proof.signature)
  return proof.by === 'contract' ? proof.signature : proof.wrapped.signature
}

// EIP-1271; a contract that accepts the signature answers with the same four bytes.
const isValidSignature = '0x1626ba7e'

type Answers = { readonly reads: readonly CallResult[]; readonly acts: readonly CallResult[] }

function simulation(payment: Settleable, answers: Answers): Simulation {
  const held = wordOf(answers.reads[1])
  const refusal = refusalFrom(payment, { ...answers, held })
  const check = answers.acts.at(-2)
  const runsPayerCode = payment.proof.by !== 'key' || check?.success !== true || check.data !== '0x'
  return { runsPayerCode, ...(held === undefined ? {} : { held }), ...(refusal === undefined ? {} : { refusal }) }
}

function wordOf(result: CallResult | undefined): bigint | undefined {
  return result?.success === true ? decodeWord(result.data) : undefined
}

type Read = Answers & { readonly held: bigint | undefined }

function refusalFrom({ authorization, proof }: Settleable, { reads, acts, held }: Read): Refusal | undefined {
  const [state] = reads
  const transfer = acts.at(-1)
  const used = wordOf(state)
  const enough = held !== undefined && held >= authorization.value
  if (transfer?.success === true && used === 0n && enough) return undefined
  if (state?.success === true && state.data === '0x') return { reason: 'asset_not_deployed_contract' }
  if (used === undefined || held === undefined) return { reason: 'invalid_exact_evm_eip3009_not_supported' }
  if (proof.by === 'undeployed' && acts[0]?.success === false && acts.at(-2)?.data === '0x')
    return { reason: 'smart_wallet_deployment_failed' }
  if (proof.by !== 'key' && !acts.at(-2)?.data.startsWith(isValidSignature)) return { reason: 'invalid_exact_evm_signature' }
  if (used !== 0n) return { reason: 'invalid_exact_evm_nonce_already_used' }
  if (!enough) return { reason: 'invalid_exact_evm_insufficient_balance' }
  return { reason: 'invalid_exact_evm_transaction_simulation_failed', message: revertReason(transfer?.data ?? '0x') }
}

async function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) return value
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  return Promise.race([value, aborted]).finally(() => signal.removeEventListener('abort', stop))
}
