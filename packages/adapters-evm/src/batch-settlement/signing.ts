import type { Hex } from '../crypto/bytes.ts'
import { type ClaimEntry, receiveDigest, receiveTypedData, type TokenDomain, type Voucher } from '../crypto/eip712.ts'
import { type EvmSigner, signWith } from '../crypto/signer.ts'
import { type Deposit, eip3009Collector, type SignedRefund } from './calls.ts'
import {
  type ChannelConfig,
  channelIdOf,
  claimBatchDigest,
  claimBatchTypedData,
  depositNonce,
  refundDigest,
  refundTypedData,
  voucherDigest,
  voucherTypedData,
} from './channel.ts'
import type { VoucherClaim } from './wire.ts'

/** Who signs, on which chain. Errors of all of these: `evm/bad-signature`, and whatever the signer throws. */
export type ChannelSigner = { readonly signer: EvmSigner; readonly chainId: bigint }

/** A voucher with its signature, as a payment carries it. */
export type SignedVoucher = Voucher & { readonly signature: Hex }

/** The payer's voucher for all up to `maxClaimableAmount`, by the channel's `payerAuthorizer`. */
export async function signVoucher(
  config: ChannelConfig,
  maxClaimableAmount: bigint,
  { signer, chainId }: ChannelSigner,
): Promise<SignedVoucher> {
  const voucher = { channelId: channelIdOf(chainId, config), maxClaimableAmount }
  const signature = await signWith(signer, {
    digest: () => voucherDigest(chainId, voucher),
    typedData: () => voucherTypedData(chainId, voucher),
  })
  return { ...voucher, signature }
}

/** What a deposit is signed for. `domain` is the token's. */
export type DepositTerms = Omit<Deposit, 'signature'> & { readonly domain: TokenDomain }

/** The payer's deposit by EIP-3009: tied to its channel, and of use to the collector alone. */
export async function signDeposit(
  config: ChannelConfig,
  { domain, ...deposit }: DepositTerms,
  { signer, chainId }: ChannelSigner,
): Promise<Deposit> {
  const { amount: value, validAfter, validBefore, salt } = deposit
  const nonce = depositNonce(channelIdOf(chainId, config), salt)
  const authorization = { from: config.payer, to: eip3009Collector, value, validAfter, validBefore, nonce } as const
  const signature = await signWith(signer, {
    digest: () => receiveDigest(domain, authorization),
    typedData: () => receiveTypedData(domain, authorization),
  })
  return { ...deposit, signature }
}

/** The receiver's consent to a batch of claims, by the `receiverAuthorizer` that all its channels name. */
export function signClaims(claims: readonly VoucherClaim[], { signer, chainId }: ChannelSigner): Promise<Hex> {
  const entries = claimEntries(claims, chainId)
  return signWith(signer, {
    digest: () => claimBatchDigest(chainId, entries),
    typedData: () => claimBatchTypedData(chainId, entries),
  })
}

/** The receiver's consent to give `amount` back, good once, for the nonce that the escrow counts. */
export async function signRefund(
  config: ChannelConfig,
  { amount, nonce }: Omit<SignedRefund, 'signature'>,
  { signer, chainId }: ChannelSigner,
): Promise<SignedRefund> {
  const refund = { channelId: channelIdOf(chainId, config), nonce, amount }
  const signature = await signWith(signer, {
    digest: () => refundDigest(chainId, refund),
    typedData: () => refundTypedData(chainId, refund),
  })
  return { amount, nonce, signature }
}

/** Claims as their receiver signs them. */
export function claimEntries(claims: readonly VoucherClaim[], chainId: bigint): readonly ClaimEntry[] {
  return claims.map(({ voucher: { channel, maxClaimableAmount }, totalClaimed }) => {
    return { channelId: channelIdOf(chainId, channel), maxClaimableAmount, totalClaimed }
  })
}
