import { type Address, type Hex, isHex, toHex } from 'viem'
import * as z from 'zod/mini'
import { testingErrors } from './errors.ts'

/** One JSON-RPC request. */
export type RpcCall = { readonly method: string; readonly params?: readonly unknown[] }

/**
 * Calls any method of anvil (`anvil_*`, `evm_*`, `eth_*`); bigints in `params` travel as hex quantities.
 *
 * Errors: `testing/rpc-failed`, `testing/rpc-refused`, `testing/anvil-exited`; the signal's reason when aborted.
 */
export type Rpc = (method: string, params?: readonly unknown[], options?: { readonly signal?: AbortSignal }) => Promise<unknown>

/** The call that puts code at an address, with no constructor run. */
export function setCode(address: Address, code: Hex): RpcCall {
  return { method: 'anvil_setCode', params: [address, code] }
}

/** `0x` and hex digits. */
export const hexSchema = z.custom<Hex>((value) => isHex(value), 'expected 0x and hex digits')

const answerSchema = z.looseObject({
  result: z.optional(z.unknown()),
  error: z.optional(z.looseObject({ code: z.number(), message: z.string() })),
})

/** Sends one request, once: a transaction that is sent again would move money again. Errors: `testing/rpc-failed`, `testing/rpc-refused`. */
export async function jsonRpc(url: string, { method, params = [] }: RpcCall, { signal }: { signal?: AbortSignal } = {}): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }, (_, value: unknown) =>
    typeof value === 'bigint' ? toHex(value) : value,
  )
  const { data: answer } = answerSchema.safeParse(await post(url, { method, body, signal: signal ?? null }))
  if (answer === undefined) throw testingErrors('testing/rpc-failed', { method, why: 'its answer is no JSON-RPC' })
  if (answer.error !== undefined) throw testingErrors('testing/rpc-refused', { method, code: answer.error.code, why: answer.error.message })
  return answer.result
}

/** Calls a method whose result is known. Errors: those of `Rpc`; `testing/rpc-failed` when the result is something else. */
export async function ask<Result extends z.ZodMiniType>(
  rpc: Rpc,
  { method, params, result }: RpcCall & { readonly result: Result },
  options?: { readonly signal?: AbortSignal },
): Promise<z.infer<Result>> {
  const read = result.safeParse(await rpc(method, params, options))
  if (!read.success) throw testingErrors('testing/rpc-failed', { method, why: z.prettifyError(read.error) })
  return read.data
}

async function post(url: string, { method, body, signal }: { method: string; body: string; signal: AbortSignal | null }): Promise<unknown> {
  try {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal })
    return await response.json()
  } catch (cause) {
    signal?.throwIfAborted()
    throw testingErrors('testing/rpc-failed', { method, why: 'the connection failed', cause })
  }
}
