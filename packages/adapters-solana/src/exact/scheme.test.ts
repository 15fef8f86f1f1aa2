import type { PaymentPayload } from '@flow402x/core'
import { startSolanaChain } from '@flow402x/testing'
import { testScheme } from '@flow402x/testing/suites'
import { address } from '@solana/kit'
import { decodeBase64, encodeBase64 } from '../chain/base64.ts'
import { decodeTransaction, withSignature } from '../chain/transaction.ts'
import { exactSolanaClient, secretKeySender } from '../client.ts'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { exactSolanaServer } from '../server.ts'

testScheme({
  name: 'exact on Solana',
  ends: 'blocks',
  async mount() {
    const local = await startSolanaChain()
    const { network, rpcUrl, seller, buyer, facilitator } = local
    const server = exactSolanaServer({ network, rpcUrl, payTo: seller.address })
    await server.start?.()
    return {
      client: exactSolanaClient({ signer: secretKeySender(buyer.privateKey) }),
      server,
      facilitator: exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] }) }),
      balances: async () => ({
        payer: await local.balanceOf(address(buyer.address)),
        payee: await local.balanceOf(address(seller.address)),
      }),
      spellings,
      expire: () => local.expireBlockhashes(),
      close: () => local.stop(),
    }
  },
})

/** The same message with the fee payer's signature slot filled, and its base64 without padding. */
function spellings(payment: PaymentPayload): readonly PaymentPayload[] {
  const text = String(payment.payload.transaction)
  const transaction = decodeTransaction(decodeBase64(text) ?? new Uint8Array())
  const filled = transaction && encodeBase64(withSignature(transaction, { signature: new Uint8Array(64).fill(7), signer: 0 }))
  return [filled, text.replace(/=+$/, ''), `${text}${'='.repeat((4 - (text.length % 4)) % 4)}`].flatMap((transaction) =>
    transaction === undefined ? [] : [{ ...payment, payload: { transaction } }],
  )
}
