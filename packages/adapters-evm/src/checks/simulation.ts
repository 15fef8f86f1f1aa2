import { coalesce, isX402Error, unlessAborted } from '@flow402x/core'
import { type CallResult, decodeWord, hexSchema, type Target } from '../chain/abi.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { toQuantity } from '../chain/fees.ts'

/** Why a payment is refused: the spec's string, and where it helps a sentence. */
export type Refusal<Reason extends string = string> = { readonly reason: Reason; readonly message?: string }

/** What the chain answered: to the questions, and to the calls of the settlement. */
export type Answers = { readonly reads: readonly CallResult[]; readonly acts: readonly CallResult[] }

/**
 * Why a payment would not settle, if so, what its payer holds, and whether settling it runs code that he chose (M14); `extra` is what
 * a verdict says beside.
 */
export type Simulation = {
  readonly refusal?: Refusal
  readonly held?: bigint
  readonly runsPayerCode: boolean
  readonly extra?: Readonly<Record<string, unknown>>
}

/** What is asked of the chain about one payment, and what the answers mean. */
export type Rehearsal = {
  /** Whether it must not share a call with other payments. */
  readonly alone: boolean
  readonly reads: readonly Target[]
  /** The calls of its settlement, the last of which moves the money. */
  readonly acts: readonly Target[]
  /** A last call that looks at its sender, and so is made by itself. */
  readonly direct?: Target & { readonly from: string }
  /** Why it is refused where it uses more gas than one payment may. */
  readonly burned: Refusal
  judge(answers: Answers): Simulation
}

/**
 * Asks the chain whether payments would settle, in one round trip each or together.
 *
 * Payments proved by a key share a call under load. All reads come before all settlements, so that none is paid from another's
 * money, and what fails in company is asked again alone: one that burns all gas takes nobody else down. What runs a payer's
 * code is always alone.
 * Errors: those of `EvmChain.read`.
 */
export function simulator(
  chain: EvmChain,
): (rehearsal: Rehearsal, options?: { readonly signal?: AbortSignal | undefined }) => Promise<Simulation> {
  const alone = async (rehearsal: Rehearsal, signal?: AbortSignal): Promise<Simulation> => {
    const { reads, acts, direct } = rehearsal
    const [results, last] = await Promise.all([
      chain.read([...reads, ...acts], { signal, gas: gasFor(chain) }).catch(unlessBurned),
      Promise.all(direct === undefined ? [] : [tryCall(chain, { ...direct, gas: chain.maxGasPerPayment }, { signal })]),
    ])
    if (results === undefined) return { runsPayerCode: true, refusal: rehearsal.burned }
    return rehearsal.judge({ reads: results.slice(0, reads.length), acts: [...results.slice(reads.length), ...last] })
  }
  const shared = coalesce((rehearsals: readonly Rehearsal[]) => together(chain, rehearsals), { most: 32, atOnce: 4, patience, company })
  return async (rehearsal, { signal } = {}) => {
    signal?.throwIfAborted()
    if (rehearsal.alone || rehearsal.direct !== undefined) return alone(rehearsal, signal)
    const answer = await unlessAborted(shared(rehearsal), signal)
    return answer === 'ask alone' ? alone(rehearsal, signal) : answer
  }
}

/** The number in an answer, where there is one. */
export function numberIn(result: CallResult | undefined): bigint | undefined {
  return result?.success === true ? decodeWord(result.data) : undefined
}

// Nodes count calls and blocks take seconds: under load a payment waits these milliseconds for another's call to end.
const patience = 25
// And these for as many as came with the last: who verifies one at a time waits for nobody.
const company = 5

// A payer's code runs twice, in the check and in the settlement; Multicall3 and the reads come on top.
const gasFor = ({ maxGasPerPayment }: EvmChain): bigint => 2n * maxGasPerPayment + 200_000n

// Some nodes say of which kind: `MemoryOOG`.
const outOfGas = /out ?of ?gas|OOG/i

function unlessBurned(error: unknown): undefined {
  if (!isX402Error(error, 'evm/call-failed') || !outOfGas.test(error.message)) throw error
  return undefined
}

/** Makes one call as its sender would, with the gas that it may use. Errors: `evm/rpc`, and `evm/call-failed` where a node refuses to try. */
export async function tryCall(
  { rpc }: Pick<EvmChain, 'rpc'>,
  { from, target: to, data, gas }: Target & { readonly from: string; readonly gas: bigint },
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<CallResult> {
  const call = { from, to, data, gas: toQuantity(gas) }
  try {
    return { success: true, data: await rpc.ask({ method: 'eth_call', params: [call, 'latest'], result: hexSchema }, { signal }) }
  } catch (error) {
    // A node that refuses for reasons of its own has said nothing of the payment.
    if (!isX402Error(error, 'evm/call-failed') || !(/revert/i.test(error.message) || outOfGas.test(error.message))) throw error
    return { success: false, data: '0x' }
  }
}

type Shared = Simulation | 'ask alone'

async function together(chain: EvmChain, rehearsals: readonly Rehearsal[]): Promise<readonly Shared[]> {
  const calls = [...rehearsals.flatMap(({ reads }) => reads), ...rehearsals.flatMap(({ acts }) => acts)]
  const results = await chain.read(calls, { gas: gasFor(chain) * BigInt(rehearsals.length) }).catch((error: unknown) => {
    if (rehearsals.length > 1 && isX402Error(error, 'evm/call-failed')) return undefined
    throw error
  })
  if (results === undefined) return rehearsals.map(() => 'ask alone')
  let read = 0
  let act = rehearsals.reduce((sum, { reads }) => sum + reads.length, 0)
  return rehearsals.map((rehearsal) => {
    const [reads, acts] = [results.slice(read, read + rehearsal.reads.length), results.slice(act, act + rehearsal.acts.length)]
    read += rehearsal.reads.length
    act += rehearsal.acts.length
    const answer = rehearsal.judge({ reads, acts })
    return answer.refusal !== undefined && rehearsals.length > 1 ? 'ask alone' : answer
  })
}
