import type { PaymentRequirements } from '@flow402x/core'
import { chainIdOf } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import type { TokenDomain, TypedData } from '../crypto/eip712.ts'
import { canonicalSignature } from '../crypto/secp256k1.ts'
import type { EvmSigner } from '../crypto/signer.ts'
import { domainOf } from './wire.ts'

/** What is signed, in the form that a signer takes. */
export type Signable = { digest(): Uint8Array; typedData(): TypedData }

/** A signer's signature. Errors: `evm/bad-signature`, and whatever the signer throws. */
export async function signWith(signer: EvmSigner, { digest, typedData }: Signable): Promise<Hex> {
  const signature = signer.sign === undefined ? await signer.signTypedData?.(typedData()) : await signer.sign({ hash: toHex(digest()) })
  if (signature === undefined || !isSignature(signature)) throw evmErrors('evm/bad-signature', { address: signer.address })
  // Some hardware wallets give v of 0 or 1, which tokens refuse; a smart wallet's own format is left as it is.
  const canonical = canonicalSignature(toBytes(signature))
  return canonical === undefined ? signature : toHex(canonical)
}

/** The EIP-712 domain of the token that requirements ask for, where they say it. */
export function tokenDomain(requirements: PaymentRequirements): TokenDomain | undefined {
  const chainId = chainIdOf(requirements.network)
  const domain = domainOf(requirements)
  return chainId === undefined || domain === undefined ? undefined : { ...domain, chainId, verifyingContract: requirements.asset }
}

function isSignature(text: string): text is Hex {
  return /^0x(?:[0-9a-fA-F]{2})+$/.test(text)
}
