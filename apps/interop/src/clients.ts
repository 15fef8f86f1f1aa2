import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient } from '@flow402x/client'
import { registerExactEvmScheme } from '@x402/evm/exact/client'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import type { Hex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { createSigner, wrapFetchWithPayment as wrapFetchWithPaymentV1 } from 'x402-fetch'
import { networkV1 } from './world.ts'

/** Whoever pays; `fetch` sees everything that goes over the wire. */
export type Payer = { readonly privateKey: Hex; readonly fetch?: typeof fetch }

/** The call that every client has in common. */
export type PayingFetch = (url: string, init?: RequestInit) => Promise<Response>

/** A client of one house, by the versions of x402 it speaks over HTTP. */
export type ClientPeer = { readonly name: string; readonly versions: readonly (1 | 2)[]; connect(payer: Payer): PayingFetch }

/** Ours: v2, and v1 where a server speaks nothing newer. */
export const ours: ClientPeer = {
  name: 'ours',
  versions: [2, 1],
  connect({ privateKey, fetch: send = fetch }) {
    const client = createClient({ schemes: [exactEvmClient({ signer: privateKeySigner(privateKey) })], fetch: send })
    return (url, init) => client.fetch(url, init)
  },
}

/** The official client of v2, which pays v1 bodies as well. */
export const official: ClientPeer = {
  name: '@x402/fetch 2.27',
  versions: [2, 1],
  connect({ privateKey, fetch: send = fetch }) {
    const client = registerExactEvmScheme(new x402Client(), { signer: privateKeyToAccount(privateKey) })
    return wrapFetchWithPayment(send, client)
  },
}

/** The last client of v1. */
export const legacy: ClientPeer = {
  name: 'x402-fetch 1.2',
  versions: [1],
  connect({ privateKey, fetch: send = fetch }) {
    const signer = createSigner(networkV1, privateKey)
    return async (url, init) => wrapFetchWithPaymentV1(send, await signer)(url, init)
  },
}
