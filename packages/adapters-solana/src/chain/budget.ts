import { sameBytes } from './address.ts'
import { computeBudget } from './programs.ts'
import type { Transaction } from './transaction.ts'

/** What a payment may compute, and at what price in millionths of a lamport. */
export type Budget = { readonly computeUnits: bigint; readonly microLamports: bigint }

/** What is wrong with a transaction's budget. */
export type BudgetFault = 'malformed_compute_limit' | 'malformed_compute_price' | 'unsupported_compute_budget_instruction'

/** The budget of a transaction, wherever its instructions stand: exactly one limit and one price, and nothing else (A6). */
export function readBudget({ accounts, instructions }: Transaction): Budget | BudgetFault {
  const own = instructions.filter(({ program }) => sameBytes(accounts[program] ?? new Uint8Array(), computeBudget.bytes))
  if (own.some(({ data }) => data[0] !== 2 && data[0] !== 3)) return 'unsupported_compute_budget_instruction'
  const [limits, prices] = [2, 3].map((kind) => own.filter(({ data }) => data[0] === kind))
  const computeUnits = limits?.length === 1 && limits[0] !== undefined ? readComputeLimit(limits[0].data) : undefined
  const microLamports = prices?.length === 1 && prices[0] !== undefined ? readComputePrice(prices[0].data) : undefined
  if (computeUnits === undefined) return 'malformed_compute_limit'
  return microLamports === undefined ? 'malformed_compute_price' : { computeUnits, microLamports }
}

/** The units of a SetComputeUnitLimit, or nothing for other data. Runtimes ignore what stands after it; here that is refused. */
export function readComputeLimit(data: Uint8Array): bigint | undefined {
  return data[0] === 2 && data.length === 5 ? BigInt(view(data).getUint32(1, true)) : undefined
}

/** The price of a SetComputeUnitPrice, or nothing for other data. */
export function readComputePrice(data: Uint8Array): bigint | undefined {
  return data[0] === 3 && data.length === 9 ? view(data).getBigUint64(1, true) : undefined
}

const lamportsPerSignature = 5_000n
const microLamportsPerLamport = 1_000_000n

/** The most lamports that a transaction costs its fee payer: for its signatures, and for all that it may compute (A6). */
export function feeOf({ signatures }: Transaction, { computeUnits, microLamports }: Budget): bigint {
  const priority = (computeUnits * microLamports + microLamportsPerLamport - 1n) / microLamportsPerLamport
  return BigInt(signatures.length) * lamportsPerSignature + priority
}

function view(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.length)
}
