import type { Address } from 'viem'
import { contracts } from './placement.ts'

type Domain = { readonly name: string; readonly version?: string; readonly chainId: number; readonly verifyingContract: Address }

/** The domain that channels, vouchers, refunds and claims are signed in. */
export function batchDomain(chainId: number): Domain {
  return { name: 'x402 Batch Settlement', version: '1', chainId, verifyingContract: contracts.batchSettlement }
}

/** The domain that Permit2 transfers are signed in; it has no version. */
export function permit2Domain(chainId: number): Domain {
  return { name: 'Permit2', chainId, verifyingContract: contracts.permit2 }
}

/** What the escrow has signed, by payers and receivers. */
export const batchTypes = {
  ChannelConfig: [
    { name: 'payer', type: 'address' },
    { name: 'payerAuthorizer', type: 'address' },
    { name: 'receiver', type: 'address' },
    { name: 'receiverAuthorizer', type: 'address' },
    { name: 'token', type: 'address' },
    { name: 'withdrawDelay', type: 'uint40' },
    { name: 'salt', type: 'bytes32' },
  ],
  Voucher: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'maxClaimableAmount', type: 'uint128' },
  ],
  Refund: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'nonce', type: 'uint256' },
    { name: 'amount', type: 'uint128' },
  ],
  ClaimBatch: [{ name: 'claims', type: 'ClaimEntry[]' }],
  ClaimEntry: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'maxClaimableAmount', type: 'uint128' },
    { name: 'totalClaimed', type: 'uint128' },
  ],
} as const

const permit2Types = <const Witness extends string>(witness: Witness) =>
  ({
    PermitWitnessTransferFrom: [
      { name: 'permitted', type: 'TokenPermissions' },
      { name: 'spender', type: 'address' },
      { name: 'nonce', type: 'uint256' },
      { name: 'deadline', type: 'uint256' },
      { name: 'witness', type: witness },
    ],
    TokenPermissions: [
      { name: 'token', type: 'address' },
      { name: 'amount', type: 'uint256' },
    ],
  }) as const

/** What the exact proxy has signed. */
export const exactTypes = {
  ...permit2Types('Witness'),
  Witness: [
    { name: 'to', type: 'address' },
    { name: 'validAfter', type: 'uint256' },
  ],
} as const

/** What the upto proxy has signed. */
export const uptoTypes = {
  ...permit2Types('Witness'),
  Witness: [
    { name: 'to', type: 'address' },
    { name: 'facilitator', type: 'address' },
    { name: 'validAfter', type: 'uint256' },
  ],
} as const

/** What the Permit2 collector has signed. */
export const permit2DepositTypes = {
  ...permit2Types('DepositWitness'),
  DepositWitness: [{ name: 'channelId', type: 'bytes32' }],
} as const

/** What the EIP-3009 collector has signed, in the token's own domain. */
export const eip3009DepositTypes = {
  ReceiveWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const

/** The permit that gives Permit2 its allowance, in the token's own domain. */
export const eip2612Types = {
  Permit: [
    { name: 'owner', type: 'address' },
    { name: 'spender', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'deadline', type: 'uint256' },
  ],
} as const
