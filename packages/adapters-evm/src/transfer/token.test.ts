import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { testTokenAdapter } from '@flow402x/testing/suites'
import { afterAll, beforeAll } from 'vitest'
import { evmTokenAdapter } from '../token.ts'

let local: EvmChain
beforeAll(async () => {
  local = await startEvmChain()
})
afterAll(() => local?.stop())

const confirmations = 3n

for (const [asset, amount] of [
  ['USDC', '0.01'],
  ['ETH', '0.000001'],
] as const)
  testTokenAdapter({
    name: `${asset} on an EVM chain`,
    amount,
    paysFees: asset === 'ETH',
    async mount() {
      const { network, rpcUrl, buyer, seller, owner } = local
      return {
        adapter: evmTokenAdapter({ network, rpcUrl, asset, signer: buyer.privateKey, confirmations, pollMs: 20 }),
        sender: buyer.address,
        recipient: seller.address,
        stranger: owner.address,
        balanceOf: (address) => (asset === 'USDC' ? local.balanceOf(hex(address)) : local.ethBalance(hex(address))),
        settle: () => local.mine(Number(confirmations)),
        close: async () => {},
      }
    },
  })

function hex(address: string): `0x${string}` {
  return `0x${address.slice(2)}`
}
