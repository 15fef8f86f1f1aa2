import { defineErrors } from '../protocol/errors.ts'

/** A secret of at least 32 letters, or several: the first makes, and all know, so that one can be replaced while its work lives. */
export type Secret = string | readonly string[]

/** Codes by which whoever holds a secret knows its own messages again. */
export interface Macs {
  /** HMAC-SHA-256 by the newest secret, 32 bytes. */
  make(message: Uint8Array): Promise<Uint8Array>
  /** Whether one of the secrets made this code, or its first bytes where it was cut: how short it may be is the caller's to say. */
  knows(message: Uint8Array, mac: Uint8Array): Promise<boolean>
}

const leastSecret = 32

/**
 * Codes of a secret.
 *
 * Errors: `config/weak-secret`.
 */
export function createMacs(secret: Secret): Macs {
  const secrets = [secret].flat()
  const [newest] = secrets
  if (newest === undefined || secrets.some((one) => one.length < leastSecret)) throw macErrors('config/weak-secret', { least: leastSecret })
  const [make, ...others] = secrets.map(hmacOf)
  return {
    make: async (message) => (make === undefined ? new Uint8Array() : await make(message)),
    async knows(message, mac) {
      const codes = await Promise.all([make, ...others].map(async (one) => one?.(message) ?? new Uint8Array()))
      // Every byte of every secret's answer is looked at, so that the time tells nothing of how much was right.
      const differences = codes.map((code) => mac.reduce((sum, byte, at) => sum | (byte ^ (code[at] ?? ~byte)), 0))
      return mac.length > 0 && differences.includes(0)
    },
  }
}

type Hmac = (message: Uint8Array) => Uint8Array | Promise<Uint8Array>

/** By Node's cryptography where there is one, which takes a tenth of the time of the web's. */
function hmacOf(secret: string): Hmac {
  const node = globalThis.process?.getBuiltinModule?.('node:crypto')
  if (node !== undefined) return (message) => node.createHmac('sha256', secret).update(message).digest()
  let key: Promise<CryptoKey> | undefined
  return async (message) => {
    key ??= crypto.subtle.importKey('raw', new TextEncoder().encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    // Every view in these packages is over an ArrayBuffer: none is made over a shared one.
    return new Uint8Array(await crypto.subtle.sign('HMAC', await key, message as Uint8Array<ArrayBuffer>))
  }
}

const macErrors = defineErrors({
  'config/weak-secret': {
    status: 500,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: ({ least }: { least: number }) =>
      `A secret is missing or has fewer than ${least} letters: whoever guesses it could make what only you may. Make one with \`openssl rand -hex 32\`. (No value is shown here on purpose.)`,
  },
})
