import { type Hex, keccak, toBytes, toHex } from './bytes.ts'
import type { TypedData } from './eip712.ts'
import { payerErrors } from './errors.ts'
import { addressOf, canonicalSignature, nobleSecp256k1, type Secp256k1 } from './secp256k1.ts'

/**
 * Whoever signs for an address: a viem account, a wallet with `signTypedData`, a hardware wallet, `privateKeySigner`.
 * Where `sign` exists the digest is made here; else `signTypedData` gets complete typed data.
 */
export interface EvmSigner {
  readonly address: string
  sign?(input: { readonly hash: Hex }): Promise<string>
  signTypedData?(typedData: TypedData): Promise<string>
}

/** An account made from a private key; the key stays inside. */
export type PrivateKeySigner = { readonly address: Hex; sign(input: { readonly hash: Hex }): Promise<Hex> }

/**
 * An account from 32 bytes of hex, without a chain library. `secp256k1` replaces the plain JavaScript curve by a faster one.
 *
 * Errors: `config/bad-private-key`, which does not show the value.
 */
export function privateKeySigner(
  privateKey: string,
  { secp256k1 = nobleSecp256k1 }: { readonly secp256k1?: Secp256k1 } = {},
): PrivateKeySigner {
  if (!/^0x[0-9a-fA-F]{64}$/.test(privateKey)) throw payerErrors('config/bad-private-key', {})
  const key = toBytes(privateKey)
  const publicKey = secp256k1.publicKey(key)
  if (publicKey === undefined) throw payerErrors('config/bad-private-key', {})
  return {
    address: checksumAddress(addressOf(publicKey)),
    sign: async ({ hash }) => toHex(secp256k1.sign(toBytes(hash), key)),
  }
}

/** What is signed, in the form that a signer takes. */
export type Signable = { digest(): Uint8Array; typedData(): TypedData }

/** A signer's signature. Errors: `evm/bad-signature`, and whatever the signer throws. */
export async function signWith(signer: EvmSigner, { digest, typedData }: Signable): Promise<Hex> {
  const signature = signer.sign === undefined ? await signer.signTypedData?.(typedData()) : await signer.sign({ hash: toHex(digest()) })
  if (signature === undefined || !isSignature(signature)) throw payerErrors('evm/bad-signature', { address: signer.address })
  // Some hardware wallets give v of 0 or 1, which tokens refuse; a smart wallet's own format is left as it is.
  const canonical = canonicalSignature(toBytes(signature))
  return canonical === undefined ? signature : toHex(canonical)
}

function isSignature(text: string): text is Hex {
  return /^0x(?:[0-9a-fA-F]{2})+$/.test(text)
}

/** An address in the mixed case of EIP-55. */
export function checksumAddress(address: string): Hex {
  const digits = address.slice(2).toLowerCase()
  const hash = toHex(keccak(new TextEncoder().encode(digits))).slice(2)
  const mixed = digits.replaceAll(/[a-f]/g, (letter, at: number) => ((hash[at] ?? '0') >= '8' ? letter.toUpperCase() : letter))
  return `0x${mixed}`
}
