import { evmBalances, exactEvmClient, permit2 } from '@flow402x/adapters-evm/client'
import type { BalanceReader, ClientScheme } from '@flow402x/core'
import type { PayingWallet } from '../wallet/evm.ts'
import { connectSolanaWallet, type FoundSolanaWallet } from '../wallet/solana.ts'

/** A wallet that was chosen, and how it pays on one network. */
export type Payer = { readonly name: string; readonly scheme: ClientScheme; readonly balances: readonly BalanceReader[] }

/** Pays by a wallet of an EVM chain: EIP-3009, and Permit2 where that is asked. */
export function evmPayer({ name, signer, node }: PayingWallet, network: string): Payer {
  const nodes = node && { rpcUrls: { [network]: node.rpcUrl }, fetch: node.fetch }
  return {
    name,
    scheme: exactEvmClient({ signer, networks: [network], methods: [permit2(nodes)] }),
    balances: nodes === undefined ? [] : [evmBalances({ address: signer.address, ...nodes })],
  }
}

/** Pays by a wallet of Solana, whose code comes now (`script`). Errors: those of `connectSolanaWallet`. */
export async function solanaPayer(
  found: FoundSolanaWallet,
  { network, script }: { readonly network: string; readonly script: string },
): Promise<Payer> {
  // The script is a file of this page: it is `solana.ts`, and exports what that does.
  const loading = import(new URL(script, location.href).href) as Promise<typeof import('./solana.ts')>
  const [{ exactOn }, signer] = await Promise.all([loading, connectSolanaWallet(found, network)])
  return { name: found.name, scheme: exactOn(network, signer), balances: [] }
}
