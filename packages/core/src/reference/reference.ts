import { createMacs, type Secret } from '../calls/mac.ts'

/** What a reference stands for: one request (`requestBinding`) and what it is asked for it, in atomic units. */
export type ReferenceTerms = {
  readonly binding: string
  readonly network: string
  readonly asset: string
  readonly payTo: string
  readonly amount: string
}

/**
 * A seller's references: each is made for one request and its price, and known again by the seller's secret alone, so that nothing is kept
 * before it is paid (M22).
 */
export interface References {
  /** A new reference that is good for a transfer until `expiry` (Unix seconds). */
  make(terms: ReferenceTerms, options: { readonly expiry: number }): Promise<string>
  /** Whether a reference was made here, for exactly these terms. */
  knows(reference: string, terms: ReferenceTerms): Promise<boolean>
}

/** What references are made with. */
export type ReferenceOptions = {
  /** What references are known by. */
  readonly secret: Secret
  /** Fills a fresh array with random bytes; the platform's own source unless told. */
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>
}

const expiryBytes = 4
const headBytes = expiryBytes + 12
const macBytes = 16
const text = /^[0-9a-f]{64}$/
const label = 'flow402x reference 1'

/**
 * Makes references of 32 bytes: expiry ‖ 12 random bytes ‖ 16 bytes of an HMAC-SHA-256 over those and the terms (DESIGN §7).
 *
 * Errors: `config/weak-secret`.
 */
export function createReferences({ secret, random = (bytes) => crypto.getRandomValues(bytes) }: ReferenceOptions): References {
  const macs = createMacs(secret)
  return {
    async make(terms, { expiry }) {
      const head = new Uint8Array(headBytes)
      head.set(random(new Uint8Array(headBytes - expiryBytes)), expiryBytes)
      new DataView(head.buffer).setUint32(0, expiry)
      const mac = await macs.make(messageOf(head, terms))
      return `${hexOf(head)}${hexOf(mac.subarray(0, macBytes))}`
    },
    async knows(reference, terms) {
      if (!text.test(reference)) return false
      const bytes = bytesOf(reference)
      const head = bytes.subarray(0, headBytes)
      return macs.knows(messageOf(head, terms), bytes.subarray(headBytes))
    },
  }
}

/** Until when a reference is good for a transfer (Unix seconds); nothing for text that is none. Who made it is not asked. */
export function expiryOf(reference: string): number | undefined {
  return text.test(reference) ? Number.parseInt(reference.slice(0, 2 * expiryBytes), 16) : undefined
}

/**
 * What goes on chain in the place of a reference: its SHA-256, by which who was given the reference is known from who saw the transfer
 * (M22). Of text that is no reference of ours it is that of its letters.
 */
export async function referenceTag(reference: string): Promise<Uint8Array> {
  const bytes = text.test(reference) ? bytesOf(reference) : new Uint8Array(utf8.encode(reference))
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}

const utf8 = new TextEncoder()

function messageOf(head: Uint8Array, { binding, network, asset, payTo, amount }: ReferenceTerms): Uint8Array {
  // EVM addresses and amounts have many spellings; a list in JSON has one reading.
  return utf8.encode(JSON.stringify([label, hexOf(head), binding, network, spelled(asset), spelled(payTo), BigInt(amount).toString()]))
}

function spelled(address: string): string {
  return /^0x/i.test(address) ? address.toLowerCase() : address
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}
