import { ed25519 } from '@noble/curves/ed25519'
import { sha256 } from '@noble/hashes/sha2'
import { concatBytes } from '@noble/hashes/utils'
import { encodeBase58 } from './base58.ts'
import { associatedToken } from './programs.ts'

/** What an owner's token account is derived from: 32 bytes each. */
export type TokenAccountSeeds = { readonly owner: Uint8Array; readonly mint: Uint8Array; readonly program: Uint8Array }

const marker = new TextEncoder().encode('ProgramDerivedAddress')

// A derivation costs a square root modulo 2^255 − 19; a seller's account is asked for with every payment.
const derived = new Map<string, Uint8Array>()
const mostDerived = 4096

/** The associated token account of an owner for a mint that `program` owns (wire.md §14). The bytes are not to be changed. */
export function associatedTokenAccount({ owner, mint, program }: TokenAccountSeeds): Uint8Array {
  const key = latin1(owner) + latin1(mint) + latin1(program)
  const known = derived.get(key)
  if (known !== undefined) return known
  const account = derive({ owner, mint, program })
  if (derived.size >= mostDerived) derived.clear()
  derived.set(key, account)
  return account
}

/** As `associatedTokenAccount`, in base58. */
export function associatedTokenAddress(seeds: TokenAccountSeeds): string {
  return encodeBase58(associatedTokenAccount(seeds))
}

function derive({ owner, mint, program }: TokenAccountSeeds): Uint8Array {
  return programAddress([owner, program, mint], associatedToken.bytes)
}

/** The address that a program has for seeds: the first that nobody can have a key for. */
export function programAddress(seeds: readonly Uint8Array[], program: Uint8Array): Uint8Array {
  for (let bump = 255; ; bump -= 1) {
    const hash = sha256(concatBytes(...seeds, Uint8Array.of(bump), program, marker))
    // An address on the curve could have a private key, so derived ones never are.
    if (!isOnCurve(hash)) return hash
  }
}

/** Whether 32 bytes are a point of Ed25519. */
function isOnCurve(bytes: Uint8Array): boolean {
  try {
    ed25519.ExtendedPoint.fromHex(bytes)
    return true
  } catch {
    return false
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}
