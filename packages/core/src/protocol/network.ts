import * as z from 'zod/mini'
import { coreErrors } from './errors.ts'

/** A CAIP-2 network id such as `eip155:8453`. */
export const networkSchema = z.string().check(z.regex(/^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$/))

/** A CAIP-2 network id such as `eip155:8453`. */
export type Network = z.infer<typeof networkSchema>

/** What is known of a network: its friendly name, its title and its native coin. */
export type NetworkFacts = {
  readonly network: Network
  readonly name: string
  readonly title: string
  readonly testnet: boolean
  readonly coin: { readonly symbol: string; readonly decimals: number }
}

const chainId = /^eip155:[1-9]\d*$/
const ether = { symbol: 'ETH', decimals: 18 } as const
const sol = { symbol: 'SOL', decimals: 9 } as const

/** Every network with a friendly name; any other CAIP-2 id works as well, without one. */
export const networks: readonly NetworkFacts[] = [
  { network: 'eip155:8453', name: 'base', title: 'Base', testnet: false, coin: ether },
  { network: 'eip155:84532', name: 'base-sepolia', title: 'Base Sepolia', testnet: true, coin: ether },
  { network: 'eip155:1', name: 'ethereum', title: 'Ethereum', testnet: false, coin: ether },
  { network: 'eip155:42161', name: 'arbitrum', title: 'Arbitrum One', testnet: false, coin: ether },
  { network: 'eip155:421614', name: 'arbitrum-sepolia', title: 'Arbitrum Sepolia', testnet: true, coin: ether },
  { network: 'eip155:137', name: 'polygon', title: 'Polygon', testnet: false, coin: { symbol: 'POL', decimals: 18 } },
  { network: 'eip155:43114', name: 'avalanche', title: 'Avalanche C', testnet: false, coin: { symbol: 'AVAX', decimals: 18 } },
  { network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp', name: 'solana', title: 'Solana', testnet: false, coin: sol },
  { network: 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1', name: 'solana-devnet', title: 'Solana devnet', testnet: true, coin: sol },
  { network: 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z', name: 'solana-testnet', title: 'Solana testnet', testnet: true, coin: sol },
]

const byId = new Map(networks.map((facts) => [facts.network, facts]))
const byName = new Map(networks.flatMap((facts) => [facts.name, slug(facts.title)].map((name) => [name, facts] as const)))

/**
 * Reads a network as people write it: a CAIP-2 id, `base`, `BASE_MAINNET`, `base-sepolia`, `POLYGON`, `Arbitrum One`.
 *
 * Errors: `config/unknown-network`.
 */
export function parseNetwork(text: string): Network {
  if (networkSchema.safeParse(text).success && (networkFamily(text) !== 'eip155' || chainId.test(text))) return text
  const facts = byName.get(slug(text).replace(/-mainnet$/, ''))
  if (facts === undefined) throw coreErrors('config/unknown-network', { network: text, names: networks.map(({ name }) => name) })
  return facts.network
}

/** The facts of a network, if the table has it. */
export function networkFacts(network: Network): NetworkFacts | undefined {
  return byId.get(network)
}

/** A network as people read it: its title, or the CAIP-2 id where it has none. */
export function formatNetwork(network: Network): string {
  return byId.get(network)?.title ?? network
}

/** The CAIP-2 namespace: `eip155`, `solana`. */
export function networkFamily(network: Network): string {
  return network.slice(0, network.indexOf(':'))
}

/** Whether a URL is of this machine; `false` for text that is no URL. */
export function isLoopback(url: string): boolean {
  const hostname = URL.canParse(url) ? new URL(url).hostname : ''
  return /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\])\.?$/.test(hostname)
}

function slug(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_]+/g, '-')
}
