import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Asset, assetId, assetOf, assets, findAsset, formatAmount, priceByRate, priceInAsset, sameAddress } from './asset.ts'
import { parsePrice, toAtomic } from './money.ts'

const [mainnet, devnet, testnet] = [
  'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
  'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z',
]

// ERC-7528.
const coin = ['0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE', 18, undefined, undefined, 'native'] as const

// wire.md §3.3, §6.1 and §6.2, in the order of a `$` price: network, symbol, address, decimals, EIP-712 name and version, how it moves.
const expected = [
  ['eip155:8453', 'USDC', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:84532', 'USDC', '0x036CbD53842c5426634e7929541eC2318f3dCF7e', 6, 'USDC', '2', 'eip3009'],
  ['eip155:1', 'USDC', '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:1', 'DAI', '0x6B175474E89094C44Da98b954EedeAC495271d0F', 18, 'Dai Stablecoin', '1', 'permit2'],
  ['eip155:42161', 'USDC', '0xaf88d065e77c8cC2239327C5EDb3A432268e5831', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:42161', 'USDT', '0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9', 6, 'USD\u20ae0', '1', 'eip3009'],
  ['eip155:421614', 'USDC', '0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:137', 'USDC', '0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:43114', 'USDC', '0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:43113', 'USDC', '0x5425890298aed601595a70AB815c96711a31Bc65', 6, 'USD Coin', '2', 'eip3009'],
  ['eip155:80002', 'USDC', '0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582', 6, 'USDC', '2', 'eip3009'],
  ['eip155:143', 'USDC', '0x754704Bc059F8C67012fEd69BC8A327a5aafb603', 6, 'USDC', '2', 'eip3009'],
  ['eip155:36900', 'USDC.e', '0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2', 6, 'USDC.e', '2', 'eip3009'],
  ['eip155:190415', 'USDC.e', '0x401eCb1D350407f13ba348573E5630B83638E30D', 6, 'Bridged USDC', '2', 'eip3009'],
  ['eip155:181228', 'USDC.e', '0x401eCb1D350407f13ba348573E5630B83638E30D', 6, 'Bridged USDC', '2', 'eip3009'],
  ['eip155:50', 'USDC', '0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1', 6, 'USDC', '2', 'eip3009'],
  ['eip155:51', 'USDC', '0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4', 6, 'USDC', '2', 'eip3009'],
  ['eip155:42220', 'USDC', '0xcebA9300f2b948710d2653dD7B07f33A8B32118C', 6, 'USDC', '2', 'eip3009'],
  ['eip155:42220', 'USDT', '0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e', 6, 'Tether USD', '1', 'eip3009'],
  ['eip155:42220', 'USAT', '0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771', 6, 'Tether America USD', '1', 'eip3009'],
  ['eip155:11142220', 'USDC', '0x01C5C0122039549AD1493B8220cABEdD739BC44E', 6, 'USDC', '2', 'eip3009'],
  ['eip155:1329', 'USDC', '0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392', 6, 'USDC', '2', 'eip3009'],
  ['eip155:1328', 'USDC', '0x4fCF1784B31630811181f670Aea7A7bEF803eaED', 6, 'USDC', '2', 'eip3009'],
  ['eip155:988', 'USDT0', '0x779Ded0c9e1022225f8E0630b35a9b54bE713736', 6, 'USDT0', '1', 'eip3009'],
  ['eip155:2201', 'USDT0', '0x78Cf24370174180738C5B8E352B6D14c83a6c9A9', 6, 'USDT0', '1', 'eip3009'],
  ['eip155:14', 'USDT0', '0xe7cd86e13AC4309349F30B3435a9d337750fC82D', 6, 'USD\u20ae0', '1', 'eip3009'],
  ['eip155:4326', 'MegaUSD', '0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7', 18, 'MegaUSD', '1', 'permit2 with permit'],
  ['eip155:31612', 'mUSD', '0xdD468A1DDc392dcdbEf6db6e34E89AA338F9F186', 18, 'Mezo USD', '1', 'permit2 with permit'],
  ['eip155:31611', 'mUSD', '0x118917a40FAF1CD7a13dB0Ef56C86De7973Ac503', 18, 'Mezo USD', '1', 'permit2 with permit'],
  ['eip155:723487', 'SBC', '0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb', 6, 'Stable Coin', '1', 'permit2 with permit'],
  ['eip155:72344', 'SBC', '0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb', 6, 'Stable Coin', '1', 'permit2 with permit'],
  ['eip155:38833', 'USDC', '0xA5b8BF902b2844dA17d4506cc827F7F1681735E7', 6, 'USDC', '1', 'permit2'],
  [mainnet, 'USDC', 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', 6, undefined, undefined, 'spl-token'],
  [mainnet, 'USDT', 'Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB', 6, undefined, undefined, 'spl-token'],
  [mainnet, 'USDG', '2u1tszSeqZ3qBWF3uNGPFc8TzMk2tdiwknnRMWGWjGWH', 6, undefined, undefined, 'token-2022'],
  [mainnet, 'PYUSD', '2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo', 6, undefined, undefined, 'token-2022'],
  [mainnet, 'CASH', 'CASHx9KJUStyftLFWGvEVf59SGeG9sh5FfcnZMVPCASH', 6, undefined, undefined, 'token-2022'],
  [devnet, 'USDC', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 6, undefined, undefined, 'spl-token'],
  [devnet, 'USDG', '4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7', 6, undefined, undefined, 'token-2022'],
  [devnet, 'PYUSD', 'CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', 6, undefined, undefined, 'token-2022'],
  [testnet, 'USDC', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', 6, undefined, undefined, 'spl-token'],
  [testnet, 'USDG', '4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7', 6, undefined, undefined, 'token-2022'],
  [testnet, 'PYUSD', 'CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', 6, undefined, undefined, 'token-2022'],
  ...['eip155:1', 'eip155:8453', 'eip155:84532', 'eip155:42161', 'eip155:421614'].map((network) => [network, 'ETH', ...coin] as const),
  ['eip155:137', 'POL', ...coin],
  ['eip155:43114', 'AVAX', ...coin],
  ...[mainnet, devnet, testnet].map((network) => [network, 'SOL', '1'.repeat(32), 9, undefined, undefined, 'native'] as const),
] as const

test('the table is that of the wire reference, row by row, and holds nothing else', () => {
  verifies(['NET-ASSETS', 'A17'])
  const byNetwork = [...new Set(expected.map(([network]) => network))]
  const ofNetworks = <Row>(rows: readonly Row[], networkOf: (row: Row) => string | undefined) =>
    byNetwork.flatMap((network) => rows.filter((one) => networkOf(one) === network))
  expect(ofNetworks(assets, ({ network }) => network).map(row)).toEqual(ofNetworks(expected, ([network]) => network))
  expect(assets).toHaveLength(expected.length)
})

test('every one of them is a dollar, but for the coins of chains', () => {
  expect(assets.map(({ currency }) => currency)).toEqual(assets.map(({ transfer }) => (transfer === 'native' ? undefined : 'USD')))
})

describe('finding', () => {
  test.each([
    ['eip155:8453', undefined, '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['eip155:8453', 'USD', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['eip155:8453', 'usdc', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['eip155:8453', '0x833589fcd6edb6e08f4c7c32d4f71b54bda02913', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['eip155:8453', '0X833589FCD6EDB6E08F4C7C32D4F71B54BDA02913', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['eip155:1', 'DAI', '0x6B175474E89094C44Da98b954EedeAC495271d0F'],
    ['eip155:42161', 'USDT', '0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9'],
    ['eip155:42220', 'USAT', '0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771'],
    ['eip155:36900', 'usdc.e', '0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2'],
    ['eip155:4326', 'MEGAUSD', '0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7'],
    [devnet ?? '', 'USDC', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU'],
    [devnet ?? '', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU'],
  ])('%s %s is %s', (network, asset, address) => {
    expect(findAsset(network, asset)?.address).toBe(address)
    expect(assetOf(network, asset)).toBe(findAsset(network, asset))
  })

  test.each([
    ['another network’s address', 'eip155:84532', '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'],
    ['a mainnet mint on devnet', devnet ?? '', 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v'],
    ['a Solana mint in another case', devnet ?? '', '4zmmc9srt5ri5x14gagxhahii3gnpaeerypjgzjdncdu'],
    ['a symbol of another network', 'eip155:8453', 'DAI'],
    ['another currency', 'eip155:8453', 'EUR'],
    ['an unknown network', 'eip155:31337', 'USD'],
    ['nothing', 'eip155:8453', ''],
  ])('%s is unknown', (_, network, asset) => {
    verifies('A17')
    expect(findAsset(network, asset)).toBeUndefined()
    expect(() => assetOf(network, asset)).toThrow(expect.objectContaining({ code: 'config/unknown-asset', context: { network, asset } }))
  })
})

test('addresses are the same by value on EVM chains and to the letter elsewhere', () => {
  expect(sameAddress('0xAbC1', '0xaBc1')).toBe(true)
  expect(sameAddress('0xabc1', '0xabc2')).toBe(false)
  expect(sameAddress('CASHx9', 'CASHx9')).toBe(true)
  expect(sameAddress('CASHx9', 'cashx9')).toBe(false)
})

test('equal assets have equal CAIP-19 ids', () => {
  const usdc = assetOf('eip155:8453')
  expect(assetId(usdc)).toBe('eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913')
  expect(assetId({ ...usdc, address: usdc.address.toUpperCase() })).toBe(assetId(usdc))
  expect(assetId(assetOf(devnet ?? ''))).toBe(`${devnet}/token:4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU`)
  expect(assetId(assetOf('eip155:8453', 'ETH'))).toBe('eip155:8453/slip44:60')
  expect(assetId(assetOf('eip155:137', 'POL'))).toBe('eip155:137/slip44:966')
  expect(assetId(assetOf('eip155:43114', 'AVAX'))).toBe('eip155:43114/slip44:9005')
  expect(assetId(assetOf(devnet ?? '', 'SOL'))).toBe(`${devnet}/slip44:501`)
  expect(new Set(assets.map(assetId)).size).toBe(assets.length)
})

describe('a price in an asset', () => {
  test.each([
    ['$0.01', 'eip155:8453', 'USDC', 10_000n],
    ['0.01 USDC', 'eip155:8453', 'USDC', 10_000n],
    ['$0.01', 'eip155:1', 'DAI', 10_000_000_000_000_000n],
    ['$0.000001', 'eip155:8453', 'USDC', 1n],
    ['1 USDC.e', 'eip155:36900', 'USDC.e', 1_000_000n],
    ['1 megausd', 'eip155:4326', 'USD', 1_000_000_000_000_000_000n],
  ])('%s on %s in %s', (price, network, symbol, units) => {
    expect(priceInAsset(parsePrice(price), assetOf(network, symbol))).toBe(units)
  })

  test('another token is never taken for this one', () => {
    expect(() => priceInAsset(parsePrice('1 ETH'), assetOf('eip155:8453'))).toThrowErrorMatchingInlineSnapshot(
      `[X402Error: A price in ETH cannot be asked in USDC: give the price in that asset itself, or a rate for it.]`,
    )
    expect(() => priceInAsset(parsePrice('1 DAI'), assetOf('eip155:1', 'USDC'))).toThrow(
      expect.objectContaining({ code: 'config/no-rate' }),
    )
  })

  test('a coin without a currency asks for its own symbol', () => {
    const { currency: _, ...coin } = { ...assetOf('eip155:8453'), symbol: 'WETH', decimals: 18 }
    expect(priceInAsset(parsePrice('0.1 WETH'), coin)).toBe(10n ** 17n)
    expect(() => priceInAsset(parsePrice('$1'), coin)).toThrow(expect.objectContaining({ code: 'config/no-rate' }))
  })

  test('less than one atomic unit is refused', () => {
    verifies('H53')
    expect(() => priceInAsset(parsePrice('$0.0000001'), assetOf('eip155:8453'))).toThrow(
      expect.objectContaining({ code: 'config/sub-atomic' }),
    )
  })
})

test('an amount is written in its token', () => {
  expect(formatAmount(10_000n, assetOf('eip155:8453'))).toBe('0.01 USDC')
  expect(formatAmount(10n ** 18n, assetOf('eip155:1', 'DAI'))).toBe('1 DAI')
})

function row({ network, symbol, address, decimals, eip712, transfer, permit }: Asset) {
  return [network, symbol, address, decimals, eip712?.name, eip712?.version, permit === true ? `${transfer} with permit` : transfer]
}

describe('a price by a rate', () => {
  const ether = assetOf('eip155:8453', 'ETH')
  const inEther = (price: string, rate: string) => {
    const own = priceByRate(parsePrice(price), { asset: ether, rate })
    return own && toAtomic(own.amount, ether.decimals)
  }

  test('is exact where it can be, and else a part of an atomic unit more', () => {
    expect(inEther('$3000', '3000')).toBe(10n ** 18n)
    expect(inEther('$0.05', '3000.1')).toBe(16_666_111_129_630n)
    expect(inEther('$1', '3')).toBe(333_333_333_333_333_334n)
    expect(inEther('$0.001', '1000000000000000000000000')).toBe(1n)
  })

  test('is never less than was asked, nor an atomic unit more', () => {
    const cents = fc.bigInt({ min: 1n, max: 10n ** 9n })
    const parts = fc.tuple(fc.bigInt({ min: 0n, max: 10n ** 9n }), fc.bigInt({ min: 1n, max: 999_999n }))
    fc.assert(
      fc.property(cents, parts, (asked, [whole, part]) => {
        const rate = `${whole}.${part.toString().padStart(6, '0')}`
        const units = inEther(`$${asked / 100n}.${(asked % 100n).toString().padStart(2, '0')}`, rate) ?? 0n
        const [worth, wanted] = [units * (whole * 1_000_000n + part), asked * 10n ** 22n]
        expect(worth >= wanted && worth - (whole * 1_000_000n + part) < wanted).toBe(true)
      }),
    )
  })

  test.each(['0', '0.000', '-1', '', 'NaN', '1e3', ' 5', '5,5'])('is none by a rate that is none: "%s"', (rate) => {
    verifies('H53')
    expect(inEther('$1', rate)).toBeUndefined()
  })
})
