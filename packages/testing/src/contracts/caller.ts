import { type Abi, type Address, BaseError, createPublicClient, decodeErrorResult, type Hex, http, isHex, parseAbi } from 'viem'
import * as z from 'zod/mini'
import type { EvmChain } from '../chains/evm-chain.ts'
import { ask, hexSchema } from '../chains/json-rpc.ts'
import { batchSettlement, eip3009Collector, exactPermit2Proxy, permit2Collector, uptoPermit2Proxy } from './artifacts.ts'

/** A transaction as any account sends it, with a key or without. */
export type Call = { readonly from: Address; readonly to: Address; readonly data: Hex; readonly gas?: bigint }

/** What came of a transaction: `done`, or the name (for a `require`, the text) of the error it was refused with. */
export type Outcome = {
  readonly result: string
  readonly transaction: string
  readonly logs: readonly { readonly address: Address; readonly topics: Hex[]; readonly data: Hex }[]
}

/** Sends transactions of anybody, one after the other, and names the error of those that the chain refuses. */
export async function caller(chain: Pick<EvmChain, 'rpc' | 'rpcUrl'>): Promise<(call: Call) => Promise<Outcome>> {
  await chain.rpc('anvil_autoImpersonateAccount', [true])
  const client = createPublicClient({ transport: http(chain.rpcUrl, { retryCount: 0 }) })
  return async (call) => {
    try {
      await client.call({ account: call.from, to: call.to, data: call.data })
    } catch (error) {
      return { result: errorName(error), transaction: '', logs: [] }
    }
    const params = [{ gas: 2_000_000n, ...call, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 0n }]
    const {
      status,
      logs,
      transactionHash: transaction,
    } = await ask(chain.rpc, { method: 'eth_sendTransactionSync', params, result: receiptSchema })
    return { result: status === '0x1' ? 'done' : 'passed the call and failed in the transaction', transaction, logs }
  }
}

const receiptSchema = z.looseObject({
  status: hexSchema,
  transactionHash: hexSchema,
  logs: z.array(z.looseObject({ address: hexSchema, topics: z.array(hexSchema), data: hexSchema })),
})

const permit2Errors = parseAbi([
  'error InvalidNonce()',
  'error InvalidSigner()',
  'error InvalidContractSignature()',
  'error InvalidSignatureLength()',
  'error InvalidSignature()',
  'error SignatureExpired(uint256 deadline)',
  'error InvalidAmount(uint256 maxAmount)',
])

const abi: Abi = [
  ...[batchSettlement, eip3009Collector, permit2Collector, exactPermit2Proxy, uptoPermit2Proxy].flatMap((contract) => [...contract.abi]),
  ...permit2Errors,
].filter(({ type }) => type === 'error')

function errorName(error: unknown): string {
  const reason = error instanceof BaseError ? error.walk((one) => 'data' in Object(one)) : undefined
  const data = Object(reason).data
  if (!isHex(data)) throw error
  const { errorName, args } = decodeErrorResult({ abi, data })
  return errorName === 'Error' ? String(args?.[0]) : errorName
}
