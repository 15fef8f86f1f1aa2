import type { ClientScheme, FacilitatorScheme, PaymentPayload, ServerScheme } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { testScheme } from '@flow402x/testing/suites'
import { type Address, encodeFunctionData, erc20Abi, maxUint256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '../client.ts'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer, uptoEvmServer } from '../server.ts'

type Roles = { readonly client: ClientScheme; readonly server: ServerScheme; readonly facilitator: FacilitatorScheme }
type Case = { readonly name: string; readonly network?: string; readonly roles: (chain: LocalChain) => Roles }

const cases: readonly Case[] = [
  {
    name: 'exact by Permit2, signed by a key',
    roles: (local) => ({
      client: exactEvmClient({ signer: privateKeySigner(local.buyer.privateKey), methods: [permit2()] }),
      server: exactEvmServer({ network: local.network, payTo: local.seller.address, transfer: 'permit2' }),
      facilitator: exactEvmFacilitator({ chain: connect(local) }),
    }),
  },
  {
    name: 'exact in DAI, which has nothing else, signed by a viem account',
    network: 'eip155:1',
    roles: (local) => ({
      client: exactEvmClient({ signer: privateKeyToAccount(local.buyer.privateKey), methods: [permit2()] }),
      server: exactEvmServer({ network: local.network, payTo: local.seller.address, asset: 'DAI' }),
      facilitator: exactEvmFacilitator({ chain: connect(local) }),
    }),
  },
  {
    name: 'upto, signed by a key',
    roles: (local) => ({
      client: uptoEvmClient({ signer: privateKeySigner(local.buyer.privateKey) }),
      server: uptoEvmServer({ network: local.network, payTo: local.seller.address }),
      facilitator: uptoEvmFacilitator({ chain: connect(local) }),
    }),
  },
]

for (const { name, network, roles } of cases) {
  testScheme({
    name,
    async mount() {
      const chain = await startEvmChain(network === undefined ? {} : { network })
      const { buyer, seller } = chain
      const made = roles(chain)
      const token = tokenOf(made.server)
      if (token !== chain.usdc.address) await chain.mint(buyer.address, 10n ** 20n, { token })
      await approve(chain, token)
      return {
        ...made,
        balances: async () => ({
          payer: await chain.balanceOf(buyer.address, { token }),
          payee: await chain.balanceOf(seller.address, { token }),
        }),
        spellings,
        close: () => chain.stop(),
      }
    },
  })
}

function connect({ network, rpcUrl, facilitator }: LocalChain) {
  return evmChain({ network, rpcUrl, signers: [facilitator.privateKey] })
}

function tokenOf(server: ServerScheme): Address {
  const price = { amount: { units: 1n, scale: 2 }, symbol: 'USD' }
  const { asset } = server.requirements({ price, kind: undefined, maxTimeoutSeconds: 60, flow: 'authorization' })
  return `0x${asset.slice(2)}`
}

async function approve({ rpc, buyer, contracts }: LocalChain, token: Address): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [contracts.permit2, maxUint256] })
  await rpc('eth_sendTransactionSync', [{ from: buyer.address, to: token, data }])
}

/** Upper-case hex, the recovery bit as 0 or 1 where it was 27 or 28, and numbers with zeros in front (M11). */
function spellings(payment: PaymentPayload): PaymentPayload[] {
  const { payload } = payment
  const upper: unknown = JSON.parse(JSON.stringify(payload).replaceAll(/0x[0-9a-f]{40,}/gi, (hex) => `0x${hex.slice(2).toUpperCase()}`))
  const zeros: unknown = JSON.parse(JSON.stringify(payload).replaceAll(/"(\d{1,77})"/g, '"0$1"'))
  const signature = String(payload.signature)
  const bit = { '1b': '00', '1c': '01' }[signature.slice(-2)] ?? signature.slice(-2)
  return [
    { ...payment, payload: { ...payload, ...(typeof upper === 'object' ? upper : {}) } },
    { ...payment, payload: { ...payload, ...(typeof zeros === 'object' ? zeros : {}) } },
    { ...payment, payload: { ...payload, signature: `${signature.slice(0, -2)}${bit}` } },
  ]
}
