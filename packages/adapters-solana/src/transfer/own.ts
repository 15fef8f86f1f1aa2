import type { SignedTransaction } from '@flow402x/core'
import {
  address,
  appendTransactionMessageInstructions,
  blockhash,
  compileTransaction,
  createTransactionMessage,
  getTransactionEncoder,
  type Instruction,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from '@solana/kit'
import { encodeBase58 } from '../chain/base58.ts'
import { encodeBase64 } from '../chain/base64.ts'
import { solanaErrors } from '../chain/errors.ts'
import { decodeTransaction, type Transaction, withSignature } from '../chain/transaction.ts'
import type { Ed25519 } from '../crypto/ed25519.ts'
import type { SolanaSender } from '../crypto/signer.ts'

/** What a wallet's own transaction is made of: it pays its fee and nobody else signs. */
export type Own = { readonly payer: string; readonly recent: string; readonly instructions: readonly Instruction[] }

/** A transaction of a wallet's own that it has not signed; nothing where it does not fit a packet. */
export function ownTransaction({ payer, recent, instructions }: Own): Transaction | undefined {
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayer(address(payer), empty),
    // When it expires is for the chain to say; kit wants a number that nothing here reads.
    (paid) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: blockhash(recent), lastValidBlockHeight: 0n }, paid),
    (dated) => appendTransactionMessageInstructions(instructions, dated),
  )
  return decodeTransaction(new Uint8Array(getTransactionEncoder().encode(compileTransaction(message))))
}

/** Signs a transaction of a wallet's own. Errors: `solana/bad-signature`, and whatever the signer throws. */
export async function signOwn(
  unsigned: Transaction,
  { sender, ed25519 }: { readonly sender: SolanaSender; readonly ed25519: Ed25519 },
): Promise<SignedTransaction> {
  const signature = await sender.sign(unsigned.message)
  const genuine = { signature, message: unsigned.message, publicKey: unsigned.accounts[0] ?? new Uint8Array() }
  if (!(await ed25519.verify(genuine))) throw solanaErrors('solana/bad-signature', { address: sender.address })
  const bytes = encodeBase64(withSignature(unsigned, { signature, signer: 0 }))
  return { transaction: encodeBase58(signature), bytes, signer: sender.address, nonce: 0n }
}
