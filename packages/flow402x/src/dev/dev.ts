import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer, exactEvmServer, transferProofEvmServer, uptoEvmServer } from '@flow402x/adapters-evm/server'
import { exactSolanaFacilitator, nonceVoucherFacilitator, solanaChain } from '@flow402x/adapters-solana/facilitator'
import { exactSolanaServer, nonceVoucherServer, transferProofSolanaServer } from '@flow402x/adapters-solana/server'
import { coinOf, type FacilitatorScheme, networkFamily, parseNetwork, type ServerScheme, type Store } from '@flow402x/core'
import { announcing } from '@flow402x/core/bazaar'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { createServer } from '@flow402x/server'
import { memoryStore } from '@flow402x/store/memory'
import { sqliteStore } from '@flow402x/store/sqlite'
import type { EvmChain, SolanaChain } from '@flow402x/testing'
import { paymentPage } from '@flow402x/web'
import { cliErrors } from '../cli/errors.ts'
import { faucet, faucetPath } from './faucet.ts'
import { type Marketplace, openMarketplace } from './marketplace.ts'
import { type SampleRoute, sampleRoutes, sampleSeller } from './sample-seller.ts'
import { type Listener, sampleStreams, streamRoutes } from './sample-streams.ts'
import type { DevChain, DevRoute, DevWorld } from './world.ts'

/** What a local world shall hold. */
export type DevOptions = {
  /**
   * Networks whose asset table has USDC, by CAIP-2 id or friendly name: any of EVM, and one of Solana. Base Sepolia and Solana devnet
   * unless told.
   */
  readonly networks?: readonly string[]
  readonly facilitatorPort?: number
  readonly sellerPort?: number
  readonly bazaarPort?: number
  /** Told of each step as it is done. */
  readonly onProgress?: (step: string) => void
  /** Ends the start. */
  readonly signal?: AbortSignal
}

/** A running local world: its EVM chains, and its Solana where there is one. `close` ends every process and server of it. */
export type Dev = {
  readonly world: DevWorld
  readonly chains: readonly EvmChain[]
  readonly solana: SolanaChain | undefined
  close(): Promise<void>
}

/**
 * Starts local chains with the real USDC contract, a facilitator with an HTTP face, and a seller with a few priced routes,
 * all on loopback. Money here is worthless and keys are the published development ones.
 *
 * Errors: `cli/no-testing`, `cli/port-taken`, `cli/one-solana`, and those of the chains.
 */
export async function startDev(options: DevOptions = {}): Promise<Dev> {
  const { networks = ['base-sepolia', 'solana-devnet'], onProgress = () => {}, signal } = options
  const ending: (() => Promise<void>)[] = []
  const close = async () => {
    for (const end of ending.splice(0).reverse()) await end()
  }
  try {
    const started = await startChains(networks, signal)
    const { chains, solana } = started
    const all = [...chains, ...solana]
    ending.push(async () => void (await Promise.all(all.map((chain) => chain.stop()))))
    for (const chain of all) onProgress(`${chain.network} at ${chain.rpcUrl}, USDC ${chain.usdc.address}`)

    const local = createFacilitator({ schemes: facilitatorSchemes(started) })
    ending.push(() => local.close())
    const [market] = await Promise.all([openBazaar(started, options.bazaarPort), local.start()])
    ending.push(() => market.close())
    const facilitator = announcing(local, { feed: market.bazaar.feed })
    const served = await serveFacilitator(facilitator, { port: options.facilitatorPort ?? 0 }).catch(portTaken(options.facilitatorPort))
    ending.push(() => served.close())
    onProgress(`facilitator at ${served.url}`)

    const store = memoryStore({ force: true })
    const page = paymentPage({ testWallet: faucetPath })
    const selling = (schemes: readonly ServerScheme[], settling = {}) =>
      schemes.length === 0 ? undefined : createServer({ ...settling, store, schemes })
    const byTransfer = transferSchemes(started)
    const servers = {
      exact: selling(serverSchemes(started), { facilitator, page }),
      upto: selling(
        chains.map(({ network, seller }) => uptoEvmServer({ network, payTo: seller.address })),
        { facilitator },
      ),
      // Nobody but the chain is asked.
      ETH: selling(byTransfer.ETH),
      SOL: selling(byTransfer.SOL),
    }
    await Promise.all(Object.values(servers).map((server) => server?.start()))
    const streams = sampleStreams({ schemes: channelSchemes(started, store), facilitator, store, page })
    ending.push(() => streams.close())
    const listeners = new Map<string, Listener>([...streams.listeners, [`POST ${faucetPath}`, faucet(chains)]])
    const seller = await listen(sampleSeller(servers, listeners), options.sellerPort ?? 0).catch(portTaken(options.sellerPort))
    ending.push(() => seller.close())
    onProgress(`seller at ${seller.url}`)
    const world = worldOf(started, { facilitator: served.url, seller: seller.url, bazaar: market.url })
    for (const { method, path } of [...sampleRoutes, ...streamRoutes]) await market.bazaar.register({ url: `${seller.url}${path}`, method })
    onProgress(`bazaar at ${market.url}`)
    return { world, chains, solana: solana[0], close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A bazaar in a file that ends with this world. */
async function openBazaar({ chains, solana }: Started, port = 0): Promise<Marketplace> {
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-bazaar-'))
  const store = sqliteStore(join(folder, 'bazaar.db'))
  const drop = async () => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const rpcUrls = Object.fromEntries([...chains, ...solana].map(({ network, rpcUrl }) => [network, rpcUrl]))
    const market = await openMarketplace({ store, rpcUrls, port, shallow: true, fetching: { allowLoopback: true } }).catch(portTaken(port))
    return { ...market, close: () => market.close().then(drop) }
  } catch (error) {
    await drop()
    throw error
  }
}

/** What runs: any number of EVM chains and at most one Solana. */
type Started = { readonly chains: readonly EvmChain[]; readonly solana: readonly SolanaChain[] }

async function startChains(names: readonly string[], signal: AbortSignal | undefined): Promise<Started> {
  const { startEvmChain, startSolanaChain } = await import('@flow402x/testing').catch((cause: unknown) => {
    throw cliErrors('cli/no-testing', { cause })
  })
  const networks = names.map(parseNetwork)
  const onSolana = networks.filter((network) => networkFamily(network) === 'solana')
  if (onSolana.length > 1) throw cliErrors('cli/one-solana', { networks: onSolana.join(', ') })
  const options = (network: string) => ({ network, ...(signal === undefined ? {} : { signal }) })
  const [evm, solana] = await Promise.all([
    Promise.allSettled(networks.filter((network) => !onSolana.includes(network)).map((network) => startEvmChain(options(network)))),
    Promise.allSettled(onSolana.map((network) => startSolanaChain(options(network)))),
  ])
  const starts = [...evm, ...solana]
  const failure = starts.find((start) => start.status === 'rejected')
  if (failure === undefined) return { chains: evm.flatMap(runningOf), solana: solana.flatMap(runningOf) }
  await Promise.all(starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value.stop()] : [])))
  throw failure.reason
}

function runningOf<Chain>(start: PromiseSettledResult<Chain>): Chain[] {
  return start.status === 'fulfilled' ? [start.value] : []
}

function facilitatorSchemes({ chains, solana }: Started): FacilitatorScheme[] {
  return [
    ...chains.flatMap(({ network, rpcUrl, facilitator: { privateKey } }) => {
      const chain = evmChain({ network, rpcUrl, signers: [privateKey] })
      // Claims for receivers that have no key of their own; what goes back to payers they sign for themselves.
      const receiverAuthorizer = { signer: privateKey, mayRefund: () => false }
      return [exactEvmFacilitator({ chain }), uptoEvmFacilitator({ chain }), batchSettlementFacilitator({ chain, receiverAuthorizer })]
    }),
    ...solana.flatMap(({ network, rpcUrl, facilitator: { privateKey } }) => {
      const chain = solanaChain({ network, rpcUrl, signers: [privateKey] })
      return [exactSolanaFacilitator({ chain }), nonceVoucherFacilitator({ chain })]
    }),
  ]
}

function serverSchemes({ chains, solana }: Started): ServerScheme[] {
  return [
    ...chains.map(({ network, seller }) => exactEvmServer({ network, payTo: seller.address })),
    ...solana.map(({ network, rpcUrl, seller }) => exactSolanaServer({ network, rpcUrl, payTo: seller.address })),
  ]
}

function channelSchemes({ chains, solana }: Started, store: Store): ServerScheme[] {
  return [
    ...chains.map(({ network, rpcUrl, seller }) => {
      // It gives back what its payers did not use, however little they bought: gas is worthless here.
      const authorizer = privateKeySigner(seller.privateKey)
      return batchSettlementServer({ network, rpcUrl, payTo: seller.address, store, authorizer, chargedPerRefund: '$0.001' })
    }),
    ...solana.map(({ network, rpcUrl, seller }) => nonceVoucherServer({ network, rpcUrl, payTo: seller.address, store })),
  ]
}

function transferSchemes({ chains, solana }: Started): Readonly<Record<'ETH' | 'SOL', readonly ServerScheme[]>> {
  const secret = `${crypto.randomUUID()}${crypto.randomUUID()}`
  return {
    ETH: chains
      .filter(({ network }) => sellsFor(network, 'ETH'))
      .map(({ network, rpcUrl, seller }) => transferProofEvmServer({ network, rpcUrl, payTo: seller.address, secret, confirmations: 0n })),
    SOL: solana.map(({ network, rpcUrl, seller }) => transferProofSolanaServer({ network, rpcUrl, payTo: seller.address, secret })),
  }
}

function sellsFor(network: string, coin: string): boolean {
  return coinOf(network)?.symbol === coin
}

function worldOf(
  { chains, solana }: Started,
  urls: { readonly facilitator: string; readonly seller: string; readonly bazaar: string },
): DevWorld {
  const [onSolana] = solana
  return {
    evm: chains.map(chainOf),
    ...(onSolana === undefined ? {} : { solana: chainOf(onSolana) }),
    facilitator: { url: urls.facilitator },
    seller: {
      url: urls.seller,
      routes: [
        ...chains.flatMap(({ network }) => [...routesOn(network, ['exact', 'upto']), ...streamsOn(network, 'batch-settlement')]),
        ...solana.flatMap(({ network }) => [...routesOn(network, ['exact']), ...streamsOn(network, 'flow402x-nonce')]),
      ],
    },
    bazaar: { url: urls.bazaar },
  }
}

function routesOn(network: string, schemes: readonly string[]): DevRoute[] {
  return sampleRoutes
    .filter(({ scheme, coin }) => (coin === undefined ? schemes.includes(scheme) : sellsFor(network, coin)))
    .map((route) => routeOf(route, network))
}

function streamsOn(network: string, scheme: string): DevRoute[] {
  return streamRoutes.map((route) => ({ ...route, scheme, network }))
}

function routeOf({ method, path, price, scheme }: SampleRoute, network: string): DevRoute {
  return { method, path, price, scheme, network }
}

function chainOf({ network, rpcUrl, usdc, accounts }: EvmChain | SolanaChain): DevChain {
  return {
    network,
    rpcUrl,
    usdc: usdc.address,
    accounts: accounts.map(({ address, privateKey, role }) => ({ address, privateKey, role })),
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
