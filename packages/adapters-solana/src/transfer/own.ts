import { pause, type SignedTransaction } from '@flow402x/core'
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
import type { SolanaChain } from '../chain/solana-chain.ts'
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

type SendingOwn = {
  readonly unsigned: Transaction
  readonly sender: SolanaSender
  readonly failed: (why: string) => Error
  readonly signal?: AbortSignal | undefined
}

const askAgainMs = 400

/**
 * Signs and sends a transaction of a wallet's own, and waits for the chain's word: it gives its signature once it is mined. Errors:
 * `failed` where it did nothing and never will; those of the chain, and the signal's reason, after which it may still be mined.
 */
export async function sendOwn(chain: SolanaChain, { unsigned, sender, failed, signal }: SendingOwn): Promise<string> {
  const signed = await signOwn(unsigned, { sender, ed25519: chain.ed25519 })
  await chain.send(signed)
  for (;;) {
    const status = await chain.status(signed)
    if (status.state === 'mined' && status.success) return signed.transaction
    if (status.state === 'mined') throw failed(`transaction ${signed.transaction} failed`)
    if (status.state === 'expired') throw failed(`${signed.transaction} was never mined`)
    // What was sent may still be mined after the wait is given up.
    await pause(askAgainMs, signal)
  }
}
