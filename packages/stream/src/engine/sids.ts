import { sha256 } from '@flow402x/core'
import { bytesOfSid, createMacs, type Secret, sidOfBytes } from '@flow402x/core/stream'

/**
 * Names of lanes. Each is a secret of 12 random bytes, and 4 more by which an instance knows that one of those who share its secret made
 * it: who guesses names costs a hash, and nothing is looked up for him (F21).
 */
export interface Sids {
  make(): Promise<string>
  isOurs(sid: string): Promise<boolean>
  /** By what a lane is known where its name must not stand. */
  idOf(sid: string): Promise<string>
}

/** Fills a fresh array with random bytes. */
export type Random = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>

const label = new TextEncoder().encode('flow402x lane 1')
const randomBytes = 12
const macBytes = 4

/** Names by a secret. Errors: `config/weak-secret`. */
export function createSids(secret: Secret, random: Random): Sids {
  const macs = createMacs(secret)
  const messageOf = (head: Uint8Array): Uint8Array => {
    const message = new Uint8Array(label.length + randomBytes)
    message.set(label)
    message.set(head, label.length)
    return message
  }
  return {
    async make() {
      const bytes = new Uint8Array(randomBytes + macBytes)
      bytes.set(random(new Uint8Array(randomBytes)))
      bytes.set((await macs.make(messageOf(bytes.subarray(0, randomBytes)))).subarray(0, macBytes), randomBytes)
      return sidOfBytes(bytes)
    },
    async isOurs(sid) {
      const bytes = bytesOfSid(sid)
      return bytes !== undefined && macs.knows(messageOf(bytes.subarray(0, randomBytes)), bytes.subarray(randomBytes))
    },
    async idOf(sid) {
      return String(await sha256(new TextEncoder().encode(sid)))
    },
  }
}
