import { sha256 } from '@flow402x/core'
import { bytesOfSid, createMacs, laneHeader, type Secret, sidOfBytes } from '@flow402x/core/stream'
import { base64url, bytesOf } from '../access/base64url.ts'

/**
 * Names of lanes. Each is a secret of 12 random bytes, and 4 more by which an instance knows that one of those who share its secret made
 * it: who guesses names costs a hash, and nothing is looked up for him (F21).
 */
export interface Sids {
  make(): Promise<string>
  isOurs(sid: string): Promise<boolean>
  /** What the bearer of a lane shows in `Flow402x-Lane`: its name, and our code for it. */
  bearerOf(sid: string): Promise<string>
  /** The lane that such a header names, where the code is ours. Errors: `stream/bad-header`, `headers/too-large`. */
  readBearer(header: string): Promise<string | undefined>
  /** By what a lane is known where its name must not stand. */
  idOf(sid: string): Promise<string>
}

/** Fills a fresh array with random bytes. */
export type Random = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>

const utf8 = new TextEncoder()
const label = utf8.encode('flow402x lane 1')
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
  // Another label: the four bytes within a name are never the beginning of its bearer's code.
  const bearing = (sid: string): Uint8Array => utf8.encode(`flow402x bearer 1 ${sid}`)
  return {
    async bearerOf(sid) {
      return laneHeader.encode({ body: sid, mac: base64url(await macs.make(bearing(sid))) })
    },
    async readBearer(header) {
      const { body, mac } = laneHeader.decode(header)
      return (await macs.knows(bearing(body), bytesOf(mac))) ? body : undefined
    },
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
      return String(await sha256(utf8.encode(sid)))
    },
  }
}
