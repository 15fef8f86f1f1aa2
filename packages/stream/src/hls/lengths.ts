import { isX402Error } from '@flow402x/core'
import { oneUnit, type Units } from '@flow402x/core/stream'
import { type Playlist, parsePlaylist } from './playlist.ts'

/** What playlists say of their parts: how long each segment is, and all the segments that one key opens. */
export interface Lengths {
  /** Reads what came from `url`; what is no playlist, or one of parts of files, says nothing. */
  learn(url: string, data: ArrayBuffer): void
  /** How many units a part is, where a playlist said so. */
  readonly of: (url: string, unit: string) => Units | undefined
}

/** Of one part. */
type Length = { readonly seconds: Units; readonly segments: bigint }

// A programme that never ends fills no memory: what is forgotten is as good as never said.
const mostKnown = 65_536
const head = '#EXTM3U'
const keyText = /^#EXT-X-KEY:METHOD=([-A-Z0-9]+)(?:.*?,URI="([^"]*)")?/

/** Lengths of the parts of a programme. */
export function createLengths(): Lengths {
  const known = new Map<string, Length>()
  function note(url: string, length: Length): void {
    known.delete(url)
    known.set(url, length)
    const [oldest] = known.keys()
    if (known.size > mostKnown && oldest !== undefined) known.delete(oldest)
  }
  return {
    learn(url, data) {
      if (!beginsRight(new Uint8Array(data, 0, Math.min(data.byteLength, head.length)))) return
      for (const [uri, length] of partsOf(readPlaylist(new TextDecoder().decode(data))))
        if (URL.canParse(uri, url)) note(new URL(uri, url).href, length)
    },
    of(url, unit) {
      const length = known.get(url)
      if (length === undefined) return undefined
      if (unit === 'second') return length.seconds
      return unit === 'segment' ? length.segments * oneUnit : undefined
    },
  }
}

function partsOf({ lines, segments }: Playlist): ReadonlyMap<string, Length> {
  const parts = new Map<string, Length>()
  const add = (uri: string, { length }: { readonly length: Units }): void => {
    const { seconds, segments: count } = parts.get(uri) ?? { seconds: 0n, segments: 0n }
    parts.set(uri, { seconds: seconds + length, segments: count + 1n })
  }
  let key: string | undefined
  for (const [at, line] of lines.entries()) {
    const [, method, uri] = keyText.exec(line) ?? []
    if (method !== undefined) key = method === 'NONE' ? undefined : uri
    const segment = segments.get(at)
    if (segment === undefined) continue
    add(segment.uri, segment)
    if (key !== undefined) add(key, segment)
  }
  return parts
}

function beginsRight(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes) === head
}

function readPlaylist(text: string): Playlist {
  const nothing: Playlist = { lines: [], segments: new Map() }
  // Of a part of a file its URL says nothing.
  if (text.includes('#EXT-X-BYTERANGE')) return nothing
  try {
    return parsePlaylist(text)
  } catch (error) {
    if (isX402Error(error)) return nothing
    throw error
  }
}
