import * as z from 'zod/mini'
import { solanaErrors } from './errors.ts'

/** One JSON-RPC connection to a Solana node. */
export interface Rpc {
  /** The host it talks to: all that is ever told of its URL, whose path may hold a key. */
  readonly host: string
  /**
   * Calls a method once and checks its result.
   *
   * Errors: `solana/rpc` when nothing usable came back, `solana/call-failed` when the node answered with an error; the signal's reason.
   */
  ask<Result extends z.ZodMiniType>(
    request: RpcRequest<Result>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<z.infer<Result>>
}

/** A method with its parameters and the schema of its result. */
export type RpcRequest<Result> = { readonly method: string; readonly params: readonly unknown[]; readonly result: Result }

/** How an RPC is reached. */
export type HttpRpcOptions = { readonly url: string; readonly fetch: typeof globalThis.fetch; readonly timeoutMs: number }

/** A result that says of which slot it is told. */
export function inContext<Value>(value: z.ZodMiniType<Value>): z.ZodMiniType<{ context: { slot: number }; value: Value }> {
  return z.looseObject({ context: z.looseObject({ slot: z.number() }), value })
}

const answerSchema = z.looseObject({
  result: z.optional(z.unknown()),
  error: z.nullish(z.looseObject({ code: z.optional(z.number()), message: z.string(), data: z.optional(z.unknown()) })),
})

/** JSON-RPC over HTTP, one request each. Errors: `config/bad-rpc-url`. */
export function httpRpc({ url, fetch, timeoutMs }: HttpRpcOptions): Rpc {
  const { host } = parseRpcUrl(url)
  let id = 0
  return {
    host,
    async ask({ method, params, result }, { signal } = {}) {
      const failed = (why: string, cause?: unknown) => solanaErrors('solana/rpc', { host, method, why, cause })
      id += 1
      const answer = await post({ url, fetch, timeoutMs, signal, failed }, { jsonrpc: '2.0', id, method, params })
      const envelope = z.safeParse(answerSchema, answer)
      if (!envelope.success) throw failed('its answer is no JSON-RPC')
      const { error } = envelope.data
      // The message of a failed transaction names no reason; its data does.
      if (error != null)
        throw solanaErrors('solana/call-failed', {
          host,
          method,
          why: `${error.message} ${JSON.stringify(error.data ?? '')}`.slice(0, 300),
        })
      // An answer without a result, as overloaded gateways give it, must never be read as the chain's "there is none".
      if (envelope.data.result === undefined) throw failed('its answer has neither result nor error')
      const read = z.safeParse(result, envelope.data.result)
      if (!read.success) throw failed('its answer has another shape than expected')
      return read.data
    },
  }
}

/** The URL of an RPC. Errors: `config/bad-rpc-url`, which does not show it. */
export function parseRpcUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) throw solanaErrors('config/bad-rpc-url', {})
  return parsed
}

/** Checks that a node serves the network it was named for. Errors: `config/wrong-chain`, `solana/rpc`, `solana/call-failed`. */
export async function checkChain(
  rpc: Rpc,
  { network, signal }: { readonly network: string; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const genesis = await rpc.ask({ method: 'getGenesisHash', params: [], result: z.string() }, { signal })
  // CAIP-2 of Solana: the first 32 letters.
  const answered = `solana:${genesis.slice(0, 32)}`
  if (answered !== network) throw solanaErrors('config/wrong-chain', { network, host: rpc.host, answered })
}

type Post = HttpRpcOptions & { readonly signal: AbortSignal | undefined; readonly failed: (why: string, cause?: unknown) => Error }

async function post({ url, fetch, timeoutMs, signal, failed }: Post, request: object): Promise<unknown> {
  signal?.throwIfAborted()
  const late = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
    })
    // Nodes answer refusals with a JSON-RPC error under a status of 4xx too; only a body that is none is a failed connection.
    return await response.json()
  } catch (cause) {
    signal?.throwIfAborted()
    throw failed(late.aborted ? `nothing came within ${timeoutMs} ms` : 'the connection failed', cause)
  }
}
