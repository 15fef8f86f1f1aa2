import { toHex } from './bytes.ts'
import type { Secp256k1 } from './secp256k1.ts'

// What was recovered is wanted again within the time of one settlement.
const mostRecalled = 4096

/**
 * A curve that recovers each signature once, though the same payment comes twice: to be verified, and to be settled. A signature over a
 * digest has one key, so that nothing depends on what is recalled.
 */
export function recallingSecp256k1(curve: Secp256k1): Secp256k1 {
  const recalled = new Map<string, Uint8Array | undefined>()
  return {
    ...curve,
    recover(digest, signature) {
      const id = `${toHex(digest)}${toHex(signature)}`
      if (recalled.has(id)) return recalled.get(id)?.slice()
      const key = curve.recover(digest, signature)
      recalled.set(id, key?.slice())
      const [oldest] = recalled.keys()
      if (recalled.size > mostRecalled && oldest !== undefined) recalled.delete(oldest)
      return key
    },
  }
}
