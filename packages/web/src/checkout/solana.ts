import { exactSolanaClient, type SolanaSigner } from '@flow402x/adapters-solana/client'
import type { ClientScheme } from '@flow402x/core'

// A script of its own: what it weighs is loaded by whom chooses a wallet of Solana, and by nobody else.

/** Pays exact amounts on one Solana network. */
export function exactOn(network: string, signer: SolanaSigner): ClientScheme {
  return exactSolanaClient({ signer, networks: [network] })
}
