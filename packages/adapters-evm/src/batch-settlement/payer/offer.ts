import { type Asset, findAsset, type PaymentRequirements, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { chainIdOf, isAddress, isPayable } from '../../chain/address.ts'
import { tokenDomain } from '../../checks/signed.ts'
import type { Hex } from '../../crypto/bytes.ts'
import type { TokenDomain } from '../../crypto/eip712.ts'
import { type ChannelConfig, channelIdOf } from '../channel.ts'
import { batchTerms } from '../wire.ts'

/** What a payer asks of a channel, whoever sells. */
export type ChannelPolicy = {
  readonly payer: string
  /** The key that signs vouchers, and nothing else. */
  readonly voucherKey: string
  readonly salt: Hex
  /** In seconds. */
  readonly maxWithdrawDelay: number
}

/** One price over the channel that an offer and a policy make. Amounts in atomic units. */
export type ChannelOffer = {
  readonly requirements: PaymentRequirements
  readonly network: string
  readonly chainId: bigint
  /** In lower case. */
  readonly id: Hex
  readonly config: ChannelConfig
  readonly asset: Asset
  readonly amount: bigint
  readonly minDeposit: bigint | undefined
  /** The token's domain where deposits are made by EIP-3009. */
  readonly domain: TokenDomain | undefined
}

/** The channel that an offer is paid over, or why it is none. */
export function channelOffer(requirements: PaymentRequirements, policy: ChannelPolicy): ChannelOffer | string {
  const { network, payTo: receiver, asset: token, amount, extra } = requirements
  const chainId = chainIdOf(network)
  const { payer, voucherKey: payerAuthorizer, salt } = policy
  if (chainId === undefined || !isPayable(receiver) || !isAddress(token)) return 'asset or payTo is no address'
  if (!isAddress(payer) || !isPayable(payerAuthorizer)) return 'the payer has no address'
  const terms = z.safeParse(batchTerms, extra)
  if (!terms.success) return 'extra lacks what makes a channel'
  const { receiverAuthorizer, withdrawDelay, minDeposit } = terms.data
  if (withdrawDelay > policy.maxWithdrawDelay) {
    return `a deposit would be stuck for ${withdrawDelay} s, and ${policy.maxWithdrawDelay} is the most`
  }
  const asset = findAsset(network, token)
  if (asset === undefined || !sameAddress(asset.address, token) || asset.currency !== 'USD') return 'the worth of the asset is not known'
  const config = { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt }
  const domain = extra?.assetTransferMethod === 'permit2' ? undefined : tokenDomain(requirements)
  return { requirements, network, chainId, id: channelIdOf(chainId, config), config, asset, amount: BigInt(amount), minDeposit, domain }
}
