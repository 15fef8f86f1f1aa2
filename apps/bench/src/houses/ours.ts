import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import {
  batchSettlementFacilitator,
  evmChain,
  exactEvmFacilitator,
  fastestSecp256k1,
  tabledSecp256k1,
} from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer, exactEvmServer } from '@flow402x/adapters-evm/server'
import { createClient, rememberOffers } from '@flow402x/client'
import type { ClientScheme, Facilitator, FacilitatorScheme, Store } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { createServer, type Server } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import { sqliteStore } from '@flow402x/store/sqlite'
import { network, type Settler, type Signed } from './terms.ts'

/** The curve a payer signs with: the native one where its binary is there, or plain JavaScript. */
export type Curve = 'native' | 'pure JS'

/** How a buyer of ours signs. */
export function ourScheme(privateKey: string, curve: Curve = 'native'): ClientScheme {
  const options = curve === 'native' ? { secp256k1: fastestSecp256k1() } : {}
  return exactEvmClient({ signer: privateKeySigner(privateKey, options) })
}

/** How a buyer of ours sends, and whether it pays what a route asked before without being asked again. */
type Buying = { readonly remembers: boolean; readonly fetch: typeof fetch }

/** A buyer of ours with a budget that no row exhausts. */
export function ourFetch(privateKey: string, { remembers, fetch }: Buying): (url: string) => Promise<Response> {
  const memory = remembers ? { offers: rememberOffers({ forMs: 600_000 }) } : {}
  const client = createClient({ schemes: [ourScheme(privateKey)], budget: { total: '$900' }, fetch, ...memory })
  return (url) => client.fetch(url)
}

/** What sells in our house; its facilitator has answered. */
export async function ourServer({ facilitator, payTo }: { facilitator: Facilitator; payTo: string }): Promise<Server> {
  const schemes = [exactEvmServer({ network, payTo })]
  // More is sold in a minute than a facilitator is believed by default.
  const server = createServer({ facilitator, store: memoryStore({ force: true }), schemes, trust: '$1000000' })
  await server.start()
  return server
}

/** Where books are kept: SQLite's in a folder that goes with the process. */
export type Books = 'memory' | 'SQLite'

/** A store that is empty. */
export async function storeOf(books: Books): Promise<Store> {
  if (books === 'memory') return memoryStore({ force: true })
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return sqliteStore(join(folder, 'books.db'))
}

/** Brings deposits into channels, in process. */
export async function ourChannelFacilitator({ rpcUrl, key }: { readonly rpcUrl: string; readonly key: string }): Promise<Facilitator> {
  const chain = evmChain({ network, rpcUrl, signers: [key] })
  const facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain })] })
  await facilitator.start()
  return facilitator
}

type ChannelSale = {
  readonly rpcUrl: string
  readonly key: string
  readonly payTo: string
  readonly curve: Curve
  readonly books: Books
}

/** What sells over channels in our house, with its facilitator in process. */
export async function ourChannelServer({ rpcUrl, key, payTo, curve, books }: ChannelSale): Promise<Server> {
  const facilitator = await ourChannelFacilitator({ rpcUrl, key })
  const store = await storeOf(books)
  const scheme = batchSettlementServer({
    network,
    payTo,
    rpcUrl,
    store,
    authorizer: privateKeySigner(key),
    secp256k1: curve === 'native' ? fastestSecp256k1() : tabledSecp256k1,
  })
  const server = createServer({ facilitator, store, schemes: [scheme], claimChannels: false })
  await server.start()
  return server
}

/** Our facilitator on a chain. */
export async function ourFacilitator({ rpcUrl, key }: { rpcUrl: string; key: string }): Promise<Settler> {
  const chain = evmChain({ network, rpcUrl, signers: [key] })
  return ourSettler(exactEvmFacilitator({ chain }))
}

/** Our facilitator with one scheme. */
export async function ourSettler(scheme: FacilitatorScheme): Promise<Settler> {
  const facilitator = createFacilitator({ schemes: [scheme] })
  await facilitator.start()
  let claims = 0
  return {
    verify: async (signed) => (await facilitator.verify(signed)).valid,
    async settle(signed) {
      claims += 1
      const outcome = await facilitator.settle(signed, { claimId: `claim-${claims}` })
      const transaction = 'transaction' in outcome ? (outcome.transaction ?? '') : ''
      return { settled: outcome.status === 'settled', transaction, reason: 'reason' in outcome ? outcome.reason : outcome.status }
    },
    serve: async () => (await serveFacilitator(facilitator)).url,
  }
}

type Order = { readonly requirements: Signed['requirements']; readonly count: number }

/** Signs so many payments on an EVM chain that nobody has used yet, for requirements of one payee. */
export function signPayments(privateKey: string, order: Order): Promise<Signed[]> {
  return signBy(ourScheme(privateKey), order)
}

/** As `signPayments`, in any scheme. */
export async function signBy(scheme: ClientScheme, { requirements, count }: Order): Promise<Signed[]> {
  const signed: Signed[] = []
  for (let index = 0; index < count; index += 1) {
    const now = Math.floor(Date.now() / 1000)
    const { payload } = await scheme.prepare(requirements, { now, maxTimeoutSeconds: requirements.maxTimeoutSeconds })
    signed.push({ payment: { x402Version: 2, accepted: requirements, payload }, requirements })
  }
  return signed
}
