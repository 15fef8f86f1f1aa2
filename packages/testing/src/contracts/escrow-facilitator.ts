import type { Facilitator, Outcome, Submission } from '@flow402x/core'
import { type Abi, encodeAbiParameters, encodeFunctionData, type Hex, parseAbiParameters } from 'viem'
import * as z from 'zod/mini'
import { owner as authorizer, facilitator as relayer } from '../chains/accounts.ts'
import type { EvmChain } from '../chains/evm-chain.ts'
import { jsonRpc } from '../chains/json-rpc.ts'
import { batchSettlement } from './artifacts.ts'
import { caller, type Outcome as Sent } from './caller.ts'
import { contracts } from './placement.ts'
import { batchSignature, channelIdOf } from './signing.ts'

/** A facilitator that was asked, in order. */
export type EscrowFacilitator = Facilitator & {
  readonly asked: { readonly type: string; readonly claimId: string | undefined; readonly result: string }[]
  /** What the next settlements say: `silent` after they were sent, `lost` and `refused` instead. */
  answer: 'ok' | 'silent' | 'lost' | 'refused'
}

const hex = z.templateLiteral(['0x', z.string()])
const amount = z.pipe(
  z.string(),
  z.transform((digits) => BigInt(digits)),
)
const channel = z.object({
  payer: hex,
  payerAuthorizer: hex,
  receiver: hex,
  receiverAuthorizer: hex,
  token: hex,
  withdrawDelay: z.number(),
  salt: hex,
})
const claims = z.array(z.object({ voucher: z.object({ channel, maxClaimableAmount: amount }), signature: hex, totalClaimed: amount }))
const payloads = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('deposit'),
    channelConfig: channel,
    deposit: z.object({
      amount,
      authorization: z.object({
        erc3009Authorization: z.object({ validAfter: amount, validBefore: amount, salt: amount, signature: hex }),
      }),
    }),
  }),
  z.object({
    type: z.literal('refund'),
    channelConfig: channel,
    amount,
    refundNonce: amount,
    claims,
    refundAuthorizerSignature: z.optional(hex),
    claimAuthorizerSignature: z.optional(hex),
  }),
  z.object({ type: z.literal('claim'), claims, claimAuthorizerSignature: z.optional(hex) }),
  z.object({ type: z.literal('settle'), receiver: hex, token: hex }),
])
type Payload = z.infer<typeof payloads>

const { abi }: { readonly abi: Abi } = batchSettlement

/**
 * A facilitator of channels on a local chain, for suites that are about sellers: every settlement is a transaction of the escrow at once, and
 * no journal is kept. The chain's `owner` is the authorizer of receivers who do not sign themselves.
 */
export async function escrowFacilitator({ network, rpcUrl }: Pick<EvmChain, 'network' | 'rpcUrl'>): Promise<EscrowFacilitator> {
  const send = await caller({ rpcUrl, rpc: (method, params) => jsonRpc(rpcUrl, { method, params: params ?? [] }) })
  const chainId = Number(network.split(':')[1])
  const to = contracts.batchSettlement
  const call = (functionName: string, args: readonly unknown[]): Hex => encodeFunctionData({ abi, functionName, args })
  const claimData = async (rows: z.infer<typeof claims>, signature: Hex | undefined): Promise<Hex> => {
    const entries = rows.map(({ voucher, totalClaimed }) => {
      return { channelId: channelIdOf(chainId, voucher.channel), maxClaimableAmount: voucher.maxClaimableAmount, totalClaimed }
    })
    const own =
      signature ?? (await batchSignature(authorizer.privateKey, chainId, { primaryType: 'ClaimBatch', message: { claims: entries } }))
    return call('claimWithSignature', [rows, own])
  }
  const dataOf = async (payload: Payload): Promise<Hex> => {
    if (payload.type === 'settle') return call('settle', [payload.receiver, payload.token])
    if (payload.type === 'claim') return claimData(payload.claims, payload.claimAuthorizerSignature)
    const { channelConfig } = payload
    if (payload.type === 'deposit') {
      const { validAfter, validBefore, salt, signature } = payload.deposit.authorization.erc3009Authorization
      const collected = encodeAbiParameters(parseAbiParameters('uint256, uint256, uint256, bytes'), [
        validAfter,
        validBefore,
        salt,
        signature,
      ])
      return call('deposit', [channelConfig, payload.deposit.amount, contracts.eip3009Collector, collected])
    }
    const message = { channelId: channelIdOf(chainId, channelConfig), nonce: payload.refundNonce, amount: payload.amount }
    const consent =
      payload.refundAuthorizerSignature ?? (await batchSignature(authorizer.privateKey, chainId, { primaryType: 'Refund', message }))
    const back = call('refundWithSignature', [channelConfig, payload.amount, payload.refundNonce, consent])
    if (payload.claims.length === 0) return back
    return call('multicall', [[await claimData(payload.claims, payload.claimAuthorizerSignature), back]])
  }
  const self: EscrowFacilitator = {
    asked: [],
    answer: 'ok',
    async supported() {
      const extra = { receiverAuthorizer: authorizer.address }
      return { kinds: [{ x402Version: 2, scheme: 'batch-settlement', network, extra }] }
    },
    async verify({ payment }) {
      const payload = payloads.safeParse(payment.payload)
      if (!payload.success || payload.data.type !== 'deposit') return { valid: false, reason: 'invalid_batch_settlement_evm_payload_type' }
      return { valid: true, payer: payload.data.channelConfig.payer }
    },
    async settle({ payment }: Submission, { claimId } = {}): Promise<Outcome> {
      const payload = payloads.parse(payment.payload)
      const refused = (reason: string): Outcome => ({ status: 'notSettled', network, reason, retry: 'never' })
      if (self.answer === 'refused') return refused('refused')
      if (self.answer === 'lost') return { status: 'pending', network }
      const sent = await send({ from: relayer.address, to, data: await dataOf(payload), gas: 10_000_000n })
      self.asked.push({ type: payload.type, claimId, result: sent.result })
      if (self.answer === 'silent') return { status: 'pending', network, transaction: sent.transaction }
      if (sent.result !== 'done') return refused(`invalid_batch_settlement_evm_${payload.type}_transaction_failed: ${sent.result}`)
      return { status: 'settled', network, transaction: sent.transaction, amount: amountOf(payload, sent) }
    },
  }
  return self
}

function amountOf(payload: Payload, { logs }: Sent): string {
  if (payload.type === 'deposit') return `${payload.deposit.amount}`
  if (payload.type === 'refund') return `${payload.amount}`
  // wire.md §12.2: `Settled` has one word of data, the amount.
  const settled = logs.find(({ topics: [topic] }) => topic === '0x7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d')
  return `${BigInt(settled?.data ?? '0x0')}`
}
