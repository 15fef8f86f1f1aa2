import { isX402Error } from '@flow402x/core'
import * as z from 'zod/mini'
import type { Hex } from '../crypto/bytes.ts'
import { hexSchema, type Target } from './abi.ts'
import { evmErrors } from './errors.ts'
import type { Rpc } from './rpc.ts'

/** What a unit of gas may cost, in wei. */
export type Fees = { readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint }

/** Limits on fees, in wei per gas. */
export type FeeOptions = {
  /** Nothing is sent while the network asks more. */
  readonly maxFeePerGas?: bigint
  /** The least tip to offer, where the network is content with less. 0.001 gwei unless told. */
  readonly minPriorityFeePerGas?: bigint
}

/** A JSON-RPC quantity. */
export const quantity = z.pipe(
  hexSchema.check(z.minLength(3), z.maxLength(66)),
  z.transform((hex: Hex) => BigInt(hex)),
)

const historySchema = z.looseObject({
  baseFeePerGas: z.array(quantity).check(z.minLength(1)),
  reward: z.nullish(z.array(z.array(quantity))),
})

// About a block on the chains that payments are made on.
const feesLiveMs = 2000

/** A connection and the clock (Unix milliseconds) by which answers grow old. */
export type Source = { readonly rpc: Rpc; readonly clock: () => number }

/** The fees of the next block, asked for at most once in two seconds. Errors: `evm/fee-cap`, `evm/rpc`. */
export function feeSource(
  { rpc, clock }: Source,
  { maxFeePerGas: cap, minPriorityFeePerGas = 1_000_000n }: FeeOptions,
): () => Promise<Fees> {
  let kept: { readonly until: number; readonly fees: Fees } | undefined
  const ask = async (): Promise<Fees> => {
    const history = await rpc.ask({ method: 'eth_feeHistory', params: ['0x5', 'latest', [50]], result: historySchema })
    const base = history.baseFeePerGas.at(-1) ?? 0n
    const tips = (history.reward ?? []).flat().sort((a, b) => (a < b ? -1 : 1))
    const usual = tips[Math.floor(tips.length / 2)] ?? 0n
    const maxPriorityFeePerGas = usual > minPriorityFeePerGas ? usual : minPriorityFeePerGas
    const least = base + maxPriorityFeePerGas
    if (cap !== undefined && least > cap) throw evmErrors('evm/fee-cap', { fee: least, cap })
    // Twice the base fee outlives six full blocks in a row; only what the block asks is paid.
    const generous = 2n * base + maxPriorityFeePerGas
    return { maxPriorityFeePerGas, maxFeePerGas: cap !== undefined && generous > cap ? cap : generous }
  }
  return async () => {
    if (kept !== undefined && kept.until > clock()) return kept.fees
    const fees = await ask()
    kept = { until: clock() + feesLiveMs, fees }
    return fees
  }
}

/**
 * The fees of a transaction that takes the place of one with the fees `before`: what the network asks now, and at least an
 * eighth more than before, below which nodes keep what they have. Errors: `evm/fee-cap`.
 */
export function raised(before: Fees, { to, cap }: { readonly to: Fees; readonly cap: bigint | undefined }): Fees {
  const more = (fee: bigint): bigint => fee + fee / 8n + 1n
  const maxPriorityFeePerGas = larger(more(before.maxPriorityFeePerGas), to.maxPriorityFeePerGas)
  const least = larger(more(before.maxFeePerGas), maxPriorityFeePerGas)
  if (cap !== undefined && least > cap) throw evmErrors('evm/fee-cap', { fee: least, cap })
  return { maxPriorityFeePerGas, maxFeePerGas: larger(least, to.maxFeePerGas) }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

/** What is asked for the gas limit of a call; `cap` is the most that is allowed. */
export type GasQuestion = Target & { readonly from: string; readonly value: bigint; readonly cap: bigint; readonly fees: Fees }

const limitLivesMs = 60_000

/**
 * Gas limits. `known` calls, whose cost depends on no payer's code, are estimated once a minute per target, function and length: often
 * enough for chains whose gas includes the price of another chain's data, and no deposit goes by what another kind of deposit uses.
 *
 * Errors: `evm/gas-cap`, `evm/would-revert`, `evm/no-gas-money`, `evm/rpc`.
 */
export function gasLimits({ rpc, clock }: Source): {
  fresh(question: GasQuestion): Promise<bigint>
  known(question: GasQuestion): Promise<bigint>
} {
  const kept = new Map<string, { readonly until: number; readonly limit: bigint }>()
  const fresh = async ({ target, data, from, value, cap, fees }: GasQuestion) => {
    const call = {
      from,
      to: target,
      data,
      value: toQuantity(value),
      maxFeePerGas: toQuantity(fees.maxFeePerGas),
      maxPriorityFeePerGas: toQuantity(fees.maxPriorityFeePerGas),
    }
    const gas = await rpc.ask({ method: 'eth_estimateGas', params: [call], result: quantity }).catch((error: unknown) => {
      if (!isX402Error(error, 'evm/call-failed')) throw error
      if (isPoor(error.message, cap)) throw evmErrors('evm/no-gas-money', { address: from, cause: error })
      throw evmErrors('evm/would-revert', { target, why: error.message, cause: error })
    })
    if (gas > cap) throw evmErrors('evm/gas-cap', { gas, cap })
    // A payee's first token costs one fresh storage slot more than the call that was measured.
    const roomy = gas + gas / 5n + 30_000n
    return roomy > cap ? cap : roomy
  }
  return {
    fresh,
    async known(question) {
      const kind = `${question.target.toLowerCase()}:${question.data.slice(0, 10)}:${question.data.length}`
      const before = kept.get(kind)
      if (before !== undefined && before.until > clock()) return before.limit
      const limit = await fresh(question)
      kept.set(kind, { until: clock() + limitLivesMs, limit })
      return limit
    },
  }
}

/** A JSON-RPC quantity of an integer. */
export function toQuantity(value: bigint): Hex {
  return `0x${value.toString(16)}`
}

/** Whether a node's refusal says that the sender cannot pay `gas`; nodes agree on the words, not on a code. */
export function isPoor(message: string, gas: bigint): boolean {
  // Estimating stops at what the sender can pay, or else at the node's own limit, which says nothing of the sender.
  const allowance = /gas required exceeds allowance\D{1,3}(\d+)/i.exec(message)?.[1]
  return /insufficient funds/i.test(message) || (allowance !== undefined && BigInt(allowance) < gas)
}
