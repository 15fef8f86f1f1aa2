import { createMacs } from '@flow402x/core/stream'
import { periodOf } from './playlist.ts'

/** The keys of one programme, all made from one secret, so that none is kept anywhere. */
export interface HlsKeys {
  readonly segmentsPerKey: number
  /** A segment as caches may hold it: AES-128 in CBC, as players read it (RFC 8216 §4.3.2.4). */
  encrypt(segment: Uint8Array, options: { readonly number: number }): Promise<Uint8Array>
  /** The 16 bytes that open the segments of a period. Whoever has them has the period. */
  key(period: number): Promise<Uint8Array>
}

/** What the keys of a programme are made from. */
export type HlsKeysOptions = {
  /** It lives as long as the encrypted segments do: a new one asks for new segments. */
  readonly secret: string
  /** Which programme; renditions of one, cut alike, may share it, so that a change of quality is not paid twice. */
  readonly programme: string
  readonly segmentsPerKey: number
}

/**
 * The keys of a programme.
 *
 * Errors: `config/weak-secret`.
 */
export function createHlsKeys({ secret, programme, segmentsPerKey }: HlsKeysOptions): HlsKeys {
  const macs = createMacs(secret)
  const keyOf = async (period: number): Promise<Uint8Array<ArrayBuffer>> => {
    const code = await macs.make(new TextEncoder().encode(JSON.stringify(['flow402x hls key', programme, segmentsPerKey, period])))
    return Uint8Array.from(code.subarray(0, 16))
  }
  return {
    segmentsPerKey,
    key: keyOf,
    async encrypt(segment, { number }) {
      const key = await crypto.subtle.importKey('raw', await keyOf(periodOf(number, segmentsPerKey)), 'AES-CBC', false, ['encrypt'])
      // Without a vector in the playlist it is the segment's number.
      const iv = new Uint8Array(16)
      new DataView(iv.buffer).setBigUint64(8, BigInt(number))
      // Every view in these packages is over an ArrayBuffer: none is made over a shared one.
      return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-CBC', iv }, key, segment as Uint8Array<ArrayBuffer>))
    },
  }
}
