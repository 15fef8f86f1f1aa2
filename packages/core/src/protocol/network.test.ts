import { describe, expect, test } from 'vitest'
import { formatNetwork, networkFacts, networkFamily, networkSchema, networks, parseNetwork } from './network.ts'

test.each([
  ['base', 'eip155:8453'],
  ['Base', 'eip155:8453'],
  ['BASE', 'eip155:8453'],
  ['BASE_MAINNET', 'eip155:8453'],
  ['base-mainnet', 'eip155:8453'],
  [' base ', 'eip155:8453'],
  ['base-sepolia', 'eip155:84532'],
  ['BASE_SEPOLIA', 'eip155:84532'],
  ['Base Sepolia', 'eip155:84532'],
  ['ethereum', 'eip155:1'],
  ['ETHEREUM_MAINNET', 'eip155:1'],
  ['arbitrum', 'eip155:42161'],
  ['ARBITRUM_MAINNET', 'eip155:42161'],
  ['Arbitrum One', 'eip155:42161'],
  ['ARBITRUM_SEPOLIA', 'eip155:421614'],
  ['POLYGON', 'eip155:137'],
  ['POLYGON_MAINNET', 'eip155:137'],
  ['avalanche', 'eip155:43114'],
  ['solana', 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'],
  ['SOLANA_MAINNET', 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'],
  ['solana-devnet', 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'],
  ['SOLANA_DEVNET', 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'],
  ['Solana testnet', 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z'],
  ['eip155:8453', 'eip155:8453'],
  ['eip155:31337', 'eip155:31337'],
  ['cosmos:cosmoshub-4', 'cosmos:cosmoshub-4'],
])('%s is %s', (text, network) => {
  expect(parseNetwork(text)).toBe(network)
})

test.each([
  '',
  'mainnet',
  'base-goerli',
  'base mainnet 2',
  '8453',
  'eip155:',
  'eip155:base',
  'eip155:0x2105',
  'eip155:08453',
  'eip155:0',
  ':1',
  'constructor',
])('%j is refused', (text) => {
  expect(() => parseNetwork(text)).toThrow(expect.objectContaining({ code: 'config/unknown-network' }))
})

test('a refusal lists every name', () => {
  expect(() => parseNetwork('bass')).toThrowErrorMatchingInlineSnapshot(
    `[X402Error: "bass" is no network: give a CAIP-2 id such as "eip155:8453" or one of the names base, base-sepolia, ethereum, arbitrum, arbitrum-sepolia, polygon, avalanche, solana, solana-devnet, solana-testnet.]`,
  )
})

describe.each(networks)('$title', ({ network, name, title, ...facts }) => {
  test('is found by id and read back from every way it is written', () => {
    expect(networkSchema.safeParse(network).success).toBe(true)
    expect(networkFacts(network)).toEqual({ network, name, title, ...facts })
    expect([network, name, title, formatNetwork(network), name.toUpperCase().replaceAll('-', '_')].map(parseNetwork)).toEqual(
      Array(5).fill(network),
    )
  })
})

test('a network without a title is written as its id', () => {
  expect(formatNetwork('eip155:31337')).toBe('eip155:31337')
  expect(networkFacts('eip155:31337')).toBeUndefined()
})

test('the family is the CAIP-2 namespace', () => {
  expect(networkFamily('eip155:8453')).toBe('eip155')
  expect(networkFamily('solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp')).toBe('solana')
})
