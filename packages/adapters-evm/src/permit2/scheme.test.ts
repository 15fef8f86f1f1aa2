import type { ClientScheme, FacilitatorScheme, PaymentPayload, ServerScheme } from '@flow402x/core'
import { type EvmChain as LocalChain, startEvmChain } from '@flow402x/testing'
import { testScheme } from '@flow402x/testing/suites'
import { type Address, encodeFunctionData, erc20Abi, maxUint256 } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { type EvmSigner, exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '../client.ts'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer, uptoEvmServer } from '../server.ts'

type Roles = { readonly client: ClientScheme; readonly server: ServerScheme; readonly facilitator: FacilitatorScheme }
type Payer = EvmSigner & { readonly address: Address }
type Case = {
  readonly name: string
  readonly network?: string
  readonly payer: (chain: LocalChain) => Payer | Promise<Payer>
  readonly roles: (chain: LocalChain, signer: Payer) => Roles
}

const key = ({ buyer }: LocalChain): Payer => privateKeySigner(buyer.privateKey)
const wallet = async ({ owner, deploySmartAccount }: LocalChain): Promise<Payer> => {
  return { ...privateKeySigner(owner.privateKey), address: await deploySmartAccount(owner.address) }
}

const exact: Case['roles'] = (local, signer) => ({
  client: exactEvmClient({ signer, methods: [permit2()] }),
  server: exactEvmServer({ network: local.network, payTo: local.seller.address, transfer: 'permit2' }),
  facilitator: exactEvmFacilitator({ chain: connect(local) }),
})
const upto: Case['roles'] = (local, signer) => ({
  client: uptoEvmClient({ signer }),
  server: uptoEvmServer({ network: local.network, payTo: local.seller.address }),
  facilitator: uptoEvmFacilitator({ chain: connect(local) }),
})

const cases: readonly Case[] = [
  { name: 'exact by Permit2, signed by a key', payer: key, roles: exact },
  { name: 'exact by Permit2, signed for a smart wallet (EIP-1271)', payer: wallet, roles: exact },
  {
    name: 'exact in DAI, which has nothing else, signed by a viem account',
    network: 'eip155:1',
    payer: ({ buyer }) => privateKeyToAccount(buyer.privateKey),
    roles: (local, signer) => ({
      ...exact(local, signer),
      server: exactEvmServer({ network: local.network, payTo: local.seller.address, asset: 'DAI' }),
    }),
  },
  { name: 'upto, signed by a key', payer: key, roles: upto },
  { name: 'upto, signed for a smart wallet (EIP-1271)', payer: wallet, roles: upto },
]

for (const { name, network, payer, roles } of cases) {
  testScheme({
    name,
    async mount() {
      const chain = await startEvmChain(network === undefined ? {} : { network })
      const signer = await payer(chain)
      const made = roles(chain, signer)
      const token = tokenOf(made.server)
      if (token !== chain.usdc.address) await chain.mint(signer.address, 10n ** 20n, { token })
      await approve(chain, token, signer.address)
      return {
        ...made,
        balances: async () => ({
          payer: await chain.balanceOf(signer.address, { token }),
          payee: await chain.balanceOf(chain.seller.address, { token }),
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

async function approve({ rpc, contracts }: LocalChain, token: Address, from: Address): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [contracts.permit2, maxUint256] })
  await rpc('anvil_impersonateAccount', [from])
  await rpc('anvil_setBalance', [from, 10n ** 20n])
  await rpc('eth_sendTransactionSync', [{ from, to: token, data }])
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
