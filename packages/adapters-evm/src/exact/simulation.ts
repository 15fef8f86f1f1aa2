import { encodeCall, revertReason, type Target } from '../chain/abi.ts'
import { isAccepted, type Proof, signatureCheck, signatureOf } from '../checks/proof.ts'
import { type Answers, numberIn, type Rehearsal } from '../checks/simulation.ts'
import { type Hex, toHex } from '../crypto/bytes.ts'
import type { Authorization } from '../crypto/eip712.ts'
import type { Refusal } from './wire.ts'

/** One authorization of `asset` with its proof: everything a settlement of it is made from. */
export type Settleable = { readonly asset: Hex; readonly authorization: Authorization; readonly digest: Uint8Array; readonly proof: Proof }

const calls = new WeakMap<Settleable, Target>()

/** The call that moves the money, written once: it is rehearsed, and then sent. */
export function transferCall(payment: Settleable): Target {
  const call = calls.get(payment) ?? encodeTransfer(payment)
  calls.set(payment, call)
  return call
}

/** The overload with v, r, s for a key's signature, the one with bytes for all others (wire.md §7.4). */
function encodeTransfer({ asset, authorization, proof }: Settleable): Target {
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

/** What the chain is asked of an authorization: its nonce, the payer's balance, and the transfer itself. */
export function rehearsalOf(payment: Settleable): Rehearsal {
  const { asset, authorization, digest, proof } = payment
  const { from, nonce } = authorization
  const deploy = deployCall(payment)
  return {
    alone: proof.by !== 'key',
    reads: [
      { target: asset, data: encodeCall('0xe94a0102', [from, nonce]) },
      { target: asset, data: encodeCall('0x70a08231', [from]) },
    ],
    acts: [...(deploy === undefined ? [] : [deploy]), signatureCheck({ payer: from, digest, proof }), transferCall(payment)],
    burned,
    judge(answers) {
      const held = numberIn(answers.reads[1])
      const refusal = refusalFrom(payment, { ...answers, held })
      const check = answers.acts.at(-2)
      const runsPayerCode = proof.by !== 'key' || check?.success !== true || check.data !== '0x'
      return { runsPayerCode, ...(held === undefined ? {} : { held }), ...(refusal === undefined ? {} : { refusal }) }
    },
  }
}

const burned: Refusal = { reason: 'invalid_exact_evm_transaction_simulation_failed', message: 'It uses more gas than one payment may.' }

type Read = Answers & { readonly held: bigint | undefined }

function refusalFrom({ authorization, proof }: Settleable, { reads, acts, held }: Read): Refusal | undefined {
  const [state] = reads
  const transfer = acts.at(-1)
  const used = numberIn(state)
  const enough = held !== undefined && held >= authorization.value
  if (transfer?.success === true && used === 0n && enough) return undefined
  if (state?.success === true && state.data === '0x') return { reason: 'asset_not_deployed_contract' }
  if (used === undefined || held === undefined) return { reason: 'invalid_exact_evm_eip3009_not_supported' }
  if (proof.by === 'undeployed' && acts[0]?.success === false && acts.at(-2)?.data === '0x')
    return { reason: 'smart_wallet_deployment_failed' }
  if (proof.by !== 'key' && !isAccepted(acts.at(-2)?.data)) return { reason: 'invalid_exact_evm_signature' }
  if (used !== 0n) return { reason: 'invalid_exact_evm_nonce_already_used' }
  if (!enough) return { reason: 'invalid_exact_evm_insufficient_balance' }
  return { reason: 'invalid_exact_evm_transaction_simulation_failed', message: revertReason(transfer?.data ?? '0x') }
}
