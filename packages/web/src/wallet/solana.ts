import type { SolanaSigner } from '@flow402x/adapters-solana/client'
import { formatNetwork } from '@flow402x/core'
import * as z from 'zod/mini'
import { refusedBy, walletErrors } from './errors.ts'

/** An account that a wallet lets a site use. */
type Account = { readonly address: string; readonly chains: readonly string[] }

/** What of a wallet of the Wallet Standard a payment takes. */
type StandardWallet = {
  readonly name: string
  readonly chains: readonly string[]
  readonly features: {
    readonly 'standard:connect': { connect(): Promise<{ readonly accounts: readonly Account[] }> }
    readonly 'solana:signTransaction': {
      signTransaction(asked: {
        readonly account: Account
        readonly transaction: Uint8Array
        readonly chain: string
      }): Promise<readonly { readonly signedTransaction: Uint8Array }[]>
    }
  }
}

/** A wallet that registered itself (Wallet Standard) and signs transactions of Solana. */
export type FoundSolanaWallet = { readonly name: string; readonly wallet: StandardWallet }

// The names of networks there, by their CAIP-2 ids.
const chainNames: ReadonlyMap<string, string> = new Map([
  ['solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', 'solana:mainnet'],
  ['solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1', 'solana:devnet'],
  ['solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z', 'solana:testnet'],
])

const doing = (method: string) =>
  z.custom<object>((feature) => typeof feature === 'object' && feature !== null && typeof Reflect.get(feature, method) === 'function')
const shape = z.looseObject({
  name: z.string().check(z.maxLength(64)),
  chains: z.array(z.string()),
  features: z.looseObject({ 'standard:connect': doing('connect'), 'solana:signTransaction': doing('signTransaction') }),
})
// A wallet is used as it came: its methods are its own.
const standardWallet = z.custom<StandardWallet>((wallet) => z.safeParse(shape, wallet).success)
const registering = z.custom<(api: object) => void>((detail) => typeof detail === 'function')

/** Tells of each Solana wallet of this browser, once, as it registers itself. */
export function findSolanaWallets(found: (wallet: FoundSolanaWallet) => void): void {
  const known = new Set<StandardWallet>()
  const api = Object.freeze({
    register(...wallets: readonly unknown[]) {
      for (const one of wallets) {
        const { data: wallet } = z.safeParse(standardWallet, one)
        if (wallet === undefined || known.has(wallet) || !wallet.chains.some((chain) => chain.startsWith('solana:'))) continue
        known.add(wallet)
        found({ name: wallet.name, wallet })
      }
      // What is taken back is still there for who chose it.
      return () => {}
    },
  })
  addEventListener('wallet-standard:register-wallet', (event) => {
    const { data: register } = z.safeParse(registering, 'detail' in event ? event.detail : undefined)
    register?.(api)
  })
  dispatchEvent(new CustomEvent('wallet-standard:app-ready', { detail: api }))
}

/** Asks a wallet for an account on this network. Errors: `wallet/refused`, `wallet/wrong-network`. */
export async function connectSolanaWallet({ name, wallet }: FoundSolanaWallet, network: string): Promise<SolanaSigner> {
  const { 'standard:connect': connecting, 'solana:signTransaction': signing } = wallet.features
  const chain = chainNames.get(network) ?? network
  const { accounts } = await connecting.connect().catch(refusedBy(name))
  const account = accounts.find(({ chains }) => chains.includes(chain))
  if (account === undefined) throw walletErrors('wallet/wrong-network', { wallet: name, network: formatNetwork(network) })
  return {
    address: account.address,
    async signTransaction(transaction) {
      const [signed] = await signing.signTransaction({ account, transaction, chain }).catch(refusedBy(name))
      if (signed === undefined) throw walletErrors('wallet/refused', { wallet: name, why: 'it answered with no transaction' })
      return signed.signedTransaction
    },
  }
}
