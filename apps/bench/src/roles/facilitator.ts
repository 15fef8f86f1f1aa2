import { officialFacilitator } from '../houses/official.ts'
import { ourFacilitator } from '../houses/ours.ts'
import { officialSolanaFacilitator, ourSolanaFacilitator } from '../houses/solana.ts'
import type { House, Nonces, Signed } from '../houses/terms.ts'
import { inFlight, playRole, roleArgument, usage } from '../measure/part.ts'

/** Who verifies and settles, and on which chain. */
export type FacilitatorArgument = {
  readonly house: House
  /** `evm` unless told. */
  readonly family?: 'evm' | 'solana'
  readonly rpcUrl: string
  readonly key: string
  readonly nonces: Nonces
}

/** Payments to work through; `deadline` in milliseconds ends a settlement that no longer ends by itself. */
export type Batch = { readonly signed: readonly Signed[]; readonly most: number; readonly deadline?: number }

/** What came of a batch. `cpu` in microseconds; `latencies` in milliseconds. */
export type BatchResult = {
  readonly good: number
  readonly seconds: number
  readonly cpu: number
  readonly latencies: readonly number[]
  readonly transactions: readonly string[]
  readonly reasons: Readonly<Record<string, number>>
}

/** What the facilitator is asked in process. */
export type FacilitatorCalls = { verify(batch: Batch): Promise<BatchResult>; settle(batch: Batch): Promise<BatchResult> }

const { house, family = 'evm', ...options } = roleArgument<FacilitatorArgument>()
const settler = await (family === 'evm'
  ? { ours: ourFacilitator, official: officialFacilitator }
  : { ours: ourSolanaFacilitator, official: officialSolanaFacilitator })[house](options)

playRole(
  { url: await settler.serve() },
  {
    verify: (batch: Batch) =>
      work(batch, async (signed) => ({ settled: await settler.verify(signed), transaction: '', reason: 'not valid' })),
    settle: (batch: Batch) => work(batch, settler.settle),
  },
)

async function work({ signed, most, deadline = 120_000 }: Batch, one: typeof settler.settle): Promise<BatchResult> {
  const latencies: number[] = []
  const transactions: string[] = []
  const reasons: Record<string, number> = {}
  let good = 0
  let lastGood = performance.now()
  const failed = (reason: string) => {
    reasons[reason] = (reasons[reason] ?? 0) + 1
  }
  const [began, before] = [performance.now(), usage()]
  const all = inFlight({ count: signed.length, most }, async (index) => {
    const payment = signed[index]
    if (payment === undefined) return
    const start = performance.now()
    try {
      const { settled, transaction, reason } = await one(payment)
      latencies.push(performance.now() - start)
      if (!settled) return failed(reason)
      good += 1
      lastGood = performance.now()
      if (transaction !== '') transactions.push(transaction)
    } catch (error) {
      failed(error instanceof Error ? error.name : 'unknown')
    }
  })
  let late: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    late = setTimeout(resolve, deadline)
  })
  await Promise.race([all, over])
  clearTimeout(late)
  const unanswered = signed.length - good - Object.values(reasons).reduce((sum, count) => sum + count, 0)
  if (unanswered > 0) reasons['no answer'] = unanswered
  // What hangs after the last success is told by `good`, and does not also slow it down.
  const seconds = ((unanswered > 0 ? lastGood : performance.now()) - began) / 1000
  return { good, seconds, cpu: usage().cpu - before.cpu, latencies, transactions, reasons }
}
