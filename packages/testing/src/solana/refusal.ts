import { isX402Error, type X402Error } from '@flow402x/core'
import * as z from 'zod/mini'
import { testingErrors } from '../chains/errors.ts'
import { type Failure, failureText } from './ledger/failure.ts'

/** What the RPC answers to a request it does not serve. */
export type Refusal = { readonly code: number; readonly message: string; readonly data?: unknown }

/** The codes of JSON-RPC and of Solana's RPC. */
export const refusalCode = {
  parse: -32700,
  invalidRequest: -32600,
  unknownMethod: -32601,
  invalidParameters: -32602,
  internal: -32603,
  preflight: -32002,
  signature: -32003,
  blockNotAvailable: -32004,
  unsupportedVersion: -32015,
  minContextSlot: -32016,
} as const

/** An error that the RPC tells its client. */
export function refuse(code: keyof typeof refusalCode, why: string, data?: unknown): X402Error {
  return testingErrors('testing/solana-refused', { code: refusalCode[code], why, ...(data === undefined ? {} : { data }) })
}

/** The error for a transaction that the network would drop: of its preflight, or for its signatures alone. */
export function refuseTransaction(failure: Failure, data: unknown): X402Error {
  if (failure === 'SignatureFailure') return refuse('signature', 'Transaction signature verification failure')
  return refuse('preflight', `Transaction simulation failed: ${failureText(failure)}`, data)
}

const contextSchema = z.looseObject({ code: z.number(), why: z.string(), data: z.optional(z.unknown()) })

/** How the RPC tells an error; what it did not foresee is an internal error and no crash. */
export function refusalOf(error: unknown): Refusal {
  const context = isX402Error(error, 'testing/solana-refused') ? contextSchema.safeParse(error.context).data : undefined
  if (context === undefined) return { code: refusalCode.internal, message: `Internal error: ${String(error)}` }
  return { code: context.code, message: context.why, ...(context.data === undefined ? {} : { data: context.data }) }
}
