import { createCipheriv, createDecipheriv, pbkdf2, randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { scryptAsync } from '@noble/hashes/scrypt'
import { keccak_256 } from '@noble/hashes/sha3'
import * as z from 'zod/mini'

const hex = z.string().check(z.regex(/^(?:[0-9a-fA-F]{2})+$/))
// An attacker's file must not ask for more memory or time than a wallet's own would.
const scryptParameters = z.object({
  dklen: z.literal(32),
  n: z.int().check(z.minimum(2), z.maximum(2 ** 20)),
  r: z.int().check(z.minimum(1), z.maximum(16)),
  p: z.int().check(z.minimum(1), z.maximum(16)),
  salt: hex,
})
const pbkdf2Parameters = z.object({
  dklen: z.literal(32),
  c: z.int().check(z.minimum(1), z.maximum(10_000_000)),
  prf: z.literal('hmac-sha256'),
  salt: hex,
})
const sealed = { cipher: z.literal('aes-128-ctr'), cipherparams: z.object({ iv: hex.check(z.length(32)) }), ciphertext: hex, mac: hex }
const crypto = z.discriminatedUnion('kdf', [
  z.object({ ...sealed, kdf: z.literal('scrypt'), kdfparams: scryptParameters }),
  z.object({ ...sealed, kdf: z.literal('pbkdf2'), kdfparams: pbkdf2Parameters }),
])
/** A key file of Web3 Secret Storage, version 3, as geth and most wallets write it. */
const keystore = z.object({ version: z.literal(3), crypto })

type Crypto = z.infer<typeof crypto>

// What geth calls standard takes 256 MB and a second; half of that is out of reach for guessing as well.
const cost = { n: 2 ** 17, r: 8, p: 1 }

/** Seals a secret with a passphrase, as Web3 Secret Storage (version 3) says; `address` tells its owner which it is. */
export async function sealSecret(
  secret: Uint8Array,
  { passphrase, address }: { readonly passphrase: string; readonly address: string },
): Promise<string> {
  const [salt, iv] = [randomBytes(32), randomBytes(16)]
  const kdfparams = { dklen: 32, ...cost, salt: salt.toString('hex') } as const
  const key = await derive({ kdf: 'scrypt', kdfparams }, passphrase)
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), iv)
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()])
  const written = {
    version: 3,
    id: randomUUID(),
    address: address.replace(/^0x/i, (prefix) => prefix.slice(2)),
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: iv.toString('hex') },
      ciphertext: ciphertext.toString('hex'),
      kdf: 'scrypt',
      kdfparams,
      mac: macOf(key, ciphertext).toString('hex'),
    },
  }
  return `${JSON.stringify(written)}\n`
}

/** Whether text is meant as a key file of this kind. */
export function isSealed(text: string): boolean {
  return text.trimStart().startsWith('{')
}

/** Opens a key file: `unreadable` where it is none that is known here, `wrong` where the passphrase is another. */
export async function openSecret(text: string, passphrase: string): Promise<Uint8Array | 'unreadable' | 'wrong'> {
  const read = readKeystore(text)
  if (read === undefined) return 'unreadable'
  const { ciphertext, cipherparams, mac } = read.crypto
  const [bytes, iv, given] = [Buffer.from(ciphertext, 'hex'), Buffer.from(cipherparams.iv, 'hex'), Buffer.from(mac, 'hex')]
  const key = await derive(read.crypto, passphrase)
  const expected = macOf(key, bytes)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'wrong'
  const decipher = createDecipheriv('aes-128-ctr', key.subarray(0, 16), iv)
  return new Uint8Array(Buffer.concat([decipher.update(bytes), decipher.final()]))
}

function readKeystore(text: string): z.infer<typeof keystore> | undefined {
  try {
    return z.safeParse(keystore, JSON.parse(text)).data
  } catch {
    return undefined
  }
}

type Derivation =
  | Pick<Extract<Crypto, { kdf: 'scrypt' }>, 'kdf' | 'kdfparams'>
  | Pick<Extract<Crypto, { kdf: 'pbkdf2' }>, 'kdf' | 'kdfparams'>

const stretch = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt)

async function derive(derivation: Derivation, passphrase: string): Promise<Buffer> {
  // One passphrase has one spelling, however a keyboard composes its letters.
  const password = passphrase.normalize('NFKC')
  if (derivation.kdf === 'pbkdf2') {
    const { c, dklen, salt } = derivation.kdfparams
    return await promisify(pbkdf2)(password, Buffer.from(salt, 'hex'), c, dklen, 'sha256')
  }
  const { n, r, p, dklen, salt } = derivation.kdfparams
  // More than OpenSSL takes for so small a block, and in files of old all the same.
  if (n >= 2 ** (16 * r)) return Buffer.from(await scryptAsync(password, Buffer.from(salt, 'hex'), { N: n, r, p, dkLen: dklen }))
  return await stretch(password, Buffer.from(salt, 'hex'), dklen, { N: n, r, p, maxmem: 256 * n * r + 2 ** 20 })
}

function macOf(key: Buffer, ciphertext: Buffer): Buffer {
  return Buffer.from(keccak_256(Buffer.concat([key.subarray(16, 32), ciphertext])))
}
