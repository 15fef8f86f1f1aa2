import {
  type Asset,
  type Call,
  type FacilitatorScheme,
  isX402Error,
  type Log,
  type Outcome,
  type PaymentPayload,
  type PaymentRequirements,
  type Submission,
  type Verdict,
} from '@flow402x/core'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { factorySet, proofOf } from '../checks/proof.ts'
import { domainOf } from '../checks/signed.ts'
import { type Refusal as AnyRefusal, simulator } from '../checks/simulation.ts'
import { authorizationTokens, checkedTokens } from '../checks/tokens.ts'
import { type TokenDomain, transferDigest } from '../crypto/eip712.ts'
import { type LookingFacilitator, type Permit2FacilitatorOptions, permit2Facilitator } from '../permit2/facilitator.ts'
import { exactPermit2, isPermit2 } from '../permit2/wire.ts'
import { evidenceIn } from './evidence.ts'
import { lookAt } from './look.ts'
import { deployCall, rehearsalOf, type Settleable, transferCall } from './simulation.ts'
import { keyOf, paymentKey, type Refusal, readPayload, refuseAuthorization, refuseTerms } from './wire.ts'

/** What settling `exact` on an EVM network takes. */
export type ExactEvmFacilitatorOptions = Permit2FacilitatorOptions & {
  /** Factories that may deploy a payer's smart wallet at your expense (ERC-6492). None unless told. */
  readonly erc6492Factories?: readonly string[]
}

/**
 * Verifies and settles x402 `exact` on one EVM network, by EIP-3009 and by Permit2.
 *
 * Verifying costs one RPC round trip; a bad payment is a verdict with the spec's reason, and an RPC that fails is an error.
 * Errors: `config/foreign-asset`, `config/no-authorizations`, `config/bad-address` at creation; `config/wrong-chain`,
 * `config/no-multicall`, `config/no-proxy`, `config/domain-mismatch`, `config/no-token`, `evm/rpc` from `start`; `evm/rpc`,
 * `evm/call-failed` from `verify`.
 */
export function exactEvmFacilitator(options: ExactEvmFacilitatorOptions): FacilitatorScheme {
  const { assets = [] } = options
  const eip3009 = eip3009Facilitator({ ...options, assets: assets.filter(({ transfer }) => transfer !== 'permit2') })
  const permit2 = permit2Facilitator(exactPermit2, { ...options, assets: assets.filter(({ transfer }) => transfer === 'permit2') })
  const by = (requirements: PaymentRequirements) => (isPermit2(requirements) ? permit2 : eip3009)
  return {
    ...eip3009,
    async start(given) {
      const [direct, proxied] = await Promise.allSettled([eip3009.start(given), permit2.start(given)])
      if (direct.status === 'rejected' && !(proxied.status === 'fulfilled' && isAbsent(direct.reason, assets, 'eip3009')))
        throw direct.reason
      if (proxied.status === 'rejected' && !(direct.status === 'fulfilled' && isAbsent(proxied.reason, assets, 'permit2')))
        throw proxied.reason
    },
    ...(permit2.extensions === undefined ? {} : { extensions: permit2.extensions }),
    key: (payment) => by(payment.accepted).key(payment),
    verify: (submission, given) => by(submission.requirements).verify(submission, given),
    relay: async (submission, given) => by(submission.requirements).relay?.(submission, given),
    plan: (submission) => by(submission.requirements).plan(submission),
    outcome: (submission, result) => by(submission.requirements).outcome(submission, result),
    look: (submission, given) => by(submission.requirements).look(submission, given),
  }
}

/** Whether a chain merely lacks one of the two ways, which nobody asked for by naming a token of it. */
function isAbsent(error: unknown, assets: readonly Asset[], transfer: Asset['transfer']): boolean {
  const lacks = isX402Error(error, 'config/no-token') || isX402Error(error, 'config/no-proxy')
  return lacks && assets.every((asset) => asset.transfer !== transfer)
}

/** `exact` by EIP-3009 alone. */
function eip3009Facilitator(options: ExactEvmFacilitatorOptions): LookingFacilitator {
  const { chain, now = () => Date.now() / 1000 } = options
  const { network } = chain
  const { assets = [], erc6492Factories = [] } = options
  const tokens = authorizationTokens(chain, assets)
  const required = assets.map(({ address }) => address.toLowerCase())
  const factories = factorySet(erc6492Factories)
  const simulate = simulator(chain)
  let served: ReadonlyMap<string, TokenDomain> | undefined

  const start: FacilitatorScheme['start'] = async ({ signal } = {}) => {
    await chain.start({ signal })
    served ??= await checkedTokens(chain, { tokens, required, signal })
  }

  const readings = new WeakMap<PaymentPayload, Settleable | Refusal>()
  // `plan` and `outcome` ask for what `verify` has read, so each payment object is recovered once.
  const settleable = (payment: PaymentPayload): Settleable | Refusal => {
    const reading = readings.get(payment) ?? readSettleable(payment, { chain, tokens })
    readings.set(payment, reading)
    return reading
  }

  // Payments whose settlement was seen to run no code of the payer's; of any other that is not known.
  const plain = new WeakSet<PaymentPayload>()

  return {
    scheme: 'exact',
    network,
    writer: chain,
    supported: () => ({ x402Version: 2, scheme: 'exact', network }),
    start,
    key: (payment) => (payment.accepted.network === network ? paymentKey(payment) : undefined),
    async verify(submission, { signal } = {}) {
      const { payment, requirements } = submission
      const wrongTerms = refuseTerms(submission, network) ?? refuseToken(submission, tokens)
      if (wrongTerms !== undefined) return { valid: false, ...wrongTerms }
      const reading = settleable(payment)
      if ('reason' in reading) return { valid: false, ...reading }
      const { authorization, asset, proof } = reading
      const refused = (refusal: AnyRefusal): Verdict & { valid: false } => ({ valid: false, ...refusal, payer: authorization.from })
      if (proof.by === 'undeployed' && !factories.has(proof.wrapped.factory.toLowerCase()))
        return refused({ reason: 'eip6492_factory_not_allowed' })
      const early = refuseAuthorization(authorization, { requirements, now: now() })
      // Where a contract must judge the signature, the order of wire.md §8 would cost a second round trip.
      if (early !== undefined) {
        const expired = proof.by === 'key' && authorization.validBefore <= BigInt(Math.floor(now()))
        return expired ? { ...refused(early), ...over } : refused(early)
      }
      await start({ signal })
      if (served?.has(asset.toLowerCase()) !== true) return refused({ reason: 'asset_not_deployed_contract' })
      const first = await simulate(rehearsalOf(reading), { signal })
      // A wallet that somebody made meanwhile needs no making, and cannot be made twice.
      const there = first.refusal && madeAlready(reading)
      const again = there && (await simulate(rehearsalOf(there), { signal }))
      const { refusal, held, runsPayerCode } = again !== undefined && again.refusal === undefined ? again : first
      if (!runsPayerCode) plain.add(payment)
      return refusal === undefined
        ? { valid: true, payer: authorization.from, ...(held === undefined ? {} : { funds: held }) }
        : { ...refused(refusal), ...(refusal.reason === 'invalid_exact_evm_nonce_already_used' ? over : {}) }
    },
    plan(submission) {
      const reading = settleable(submission.payment)
      if ('reason' in reading) throw evmErrors('evm/not-settleable', { reason: reading.reason })
      const alone = !plain.has(submission.payment)
      const calls = [deployCall(reading), transferCall(reading)].filter((call) => call !== undefined)
      return calls.map((call): Call => ({ ...call, gas: chain.maxGasPerPayment / BigInt(calls.length), alone }))
    },
    outcome: (submission, { transaction, status }) => outcomeOf(submission, { transaction, ...status }),
    look: (submission, given) => lookAt(submission, { rpc: chain.rpc, final: () => chain.final(), ...given }),
  }
}

const over = { over: true } as const

/** The payment as that of a wallet that is there; nothing for one that does not say how to make it. */
function madeAlready({ proof, ...payment }: Settleable): Settleable | undefined {
  return proof.by === 'undeployed' ? { ...payment, proof: { by: 'contract', signature: proof.wrapped.signature } } : undefined
}

/** Only listed tokens are called (A7), and only terms that name a token's own domain can have been signed for it. */
function refuseToken({ requirements }: Submission, tokens: ReadonlyMap<string, TokenDomain>): Refusal | undefined {
  const token = tokens.get(requirements.asset.toLowerCase())
  const terms = domainOf(requirements)
  if (token === undefined) return { reason: 'invalid_payment_requirements', message: `The token ${requirements.asset} is not served here.` }
  if (terms?.name !== token.name)
    return { reason: 'invalid_exact_evm_token_name_mismatch', message: `The token's EIP-712 name is "${token.name}".` }
  if (terms.version !== token.version)
    return { reason: 'invalid_exact_evm_token_version_mismatch', message: `The token's EIP-712 version is "${token.version}".` }
  return undefined
}

type Reading = { readonly chain: EvmChain; readonly tokens: ReadonlyMap<string, TokenDomain> }

function readSettleable(payment: PaymentPayload, { chain, tokens }: Reading): Settleable | Refusal {
  const payload = readPayload(payment)
  if (payload === undefined) return { reason: 'invalid_payload' }
  const { asset } = payment.accepted
  const domain = tokens.get(asset.toLowerCase())
  if (domain === undefined || !isAddress(asset)) return { reason: 'invalid_payment_requirements' }
  const { authorization, signature } = payload
  const digest = transferDigest(domain, authorization)
  const proof = proofOf(signature, { payer: authorization.from, digest, secp256k1: chain.secp256k1 })
  return proof === undefined ? { reason: 'invalid_exact_evm_signature' } : { asset, authorization, digest, proof }
}

type Mined = { readonly transaction: string; readonly success: boolean; readonly logs: readonly Log[] }

function outcomeOf({ payment, requirements }: Submission, { transaction, success, logs }: Mined): Outcome {
  const { network, asset, payTo, amount } = requirements
  const authorization = readPayload(payment)?.authorization
  const failed = { status: 'notSettled', network, transaction, retry: 'never' } as const
  if (authorization === undefined) return { ...failed, reason: 'invalid_payload' }
  const { from, nonce } = authorization
  const { deadAfter } = keyOf(authorization, { network, asset })
  if (!success) return { ...failed, reason: 'invalid_exact_evm_transaction_failed', payer: from, deadAfter }
  const { paid, used } = evidenceIn(logs, { asset, from, nonce, payTo, amount: BigInt(amount) })
  // Without any trace of the nonce this call, isolated among others, failed by itself (M16).
  const reason = used ? 'invalid_exact_evm_transfer_event_mismatch' : 'invalid_exact_evm_transaction_failed'
  if (paid === undefined) return { ...failed, reason, payer: from, deadAfter }
  return { status: 'settled', transaction, network, payer: from, amount }
}
