import { type PaymentKey, type Submission, sameAddress, type TransactionStatus } from '@flow402x/core'
import { type CallResult, hexSchema, type Target } from '../../chain/abi.ts'
import type { EvmChain } from '../../chain/evm-chain.ts'
import { isAccepted, proofOf, signatureCheck } from '../../checks/proof.ts'
import type { Refusal, simulator } from '../../checks/simulation.ts'
import type { Hex } from '../../crypto/bytes.ts'
import type { TokenDomain } from '../../crypto/eip712.ts'
import { channelIdOf, voucherDigest } from '../channel.ts'
import { type Drawn, refuseTerms, type VoucherCheck } from '../voucher.ts'
import { type BatchRefusal, batchReason, type VoucherClaim } from '../wire.ts'
import type { Authority } from './authority.ts'

/** What channels are served with. */
export type Ground = {
  readonly chain: EvmChain
  readonly simulate: ReturnType<typeof simulator>
  readonly vouchers: VoucherCheck
  /** The listed tokens by their address in lower case, those that EIP-3009 moves with their domain. */
  readonly tokens: ReadonlyMap<string, TokenDomain | undefined>
  /** Who may deploy payers' wallets. */
  readonly factories: ReadonlySet<string>
  readonly authority: Authority | undefined
  /** Unix seconds. */
  readonly now: () => number
}

/** A mined transaction, as outcomes are told from it. */
export type Mined = { readonly transaction: string } & Extract<TransactionStatus, { readonly state: 'mined' }>

/** What is asked of a call that may be given up. */
export type Abortable = { readonly signal?: AbortSignal | undefined }

/** Whether a channel is the one that its voucher names, and one that the requirements ask for, in the order of wire.md §11.4. */
export function refuseDrawn({ channelConfig, voucher }: Drawn, { requirements }: Submission, { chain }: Ground): BatchRefusal | undefined {
  if (channelIdOf(chain.chainId, channelConfig) !== voucher.channelId.toLowerCase()) return { reason: batchReason('channel_id_mismatch') }
  return refuseTerms(channelConfig, requirements)
}

/** How the payer's own account is asked about a voucher of a channel that names no key, and what it must answer. */
export type VoucherProof = { readonly check?: Target; accepts(answer: CallResult | undefined): boolean }

/**
 * Who vouches for a voucher: its channel's key, by recovery alone and whatever stands at its address; or, where the channel names none,
 * its payer as the escrow asks him (wire.md §7.4, §11.4): by his key where he has no code, else by what his code says.
 *
 * Errors: `evm/rpc`.
 */
export async function voucherProof(drawn: Drawn, { chain, vouchers }: Ground, { signal }: Abortable): Promise<VoucherProof | BatchRefusal> {
  const {
    channelConfig: { payer, payerAuthorizer },
    voucher,
  } = drawn
  if (!/^0x0{40}$/.test(payerAuthorizer)) return vouchers(drawn) ?? { accepts: () => true }
  const digest = voucherDigest(chain.chainId, voucher)
  const proof = proofOf(voucher.signature, { payer, digest, secp256k1: chain.secp256k1 })
  // The escrow knows no wrapper, so that nothing could ever be claimed with it.
  if (proof === undefined || proof.by === 'undeployed') return { reason: batchReason('voucher_signature') }
  const codeless = proof.by === 'key' && (await hasNoCode(payer, { chain, signal }))
  return {
    check: signatureCheck({ payer, digest, proof }),
    accepts: (answer) => answer?.success === true && (isAccepted(answer.data) || (codeless && answer.data === '0x')),
  }
}

async function hasNoCode(address: Hex, { chain, signal }: Pick<Ground, 'chain'> & Abortable): Promise<boolean> {
  const code = await chain.rpc.ask({ method: 'eth_getCode', params: [address, 'latest'], result: hexSchema }, { signal })
  return code === '0x'
}

// The least that payers wait for a withdrawal: what is not mined by then is asked for anew.
const lifetime = 900

/** What makes something itself that a receiver asks for: whoever asks is told the same of it. */
export function keyFor(id: readonly string[], { payer, now }: { readonly payer: string; readonly now: () => number }): PaymentKey {
  const [network = '', ...rest] = id
  const deadAfter = Math.ceil(now()) + lifetime
  return { id: [network, 'batch-settlement', ...rest].join('/'), payer: payer.toLowerCase(), deadAfter, told: 'anyone' }
}

/** Why our own key does not sign claims, if so. */
export function refuseOwn(claims: readonly VoucherClaim[], { authority }: Ground): Refusal | undefined {
  if (authority === undefined) return { reason: batchReason('authorizer_not_configured') }
  const isOurs = claims.every(({ voucher }) => sameAddress(voucher.channel.receiverAuthorizer, authority.address))
  return isOurs ? undefined : { reason: batchReason('authorizer_address_mismatch') }
}
