import {
  type Asset,
  type Call,
  type FacilitatorScheme,
  type Outcome,
  type PaymentPayload,
  type Submission,
  sameAddress,
  type TransactionStatus,
  type Verdict,
} from '@flow402x/core'
import { encodeCall, hexSchema } from '../chain/abi.ts'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { proofOf } from '../checks/proof.ts'
import { type Refusal as AnyRefusal, simulator } from '../checks/simulation.ts'
import { listedTokens, servedTokens, type Through } from '../checks/tokens.ts'
import { approvalFault, relayApproval, signedApproval } from './approval.ts'
import { ownTransfer } from './evidence.ts'
import { lookAt } from './look.ts'
import { rehearsalOf, type Settleable, transferCall } from './simulation.ts'
import { approvalSponsoring, permitSponsoring, ridingPermit } from './sponsoring.ts'
import { permit2Digest } from './typed-data.ts'
import { keyOf, type Permit2Scheme, paymentKey, permit2Address, type Refusal, readPayload, refuseSigned, refuseTerms } from './wire.ts'

/** A scheme that can say what the chain says of a payment. */
export type LookingFacilitator = FacilitatorScheme & Required<Pick<FacilitatorScheme, 'look'>>

/** What settling payments by Permit2 takes. */
export type Permit2FacilitatorOptions = {
  readonly chain: EvmChain
  /** Tokens to serve beside those of the table: what a token's code does is then your responsibility (A7). */
  readonly assets?: readonly Asset[]
  /** Unix seconds. */
  readonly now?: () => number
  /** How long a payer's own approval may take to be mined, in milliseconds: 30,000 unless told. */
  readonly approvalWaitMs?: number
}

/**
 * Verifies and settles payments of one scheme by Permit2 on one EVM network, in any listed token.
 *
 * Errors: `config/foreign-asset`, `config/no-authorizations`, `config/bad-address` at creation; `config/wrong-chain`,
 * `config/no-multicall`, `config/no-proxy`, `config/no-token`, `evm/rpc` from `start`; `evm/rpc`, `evm/call-failed` from `verify`.
 */
export function permit2Facilitator(scheme: Permit2Scheme, options: Permit2FacilitatorOptions): LookingFacilitator {
  const { chain, assets = [], now = () => Date.now() / 1000, approvalWaitMs = 30_000 } = options
  const { network } = chain
  const tokens = listedTokens(chain, assets)
  const simulate = simulator(chain)
  let served: ReadonlySet<string> | undefined
  const start: FacilitatorScheme['start'] = async ({ signal } = {}) => {
    await chain.start({ signal })
    served ??= await servedTokens(chain, { through: [throughProxy(scheme, network)], holder: permit2Address, tokens, assets, signal })
  }
  const readings = new WeakMap<PaymentPayload, Read | Refusal>()
  // `plan` and `outcome` ask for what `verify` has read, so each payment object is recovered once.
  const read = (payment: PaymentPayload): Read | Refusal => {
    const reading = readings.get(payment) ?? readSigned(payment, { scheme, chain, now: now() })
    readings.set(payment, reading)
    return reading
  }
  // Payments whose settlement was seen to run no code of the payer's; of any other that is not known.
  const plain = new WeakSet<PaymentPayload>()
  const verify: FacilitatorScheme['verify'] = async (submission, { signal } = {}) => {
    const { payment, requirements } = submission
    const wrongTerms = refuseTerms(scheme, submission, network)
    if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
    const token = requirements.asset.toLowerCase()
    if (!tokens.has(token))
      return { valid: false, reason: 'invalid_payment_requirements', message: `The token ${token} is not served here.` }
    const reading = read(payment)
    if ('reason' in reading) return { valid: false, ...reading }
    const { authorization, proof } = reading
    const refused = (refusal: AnyRefusal): Verdict & { valid: false } => ({ valid: false, ...refusal, payer: authorization.from })
    const early =
      refuseSigned(scheme, authorization, { ...submission, now: now() }) ?? refuseSender(authorization.witness.facilitator, chain)
    // Where a contract must judge the signature, the order of wire.md §8 would cost a second round trip.
    if (early !== undefined) {
      const expired = proof.by === 'key' && authorization.deadline <= BigInt(Math.floor(now()))
      return expired ? { ...refused(early), over: true } : refused(early)
    }
    await start({ signal })
    if (served?.has(token) !== true) return refused({ reason: 'asset_not_deployed_contract' })
    const { refusal: found, held, runsPayerCode } = await simulate(rehearsalOf(settleable(reading, submission)), { signal })
    if (!runsPayerCode) plain.add(payment)
    const comes = found?.reason === 'permit2_allowance_required' && reading.approval
    const refusal = comes ? await approvalFault(comes, authorization.from, { ...chain, signal }) : found
    return refusal === undefined
      ? { valid: true, payer: authorization.from, ...(held === undefined ? {} : { funds: held }) }
      : { ...refused(refusal), ...(refusal.reason === 'permit2_invalid_nonce' ? { over: true } : {}) }
  }
  return {
    scheme: scheme.scheme,
    network,
    writer: chain,
    extensions: [permitSponsoring, approvalSponsoring],
    supported: () => ({ x402Version: 2, scheme: scheme.scheme, network, ...(scheme.scheme === 'upto' ? { extra: settler(chain) } : {}) }),
    start,
    key: (payment) => (payment.accepted.network === network ? paymentKey(scheme, payment) : undefined),
    verify,
    async relay(submission, { signal } = {}) {
      const reading = read(submission.payment)
      if ('reason' in reading || reading.approval === undefined || isNothing(submission)) return undefined
      const { authorization, approval } = reading
      const relayed = await relayApproval(approval, authorization, { chain, signal, waitMs: approvalWaitMs })
      if (relayed === 'in place') return undefined
      return relayed === undefined ? verify(submission, { signal }) : { valid: false, ...relayed, payer: authorization.from }
    },
    plan(submission) {
      const reading = read(submission.payment)
      if ('reason' in reading) throw evmErrors('evm/not-settleable', { reason: reading.reason })
      return isNothing(submission) ? [] : [callOf(settleable(reading, submission), { chain, plain: plain.has(submission.payment) })]
    },
    outcome: (submission, { transaction, status }) => outcomeOf(scheme, submission, { transaction, ...status }),
    look: (submission, given) => lookAt(scheme, submission, { rpc: chain.rpc, final: () => chain.final(), ...given }),
  }
}

/** Whether nothing was used of a ceiling, for which the proxy moves nothing (wire.md §10). */
function isNothing({ requirements }: Submission): boolean {
  return BigInt(requirements.amount) === 0n
}

type Read = Omit<Settleable, 'amount'>

function settleable(reading: Read, { requirements }: Submission): Settleable {
  return { ...reading, amount: BigInt(requirements.amount) }
}

/** Whom payers of `upto` name: always the same one, since servers compare it with what they said in their offers (wire.md §22). */
function settler({ signers }: EvmChain): { readonly facilitatorAddress: string | undefined } {
  return { facilitatorAddress: signers[0] }
}

function refuseSender(facilitator: string | undefined, { signers }: EvmChain): Refusal | undefined {
  const isOurs = facilitator === undefined || signers.some((signer) => sameAddress(signer, facilitator))
  return isOurs ? undefined : { reason: 'upto_facilitator_mismatch' }
}

/** The call of a settlement. Permit2 tells no nonce, so two that would leave the same logs never share a transaction (M16). */
function callOf(payment: Settleable, { chain, plain }: { readonly chain: EvmChain; readonly plain: boolean }): Call {
  const { authorization, amount, permit } = payment
  const { from, permitted, witness } = authorization
  const call = { ...transferCall(payment), gas: chain.maxGasPerPayment }
  const signer = chain.signers.find((one) => sameAddress(one, witness.facilitator ?? ''))
  // The proxy of `upto` looks at its sender.
  if (signer !== undefined) return { ...call, alone: true, signer }
  // Of two permits of one number the second is void: it is looked at by itself, right before it would be sent.
  const alone = !plain || permit !== undefined
  const apart = ['permit2', from, permitted.token, witness.to, amount].join(' ').toLowerCase()
  return { ...call, alone, apart }
}

/** The proxy stands where it says that it uses Permit2. */
function throughProxy({ scheme, proxy }: Permit2Scheme, network: string): Through {
  const absent = () => evmErrors('config/no-proxy', { network, scheme, address: proxy })
  return { target: proxy, data: encodeCall('0x6afdd850', []), answer: permit2Address, absent }
}

function readSigned(
  payment: PaymentPayload,
  { scheme, chain, now }: { readonly scheme: Permit2Scheme; readonly chain: EvmChain; readonly now: number },
): Read | Refusal {
  const payload = readPayload(scheme, payment)
  // A payer of `upto` who named nobody signed for the exact proxy, or for none (wire.md §10).
  if (payload === undefined)
    return {
      reason: scheme.scheme === 'upto' && 'permit2Authorization' in payment.payload ? 'unsupported_payload_type' : 'invalid_payload',
    }
  const { permit2Authorization: authorization, signature } = payload
  const digest = permit2Digest(chain.chainId, authorization)
  const proof = proofOf(signature, { payer: authorization.from, digest, secp256k1: chain.secp256k1 })
  // A wallet that is not deployed has approved nothing, and what its factory runs could spend another of its nonces.
  if (proof === undefined || proof.by === 'undeployed') return { reason: 'invalid_permit2_signature' }
  const permit = ridingPermit(payment, authorization, { now })
  if (permit !== undefined && 'reason' in permit) return permit
  const approval = signedApproval(payment, authorization, chain)
  if (approval !== undefined && 'reason' in approval) return approval
  return { scheme, authorization, digest, proof, permit, approval }
}

type Mined = { readonly transaction: string } & Extract<TransactionStatus, { readonly state: 'mined' }>

function outcomeOf(scheme: Permit2Scheme, { payment, requirements }: Submission, mined: Mined): Outcome {
  const { transaction, success, logs, call } = mined
  const { network, asset, payTo, amount } = requirements
  const authorization = readPayload(scheme, payment)?.permit2Authorization
  const failed = { status: 'notSettled', network, transaction, retry: 'never' } as const
  if (authorization === undefined) return { ...failed, reason: 'invalid_payload' }
  const { from, nonce } = authorization
  const called = hexSchema.safeParse(call?.data).data
  const sought = { scheme, network, nonce, asset, from, payTo, amount: BigInt(amount) }
  const own =
    !success || call === undefined || called === undefined
      ? undefined
      : ownTransfer(sought, { logs, call: { ...call, data: called }, ours: true })
  const unclear = own === 'unclear' || (success && called === undefined)
  if (unclear) return { status: 'pending', network, transaction, payer: from }
  if (own === undefined) return { ...failed, reason: scheme.failed, payer: from, deadAfter: keyOf(authorization, network).deadAfter }
  return { status: 'settled', transaction, network, payer: from, amount }
}
