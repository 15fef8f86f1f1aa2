import { isX402Error, type PaymentPayload, sameAddress } from '@flow402x/core'
import * as z from 'zod/mini'
import { decodeWord } from '../chain/abi.ts'
import { bytesText } from '../chain/address.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { quantity, toQuantity } from '../chain/fees.ts'
import { readSigned, type Transaction, transactionDigest, transactionHash } from '../chain/transaction.ts'
import { numberIn } from '../checks/simulation.ts'
import type { Hex } from '../crypto/bytes.ts'
import { addressOf, canonicalSignature, type Secp256k1 } from '../crypto/secp256k1.ts'
import { allowanceCall, approve } from './proxy.ts'
import { approvalSponsoring, saidIn, sponsoredFields } from './sponsoring.ts'
import { type Permit2Authorization, permit2Address, type Refusal } from './wire.ts'

/** A payer's own signed transaction that approves Permit2, and nothing else: whoever hands it on pays nothing. */
export type SignedApproval = { readonly transaction: Transaction; readonly bytes: Hex }

const approvalSchema = z.object({
  ...sponsoredFields,
  // Far more than such a transaction has.
  signedTransaction: bytesText(512),
})

/** Who pays what by Permit2, as far as an approval must know it. */
type Paying = Pick<Permit2Authorization, 'from' | 'permitted'>

type Reading = { readonly chainId: bigint; readonly secp256k1: Secp256k1 }

/**
 * The signed approval that a payer sends along (extension `erc20ApprovalGasSponsoring`, wire.md §16.5); nothing where he sends none. It is
 * only ever handed on where it approves Permit2 for the token that is paid, on this chain, by the payer himself, and carries no ether.
 */
export function signedApproval(
  payment: PaymentPayload,
  { from, permitted }: Paying,
  { chainId, secp256k1 }: Reading,
): SignedApproval | Refusal | undefined {
  const info = saidIn(payment, { key: approvalSponsoring, signed: 'signedTransaction', schema: approvalSchema })
  if (info === 'echoed') return undefined
  if (info === 'malformed') return { reason: 'invalid_erc20_approval_extension_format' }
  if (!sameAddress(info.from, from)) return { reason: 'erc20_approval_from_mismatch' }
  if (!sameAddress(info.asset, permitted.token)) return { reason: 'erc20_approval_asset_mismatch' }
  if (!sameAddress(info.spender, permit2Address)) return { reason: 'erc20_approval_spender_not_permit2' }
  const bytes: Hex = `0x${info.signedTransaction.slice(2).toLowerCase()}`
  const signed = readSigned(bytes)
  if (signed?.transaction.chainId !== chainId || signed.transaction.value !== 0n)
    return {
      reason: 'erc20_approval_tx_parse_failed',
      message: `It is no EIP-1559 transaction of chain ${chainId} without ether and access list.`,
    }
  const { transaction } = signed
  if (!sameAddress(transaction.to, permitted.token)) return { reason: 'erc20_approval_tx_wrong_target' }
  if (!transaction.data.startsWith(approve)) return { reason: 'erc20_approval_tx_wrong_selector' }
  const words: Hex = `0x${transaction.data.slice(10)}`
  const [spender, amount] = [decodeWord(words), decodeWord(words, 1)]
  if (spender === undefined || amount === undefined || words.length !== 130 || amount < permitted.amount)
    return { reason: 'erc20_approval_tx_invalid_calldata' }
  if (spender !== BigInt(permit2Address)) return { reason: 'erc20_approval_tx_wrong_spender' }
  const signature = canonicalSignature(signed.signature)
  const key = signature && secp256k1.recover(transactionDigest(transaction), signature)
  if (key === undefined) return { reason: 'erc20_approval_tx_invalid_signature' }
  return addressOf(key) === from.toLowerCase() ? { transaction, bytes } : { reason: 'erc20_approval_tx_signer_mismatch' }
}

const blockSchema = z.looseObject({ baseFeePerGas: z.optional(quantity) })

type Asking = { readonly signal: AbortSignal | undefined }

/** Why the chain would not take an approval now, if so: its payer pays its gas, and the next number of his account must be its own. */
export async function approvalFault(
  { transaction: { nonce, to, data, gas, maxFeePerGas, maxPriorityFeePerGas } }: SignedApproval,
  from: Hex,
  { rpc, signal }: Pick<EvmChain, 'rpc'> & Asking,
): Promise<Refusal | undefined> {
  const failed = (message: string): Refusal => ({ reason: 'erc20_approval_tx_failed', message })
  const [next, held, { baseFeePerGas = 0n }] = await Promise.all([
    rpc.ask({ method: 'eth_getTransactionCount', params: [from, 'latest'], result: quantity }, { signal }),
    rpc.ask({ method: 'eth_getBalance', params: [from, 'latest'], result: quantity }, { signal }),
    rpc.ask({ method: 'eth_getBlockByNumber', params: ['latest', false], result: blockSchema }, { signal }),
  ])
  // Not every node looks at these before it estimates.
  if (gas * maxFeePerGas > held) return failed(`The approval may cost ${gas * maxFeePerGas} wei, and its payer has ${held}.`)
  if (maxFeePerGas < baseFeePerGas)
    return failed(`The approval offers ${maxFeePerGas} wei per gas, less than the ${baseFeePerGas} of the last block.`)
  if (next !== nonce) return failed(`The approval has the nonce ${nonce}, and the next of its payer is ${next}.`)
  const fees = { maxFeePerGas: toQuantity(maxFeePerGas), maxPriorityFeePerGas: toQuantity(maxPriorityFeePerGas) }
  const call = { from, to, data, gas: toQuantity(gas), ...fees }
  try {
    const needed = await rpc.ask({ method: 'eth_estimateGas', params: [call], result: quantity }, { signal })
    return needed > gas ? failed(`The approval needs ${needed} gas.`) : undefined
  } catch (error) {
    if (!isX402Error(error, 'evm/call-failed')) throw error
    return failed(`The approval would fail: ${error.message}`)
  }
}

type Waiting = Asking & { readonly chain: EvmChain; readonly waitMs: number }

/**
 * Hands an approval to the chain, unless Permit2 may already take what is paid, and waits until it may; gives why it may not, if so.
 * Handing it on twice does no harm, and costs its payer alone.
 */
export async function relayApproval(
  { bytes, transaction: { nonce } }: SignedApproval,
  authorization: Paying,
  waiting: Waiting,
): Promise<Refusal | 'in place' | undefined> {
  const { chain, signal, waitMs } = waiting
  if (await isInPlace(authorization, waiting)) return 'in place'
  const transaction = transactionHash(bytes)
  try {
    await chain.send({ bytes, transaction, signer: authorization.from, nonce })
  } catch (error) {
    if (!isX402Error(error, 'evm/refused') && !isX402Error(error, 'evm/no-gas-money')) throw error
    return { reason: 'erc20_approval_broadcast_failed', message: error.message }
  }
  for (let waited = 0; waited <= waitMs; waited += pollMs) {
    const status = await chain.status({ transaction })
    if (status.state === 'mined' && !status.success)
      return { reason: 'erc20_approval_tx_failed', message: 'The approval was mined and failed.' }
    // A node shows a receipt a moment before the state that it left.
    if (status.state === 'mined' && (await isInPlace(authorization, waiting))) return undefined
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    signal?.throwIfAborted()
  }
  return { reason: 'erc20_approval_tx_failed', message: 'No block took the approval in time.' }
}

const pollMs = 200

async function isInPlace({ from, permitted }: Paying, { chain, signal }: Waiting): Promise<boolean> {
  const [allowance] = await chain.read([allowanceCall(permitted.token, from)], { signal })
  return (numberIn(allowance) ?? 0n) >= permitted.amount
}
