import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import { solanaStatementVerifier } from '@flow402x/adapters-solana/receipt'
import { type Bazaar, type BazaarOptions, createBazaar, createPages, serveBazaar } from '@flow402x/bazaar/server'
import { networkFamily } from '@flow402x/core'

/** What a marketplace is opened with. */
export type MarketplaceOptions = Pick<BazaarOptions, 'store' | 'fetching' | 'tell' | 'hubs' | 'onEvent'> & {
  /** The JSON-RPC of each network on which payers are heard; those of EVM are. */
  readonly rpcUrls: Readonly<Record<string, string>>
  /** Blocks on top of a payment's own before it speaks for anybody; as many as its chain asks unless told. */
  readonly confirmations?: bigint
  readonly host?: string
  readonly port?: number
  readonly callerHeader?: string
  /** What its pages call it. */
  readonly name?: string
}

/** A bazaar with its pages, listening; `close` leaves its store open. */
export type Marketplace = { readonly url: string; readonly bazaar: Bazaar; close(): Promise<void> }

/** Opens a bazaar, serves its interface and its pages, and keeps looking at what it lists. Rejects when it cannot listen. */
export async function openMarketplace(options: MarketplaceOptions): Promise<Marketplace> {
  const { rpcUrls, confirmations, host, port, callerHeader, name, onEvent, ...given } = options
  const told = onEvent === undefined ? {} : { onEvent }
  const depth = confirmations === undefined ? {} : { confirmations }
  const witnesses = Object.entries(rpcUrls)
    .filter(([network]) => networkFamily(network) === 'eip155')
    .map(([network, rpcUrl]) => evmPaymentWitness({ network, rpcUrl, ...depth }))
  const bazaar = createBazaar({ ...given, ...told, witnesses, verifiers: [evmStatementVerifier(), solanaStatementVerifier()] })
  const served = await serveBazaar(bazaar, {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(callerHeader === undefined ? {} : { callerHeader }),
    ...told,
    pages: createPages(bazaar, { ...(name === undefined ? {} : { name }), ...told }),
  })
  bazaar.start()
  return {
    url: served.url,
    bazaar,
    async close() {
      await bazaar.close()
      await served.close()
    },
  }
}
