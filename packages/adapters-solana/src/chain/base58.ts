const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const values = new Map([...letters].map((letter, value) => [letter, value]))

// Five digits at once: a limb times 256 is still an exact number.
const digitsPerLimb = 5
const limbSize = 58 ** digitsPerLimb

/** Bytes in base58, as Solana writes addresses, hashes and signatures. */
export function encodeBase58(bytes: Uint8Array): string {
  const limbs: number[] = []
  for (const byte of bytes) {
    let carry = byte
    for (let at = 0; at < limbs.length; at += 1) {
      carry += (limbs[at] ?? 0) * 256
      limbs[at] = carry % limbSize
      carry = Math.floor(carry / limbSize)
    }
    if (carry > 0) limbs.push(carry)
  }
  let digits = ''
  for (const limb of limbs) {
    let rest = limb
    for (let digit = 0; digit < digitsPerLimb; digit += 1) {
      digits = letters.charAt(rest % 58) + digits
      rest = Math.floor(rest / 58)
    }
  }
  const zeros = bytes.findIndex((byte) => byte !== 0)
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + digits.replace(/^1+/, '')
}

// The longest text that is ever read is a secret key or a signature: 64 bytes.
const mostLetters = 90

/** The bytes of base58 text, or nothing where it is none. */
export function decodeBase58(text: string): Uint8Array | undefined {
  if (text.length > mostLetters) return undefined
  const bytes: number[] = []
  for (const letter of text) {
    let carry = values.get(letter)
    if (carry === undefined) return undefined
    for (let at = 0; at < bytes.length; at += 1) {
      carry += (bytes[at] ?? 0) * 58
      bytes[at] = carry & 0xff
      carry >>= 8
    }
    for (; carry > 0; carry >>= 8) bytes.push(carry & 0xff)
  }
  const zeros = /^1*/.exec(text)?.[0].length ?? 0
  return Uint8Array.from([...new Uint8Array(zeros), ...bytes.reverse()])
}
