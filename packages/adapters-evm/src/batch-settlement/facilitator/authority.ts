import type { Submission } from '@flow402x/core'
import { isAddress } from '../../chain/address.ts'
import { evmErrors } from '../../chain/errors.ts'
import type { EvmChain } from '../../chain/evm-chain.ts'
import { type Hex, toHex } from '../../crypto/bytes.ts'
import { type EvmSigner, privateKeySigner } from '../../crypto/signer.ts'
import type { SignedRefund } from '../calls.ts'
import { type ChannelConfig, channelIdOf, claimBatchDigest, refundDigest } from '../channel.ts'
import { claimEntries, signClaims, signRefund } from '../signing.ts'
import type { VoucherClaim } from '../wire.ts'

/** A key that receivers let claim and refund for them. */
export type ReceiverAuthorizer = {
  /** A private key or an account; may be one of the chain's signers, which then claims without a signature. */
  readonly signer: string | EvmSigner
  /**
   * Whether a refund may be signed. What was bought and not claimed yet goes back to the payer with it, and whoever reaches the
   * facilitator can ask: say yes only where it is certain that the receiver does.
   */
  mayRefund(submission: Submission): boolean | Promise<boolean>
}

/** The key that signs for receivers. What it signed is kept for as long as it takes to send it. */
export type Authority = Pick<ReceiverAuthorizer, 'mayRefund'> & {
  readonly address: Hex
  signClaims(claims: readonly VoucherClaim[]): Promise<Hex>
  signRefund(config: ChannelConfig, refund: Refund): Promise<Hex>
  /** What it signed of these, if it did lately. */
  keptClaims(claims: readonly VoucherClaim[]): Hex | undefined
  keptRefund(config: ChannelConfig, refund: Refund): Hex | undefined
}

type Refund = Omit<SignedRefund, 'signature'>

const mostKept = 1024

/** A key of its own as an authority on one chain. Errors: `config/bad-private-key`, `config/bad-address`. */
export function authorityOf({ signer: given, mayRefund }: ReceiverAuthorizer, { chainId, secp256k1 }: EvmChain): Authority {
  const signer = typeof given === 'string' ? privateKeySigner(given, { secp256k1 }) : given
  const { address } = signer
  if (!isAddress(address)) throw evmErrors('config/bad-address', { option: 'receiverAuthorizer', address })
  const kept = new Map<string, Hex>()
  const claimsName = (claims: readonly VoucherClaim[]) => toHex(claimBatchDigest(chainId, claimEntries(claims, chainId)))
  const refundName = (config: ChannelConfig, refund: Refund) =>
    toHex(refundDigest(chainId, { ...refund, channelId: channelIdOf(chainId, config) }))
  const keep = (name: string, signature: Hex): Hex => {
    const [oldest] = kept.keys()
    if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
    kept.set(name, signature)
    return signature
  }
  return {
    address,
    mayRefund,
    signClaims: async (claims) => keep(claimsName(claims), await signClaims(claims, { signer, chainId })),
    signRefund: async (config, refund) =>
      keep(refundName(config, refund), (await signRefund(config, refund, { signer, chainId })).signature),
    keptClaims: (claims) => kept.get(claimsName(claims)),
    keptRefund: (config, refund) => kept.get(refundName(config, refund)),
  }
}
