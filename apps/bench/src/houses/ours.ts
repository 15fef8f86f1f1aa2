import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator, fastestSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createClient, rememberOffers } from '@flow402x/client'
import type { ClientScheme, Facilitator, FacilitatorScheme } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { createServer, type Server } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import { type Curve, network, type Settler, type Signed } from './terms.ts'

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
