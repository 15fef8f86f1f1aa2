import { evmPaymentWitness } from '@flow402x/adapters-evm/bazaar'
import { evmStatementVerifier } from '@flow402x/adapters-evm/receipt'
import { solanaPaymentWitness } from '@flow402x/adapters-solana/bazaar'
import { solanaStatementVerifier } from '@flow402x/adapters-solana/receipt'
import { type Bazaar, type BazaarOptions, createBazaar, createPages, serveBazaar } from '@flow402x/bazaar/server'
import { networkFamily } from '@flow402x/core'

/** What a marketplace is opened with. */
export type MarketplaceOptions = Pick<BazaarOptions, 'store' | 'fetching' | 'tell' | 'hubs' | 'onEvent'> & {
  /** The JSON-RPC of each network on which payers are heard. */
  readonly rpcUrls: Readonly<Record<string, string>>
  /** Takes a payment as soon as it is mined, for chains of one's own; else as deep as its chain asks. */
  readonly shallow?: boolean
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
  const { rpcUrls, shallow = false, host, port, callerHeader, name, onEvent, ...given } = options
  const told = onEvent === undefined ? {} : { onEvent }
  const witnesses = Object.entries(rpcUrls).flatMap(([network, rpcUrl]) => {
    const family = networkFamily(network)
    if (family === 'solana') return [solanaPaymentWitness({ network, rpcUrl, ...(shallow ? { confirmations: 'confirmed' as const } : {}) })]
    return family === 'eip155' ? [evmPaymentWitness({ network, rpcUrl, ...(shallow ? { confirmations: 0n } : {}) })] : []
  })
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
