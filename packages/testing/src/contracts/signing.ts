import { type Address, encodeAbiParameters, type Hex, hashTypedData, keccak256, parseAbiParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import type { EvmChain } from '../chains/evm-chain.ts'
import { batchDomain, batchTypes, eip3009DepositTypes, permit2DepositTypes, permit2Domain } from './typed-data.ts'

/** What makes a channel; its digest is the channel's id. */
export type ChannelConfig = {
  readonly payer: Address
  readonly payerAuthorizer: Address
  readonly receiver: Address
  readonly receiverAuthorizer: Address
  readonly token: Address
  readonly withdrawDelay: number
  readonly salt: Hex
}

/** A moment that no test reaches. */
export const never = 2n ** 47n

/** The id of a channel on a chain. */
export function channelIdOf(chainId: number, config: ChannelConfig): Hex {
  return hashTypedData({ domain: batchDomain(chainId), types: batchTypes, primaryType: 'ChannelConfig', message: config })
}

/** The signature of a voucher, a refund or a batch of claims. */
export function batchSignature(
  key: Hex,
  chainId: number,
  message:
    | { readonly primaryType: 'Voucher'; readonly message: { readonly channelId: Hex; readonly maxClaimableAmount: bigint } }
    | { readonly primaryType: 'Refund'; readonly message: { readonly channelId: Hex; readonly nonce: bigint; readonly amount: bigint } }
    | { readonly primaryType: 'ClaimBatch'; readonly message: { readonly claims: readonly ClaimEntry[] } },
): Promise<Hex> {
  return privateKeyToAccount(key).signTypedData({ domain: batchDomain(chainId), types: batchTypes, ...message })
}

/** A row of a batch of claims, as it is signed. */
export type ClaimEntry = { readonly channelId: Hex; readonly maxClaimableAmount: bigint; readonly totalClaimed: bigint }

/** What a payer signs to fill a channel, by `key`; `salt` makes two such deposits differ. */
export type Deposit = {
  readonly key: Hex
  readonly config: ChannelConfig
  readonly amount: bigint
  readonly salt: bigint
  /** An EIP-2612 permit to try first, encoded; Permit2 only. */
  readonly permit?: Hex
}

/** What a payer signs for a deposit by EIP-3009. */
export function depositSignature({ usdc, chainId, contracts }: EvmChain, { key, config, amount, salt }: Deposit): Promise<Hex> {
  return privateKeyToAccount(key).signTypedData({
    domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: config.token },
    types: eip3009DepositTypes,
    primaryType: 'ReceiveWithAuthorization',
    message: {
      from: config.payer,
      to: contracts.eip3009Collector,
      value: amount,
      validAfter: 0n,
      validBefore: never,
      nonce: keccak256(encodeAbiParameters(parseAbiParameters('bytes32, uint256'), [channelIdOf(chainId, config), salt])),
    },
  })
}

/** The data that the EIP-3009 collector takes. */
export async function eip3009Deposit(chain: EvmChain, deposit: Deposit): Promise<Hex> {
  const signature = await depositSignature(chain, deposit)
  return encodeAbiParameters(parseAbiParameters('uint256, uint256, uint256, bytes'), [0n, never, deposit.salt, signature])
}

/** The data that the Permit2 collector takes. */
export async function permit2Deposit(
  { chainId, contracts }: EvmChain,
  { key, config, amount, salt, permit = '0x' }: Deposit,
): Promise<Hex> {
  const signature = await privateKeyToAccount(key).signTypedData({
    domain: permit2Domain(chainId),
    types: permit2DepositTypes,
    primaryType: 'PermitWitnessTransferFrom',
    message: {
      permitted: { token: config.token, amount },
      spender: contracts.permit2Collector,
      nonce: salt,
      deadline: never,
      witness: { channelId: channelIdOf(chainId, config) },
    },
  })
  return encodeAbiParameters(parseAbiParameters('uint256, uint256, bytes, bytes'), [salt, never, signature, permit])
}
