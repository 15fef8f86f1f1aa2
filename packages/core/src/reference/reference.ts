import { defineErrors } from '../protocol/errors.ts'

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
  /** At least 32 letters each. The first makes references and all know them, so that one can be replaced while its references live. */
  readonly secret: string | readonly string[]
  /** Fills a fresh array with random bytes; the platform's own source unless told. */
  readonly random?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>
}

const leastSecret = 32
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
  const secrets = [secret].flat()
  if (secrets.length === 0 || secrets.some((one) => one.length < leastSecret))
    throw referenceErrors('config/weak-secret', { least: leastSecret })
  const keys = secrets.map((one) => lazily(() => keyOf(one)))
  const macOf = async (key: () => Promise<CryptoKey>, head: Uint8Array, terms: ReferenceTerms): Promise<Uint8Array> => {
    const mac = await crypto.subtle.sign('HMAC', await key(), utf8.encode(messageOf(head, terms)))
    return new Uint8Array(mac, 0, macBytes)
  }
  return {
    async make(terms, { expiry }) {
      const head = new Uint8Array(headBytes)
      head.set(random(new Uint8Array(headBytes - expiryBytes)), expiryBytes)
      new DataView(head.buffer).setUint32(0, expiry)
      const [newest] = keys
      return newest === undefined ? '' : `${hexOf(head)}${hexOf(await macOf(newest, head, terms))}`
    },
    async knows(reference, terms) {
      if (!text.test(reference)) return false
      const bytes = bytesOf(reference)
      const head = bytes.subarray(0, headBytes)
      const macs = await Promise.all(keys.map((key) => macOf(key, head, terms)))
      // Every byte of every key's answer is looked at, so that the time tells nothing of how much was right.
      const differences = macs.map((mac) => mac.reduce((sum, byte, at) => sum | (byte ^ (bytes[headBytes + at] ?? 0)), 0))
      return differences.includes(0)
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

function messageOf(head: Uint8Array, { binding, network, asset, payTo, amount }: ReferenceTerms): string {
  // EVM addresses and amounts have many spellings; a list in JSON has one reading.
  return JSON.stringify([label, hexOf(head), binding, network, spelled(asset), spelled(payTo), BigInt(amount).toString()])
}

function spelled(address: string): string {
  return /^0x/i.test(address) ? address.toLowerCase() : address
}

function keyOf(secret: string): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', utf8.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
}

function lazily<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined
  return () => {
    made ??= make()
    return made
  }
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

const referenceErrors = defineErrors({
  'config/weak-secret': {
    status: 500,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ least }: { least: number }) =>
      `A secret is missing or has fewer than ${least} letters: whoever guesses it could make references of his own. Make one with \`openssl rand -hex 32\`. (No value is shown here on purpose.)`,
  },
})
