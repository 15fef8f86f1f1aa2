import { encodeAbiParameters, type Hex, keccak256, parseAbiParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import type { EvmChain } from '../chains/evm-chain.ts'
import { batchSignature, type ChannelConfig, channelIdOf } from './signing.ts'
import { eip3009DepositTypes, permit2DepositTypes, permit2Domain } from './typed-data.ts'

/** Whose keys sign: the payer's own, the one that signs his vouchers, and the receiver's for claims and refunds. */
export type ChannelKeys = { readonly payer: Hex; readonly voucher: Hex; readonly authorizer: Hex }

/** A deposit with the voucher that comes along. `until` in Unix seconds, in 280 seconds unless told. */
export type DepositTerms = {
  readonly amount: bigint
  readonly max: bigint
  readonly salt: bigint
  readonly by?: 'eip3009' | 'permit2'
  readonly until?: bigint
}

/** One channel's row of a claim, as it is on the wire. */
export type ClaimRow = {
  readonly voucher: { readonly channel: ChannelConfig; readonly maxClaimableAmount: string }
  readonly signature: Hex
  readonly totalClaimed: string
}

/** What payers and receivers of channels put on the wire, signed by viem. */
export type ChannelWire = {
  idOf(config: ChannelConfig): Hex
  voucher(config: ChannelConfig, max: bigint): Promise<Readonly<Record<string, unknown>>>
  deposit(config: ChannelConfig, terms: DepositTerms): Promise<Readonly<Record<string, unknown>>>
  row(config: ChannelConfig, terms: { readonly max: bigint; readonly total: bigint }): Promise<ClaimRow>
  claim(rows: readonly ClaimRow[]): Promise<Readonly<Record<string, unknown>>>
  /** A refund as its receiver completes it; what is claimed before is signed with it. */
  refund(
    config: ChannelConfig,
    terms: { readonly max: bigint; readonly amount: bigint; readonly nonce: bigint; readonly rows?: readonly ClaimRow[] },
  ): Promise<Readonly<Record<string, unknown>>>
}

/** Payloads of `batch-settlement` for a local chain, from keys (wire.md §11.3). */
export function channelWire({ chainId, usdc, contracts }: EvmChain, { payer, voucher: voucherKey, authorizer }: ChannelKeys): ChannelWire {
  const idOf = (config: ChannelConfig): Hex => channelIdOf(chainId, config)
  const sign = async (config: ChannelConfig, max: bigint) => {
    const message = { channelId: idOf(config), maxClaimableAmount: max }
    const signature = await batchSignature(voucherKey, chainId, { primaryType: 'Voucher', message })
    return { channelId: message.channelId, maxClaimableAmount: `${max}`, signature }
  }
  const claimSignature = (rows: readonly ClaimRow[]): Promise<Hex> => {
    const claims = rows.map(({ voucher, totalClaimed }) => ({
      channelId: idOf(voucher.channel),
      maxClaimableAmount: BigInt(voucher.maxClaimableAmount),
      totalClaimed: BigInt(totalClaimed),
    }))
    return batchSignature(authorizer, chainId, { primaryType: 'ClaimBatch', message: { claims } })
  }
  const soon = (): bigint => BigInt(Math.floor(Date.now() / 1000) + 280)
  const erc3009 = async (config: ChannelConfig, { amount, salt, until = soon() }: DepositTerms) => {
    const text = `0x${salt.toString(16).padStart(64, '0')}`
    const nonce = keccak256(encodeAbiParameters(parseAbiParameters('bytes32, uint256'), [idOf(config), salt]))
    const signature = await privateKeyToAccount(payer).signTypedData({
      domain: { name: usdc.name, version: usdc.version, chainId, verifyingContract: config.token },
      types: eip3009DepositTypes,
      primaryType: 'ReceiveWithAuthorization',
      message: { from: config.payer, to: contracts.eip3009Collector, value: amount, validAfter: 0n, validBefore: until, nonce },
    })
    return { erc3009Authorization: { validAfter: '0', validBefore: `${until}`, salt: text, signature } }
  }
  const permit2 = async (config: ChannelConfig, { amount, salt, until = soon() }: DepositTerms) => {
    const permitted = { token: config.token, amount }
    const [spender, witness] = [contracts.permit2Collector, { channelId: idOf(config) }]
    const signature = await privateKeyToAccount(payer).signTypedData({
      domain: permit2Domain(chainId),
      types: permit2DepositTypes,
      primaryType: 'PermitWitnessTransferFrom',
      message: { permitted, spender, nonce: salt, deadline: until, witness },
    })
    const told = { from: config.payer, permitted: { ...permitted, amount: `${amount}` }, spender, witness }
    return { permit2Authorization: { ...told, nonce: `${salt}`, deadline: `${until}`, signature } }
  }
  const drawn = async (config: ChannelConfig, max: bigint) => ({ channelConfig: config, voucher: await sign(config, max) })
  return {
    idOf,
    voucher: async (config, max) => ({ type: 'voucher', ...(await drawn(config, max)) }),
    async deposit(config, terms) {
      const authorization = await (terms.by === 'permit2' ? permit2 : erc3009)(config, terms)
      return { type: 'deposit', ...(await drawn(config, terms.max)), deposit: { amount: `${terms.amount}`, authorization } }
    },
    async row(config, { max, total }) {
      const { maxClaimableAmount, signature } = await sign(config, max)
      return { voucher: { channel: config, maxClaimableAmount }, signature, totalClaimed: `${total}` }
    },
    claim: async (rows) => ({ type: 'claim', claims: rows, claimAuthorizerSignature: await claimSignature(rows) }),
    async refund(config, { max, amount, nonce, rows = [] }) {
      const message = { channelId: idOf(config), nonce, amount }
      const refundAuthorizerSignature = await batchSignature(authorizer, chainId, { primaryType: 'Refund', message })
      const signed = rows.length === 0 ? {} : { claimAuthorizerSignature: await claimSignature(rows) }
      const told = { amount: `${amount}`, refundNonce: `${nonce}`, claims: rows, refundAuthorizerSignature, ...signed }
      return { type: 'refund', ...(await drawn(config, max)), ...told }
    },
  }
}
