import { httpRpc as anyHttpRpc, type HttpRpcOptions, parseRpcUrl as parseAnyRpcUrl, type Rpc, type RpcErrors } from '@flow402x/core'
import * as z from 'zod/mini'
import { solanaErrors } from './errors.ts'

export type { Rpc, RpcRequest } from '@flow402x/core'

const errors: RpcErrors = {
  badUrl: () => solanaErrors('config/bad-rpc-url', {}),
  unusable: (what) => solanaErrors('solana/rpc', what),
  // The message of a failed transaction names no reason; its data does.
  refused: ({ host, method, message, data }) =>
    solanaErrors('solana/call-failed', { host, method, why: `${message} ${JSON.stringify(data ?? '')}`.slice(0, 300) }),
}

/** JSON-RPC to a Solana node. Errors: `config/bad-rpc-url`; then `solana/rpc`, `solana/call-failed`. */
export function httpRpc(options: HttpRpcOptions): Rpc {
  return anyHttpRpc({ ...options, errors })
}

/** The URL of an RPC. Errors: `config/bad-rpc-url`, which does not show it. */
export function parseRpcUrl(url: string): URL {
  return parseAnyRpcUrl(url, errors)
}

/** A result that says of which slot it is told. */
export function inContext<Value>(value: z.ZodMiniType<Value>): z.ZodMiniType<{ context: { slot: number }; value: Value }> {
  return z.looseObject({ context: z.looseObject({ slot: z.number() }), value })
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
