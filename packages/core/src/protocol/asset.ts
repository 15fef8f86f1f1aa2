import { coreErrors } from './errors.ts'
import { formatDecimal, fromAtomic, type Price, parseDecimal, toAtomic } from './money.ts'
import { type Network, networks } from './network.ts'

/**
 * How an asset is moved for a payment: by a signed authorization, through Permit2, by a token program of Solana, or, as the chain's own
 * coin, by its holder alone.
 */
export type AssetTransfer = 'eip3009' | 'permit2' | 'spl-token' | 'token-2022' | 'native'

/** A token or coin on one network, with everything a payment in it needs. `eip712` is the domain its authorizations are signed in. */
export type Asset = {
  readonly network: Network
  readonly address: string
  readonly symbol: string
  readonly decimals: number
  readonly transfer: AssetTransfer
  /** The currency it is worth one of, where it is a stablecoin. */
  readonly currency?: string
  readonly eip712?: { readonly name: string; readonly version: string }
  /** Whether the token has an EIP-2612 permit (only told of `permit2` tokens). */
  readonly permit?: boolean
}

type Row = readonly [network: string, symbol: string, address: string, name: string, version?: string]

const eip3009: readonly Row[] = [
  ['eip155:8453', 'USDC', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', 'USD Coin'],
  ['eip155:84532', 'USDC', '0x036CbD53842c5426634e7929541eC2318f3dCF7e', 'USDC'],
  ['eip155:1', 'USDC', '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', 'USD Coin'],
  ['eip155:42161', 'USDC', '0xaf88d065e77c8cC2239327C5EDb3A432268e5831', 'USD Coin'],
  ['eip155:421614', 'USDC', '0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d', 'USD Coin'],
  ['eip155:137', 'USDC', '0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359', 'USD Coin'],
  ['eip155:43114', 'USDC', '0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E', 'USD Coin'],
  ['eip155:43113', 'USDC', '0x5425890298aed601595a70AB815c96711a31Bc65', 'USD Coin'],
  ['eip155:80002', 'USDC', '0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582', 'USDC'],
  ['eip155:143', 'USDC', '0x754704Bc059F8C67012fEd69BC8A327a5aafb603', 'USDC'],
  ['eip155:36900', 'USDC.e', '0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2', 'USDC.e'],
  ['eip155:190415', 'USDC.e', '0x401eCb1D350407f13ba348573E5630B83638E30D', 'Bridged USDC'],
  ['eip155:181228', 'USDC.e', '0x401eCb1D350407f13ba348573E5630B83638E30D', 'Bridged USDC'],
  ['eip155:50', 'USDC', '0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1', 'USDC'],
  ['eip155:51', 'USDC', '0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4', 'USDC'],
  ['eip155:42220', 'USDC', '0xcebA9300f2b948710d2653dD7B07f33A8B32118C', 'USDC'],
  ['eip155:11142220', 'USDC', '0x01C5C0122039549AD1493B8220cABEdD739BC44E', 'USDC'],
  ['eip155:1329', 'USDC', '0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392', 'USDC'],
  ['eip155:1328', 'USDC', '0x4fCF1784B31630811181f670Aea7A7bEF803eaED', 'USDC'],
  ['eip155:988', 'USDT0', '0x779Ded0c9e1022225f8E0630b35a9b54bE713736', 'USDT0', '1'],
  ['eip155:2201', 'USDT0', '0x78Cf24370174180738C5B8E352B6D14c83a6c9A9', 'USDT0', '1'],
  ['eip155:14', 'USDT0', '0xe7cd86e13AC4309349F30B3435a9d337750fC82D', 'USD₮0', '1'],
  ['eip155:42220', 'USDT', '0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e', 'Tether USD', '1'],
  ['eip155:42220', 'USAT', '0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771', 'Tether America USD', '1'],
  ['eip155:42161', 'USDT', '0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9', 'USD₮0', '1'],
]

const permit2With18Decimals: readonly Row[] = [
  ['eip155:4326', 'MegaUSD', '0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7', 'MegaUSD', '1'],
  ['eip155:31612', 'mUSD', '0xdD468A1DDc392dcdbEf6db6e34E89AA338F9F186', 'Mezo USD', '1'],
  ['eip155:31611', 'mUSD', '0x118917a40FAF1CD7a13dB0Ef56C86De7973Ac503', 'Mezo USD', '1'],
]

const permit2With6Decimals: readonly Row[] = [
  ['eip155:723487', 'SBC', '0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb', 'Stable Coin', '1'],
  ['eip155:72344', 'SBC', '0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb', 'Stable Coin', '1'],
]

const plainPermit2: readonly Row[] = [['eip155:38833', 'USDC', '0xA5b8BF902b2844dA17d4506cc827F7F1681735E7', 'USDC', '1']]

const dai: readonly Row[] = [['eip155:1', 'DAI', '0x6B175474E89094C44Da98b954EedeAC495271d0F', 'Dai Stablecoin', '1']]

const solanaMainnet = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'
const solanaDevnet = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const solanaTestnet = 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z'

const splToken: readonly Row[] = [
  [solanaMainnet, 'USDC', 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', 'USD Coin'],
  [solanaDevnet, 'USDC', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 'USD Coin'],
  [solanaTestnet, 'USDC', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 'USD Coin'],
  [solanaMainnet, 'USDT', 'Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB', 'Tether USD'],
]

const token2022: readonly Row[] = [
  [solanaMainnet, 'USDG', '2u1tszSeqZ3qBWF3uNGPFc8TzMk2tdiwknnRMWGWjGWH', 'Global Dollar'],
  [solanaMainnet, 'PYUSD', '2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo', 'PayPal USD'],
  [solanaMainnet, 'CASH', 'CASHx9KJUStyftLFWGvEVf59SGeG9sh5FfcnZMVPCASH', 'CASH'],
  [solanaDevnet, 'USDG', '4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7', 'Global Dollar'],
  [solanaTestnet, 'USDG', '4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7', 'Global Dollar'],
  [solanaDevnet, 'PYUSD', 'CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', 'PayPal USD'],
  [solanaTestnet, 'PYUSD', 'CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', 'PayPal USD'],
]

/** The address that stands for the coin of an EVM chain (ERC-7528). */
const evmCoin = '0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE'
/** The address that stands for SOL: the program that moves it. */
const solanaCoin = '11111111111111111111111111111111'

/** The numbers of coins in SLIP-44. */
const slip44: Readonly<Record<string, number>> = { ETH: 60, SOL: 501, POL: 966, AVAX: 9005 }

const coins: readonly Asset[] = networks.map(({ network, coin }) => ({
  network,
  address: network.startsWith('eip155:') ? evmCoin : solanaCoin,
  ...coin,
  transfer: 'native',
}))

const evm =
  (facts: Pick<Asset, 'decimals' | 'transfer' | 'permit'>) =>
  ([network, symbol, address, name, version = '2']: Row): Asset => ({
    network,
    address,
    symbol,
    ...facts,
    currency: 'USD',
    eip712: { name, version },
  })

const svm =
  (facts: Pick<Asset, 'decimals' | 'transfer'>) =>
  ([network, symbol, address]: Row): Asset => ({ network, address, symbol, ...facts, currency: 'USD' })

/** Every asset with known decimals and transfer method; the first of a network is what a `$` price means there. */
export const assets: readonly Asset[] = [
  ...eip3009.map(evm({ decimals: 6, transfer: 'eip3009' })),
  ...permit2With18Decimals.map(evm({ decimals: 18, transfer: 'permit2', permit: true })),
  ...permit2With6Decimals.map(evm({ decimals: 6, transfer: 'permit2', permit: true })),
  ...plainPermit2.map(evm({ decimals: 6, transfer: 'permit2', permit: false })),
  ...dai.map(evm({ decimals: 18, transfer: 'permit2', permit: false })),
  ...splToken.map(svm({ decimals: 6, transfer: 'spl-token' })),
  ...token2022.map(svm({ decimals: 6, transfer: 'token-2022' })),
  ...coins,
]

/** Whether two addresses on a network are the same: by value on EVM chains, to the letter elsewhere. */
export function sameAddress(a: string, b: string): boolean {
  return a === b || (/^0x/i.test(a) && a.toLowerCase() === b.toLowerCase())
}

/** The known asset of a network by address, or by symbol or currency in any case (`USD` gives the network's first stablecoin). */
export function findAsset(network: Network, asset = 'USD'): Asset | undefined {
  return assets.find((known) => known.network === network && (sameAddress(known.address, asset) || isNamed(known, asset)))
}

/** The coin of a network, where its table has it. */
export function coinOf(network: Network): Asset | undefined {
  return coins.find((coin) => coin.network === network)
}

/**
 * As `findAsset`, where an unknown asset is the developer's mistake.
 *
 * Errors: `config/unknown-asset`.
 */
export function assetOf(network: Network, asset = 'USD'): Asset {
  const known = findAsset(network, asset)
  if (known === undefined) throw coreErrors('config/unknown-asset', { network, asset })
  return known
}

/**
 * The CAIP-19 id of an asset: `eip155:8453/erc20:0x…`, `solana:…/token:…`, of a coin `eip155:8453/slip44:60`; EVM addresses in lower case,
 * so equal assets have equal ids.
 */
export function assetId({ network, address }: Pick<Asset, 'network' | 'address'>): string {
  if ([evmCoin, solanaCoin].some((one) => sameAddress(one, address))) {
    return `${network}/slip44:${slip44[coinOf(network)?.symbol ?? ''] ?? 60}`
  }
  return network.startsWith('eip155:') ? `${network}/erc20:${address.toLowerCase()}` : `${network}/token:${address}`
}

/**
 * The atomic units of `asset` that a price asks. A currency price fits the stablecoins of that currency one to one.
 *
 * Errors: `config/no-rate` when the price is in something else, `config/sub-atomic` when it cannot be expressed exactly.
 */
export function priceInAsset(price: Price, asset: Asset): bigint {
  if (!fitsPrice(price, asset)) throw coreErrors('config/no-rate', { asset: asset.symbol, symbol: price.symbol })
  return toAtomic(price.amount, asset.decimals)
}

/** Whether a price is asked in an asset as it stands: in that asset itself, or in the currency that it is worth one of. */
export function fitsPrice({ symbol }: Price, asset: Asset): boolean {
  return isNamed(asset, symbol)
}

/**
 * A price in an asset that it does not fit, by what one of that asset costs in the price's currency: `"3120.55"`. The last atomic unit is
 * rounded up, so that the seller is never asked to take less. Nothing for a rate that is no plain decimal above zero.
 */
export function priceByRate(price: Price, { asset, rate }: { readonly asset: Asset; readonly rate: string }): Price | undefined {
  const cost = typeof rate === 'string' ? parseDecimal(rate) : undefined
  if (cost === undefined || cost.units === 0n) return undefined
  const { units, scale } = price.amount
  const dividend = units * 10n ** BigInt(asset.decimals + cost.scale)
  const divisor = cost.units * 10n ** BigInt(scale)
  return { amount: fromAtomic((dividend + divisor - 1n) / divisor, asset.decimals), symbol: asset.symbol }
}

/** Atomic units of a known asset as people read them: `0.01 USDC`. */
export function formatAmount(units: bigint, { decimals, symbol }: Pick<Asset, 'decimals' | 'symbol'>): string {
  return `${formatDecimal(fromAtomic(units, decimals))} ${symbol}`
}

function isNamed({ symbol, currency }: Asset, name: string): boolean {
  return [symbol, currency].some((own) => own?.toUpperCase() === name.toUpperCase())
}
