import { type Call, type ChainWriter, isX402Error, type SignedTransaction, type TransactionStatus } from '@flow402x/core'
import * as z from 'zod/mini'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { hastenKeccak } from '../crypto/fast-keccak.ts'
import { fastestSecp256k1 } from '../crypto/native-secp256k1.ts'
import { recallingSecp256k1 } from '../crypto/recalling-secp256k1.ts'
import { canonicalSignature, type Secp256k1 } from '../crypto/secp256k1.ts'
import { privateKeySigner } from '../crypto/signer.ts'
import { decodeAggregate, encodeAggregate, hexSchema, multicall3, type Target } from './abi.ts'
import { isAddress } from './address.ts'
import { evmErrors } from './errors.ts'
import { type FeeOptions, type Fees, feeSource, gasLimits, isPoor, quantity, raised, toQuantity } from './fees.ts'
import { type Confirmations, depthOf, finalBlock } from './finality.ts'
import { assertSafeSigners } from './local-safety.ts'
import { type EvmReader, evmReader } from './reader.ts'
import { receiptOf } from './receipt.ts'
import type { Rpc } from './rpc.ts'
import { readTransaction, signedTransaction, type Transaction, transactionDigest, transactionHash } from './transaction.ts'

/** An account that pays gas: `sign` over a digest, or else a viem account's `signTransaction`. */
export interface EvmSender {
  readonly address: string
  sign?(input: { readonly hash: Hex }): Promise<string>
  signTransaction?(transaction: SenderTransaction): Promise<string>
}

/** An EIP-1559 transaction as viem's accounts sign it. */
export type SenderTransaction = Omit<Transaction, 'chainId' | 'nonce'> & {
  readonly type: 'eip1559'
  readonly chainId: number
  readonly nonce: number
}

/** The connection to one EVM network. */
export type EvmChainOptions = {
  /** A CAIP-2 id, or a friendly name such as "base". */
  readonly network: string
  readonly rpcUrl: string
  /** Private keys or accounts that pay the gas of settlements: one lane each. */
  readonly signers: readonly (string | EvmSender)[]
  readonly fees?: FeeOptions
  /** When a block is final: at a depth that suits the network unless told. */
  readonly confirmations?: Confirmations
  /** The most gas one payment may use, whoever wrote the code it runs. 1,000,000 unless told: room for a rollup's data and for smart wallets. */
  readonly maxGasPerPayment?: bigint
  /**
   * The least that a signer should have, in wei: with less nothing more is taken on. What ten transactions of
   * `maxGasPerPayment` cost at the moment, unless told.
   */
  readonly leastBalance?: bigint
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  readonly fetch?: typeof globalThis.fetch
  /** Unix milliseconds. */
  readonly clock?: () => number
  /** The curve to use; the fastest that runs here unless told. */
  readonly secp256k1?: Secp256k1
}

/** One EVM network with its RPC connection, shared by every scheme on it; also its writer. */
export interface EvmChain extends ChainWriter, EvmReader {
  /** The curve in use: `native` or `noble`. */
  readonly crypto: string
  readonly secp256k1: Secp256k1
  readonly maxGasPerPayment: bigint
  /** What calls would cost a signer at most, in wei, by a run without effect and without a signature. Errors: those of `sign` before it signs. */
  cost(calls: readonly Call[], options: { readonly signer: string }): Promise<bigint>
}

/**
 * Connects schemes to one EVM network; nothing is sent before it is used.
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/no-signer`, `config/bad-private-key`, `config/bad-address`,
 * `config/bad-rpc-url`, `config/unsafe-local-key`; from `sign` and `send` those of `evm/…`.
 */
export function evmChain(options: EvmChainOptions): EvmChain {
  const { clock = Date.now, fees = {}, maxGasPerPayment = 1_000_000n } = options
  void hastenKeccak()
  const secp256k1 = recallingSecp256k1(options.secp256k1 ?? fastestSecp256k1())
  const senders = sendersOf(options.signers, secp256k1)
  const signers = [...senders.values()].map(({ address }) => address)
  const [firstSigner = multicall3] = signers
  const reader = evmReader({ ...options, from: firstSigner })
  const { network, chainId, rpc } = reader
  assertSafeSigners({ network, rpcUrl: options.rpcUrl, signers })
  const final = (): Promise<bigint> => finalBlock(rpc, options.confirmations ?? depthOf(network))
  const price = feeSource({ rpc, clock }, fees)
  return {
    ...reader,
    ordered: true,
    signers,
    crypto: secp256k1.name,
    secp256k1,
    maxGasPerPayment,
    async nonce(signer, { signal, after = 'known' } = {}) {
      const block = after === 'known' ? 'pending' : after === 'mined' ? 'latest' : await final()
      if (block === -1n) return 0n
      const tag = typeof block === 'bigint' ? toQuantity(block) : block
      return rpc.ask({ method: 'eth_getTransactionCount', params: [signer, tag], result: quantity }, { signal })
    },
    ...signing({
      rpc,
      chainId,
      senders,
      fees: price,
      limits: gasLimits({ rpc, clock }),
      cap: fees.maxFeePerGas,
    }),
    async balance(signer, { signal } = {}) {
      const held = await rpc.ask({ method: 'eth_getBalance', params: [signer, 'latest'], result: quantity }, { signal })
      const { leastBalance } = options
      return { held, least: leastBalance ?? 10n * maxGasPerPayment * (await price()).maxFeePerGas }
    },
    send: (signed) => send(rpc, signed),
    status: (signed) => status(rpc, signed),
    final,
  }
}

function sendersOf(signers: EvmChainOptions['signers'], secp256k1: Secp256k1): Map<string, EvmSender> {
  const senders = signers.map((signer): EvmSender => (typeof signer === 'string' ? privateKeySigner(signer, { secp256k1 }) : signer))
  for (const { address, sign, signTransaction } of senders) {
    if (!isAddress(address)) throw evmErrors('config/bad-address', { option: 'A signer', address })
    if (sign === undefined && signTransaction === undefined) {
      throw evmErrors('config/no-signer', { why: `${address} has neither sign nor signTransaction` })
    }
  }
  const byAddress = new Map(senders.map((sender) => [sender.address.toLowerCase(), sender]))
  if (byAddress.size === 0) throw evmErrors('config/no-signer', { why: 'signers is empty' })
  // Two lanes of one account would take each other's nonces.
  if (byAddress.size < senders.length) throw evmErrors('config/no-signer', { why: 'one account stands in signers twice' })
  return byAddress
}

type Signing = {
  readonly chainId: bigint
  readonly rpc: Rpc
  readonly senders: ReadonlyMap<string, EvmSender>
  readonly fees: () => Promise<Fees>
  readonly limits: ReturnType<typeof gasLimits>
  /** The most that a unit of gas may cost, in wei. */
  readonly cap: bigint | undefined
}

function signing({ rpc, chainId, senders, fees, limits, cap }: Signing): Pick<EvmChain, 'sign' | 'replace' | 'cost'> {
  return {
    async cost(calls, { signer }) {
      const price = await fees()
      const { gas } = await whole(calls, { limits, from: senderOf(signer).address, fees: price, rpc })
      return gas * price.maxFeePerGas
    },
    async sign(calls, { signer, nonce }) {
      const sender = senderOf(signer)
      const price = await fees()
      const { call, gas } = await whole(calls, { limits, from: sender.address, fees: price, rpc })
      return signed(sender, { chainId, nonce, ...price, gas, to: call.target, value: call.value, data: call.data })
    },
    async replace({ bytes, signer }, { empty = false } = {}) {
      const sender = senderOf(signer)
      const before = readTransaction(hexSchema.parse(bytes))
      if (before === undefined) throw evmErrors('evm/bad-signature', { address: signer })
      const price = raised(before, { to: await fees(), cap })
      if (!empty) return signed(sender, { ...before, ...price })
      const nothing = { target: hexSchema.parse(sender.address), data: '0x', value: 0n } as const
      const gas = await limits.fresh({ ...nothing, from: sender.address, cap: emptyGas, fees: price })
      return signed(sender, { ...before, ...price, to: nothing.target, value: 0n, data: nothing.data, gas })
    },
  }

  function senderOf(signer: string): EvmSender {
    const sender = senders.get(signer.toLowerCase())
    if (sender === undefined) throw evmErrors('evm/unknown-signer', { address: signer })
    return sender
  }

  async function signed(sender: EvmSender, transaction: Transaction): Promise<SignedTransaction> {
    const bytes = await signBytes(sender, transaction)
    return { transaction: transactionHash(bytes), bytes, signer: sender.address, nonce: transaction.nonce }
  }

  async function signBytes(sender: EvmSender, transaction: Transaction): Promise<Hex> {
    if (sender.sign !== undefined) {
      const text = hexSchema.safeParse(await sender.sign({ hash: toHex(transactionDigest(transaction)) })).data
      const signature = text === undefined ? undefined : canonicalSignature(toBytes(text))
      if (signature === undefined) throw evmErrors('evm/bad-signature', { address: sender.address })
      return signedTransaction(transaction, signature)
    }
    const forAccount = { ...transaction, type: 'eip1559', chainId: Number(chainId), nonce: Number(transaction.nonce) } as const
    const bytes = hexSchema.safeParse(await sender.signTransaction?.(forAccount)).data
    if (bytes === undefined || !bytes.startsWith('0x02')) throw evmErrors('evm/bad-signature', { address: sender.address })
    return bytes
  }
}

type Context = Pick<Signing, 'limits' | 'rpc'> & { readonly from: string; readonly fees: Fees }

async function whole(
  calls: readonly Call[],
  context: Context,
): Promise<{ readonly call: { target: Hex; data: Hex; value: bigint }; readonly gas: bigint }> {
  const parts = calls.map(({ target, data, gas, alone, value = 0n }) => ({
    target: hexSchema.parse(target),
    data: hexSchema.parse(data),
    cap: gas,
    alone,
    value,
  }))
  const [only, ...others] = parts
  if (only === undefined) throw evmErrors('evm/nothing-to-send', {})
  if (others.length === 0)
    return { call: only, gas: await (only.alone ? context.limits.fresh : context.limits.known)({ ...only, ...context }) }
  if (parts.some(({ value }) => value > 0n)) throw evmErrors('evm/value-in-batch', {})
  // An estimate of the whole would be satisfied by inner calls that ran out of gas, since each may fail by itself; and a
  // call that needs an earlier one has no estimate of its own, so what runs a payer's code gets its full cap.
  const each = await Promise.all(parts.map((part) => (part.alone ? part.cap : context.limits.known({ ...part, ...context }))))
  const gas = each.reduce((sum, limit) => sum + limit + perCall, transactionGas)
  const call = { target: multicall3, data: encodeAggregate(parts), value: 0n } as const
  const batch = { call, gas: gas + gas / withheldShare }
  if (!parts.every(({ alone }) => alone) || (await lands({ ...batch, count: parts.length }, context))) return batch
  // What had to come first may have been done by somebody else meanwhile (M20).
  const last = parts.at(-1) ?? only
  return { call: last, gas: await context.limits.fresh({ ...last, ...context }) }
}

type Batch = { readonly call: Target; readonly gas: bigint; readonly count: number }

/** Whether the last of some calls does what it should, looked at as it would be mined: code may tell by price, sender and gas (M14). */
async function lands({ call, gas, count }: Batch, { from, fees, rpc }: Context): Promise<boolean> {
  const { maxFeePerGas, maxPriorityFeePerGas } = fees
  const price = { maxFeePerGas: toQuantity(maxFeePerGas), maxPriorityFeePerGas: toQuantity(maxPriorityFeePerGas) }
  const asked = { from, to: call.target, data: call.data, gas: toQuantity(gas), ...price }
  const answer = await rpc.ask({ method: 'eth_call', params: [asked, 'latest'], result: hexSchema }).catch((error: unknown) => {
    if (!isX402Error(error, 'evm/call-failed')) throw error
    if (isPoor(error.message, gas)) throw evmErrors('evm/no-gas-money', { address: from, cause: error })
    return undefined
  })
  return answer !== undefined && decodeAggregate(answer, count)?.at(-1)?.success === true
}

const transactionGas = 30_000n
// Far more than a transfer of nothing uses, also where the gas pays for another chain's data.
const emptyGas = 1_000_000n
const perCall = 8_000n
// A call passes on at most 63 of 64 parts of its gas (EIP-150).
const withheldShare = 63n

async function send(rpc: Rpc, { bytes, transaction, signer }: SignedTransaction): Promise<void> {
  try {
    await rpc.ask({ method: 'eth_sendRawTransaction', params: [bytes], result: hexSchema })
  } catch (error) {
    if (!isX402Error(error, 'evm/call-failed')) throw evmErrors('evm/broadcast-unknown', { host: rpc.host, transaction, cause: error })
    if (/already known|already imported|already exists|known transaction/i.test(error.message)) return
    if (isPoor(error.message, 0n)) throw evmErrors('evm/no-gas-money', { address: signer, cause: error })
    // "Nonce too low" is also what a node says of a transaction that it has mined already.
    const known = await rpc
      .ask({ method: 'eth_getTransactionByHash', params: [transaction], result: z.nullable(z.looseObject({})) })
      .catch((cause: unknown) => {
        throw evmErrors('evm/broadcast-unknown', { host: rpc.host, transaction, cause })
      })
    if (known === null) throw evmErrors('evm/refused', { host: rpc.host, transaction, why: error.message, cause: error })
  }
}

async function status(
  rpc: Rpc,
  { transaction, bytes }: { readonly transaction: string; readonly bytes?: string },
): Promise<TransactionStatus> {
  const receipt = await receiptOf({ rpc }, transaction)
  if (receipt === undefined) return { state: 'unknown' }
  const { success, block, logs, from, to } = receipt
  // Nobody is paid at an address that pays gas, so what a signer sends to itself is empty.
  const empty = from !== undefined && from === to
  const called = bytes === undefined ? undefined : readTransaction(hexSchema.parse(bytes))
  return {
    state: 'mined',
    success,
    block,
    logs,
    ...(called === undefined ? {} : { call: { target: called.to, data: called.data } }),
    ...(empty ? { empty } : {}),
  }
}
