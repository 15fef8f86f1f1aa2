import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { createServer } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import type { EvmChain } from '@flow402x/testing'
import { cliErrors } from '../cli/errors.ts'
import { sampleRoutes, sampleSeller } from './sample-seller.ts'
import type { DevWorld } from './world.ts'

/** What a local world shall hold. */
export type DevOptions = {
  /** EVM networks whose asset table has USDC, by CAIP-2 id or friendly name; Base Sepolia unless told. */
  readonly networks?: readonly string[]
  readonly facilitatorPort?: number
  readonly sellerPort?: number
  /** Told of each step as it is done. */
  readonly onProgress?: (step: string) => void
  /** Ends the start. */
  readonly signal?: AbortSignal
}

/** A running local world. `close` ends every process and server of it. */
export type Dev = { readonly world: DevWorld; readonly chains: readonly EvmChain[]; close(): Promise<void> }

/**
 * Starts local chains with the real USDC contract, a facilitator with an HTTP face, and a seller with three priced routes,
 * all on loopback. Money here is worthless and keys are the published development ones.
 *
 * Errors: `cli/no-testing`, `cli/port-taken`, and those of the chains.
 */
export async function startDev(options: DevOptions = {}): Promise<Dev> {
  const { networks = ['eip155:84532'], onProgress = () => {}, signal } = options
  const ending: (() => Promise<void>)[] = []
  const close = async () => {
    for (const end of ending.splice(0).reverse()) await end()
  }
  try {
    const chains = await startChains(networks, signal)
    ending.push(async () => void (await Promise.all(chains.map((chain) => chain.stop()))))
    for (const chain of chains) onProgress(`${chain.network} at ${chain.rpcUrl}, USDC ${chain.usdc.address}`)

    const facilitator = createFacilitator({ schemes: chains.map((chain) => exactEvmFacilitator({ chain: chainOf(chain) })) })
    ending.push(() => facilitator.close())
    await facilitator.start()
    const served = await serveFacilitator(facilitator, { port: options.facilitatorPort ?? 0 }).catch(portTaken(options.facilitatorPort))
    ending.push(() => served.close())
    onProgress(`facilitator at ${served.url}`)

    const schemes = chains.map(({ network, seller }) => exactEvmServer({ network, payTo: seller.address }))
    const server = createServer({ facilitator, store: memoryStore({ force: true }), schemes })
    await server.start()
    const seller = await listen(sampleSeller(server), options.sellerPort ?? 0).catch(portTaken(options.sellerPort))
    ending.push(() => seller.close())
    onProgress(`seller at ${seller.url}`)
    return { world: worldOf(chains, { facilitator: served.url, seller: seller.url }), chains, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startChains(networks: readonly string[], signal: AbortSignal | undefined): Promise<EvmChain[]> {
  const { startEvmChain } = await import('@flow402x/testing').catch((cause: unknown) => {
    throw cliErrors('cli/no-testing', { cause })
  })
  const starts = await Promise.allSettled(
    networks.map((network) => startEvmChain({ network, ...(signal === undefined ? {} : { signal }) })),
  )
  const failure = starts.find((start) => start.status === 'rejected')
  const chains = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  if (failure === undefined) return chains
  await Promise.all(chains.map((chain) => chain.stop()))
  throw failure.reason
}

function chainOf({ network, rpcUrl, facilitator }: EvmChain) {
  return evmChain({ network, rpcUrl, signers: [facilitator.privateKey] })
}

function worldOf(chains: readonly EvmChain[], urls: { readonly facilitator: string; readonly seller: string }): DevWorld {
  return {
    evm: chains.map(({ network, rpcUrl, usdc, accounts }) => ({
      network,
      rpcUrl,
      usdc: usdc.address,
      accounts: accounts.map(({ address, privateKey, role }) => ({ address, privateKey, role })),
    })),
    facilitator: { url: urls.facilitator },
    seller: {
      url: urls.seller,
      routes: chains.flatMap(({ network }) =>
        sampleRoutes.map(({ method, path, price }) => ({ method, path, price, scheme: 'exact', network })),
      ),
    },
  }
}

async function listen(listener: RequestListener, port: number): Promise<{ url: string; close(): Promise<void> }> {
  const server = createHttpServer(listener)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', () => resolve())
  })
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${bound}`, close }
}

function portTaken(port = 0) {
  return (error: unknown): never => {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') throw cliErrors('cli/port-taken', { port, cause: error })
    throw error
  }
}
