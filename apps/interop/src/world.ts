import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { createPublicClient, erc20Abi, getAddress, type Hex, http, isHash, type PublicClient, parseEventLogs } from 'viem'
import { type FacilitatorPeer, startFacilitators } from './facilitators.ts'

/** The one network of the matrix, in both spellings. */
export const network = 'eip155:84532'
export const networkV1 = 'base-sepolia'

/** A local chain with everyone who can settle on it. */
export type World = {
  readonly chain: EvmChain
  readonly facilitators: { readonly [name in FacilitatorPeer['name']]: FacilitatorPeer }
  /** Who sent a transaction and what USDC it moved, as the mined receipt says. */
  settlementIn(transaction: string): Promise<Settlement | undefined>
  close(): Promise<void>
}

/** One movement of tokens, in atomic units. */
export type Transfer = { readonly from: Hex; readonly to: Hex; readonly value: bigint }

/** A mined transaction with its movements of USDC. */
export type Settlement = { readonly sender: Hex; readonly transfers: readonly Transfer[] }

/** Something that listens on loopback. */
export type Listening = { readonly url: string; close(): Promise<void> }

/** Starts a chain that carries Circle's contract, and the facilitators of both houses on it. */
export async function startWorld(): Promise<World> {
  const chain = await startEvmChain({ network })
  const facilitators = await startFacilitators(chain)
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  return {
    chain,
    facilitators: facilitators.byName,
    settlementIn: (transaction) => settlementIn(reader, { transaction, token: chain.usdc.address }),
    async close() {
      await facilitators.close()
      await chain.stop()
    },
  }
}

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

async function settlementIn(
  reader: PublicClient,
  { transaction, token }: { readonly transaction: string; readonly token: Hex },
): Promise<Settlement | undefined> {
  if (!isHash(transaction)) return undefined
  const { from, logs } = await reader.getTransactionReceipt({ hash: transaction })
  const moves = parseEventLogs({ abi: erc20Abi, eventName: 'Transfer', logs }).filter((log) => getAddress(log.address) === token)
  return { sender: getAddress(from), transfers: moves.map(({ args }) => ({ from: args.from, to: args.to, value: args.value })) }
}
