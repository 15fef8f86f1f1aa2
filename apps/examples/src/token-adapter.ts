// Token adapters and prices that change, whole. The docs quote this file.
import { evmBalances, exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmTokenAdapter } from '@flow402x/adapters-evm/token'
import { exactSolanaClient, secretKeySender, solanaBalances } from '@flow402x/adapters-solana/client'
import { type Client, createClient, heldFunds } from '@flow402x/client'
import type { Facilitator, ServerScheme } from '@flow402x/core'
import { defineTokenAdapter, type TokenAdapter } from '@flow402x/core/token'
import { createServer, type Server } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { sqliteStore } from '@flow402x/store/sqlite'
import express, { type Express } from 'express'

/** Pays an order once, whatever dies in between, and looks it up. */
export async function payOrder(
  { rpcUrl, privateKey }: { readonly rpcUrl: string; readonly privateKey: string },
  recipient: string,
): Promise<{ transaction: string; arrived: boolean; left: bigint }> {
  // #region adapter
  const usdc = evmTokenAdapter({
    network: 'base-sepolia',
    asset: 'USDC', // or 'ETH', the coin
    rpcUrl,
    signer: privateKey,
    confirmations: 0n, // as deep as suits the network unless told
    store: sqliteStore('wallet.db'),
  })
  const transaction = await usdc.createPayment(recipient, '12.50', { id: 'order 1001' })
  const arrived = await usdc.validatePayment(transaction, { recipient, amount: '12.50' })
  const left = await usdc.getBalance(privateKeySigner(privateKey).address)
  // #endregion
  return { transaction, arrived, left }
}

/** A ledger of one's own, in its own units. */
export type Points = {
  move(to: string, points: bigint): Promise<string>
  find(id: string): Promise<{ to: string; points: bigint } | undefined>
}

/** An adapter for whatever can be paid in: here, points of a club. */
export function pointsAdapter(points: Points, holdings: ReadonlyMap<string, bigint>): TokenAdapter {
  // #region own
  const adapter = defineTokenAdapter({
    network: 'club:points',
    symbol: 'PTS',
    decimals: 2,
    createPayment: (recipient, amount) => points.move(recipient, amount), // atomic units, a bigint
    async validatePayment(id, { recipient, amount }) {
      const found = await points.find(id)
      return found !== undefined && found.to === recipient && found.points === amount
    },
    getBalance: async (address) => holdings.get(address) ?? 0n,
  })
  // #endregion
  return adapter
}

/** A shop whose price depends on what is asked, in dollars, also where it is paid in a coin. */
export function shop({ facilitator, schemes, secret }: { facilitator: Facilitator; schemes: ServerScheme[]; secret: string }): {
  readonly server: Server
  readonly app: Express
} {
  // #region prices
  const server = createServer({
    facilitator,
    schemes,
    store: sqliteStore('payments.db'),
    rate: async (asset, currency) => quoteOf(asset.symbol, currency), // '3120.55': what one ETH costs in USD
    secret, // signs quotes; the same for every instance
  })
  const app = express()
  const price = ({ url }: { url: string }) => `$${new URL(url).searchParams.get('pages') ?? '1'}.00`
  app.get('/report', paid(server, { price }), (_, res) => {
    res.send('a report')
  })
  // #endregion
  return { server, app }
}

/** A client that pays where it has the money. */
export function payerOnTwoChains(keys: { evm: string; solana: string }, rpcUrls: { evm: string; solana: string }): Client {
  // #region choice
  const [evm, solana] = [privateKeySigner(keys.evm), secretKeySender(keys.solana)]
  const client = createClient({
    schemes: [exactEvmClient({ signer: evm }), exactSolanaClient({ signer: solana })],
    prefer: ['solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1', 'eip155:84532'], // liked best first; assets by CAIP-19 id
    funds: heldFunds([
      evmBalances({ address: evm.address, rpcUrls: { 'base-sepolia': rpcUrls.evm } }),
      solanaBalances({ address: solana.address, rpcUrls: { 'solana-devnet': rpcUrls.solana } }),
    ]),
  })
  // #endregion
  return client
}

function quoteOf(symbol: string, currency: string): string {
  if (symbol !== 'ETH' || currency !== 'USD') throw new RangeError(`no rate of ${symbol} in ${currency}`)
  return '3120.55'
}
