import { encodeBase58 } from '../chain/base58.ts'
import { type SecretKey, type SolanaSender, secretKeySender } from '../crypto/signer.ts'

/** Signs texts as a Solana account: their bytes by Ed25519, the signature in base58; such as ratings. */
export type SolanaTextSigner = { readonly address: string; readonly family: 'solana'; signText(text: string): Promise<string> }

/** Lets a Solana account sign texts. Errors: `config/bad-secret-key`. */
export function solanaTextSigner(signer: SolanaSender | SecretKey): SolanaTextSigner {
  const sender = typeof signer === 'string' || signer instanceof Uint8Array ? secretKeySender(signer) : signer
  return {
    address: sender.address,
    family: 'solana',
    signText: async (text) => encodeBase58(await sender.sign(new TextEncoder().encode(text))),
  }
}
