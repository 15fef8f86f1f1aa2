import { keccak, toBytes, toHex } from '../crypto/bytes.ts'
import { payerErrors } from '../crypto/errors.ts'
import { canonicalSignature } from '../crypto/secp256k1.ts'
import type { EvmSigner } from '../crypto/signer.ts'

/** Signs texts as an EVM account (EIP-191), such as ratings. */
export type EvmTextSigner = { readonly address: string; readonly family: 'eip155'; signText(text: string): Promise<string> }

/** An account that signs digests, or a wallet that signs messages: every viem account and wallet does one of them. */
export type EvmTextAccount = Pick<EvmSigner, 'address' | 'sign'> & { signMessage?(input: { readonly message: string }): Promise<string> }

/** Lets an EVM account sign texts. Errors, when signing: `evm/bad-signature`, and whatever the account throws. */
export function evmTextSigner(account: EvmTextAccount): EvmTextSigner {
  const { address } = account
  return {
    address,
    family: 'eip155',
    async signText(text) {
      const signature =
        account.signMessage === undefined
          ? await account.sign?.({ hash: toHex(textDigest(text)) })
          : await account.signMessage({ message: text })
      if (signature === undefined || !/^0x(?:[0-9a-fA-F]{2})+$/.test(signature)) throw payerErrors('evm/bad-signature', { address })
      const canonical = canonicalSignature(toBytes(signature))
      return canonical === undefined ? signature : toHex(canonical)
    },
  }
}

/** The digest of a text as wallets sign it (EIP-191). */
export function textDigest(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text)
  return keccak(Uint8Array.from([...new TextEncoder().encode(`\u0019Ethereum Signed Message:\n${bytes.length}`), ...bytes]))
}
