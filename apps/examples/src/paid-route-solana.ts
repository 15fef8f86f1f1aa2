// A route that is paid on Solana, and its buyers: with a key, with kit, with web3.js. The README of the adapter quotes this file.
import { exactSolanaClient, kitSigner, type SolanaSigner, secretKeySender } from '@flow402x/adapters-solana/client'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { web3jsSigner } from '@flow402x/adapters-solana/web3js'
import { createClient, receiptOf } from '@flow402x/client'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { sqliteStore } from '@flow402x/store/sqlite'
import { createKeyPairSignerFromBytes, getBase58Encoder } from '@solana/kit'
import { Keypair } from '@solana/web3.js'
import express, { type Express } from 'express'

/** Where the seller is paid, and by whom payments are settled. */
export type SellerOptions = { readonly payTo: string; readonly rpcUrl: string; readonly facilitatorUrl: string }

/** The seller: one route that costs a cent. */
export async function seller({ payTo, rpcUrl, facilitatorUrl }: SellerOptions): Promise<Express> {
  // #region seller
  const server = createServer({
    facilitator: httpFacilitator(facilitatorUrl),
    store: sqliteStore('payments.db'),
    schemes: [exactSolanaServer({ network: 'solana-devnet', payTo, rpcUrl })], // payTo: a wallet, not its token account
  })
  await server.start() // names the command that opens the token account, where it is missing

  const app = express()
  app.get('/weather', paid(server, { price: '$0.01' }), (_, res) => {
    res.json({ sky: 'fair', celsius: 21 })
  })
  // #endregion
  return app
}

/** Every way to hold the same key: as text, as a signer of kit, as a Keypair of web3.js 1.x. */
export async function signers(secretKey: string): Promise<readonly SolanaSigner[]> {
  const bytes = new Uint8Array(getBase58Encoder().encode(secretKey))
  // #region signers
  const byKey = secretKeySender(secretKey) // base58, or the JSON array of solana-keygen
  const byKit = kitSigner(await createKeyPairSignerFromBytes(bytes)) // @solana/kit
  const byWeb3js = web3jsSigner(Keypair.fromSecretKey(bytes)) // @solana/web3.js 1.x; wallet adapters too
  // #endregion
  return [byKey, byKit, byWeb3js]
}

/** The buyer: needs USDC and no SOL, for the facilitator pays the fee. */
export async function buy(url: string, signer: SolanaSigner): Promise<{ answer: unknown; transaction: string | undefined }> {
  // #region buyer
  const client = createClient({ schemes: [exactSolanaClient({ signer })], budget: { perPayment: '$0.10', total: '$1' } })
  const response = await client.fetch(url)
  const receipt = receiptOf(response)
  // #endregion
  return { answer: await response.json(), transaction: receipt?.transaction }
}
