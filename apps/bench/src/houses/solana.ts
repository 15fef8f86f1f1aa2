import { exactSolanaClient, secretKeySender } from '@flow402x/adapters-solana/client'
import { exactSolanaFacilitator, solanaChain } from '@flow402x/adapters-solana/facilitator'
import type { ClientScheme, PaymentRequirements } from '@flow402x/core'
import type { SolanaChain } from '@flow402x/testing'
import { createKeyPairSignerFromBytes, createSolanaRpc, getBase58Encoder } from '@solana/kit'
import { x402Facilitator } from '@x402/core/facilitator'
import { toFacilitatorSvmSigner } from '@x402/svm'
import { registerExactSvmScheme } from '@x402/svm/exact/facilitator'
import { officialSettler } from './official.ts'
import { ourSettler } from './ours.ts'
import { price, type Settler } from './terms.ts'

const network = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'

type Wiring = { readonly rpcUrl: string; readonly key: string }

/** Our facilitator on Solana. */
export function ourSolanaFacilitator({ rpcUrl, key }: Wiring): Promise<Settler> {
  return ourSettler(exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [key] }) }))
}

/** The official facilitator on Solana, as its documentation wires it. */
export async function officialSolanaFacilitator({ rpcUrl, key }: Wiring): Promise<Settler> {
  const keyPair = await createKeyPairSignerFromBytes(new Uint8Array(getBase58Encoder().encode(key)))
  const signer = toFacilitatorSvmSigner(keyPair, { defaultRpcUrl: rpcUrl })
  return officialSettler(registerExactSvmScheme(new x402Facilitator(), { signer, networks: network }))
}

/** How a buyer of ours signs on Solana. */
export function ourSolanaScheme(secretKey: string): ClientScheme {
  return exactSolanaClient({ signer: secretKeySender(secretKey) })
}

/** What a payment on Solana answers, with the blockhash that spares the payer a question. */
export async function solanaRequirements({ usdc, seller, rpcUrl }: SolanaChain, feePayer: string): Promise<PaymentRequirements> {
  const { value } = await createSolanaRpc(rpcUrl).getLatestBlockhash().send()
  const extra = { feePayer, recentBlockhash: value.blockhash, lastValidBlockHeight: `${value.lastValidBlockHeight}` }
  const amount = String(price.atomic)
  return { scheme: 'exact', network, amount, asset: usdc.address, payTo: seller.address, maxTimeoutSeconds: 300, extra }
}
