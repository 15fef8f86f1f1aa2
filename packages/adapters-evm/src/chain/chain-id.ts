import type { Network } from '@flow402x/core'
import { evmErrors } from './errors.ts'
import { quantity } from './fees.ts'
import type { Rpc } from './rpc.ts'

type Abortable = { readonly signal?: AbortSignal | undefined }

/** A check that an RPC serves the network it was named for: asked until it was answered once. Errors: `config/wrong-chain`, `evm/rpc`. */
export function chainCheck(
  rpc: Rpc,
  { network, chainId }: { readonly network: Network; readonly chainId: bigint },
): (options?: Abortable) => Promise<void> {
  let checked = false
  return async ({ signal } = {}) => {
    if (checked) return
    const answered = await rpc.ask({ method: 'eth_chainId', params: [], result: quantity }, { signal })
    if (answered !== chainId) throw evmErrors('config/wrong-chain', { network, host: rpc.host, answered: answered.toString() })
    checked = true
  }
}
