import { type Connection, type Keypair, PublicKey, VersionedTransaction } from '@solana/web3.js'
import { solanaErrors } from '../chain/errors.ts'
import type { SolanaReader } from '../chain/reader.ts'
import { secretKeySender } from './signer.ts'
import type { SolanaSigner } from './wallet.ts'

/** A wallet adapter, or anything with a public key that signs versioned transactions. */
export type WalletAdapter = {
  readonly publicKey: PublicKey | null
  signTransaction<Signed extends VersionedTransaction>(transaction: Signed): Promise<Signed>
}

/** A `Keypair` or a wallet adapter of web3.js 1.x as a payer's signer. Errors: `config/no-signer` for an adapter that is not connected. */
export function web3jsSigner(wallet: Keypair | WalletAdapter): SolanaSigner {
  if ('secretKey' in wallet) return secretKeySender(wallet.secretKey)
  const { publicKey } = wallet
  if (publicKey === null) throw solanaErrors('config/no-signer', { why: 'the wallet is not connected' })
  return {
    address: publicKey.toBase58(),
    signTransaction: async (bytes) => (await wallet.signTransaction(VersionedTransaction.deserialize(bytes))).serialize(),
  }
}

/** A `Connection` of web3.js 1.x as what a payer asks a chain. */
export function web3jsReader(connection: Connection): SolanaReader {
  return {
    async recentBlockhash() {
      const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash('confirmed')
      return { blockhash, lastValidBlockHeight: BigInt(lastValidBlockHeight) }
    },
    async account(address) {
      const account = await connection.getAccountInfo(new PublicKey(address), 'confirmed')
      return account === null ? undefined : { owner: account.owner.toBase58(), data: account.data }
    },
  }
}
