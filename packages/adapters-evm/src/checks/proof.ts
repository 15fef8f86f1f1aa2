import { decodeWrapped, encodeCall, isWrapped, type Target, type Wrapped } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { addressOf, canonicalSignature, type Secp256k1 } from '../crypto/secp256k1.ts'

/** How a payment proves its payer: by the payer's own key, or by whatever the contract at the payer's address accepts. */
export type Proof =
  | { readonly by: 'key'; readonly signature: Uint8Array }
  | { readonly by: 'contract'; readonly signature: Hex }
  | { readonly by: 'undeployed'; readonly wrapped: Wrapped }

/** The factories that may deploy payers' wallets, in lower case. Errors: `config/bad-address`. */
export function factorySet(factories: readonly string[]): ReadonlySet<string> {
  for (const address of factories)
    if (!isAddress(address)) throw evmErrors('config/bad-address', { option: 'An entry of erc6492Factories', address })
  return new Set(factories.map((address) => address.toLowerCase()))
}

/** Tells how a signature proves its payer, or nothing for an ERC-6492 wrapper that does not hold together. */
export function proofOf(
  signature: Hex,
  { payer, digest, secp256k1 }: { payer: string; digest: Uint8Array; secp256k1: Secp256k1 },
): Proof | undefined {
  if (isWrapped(signature)) {
    const wrapped = decodeWrapped(signature)
    return wrapped === undefined ? undefined : { by: 'undeployed', wrapped }
  }
  const canonical = canonicalSignature(toBytes(signature))
  const key = canonical === undefined ? undefined : secp256k1.recover(digest, canonical)
  if (canonical !== undefined && key !== undefined && addressOf(key) === payer.toLowerCase()) return { by: 'key', signature: canonical }
  return { by: 'contract', signature }
}

/** The bytes that a contract gets as the payer's signature. */
export function signatureOf(proof: Proof): Hex {
  if (proof.by === 'key') return toHex(proof.signature)
  return proof.by === 'contract' ? proof.signature : proof.wrapped.signature
}

/** Who signed what. */
export type Signed = { readonly payer: string; readonly digest: Uint8Array; readonly proof: Proof }

/** Asks the payer whether it signed. One without code answers nothing: so a key account is told from one that delegates to a contract (EIP-7702). */
export function signatureCheck({ payer, digest, proof }: Signed): Target {
  return { target: payer, data: encodeCall(isValidSignature, [toHex(digest)], signatureOf(proof)) }
}

/** Whether the payer's own code accepted the signature. */
export function isAccepted(data: Hex | undefined): boolean {
  return data?.startsWith(isValidSignature) === true
}

// EIP-1271; a contract that accepts the signature answers with the same four bytes.
const isValidSignature = '0x1626ba7e'
