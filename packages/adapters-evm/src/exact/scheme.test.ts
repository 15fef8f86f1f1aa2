import type { PaymentPayload } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { testScheme } from '@flow402x/testing/suites'
import { getAddress } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { type EvmSigner, exactEvmClient, privateKeySigner } from '../client.ts'
import { evmChain, exactEvmFacilitator } from '../facilitator.ts'
import { exactEvmServer } from '../server.ts'

type SignerOf = (chain: EvmChain) => EvmSigner | Promise<EvmSigner>

const signers: readonly (readonly [string, SignerOf])[] = [
  ['exact on an EVM chain, signed by a key', ({ buyer }) => privateKeySigner(buyer.privateKey)],
  ['exact on an EVM chain, signed by a viem account', ({ buyer }) => privateKeyToAccount(buyer.privateKey)],
  [
    'exact on an EVM chain, signed for a smart wallet (EIP-1271)',
    async ({ owner, deploySmartAccount }) => ({
      ...privateKeySigner(owner.privateKey),
      address: await deploySmartAccount(owner.address),
    }),
  ],
]

for (const [name, signerOf] of signers) {
  testScheme({
    name,
    async mount() {
      const chain = await startEvmChain()
      const { network, rpcUrl, seller, facilitator } = chain
      const signer = await signerOf(chain)
      return {
        client: exactEvmClient({ signer }),
        server: exactEvmServer({ network, payTo: seller.address }),
        facilitator: exactEvmFacilitator({ chain: evmChain({ network, rpcUrl, signers: [facilitator.privateKey] }) }),
        balances: async () => ({ payer: await chain.balanceOf(getAddress(signer.address)), payee: await chain.balanceOf(seller.address) }),
        spellings,
        close: () => chain.stop(),
      }
    },
  })
}

/** Upper-case hex, and the recovery bit as 0 or 1 where it was 27 or 28. */
function spellings(payment: PaymentPayload): PaymentPayload[] {
  const { payload } = payment
  const upper: unknown = JSON.parse(JSON.stringify(payload).replaceAll(/0x[0-9a-f]{40,}/gi, (hex) => `0x${hex.slice(2).toUpperCase()}`))
  const signature = String(payload.signature)
  const bit = { '1b': '00', '1c': '01' }[signature.slice(-2)] ?? signature.slice(-2)
  return [
    { ...payment, payload: { ...payload, ...(typeof upper === 'object' ? upper : {}) } },
    { ...payment, payload: { ...payload, signature: `${signature.slice(0, -2)}${bit}` } },
  ]
}
