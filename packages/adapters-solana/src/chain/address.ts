import * as z from 'zod/mini'
import { decodeBase58 } from './base58.ts'

/** An address, a mint or a blockhash: 32 bytes in base58. */
export const addressSchema = z.string().check(z.refine((text) => addressBytes(text) !== undefined))

// The same few payees, mints and fee payers come with every payment.
const known = new Map<string, Uint8Array>()
const mostKnown = 4096

/** The 32 bytes of an address, or nothing for other text. They are not to be changed. */
export function addressBytes(text: string): Uint8Array | undefined {
  const cached = known.get(text)
  if (cached !== undefined) return cached
  const bytes = decodeBase58(text)
  if (bytes?.length !== 32) return undefined
  if (known.size >= mostKnown) known.clear()
  known.set(text, bytes)
  return bytes
}

/** Whether text is a Solana address: 32 bytes in base58. */
export function isAddress(text: string): boolean {
  return addressBytes(text) !== undefined
}

/** Whether two byte strings are the same. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  // A loop, for every address of every instruction comes through here.
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return false
  return true
}

/** Whether a network id is one of Solana: `solana:` and the first 32 letters of a genesis hash. */
export function isSolana(network: string): boolean {
  return /^solana:[1-9A-HJ-NP-Za-km-z]{32}$/.test(network)
}
