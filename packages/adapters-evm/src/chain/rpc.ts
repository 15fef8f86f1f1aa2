import { httpRpc as anyHttpRpc, type HttpRpcOptions, parseRpcUrl as parseAnyRpcUrl, type Rpc, type RpcErrors } from '@flow402x/core'
import { evmErrors } from './errors.ts'

export type { Rpc } from '@flow402x/core'

const errors: RpcErrors = {
  badUrl: () => evmErrors('config/bad-rpc-url', {}),
  unusable: (what) => evmErrors('evm/rpc', what),
  refused: ({ host, method, message }) => evmErrors('evm/call-failed', { host, method, why: message.slice(0, 300) }),
}

/** JSON-RPC to a node of an EVM chain. Errors: `config/bad-rpc-url`; then `evm/rpc`, `evm/call-failed`. */
export function httpRpc(options: HttpRpcOptions): Rpc {
  return anyHttpRpc({ ...options, errors })
}

/** The URL of an RPC. Errors: `config/bad-rpc-url`, which does not show it. */
export function parseRpcUrl(url: string): URL {
  return parseAnyRpcUrl(url, errors)
}
