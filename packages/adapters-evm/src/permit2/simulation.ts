import { encodeCall, revertReason, type Target } from '../chain/abi.ts'
import { isAccepted, type Proof, signatureCheck, signatureOf } from '../checks/proof.ts'
import { type Answers, numberIn, type Rehearsal } from '../checks/simulation.ts'
import type { SignedApproval } from './approval.ts'
import { allowanceCall, isSet, nonceWord, type RidingPermit, settleCall } from './proxy.ts'
import type { Permit2Authorization, Permit2Reason, Permit2Scheme, Refusal } from './wire.ts'

/** One signed Permit2 transfer with its proof: everything a settlement of it is made from. */
export type Settleable = {
  readonly scheme: Permit2Scheme
  readonly authorization: Permit2Authorization
  /** What is taken: the whole of it, but for `upto`. */
  readonly amount: bigint
  readonly digest: Uint8Array
  readonly proof: Proof
  readonly permit?: RidingPermit | undefined
  readonly approval?: SignedApproval | undefined
}

/** The call that moves the money. */
export function transferCall({ scheme, authorization, amount, proof, permit }: Settleable): Target {
  return settleCall(scheme, { authorization, amount, signature: signatureOf(proof), permit })
}

/** What the chain is asked of a transfer: its nonce, the payer's balance and allowance, and the settlement itself. */
export function rehearsalOf(payment: Settleable): Rehearsal {
  const { scheme, authorization, amount, digest, proof } = payment
  const { from, permitted, witness } = authorization
  const check = signatureCheck({ payer: from, digest, proof })
  // A proxy moves nothing where it is asked for nothing, so of an unused ceiling the whole is tried.
  const transfer = transferCall({ ...payment, amount: amount === 0n ? permitted.amount : amount })
  return {
    alone: proof.by !== 'key',
    reads: [
      nonceWord(authorization),
      { target: permitted.token, data: encodeCall('0x70a08231', [from]) },
      allowanceCall(permitted.token, from),
    ],
    ...(scheme.scheme === 'upto' && witness.facilitator !== undefined
      ? { acts: [check], direct: { ...transfer, from: witness.facilitator } }
      : { acts: [check, transfer] }),
    burned: { reason: 'permit2_simulation_failed', message: 'It uses more gas than one payment may.' },
    judge(answers) {
      const held = numberIn(answers.reads[1])
      const refusal = refusalFrom(payment, { ...answers, held })
      const code = answers.acts.at(-2)
      const runsPayerCode = proof.by !== 'key' || code?.success !== true || code.data !== '0x'
      return { runsPayerCode, ...(held === undefined ? {} : { held }), ...(refusal === undefined ? {} : { refusal }) }
    },
  }
}

type Read = Answers & { readonly held: bigint | undefined }

function refusalFrom({ authorization, amount, proof }: Settleable, { reads, acts, held }: Read): Refusal | undefined {
  const [word, allowance] = [numberIn(reads[0]), numberIn(reads[2])]
  const transfer = acts.at(-1)
  const used = word !== undefined && isSet(word, authorization.nonce)
  if (word === undefined) return { reason: 'permit2_proxy_not_deployed' }
  if (transfer?.success === true && !used && held !== undefined && held >= amount) return undefined
  if (held === undefined || allowance === undefined) return { reason: 'asset_not_deployed_contract' }
  if (proof.by !== 'key' && !isAccepted(acts.at(-2)?.data)) return { reason: 'invalid_permit2_signature' }
  if (used) return { reason: 'permit2_invalid_nonce' }
  if (held < amount) return { reason: 'permit2_insufficient_balance' }
  if (allowance < amount) return { reason: 'permit2_allowance_required', message: 'Its payer must first approve Permit2 for this token.' }
  const said = transfer?.data ?? '0x'
  return { reason: errors[said.slice(0, 10)] ?? 'permit2_simulation_failed', message: revertReason(said) }
}

// By selector, since Permit2 and the proxies share a name (wire.md §9): those of the proxies, and those of Permit2.
const errors: Readonly<Record<string, Permit2Reason>> = {
  '0x2c5211c6': 'permit2_invalid_amount',
  '0xac6b05f5': 'permit2_invalid_destination',
  '0x49e27cff': 'permit2_invalid_owner',
  '0xa65539fa': 'permit2_payment_too_early',
  '0x050cda49': 'permit2_2612_amount_mismatch',
  '0xfe64b4c7': 'upto_amount_exceeds_permitted',
  '0x0f6fae87': 'upto_unauthorized_facilitator',
  '0x3728b83d': 'permit2_invalid_amount',
  '0x756688fe': 'permit2_invalid_nonce',
  '0xcd21db4f': 'permit2_deadline_expired',
  '0x815e1d64': 'invalid_permit2_signature',
  '0xb0669cbc': 'invalid_permit2_signature',
  '0x8baa579f': 'invalid_permit2_signature',
  '0x4be6321b': 'invalid_permit2_signature',
}
