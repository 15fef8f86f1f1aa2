import type { PaymentPayload, PaymentRequirements } from '@flow402x/core'
import { encodeFunctionData, getAddress, type Hex, numberToHex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { facilitator as relayer } from '../chains/accounts.ts'
import type { EvmChain } from '../chains/evm-chain.ts'
import { batchSettlement } from './artifacts.ts'
import { caller } from './caller.ts'
import { batchSignature, type ChannelConfig, channelIdOf, depositSignature, eip3009Deposit, never } from './signing.ts'

/** A payer with one channel, for suites that are about sellers: he signs whatever he is told to, and remembers nothing. */
export type ChannelPayer = {
  readonly config: ChannelConfig
  readonly id: Hex
  /** A payment of these types for requirements, with a voucher up to `max`. */
  voucher(max: bigint, change?: Readonly<Record<string, unknown>>): Promise<PaymentPayload>
  deposit(max: bigint, filling: { readonly amount: bigint; readonly salt: bigint }): Promise<PaymentPayload>
  refund(max: bigint, amount?: bigint): Promise<PaymentPayload>
  /** Fills the channel on the chain, past the seller; `done`, or the name of the error that the escrow refused it with. */
  fill(amount: bigint, salt: bigint): Promise<string>
  /** Wants money back, and takes it when the delay is over; the same is said. */
  withdraw(amount: bigint): Promise<string>
  finish(): Promise<string>
}

/** A channel of `key`'s, as these requirements ask for one; `voucherKey` signs in its place, and `salt` makes two of them differ. */
export async function channelPayer(
  chain: EvmChain,
  {
    key,
    voucherKey = key,
    accepted,
    salt,
  }: { readonly key: Hex; readonly voucherKey?: Hex; readonly accepted: PaymentRequirements; readonly salt: bigint },
): Promise<ChannelPayer> {
  const { address } = privateKeyToAccount(key)
  const config: ChannelConfig = {
    payer: address,
    payerAuthorizer: privateKeyToAccount(voucherKey).address,
    receiver: getAddress(accepted.payTo),
    receiverAuthorizer: getAddress(String(accepted.extra?.receiverAuthorizer)),
    token: getAddress(accepted.asset),
    withdrawDelay: Number(accepted.extra?.withdrawDelay),
    salt: numberToHex(salt, { size: 32 }),
  }
  const id = channelIdOf(chain.chainId, config)
  const send = await caller(chain)
  const sent = async (functionName: 'initiateWithdraw' | 'finalizeWithdraw' | 'deposit', args: readonly unknown[]): Promise<string> => {
    // The functions differ in their arguments, which the callers below give.
    const data = encodeFunctionData({ abi: batchSettlement.abi, functionName, args } as Parameters<typeof encodeFunctionData>[0])
    const from = functionName === 'deposit' ? relayer.address : address
    return (await send({ from, to: chain.contracts.batchSettlement, data })).result
  }
  const signed = async (max: bigint): Promise<Readonly<Record<string, unknown>>> => {
    const message = { channelId: id, maxClaimableAmount: max }
    return {
      channelId: id,
      maxClaimableAmount: `${max}`,
      signature: await batchSignature(voucherKey, chain.chainId, { primaryType: 'Voucher', message }),
    }
  }
  const payment = async (payload: Record<string, unknown>, max: bigint, change = {}): Promise<PaymentPayload> => {
    return { x402Version: 2, accepted, payload: { ...payload, channelConfig: config, voucher: { ...(await signed(max)), ...change } } }
  }
  return {
    config,
    id,
    voucher: (max, change) => payment({ type: 'voucher' }, max, change),
    async deposit(max, { amount, salt: nonce }) {
      const signature = await depositSignature(chain, { key, config, amount, salt: nonce })
      const erc3009Authorization = { validAfter: '0', validBefore: `${never}`, salt: `${nonce}`, signature }
      return payment({ type: 'deposit', deposit: { amount: `${amount}`, authorization: { erc3009Authorization } } }, max)
    },
    refund: (max, amount) => payment({ type: 'refund', ...(amount === undefined ? {} : { amount: `${amount}` }) }, max),
    async fill(amount, nonce) {
      const collected = await eip3009Deposit(chain, { key, config, amount, salt: nonce })
      return sent('deposit', [config, amount, chain.contracts.eip3009Collector, collected])
    },
    withdraw: (amount) => sent('initiateWithdraw', [config, amount]),
    finish: () => sent('finalizeWithdraw', [config]),
  }
}
