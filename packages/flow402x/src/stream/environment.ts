import { formatNetwork } from '@flow402x/core'
import { rpcVariable } from '../cli/rpc-url.ts'
import { streamErrors } from './errors.ts'

/** What the friendly API reads its surroundings from: `process.env` unless told. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A variable that must be set. Errors: `flow/no-variable`, which names it. */
export function needVariable(env: Environment, variable: string, purpose: string): string {
  const value = env[variable]?.trim()
  if (value === undefined || value === '') throw streamErrors('flow/no-variable', { variable, purpose })
  return value
}

/** The node of a network. Errors: `flow/no-variable`. */
export function needRpcUrl(env: Environment, network: string): string {
  return needVariable(env, rpcVariable(network), `the JSON-RPC of ${formatNetwork(network)}`)
}
