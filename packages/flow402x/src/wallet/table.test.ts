import { assetOf, formatNetwork, parseNetwork } from '@flow402x/core'
import type { TokenAdapter } from '@flow402x/core/token'
import { type EvmChain, type SolanaChain, startEvmChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address as solanaAddress } from '@solana/kit'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { accountOf, adapterFor, familyOf } from './account.ts'

/** The networks and assets that are paid in, each on a local chain of that network's own id: real USDC code; DAI and USDT are equivalents. */
const table = [
  ['base', 'USDC', '1.000001'],
  ['base', 'ETH', '0.000000000000000001'],
  ['arbitrum', 'USDC', '0.5'],
  ['arbitrum', 'USDT', '0.25'],
  ['arbitrum', 'ETH', '0.001'],
  ['ethereum', 'USDC', '2'],
  ['ethereum', 'DAI', '0.000000000000000001'],
  ['ethereum', 'ETH', '0.123456789012345678'],
  ['polygon', 'USDC', '0.01'],
  ['polygon', 'POL', '3.5'],
  ['solana', 'USDC', '0.000001'],
  ['solana', 'SOL', '0.000000001'],
] as const

const evm = new Map<string, EvmChain>()
let solana: SolanaChain
beforeAll(async () => {
  const names = [...new Set(table.map(([name]) => name))].filter((name) => name !== 'solana')
  const chains = await Promise.all(names.map((network) => startEvmChain({ network })))
  for (const chain of chains) evm.set(chain.network, chain)
  solana = await startSolanaChain({ network: 'solana', slotTime: 25 })
  for (const chain of chains)
    for (const symbol of ['DAI', 'USDT'] as const) {
      const row = table.find(([name, asset]) => parseNetwork(name) === chain.network && asset === symbol)
      if (row !== undefined) await chain.mint(chain.buyer.address, 10n ** 18n, { token: hex(assetOf(chain.network, symbol).address) })
    }
})
afterAll(async () => {
  await Promise.all([...evm.values()].map((chain) => chain.stop()))
  await solana?.stop()
})

it.each(table)('%s pays in %s, to the last atomic unit', async (name, symbol, amount) => {
  verifies('NET-ASSETS')
  const { network, rpcUrl, buyer, seller, held, settle } = chainOf(parseNetwork(name))
  const asset = assetOf(network, symbol)
  const account = accountOf(familyOf(network), buyer.privateKey)
  const adapter = adapterFor({ network, rpcUrl, asset: symbol, account })
  const before = { recipient: await held(seller.address, asset.address), told: await adapter.getBalance(seller.address) }
  expect(before.told).toBe(before.recipient)
  const transaction = await adapter.createPayment(seller.address, amount)
  await settle()
  const units = unitsOf(amount, adapter)
  expect((await held(seller.address, asset.address)) - before.recipient).toBe(units)
  expect(await adapter.getBalance(seller.address)).toBe(before.recipient + units)
  const expected = { recipient: seller.address, amount, sender: buyer.address }
  const seen = adapterFor({ network, rpcUrl, asset: symbol })
  expect(await seen.validatePayment(transaction, expected), `${symbol} on ${formatNetwork(network)}`).toBe(true)
  for (const other of [{ amount: units + 1n }, { recipient: buyer.address }, { sender: seller.address }])
    expect(await seen.validatePayment(transaction, { ...expected, ...other })).toBe(false)
})

it.each([
  ['base', 'eip155', `0x${'5e'.repeat(32)}`],
  ['solana', 'solana', new Uint8Array(32).fill(7)],
] as const)('no real key signs on a local chain with the id of %s', (name, family, key) => {
  const { network, rpcUrl } = chainOf(parseNetwork(name))
  const unsafe = () => adapterFor({ network, rpcUrl, account: accountOf(family, key) })
  expect(unsafe).toThrow(expect.objectContaining({ code: 'config/unsafe-local-key' }))
})

function chainOf(network: string) {
  if (network === solana.network)
    return {
      ...solana,
      held: (owner: string, asset: string) =>
        asset === assetOf(network, 'SOL').address ? solana.solBalance(solanaAddress(owner)) : solana.balanceOf(solanaAddress(owner)),
      settle: async () => void (await solana.advance(34)),
    }
  const chain = evm.get(network)
  if (chain === undefined) throw new TypeError(`no chain of ${network}`)
  const isCoin = (asset: string) => /^0xe{40}$/i.test(asset)
  return {
    ...chain,
    held: (owner: string, asset: string) =>
      isCoin(asset) ? chain.ethBalance(hex(owner)) : chain.balanceOf(hex(owner), { token: hex(asset) }),
    settle: () => chain.mine(70),
  }
}

function unitsOf(amount: string, { decimals }: TokenAdapter): bigint {
  const [whole = '', fraction = ''] = amount.split('.')
  return BigInt(whole + fraction.padEnd(decimals, '0'))
}

function hex(text: string): `0x${string}` {
  return `0x${text.slice(2)}`
}
