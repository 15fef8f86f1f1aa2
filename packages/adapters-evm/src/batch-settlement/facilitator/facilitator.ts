import type { Asset, FacilitatorScheme, Submission, Verdict } from '@flow402x/core'
import { encodeCall } from '../../chain/abi.ts'
import { evmErrors } from '../../chain/errors.ts'
import type { EvmChain } from '../../chain/evm-chain.ts'
import { factorySet } from '../../checks/proof.ts'
import { type Refusal, simulator } from '../../checks/simulation.ts'
import { authorizationTokens, checkedTokens, listedTokens, servedTokens, type Through } from '../../checks/tokens.ts'
import { approvalSponsoring, permitSponsoring } from '../../permit2/sponsoring.ts'
import { eip3009Collector, permit2Collector } from '../calls.ts'
import { batchSettlement } from '../channel.ts'
import { voucherCheck } from '../voucher.ts'
import { type BatchPayload, batchReason, payloadTypes, readBatchPayload } from '../wire.ts'
import { authorityOf, type ReceiverAuthorizer } from './authority.ts'
import { depositKey } from './deposit.ts'
import { depositsOn } from './deposits.ts'
import { type GasBudget, reserveGas } from './gas-budget.ts'
import { type Abortable, type Ground, refuseDrawn, voucherProof } from './ground.ts'
import { receivingOn } from './receiving.ts'
import { voucherRehearsal } from './rehearsal.ts'

/** What settling over channels on an EVM network takes. */
export type BatchSettlementFacilitatorOptions = {
  readonly chain: EvmChain
  /** Tokens to serve beside those of the table: what a token's code does is then your responsibility (A7). */
  readonly assets?: readonly Asset[]
  /** Factories that may deploy a payer's smart wallet at your expense (ERC-6492). None unless told. */
  readonly erc6492Factories?: readonly string[]
  /** Signs for receivers that have no key of their own for it and name this one in their channels. None unless told. */
  readonly receiverAuthorizer?: ReceiverAuthorizer
  /** What the deposits and refunds of one payer may cost in a day. Without it they cost what they cost: set it where anybody may ask. */
  readonly gasBudget?: GasBudget
  /** How long a payer's own approval may take to be mined, in milliseconds: 30,000 unless told. */
  readonly approvalWaitMs?: number
  /** Unix seconds. */
  readonly now?: () => number
}

/**
 * Verifies and settles x402 `batch-settlement` on one EVM network: deposits by EIP-3009 and by Permit2, vouchers, and what receivers ask
 * for: batches of claims, the sweep of what was claimed, and refunds.
 *
 * Errors: `config/foreign-asset`, `config/no-authorizations`, `config/bad-address`, `config/bad-private-key` at creation;
 * `config/wrong-chain`, `config/no-multicall`, `config/no-escrow`, `config/domain-mismatch`, `config/no-token`, `evm/rpc` from `start`;
 * `evm/rpc`, `evm/call-failed` from `verify`, and `evm/gas-budget` where it is asked of what is to be settled.
 */
export function batchSettlementFacilitator(options: BatchSettlementFacilitatorOptions): FacilitatorScheme {
  const { chain, assets = [], approvalWaitMs = 30_000, gasBudget } = options
  const { network, chainId } = chain
  const ground = groundOf(options)
  const deposits = depositsOn(ground, { approvalWaitMs })
  const receiving = receivingOn(ground)
  let served: ReadonlySet<string> | undefined
  const start: FacilitatorScheme['start'] = async ({ signal } = {}) => {
    await chain.start({ signal })
    served ??= await standingTokens(ground, { assets, signal })
  }
  const keyOf: FacilitatorScheme['key'] = (payment) => {
    const payload = payment.accepted.network === network ? readBatchPayload(payment) : undefined
    return payload?.type === 'deposit' ? depositKey(payload, payment, chainId) : payload && receiving.key(payload)
  }
  const judge = (payload: BatchPayload, submission: Submission, { signal, settle }: Abortable & { readonly settle: boolean }) => {
    if (payload.type === 'deposit') return deposits.verify(payload, submission, { signal })
    if (settle) return receiving.verify(payload, submission, { signal })
    return 'voucher' in payload ? lookAtVoucher(payload, submission, { ...ground, signal }) : refusedType
  }
  const plan: FacilitatorScheme['plan'] = ({ payment }) => {
    const payload = readBatchPayload(payment)
    const calls = payload?.type === 'deposit' ? deposits.calls(payment) : payload && receiving.calls(payload, payment)
    if (calls === undefined) throw evmErrors('evm/not-settleable', { reason: batchReason('payload_type') })
    return calls
  }
  const extra = ground.authority && { extra: { receiverAuthorizer: ground.authority.address } }
  return {
    scheme: 'batch-settlement',
    network,
    writer: chain,
    extensions: [permitSponsoring, approvalSponsoring],
    supported: () => ({ x402Version: 2, scheme: 'batch-settlement', network, ...extra }),
    start,
    key: keyOf,
    draw(payment) {
      const payload = readBatchPayload(payment)
      return payload?.type === 'deposit' ? payload.deposit.amount : 0n
    },
    async verify(submission, { signal, settle = false } = {}) {
      const payload = payloadOf(submission, network)
      if ('reason' in payload) return { valid: false, ...payload }
      await start({ signal })
      const { asset } = submission.requirements
      if (served?.has(asset.toLowerCase()) !== true)
        return { valid: false, reason: batchReason('token_mismatch'), message: `The token ${asset} is not served here.` }
      const verdict = await judge(payload, submission, { signal, settle })
      const key = keyOf(submission.payment)
      const isOften = payload.type === 'deposit' || payload.type === 'refund'
      if (gasBudget !== undefined && key !== undefined && settle && verdict.valid && isOften)
        await reserveGas(gasBudget, { key, network, calls: plan(submission), now: ground.now() })
      return verdict
    },
    relay: deposits.relay,
    plan,
    outcome(submission, { transaction, status }) {
      const payload = readBatchPayload(submission.payment)
      const told = payload && receiving.outcome(payload, submission, { transaction, ...status })
      return told ?? deposits.outcome(submission, { transaction, ...status })
    },
    async complete(submission, settled) {
      const payload = readBatchPayload(submission.payment)
      return payload?.type === 'refund' ? receiving.complete(payload, settled) : deposits.complete(submission, settled)
    },
    // Whatever else is asked for shows in the escrow's numbers, and does no harm where it is asked for again.
    look: deposits.look,
  }
}

function groundOf({
  chain,
  assets = [],
  erc6492Factories = [],
  receiverAuthorizer,
  now = () => Date.now() / 1000,
}: BatchSettlementFacilitatorOptions): Ground {
  const domains = authorizationTokens(
    chain,
    assets.filter(({ transfer }) => transfer !== 'permit2'),
  )
  return {
    chain,
    simulate: simulator(chain),
    vouchers: voucherCheck(chain),
    tokens: new Map([...listedTokens(chain, assets)].map((token) => [token, domains.get(token)])),
    factories: factorySet(erc6492Factories),
    authority: receiverAuthorizer && authorityOf(receiverAuthorizer, chain),
    now,
  }
}

/** The tokens that stand on a chain with the escrow and both collectors, each in the domain that is known of it. */
async function standingTokens(
  { chain, tokens }: Ground,
  { assets, signal }: Abortable & { readonly assets: readonly Asset[] },
): Promise<ReadonlySet<string>> {
  const through = [eip3009Collector, permit2Collector].map((target): Through => {
    const absent = () => evmErrors('config/no-escrow', { network: chain.network, address: target })
    return { target, data: encodeCall('0x4dec6d95', []), answer: batchSettlement, absent }
  })
  const served = await servedTokens(chain, { through, holder: batchSettlement, tokens: new Set(tokens.keys()), assets, signal })
  const domains = [...tokens].flatMap(([token, domain]) => (domain !== undefined && served.has(token) ? [[token, domain] as const] : []))
  if (domains.length > 0) await checkedTokens(chain, { tokens: new Map(domains), required: [], signal })
  return served
}

const refusedType = { valid: false, reason: batchReason('payload_type') } as const

/** What is asked for, by whom it is asked for in this scheme and on this network. */
function payloadOf({ payment, requirements }: Submission, network: string): BatchPayload | Refusal {
  const { accepted, payload } = payment
  if (accepted.scheme !== 'batch-settlement' || requirements.scheme !== 'batch-settlement') return { reason: batchReason('scheme') }
  if (accepted.network !== requirements.network || requirements.network !== network) return { reason: batchReason('network_mismatch') }
  const known = payloadTypes.some((type) => type === payload.type)
  return readBatchPayload(payment) ?? { reason: known ? 'invalid_payload' : batchReason('payload_type') }
}

type VoucherPayload = BatchPayload & { readonly type: 'voucher' | 'refund' }

/** Whether a voucher is its channel's and in it, as any receiver may ask; a refund's must not go beyond what is claimed. */
async function lookAtVoucher(payload: VoucherPayload, submission: Submission, { signal, ...ground }: Ground & Abortable): Promise<Verdict> {
  const { payer } = payload.channelConfig
  const proof = refuseDrawn(payload, submission, ground) ?? (await voucherProof(payload, ground, { signal }))
  if ('reason' in proof) return { valid: false, ...proof, payer }
  const rehearsal = voucherRehearsal(payload, proof, { refund: payload.type === 'refund' })
  const { refusal, extra = {} } = await ground.simulate(rehearsal, { signal })
  return refusal === undefined ? { valid: true, payer, extra } : { valid: false, ...refusal, payer }
}
