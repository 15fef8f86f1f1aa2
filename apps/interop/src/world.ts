import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ClientScheme, ServerScheme } from '@flow402x/core'
import type { Role } from '@flow402x/testing'
import type { x402ResourceServer } from '@x402/express'
import type { x402Client } from '@x402/fetch'
import type { wrapFetchWithPayment as wrapFetchWithPaymentV1 } from 'x402-fetch'
import type { FacilitatorPeer } from './facilitators.ts'

/** An account of a local chain. */
export type Account = { readonly role: Role; readonly address: string; readonly privateKey: string }

/** What every local chain can do; an address is its own family's. */
export type LocalChain = {
  readonly network: string
  readonly rpcUrl: string
  readonly seller: Account
  readonly buyer: Account
  /** In atomic units of USDC. */
  balanceOf(address: string): Promise<bigint>
  stop(): Promise<void>
}

/** How v1 signs: its signer, and what it asks a chain with. */
export type LegacySigner = {
  readonly signer: Parameters<typeof wrapFetchWithPaymentV1>[1]
  readonly config?: Parameters<typeof wrapFetchWithPaymentV1>[4]
}

/** The schemes of each house on one chain. */
export type Schemes = {
  ourClient(privateKey: string): ClientScheme
  ourServer(payTo: string, facilitator: FacilitatorPeer): ServerScheme
  officialClient(privateKey: string): Promise<x402Client>
  officialServer(server: x402ResourceServer): x402ResourceServer
  /** What a route of an official server says beside price and payee; `exact` unless told. */
  readonly officialRoute?: OfficialRoute
  legacyClient(privateKey: string): Promise<LegacySigner>
}

/** How an official server names a way to be paid. */
export type OfficialRoute = {
  readonly scheme: string
  readonly extra?: Readonly<Record<string, unknown>>
  readonly extensions?: Record<string, unknown>
}

/** What handlers say was used of the price, and what that is in atomic units. */
export type Used = { readonly said: string; readonly paid: bigint }

/** A local chain with everyone who can pay, be paid and settle on it. */
export type World<Chain extends LocalChain = LocalChain> = {
  readonly chain: Chain
  /** The network in both spellings: CAIP-2, and the name of v1. */
  readonly network: `${string}:${string}`
  readonly networkV1: 'base-sepolia' | 'solana-devnet'
  /** What a transaction's id looks like. */
  readonly transaction: RegExp
  readonly schemes: Schemes
  /** Where the price is a ceiling. */
  readonly used?: Used
  readonly facilitators: { readonly [name in FacilitatorPeer['name']]: FacilitatorPeer }
  /** Lets so much time pass on the chain that two equal payments are two. */
  turn(): Promise<void>
  /** Who sent a transaction and what USDC it moved, as the mined receipt says. */
  settlementIn(transaction: string): Promise<Settlement | undefined>
  close(): Promise<void>
}

/** One movement of tokens, in atomic units. */
export type Transfer = { readonly from: string; readonly to: string; readonly value: bigint }

/** A mined transaction with its movements of USDC. */
export type Settlement = { readonly sender: string; readonly transfers: readonly Transfer[] }

/** Something that listens on loopback. */
export type Listening = { readonly url: string; close(): Promise<void> }

/** Listens on a free port of 127.0.0.1. */
export async function listen(listener: RequestListener): Promise<Listening> {
  const server = createServer(listener)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve())
  })
  // A server that listens on a host and a port has an address with both.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
