import { createClient } from '@flow402x/client'
import { wrapFetchWithPayment } from '@x402/fetch'
import { Mppx } from 'mppx/client'
import { evm } from 'mppx/evm/client'
import { privateKeyToAccount } from 'viem/accounts'
import { wrapFetchWithPayment as wrapFetchWithPaymentV1 } from 'x402-fetch'
import { hex } from './chains/evm.ts'
import type { World } from './world.ts'

/** Whoever pays; `fetch` sees everything that goes over the wire. */
export type Payer = { readonly privateKey: string; readonly fetch?: typeof fetch }

/** The call that every client has in common. */
export type PayingFetch = (url: string, init?: RequestInit) => Promise<Response>

/** A client of one house, by the versions of x402 it speaks over HTTP. */
export type ClientPeer = {
  readonly name: string
  readonly versions: readonly (1 | 2)[]
  connect(world: Pick<World, 'schemes'>, payer: Payer): PayingFetch
}

/** Ours: v2, and v1 where a server speaks nothing newer. */
export const ours: ClientPeer = {
  name: 'ours',
  versions: [2, 1],
  connect({ schemes }, { privateKey, fetch: send = fetch }) {
    const client = createClient({ schemes: [schemes.ourClient(privateKey)], fetch: send })
    return (url, init) => client.fetch(url, init)
  },
}

/** The official client of v2, which pays v1 bodies as well. */
export const official: ClientPeer = {
  name: '@x402/fetch 2.27',
  versions: [2, 1],
  connect({ schemes }, { privateKey, fetch: send = fetch }) {
    const client = schemes.officialClient(privateKey)
    return async (url, init) => wrapFetchWithPayment(send, await client)(url, init)
  },
}

/** The last client of v1. */
export const legacy: ClientPeer = {
  name: 'x402-fetch 1.2',
  versions: [1],
  connect({ schemes }, { privateKey, fetch: send = fetch }) {
    const signing = schemes.legacyClient(privateKey)
    return async (url, init) => {
      const { signer, config } = await signing
      return wrapFetchWithPaymentV1(send, signer, undefined, undefined, config)(url, init)
    }
  },
}

/** The client of mppx, which pays x402 where a seller does not speak its own protocol; on EVM chains. */
export const mppx: ClientPeer = {
  name: 'mppx 0.11',
  versions: [2],
  connect(_, { privateKey, fetch: send = fetch }) {
    const method = evm({ account: privateKeyToAccount(hex(privateKey)), currencies: [evm.assets.baseSepolia.USDC] })
    const client = Mppx.create({ methods: [method], fetch: send, polyfill: false })
    return (url, init) => client.fetch(url, init)
  },
}
