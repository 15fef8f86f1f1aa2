import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient } from '@flow402x/client'
import { registerExactEvmScheme } from '@x402/evm/exact/client'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import { createWalletClient, type Hex, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { wrapFetchWithPayment as wrapFetchWithPaymentV1 } from 'x402-fetch'

/** Whoever pays; `fetch` sees everything that goes over the wire. */
export type Payer = { readonly privateKey: Hex; readonly rpcUrl: string; readonly fetch?: typeof fetch }

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
  connect({ privateKey, rpcUrl, fetch: send = fetch }) {
    const wallet = createWalletClient({ account: privateKeyToAccount(privateKey), chain: baseSepolia, transport: http(rpcUrl) })
    return wrapFetchWithPaymentV1(send, wallet)
  },
}
