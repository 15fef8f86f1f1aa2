import { formatNetwork, networkFacts, networkFamily } from '@flow402x/core'
import { cliErrors } from './errors.ts'

/**
 * The environment variable that names a network's RPC: `FLOW402X_RPC_URL_EIP155_8453`. On Solana, whose ids are hashes, it is the
 * network's name: `FLOW402X_RPC_URL_SOLANA`, `FLOW402X_RPC_URL_SOLANA_DEVNET`.
 */
export function rpcVariable(network: string): string {
  const name = networkFamily(network) === 'solana' ? (networkFacts(network)?.name ?? network) : network
  return `FLOW402X_RPC_URL_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`
}

/** The RPC of a network. Errors: `cli/no-rpc`. */
export function readRpcUrl(env: Readonly<Record<string, string | undefined>>, network: string): string {
  const variable = rpcVariable(network)
  const url = env[variable]
  if (url === undefined || url === '') throw cliErrors('cli/no-rpc', { variable, network: formatNetwork(network) })
  return url
}
