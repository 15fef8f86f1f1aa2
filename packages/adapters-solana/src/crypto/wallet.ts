import {
  address,
  getTransactionDecoder,
  getTransactionEncoder,
  isTransactionModifyingSigner,
  type TransactionModifyingSigner,
  type TransactionPartialSigner,
} from '@solana/kit'
import { solanaErrors } from '../chain/errors.ts'

/**
 * Whoever signs for a payer: a secret key, a signer of kit, a wallet of the Wallet Standard, or with the web3.js subpath a `Keypair` or
 * wallet adapter. `sign` signs the bytes of a message as they are. `signTransaction` takes and gives a wire transaction, to which a
 * wallet may have added assertions; what it gives is checked before it is used.
 */
export interface SolanaSigner {
  readonly address: string
  sign?(message: Uint8Array): Promise<Uint8Array>
  signTransaction?(transaction: Uint8Array): Promise<Uint8Array>
}

/** A signer of kit as a payer's: one that signs what it is given, or one that may change it. */
export function kitSigner(signer: TransactionPartialSigner | TransactionModifyingSigner): SolanaSigner {
  return {
    address: signer.address,
    async signTransaction(bytes) {
      // Kit marks what fits a packet and when it expires: this was built to fit, and its blockhash is all there is to know.
      const transaction = getTransactionDecoder().decode(bytes) as KitTransaction
      const signed = isTransactionModifyingSigner(signer)
        ? (await signer.modifyAndSignTransactions([transaction]))[0]
        : { ...transaction, signatures: { ...transaction.signatures, ...(await signer.signTransactions([transaction]))[0] } }
      if (signed === undefined) throw solanaErrors('solana/bad-signature', { address: signer.address })
      return new Uint8Array(getTransactionEncoder().encode(signed))
    },
  }
}

type KitTransaction = Parameters<TransactionPartialSigner['signTransactions']>[0][number]

/** The account and the feature of a Wallet Standard wallet that signing takes. */
export type WalletStandardOptions = {
  readonly account: { readonly address: string }
  readonly feature: {
    // A wallet declares its own account and chain types; all have these members.
    signTransaction(
      ...inputs: readonly { readonly account: never; readonly transaction: Uint8Array; readonly chain: never }[]
    ): Promise<readonly { readonly signedTransaction: Uint8Array }[]>
  }
  /** `solana:mainnet` or `solana:devnet`. */
  readonly chain: string
}

/**
 * A wallet of the Wallet Standard as a payer's signer: its account, its feature `solana:signTransaction`, and the chain's name there.
 */
export function walletStandardSigner({ account, feature, chain }: WalletStandardOptions): SolanaSigner {
  return {
    address: address(account.address),
    async signTransaction(transaction) {
      // The wallet's own account and chain values, handed back to it unread.
      const [signed] = await feature.signTransaction({ account: account as never, transaction, chain: chain as never })
      if (signed === undefined) throw solanaErrors('solana/bad-signature', { address: account.address })
      return signed.signedTransaction
    },
  }
}
