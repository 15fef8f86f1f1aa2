import { transportErrors } from '../transports/errors.ts'

/** One segment of a media playlist: its number, counted over the whole programme, and its length in billionths of a second. */
export type Segment = { readonly uri: string; readonly number: number; readonly length: bigint }

/** A media playlist (RFC 8216), as far as it is sold by: its lines, and the segments by the line their URI stands on. */
export type Playlist = { readonly lines: readonly string[]; readonly segments: ReadonlyMap<number, Segment> }

const longest = 4_000_000

/**
 * Reads a media playlist.
 *
 * Errors: `stream/bad-playlist` for what is none, and for a master playlist, whose renditions are sold one by one.
 */
export function parsePlaylist(text: string): Playlist {
  const lines = text.slice(0, longest).split(/\r?\n/)
  if (text.length > longest || lines[0] !== '#EXTM3U') throw bad('it does not begin with #EXTM3U, or is far too long')
  if (lines.some((line) => line.startsWith('#EXT-X-STREAM-INF'))) throw bad('it is a master playlist: give those that it names')
  const segments = new Map<number, Segment>()
  let [number, length]: [number, bigint | undefined] = [0, undefined]
  for (const [at, line] of lines.entries()) {
    if (line.startsWith(sequence)) number = countIn(line.slice(sequence.length))
    if (line.startsWith(information)) length = lengthIn(line.slice(information.length))
    if (line === '' || line.startsWith('#')) continue
    if (length === undefined) throw bad(`"${line}" has no #EXTINF, so nobody knows how long it is`)
    segments.set(at, { uri: line, number, length })
    number += 1
    length = undefined
  }
  if (segments.size === 0) throw bad('it has no segments')
  return { lines, segments }
}

/** How a playlist is rewritten so that its segments are opened by keys that are sold. */
export type KeyedOptions = {
  /** How many segments one key opens. */
  readonly segmentsPerKey: number
  /** Where the key of a period is asked for. */
  readonly keyUri: (period: number) => string
  /** Where an encrypted segment is found; where it was unless told. */
  readonly segmentUri?: (segment: Segment) => string
}

/**
 * The same playlist over encrypted segments, with a key for every period (streaming.md §11 c3).
 *
 * Errors: `stream/bad-playlist` where a part of it would stay readable, or could not be read with these keys.
 */
export function keyedPlaylist(
  { lines, segments }: Playlist,
  { segmentsPerKey, keyUri, segmentUri = ({ uri }) => uri }: KeyedOptions,
): string {
  const unfit = lines.find((line) => unfitTags.some((tag) => line.startsWith(tag)))
  if (unfit !== undefined) throw bad(`${unfit.split(':')[0]} cannot be sold by keys`)
  const written: string[] = []
  let period: number | undefined
  for (const [at, line] of lines.entries()) {
    const segment = segments.get(at)
    if (segment !== undefined) {
      written.push(segmentUri(segment))
      continue
    }
    // What begins a segment's own tags begins its key, where it is the first that this key opens.
    const next = line.startsWith(information) ? nextSegment(segments, at) : undefined
    const opened = next === undefined ? undefined : periodOf(next.number, segmentsPerKey)
    if (opened !== undefined && opened !== period) {
      period = opened
      written.push(`#EXT-X-KEY:METHOD=AES-128,URI="${attribute(keyUri(opened))}"`)
    }
    // What initialises a decoder is nothing to watch: it stays readable, and cannot be encrypted without a vector of its own.
    if (line.startsWith('#EXT-X-MAP') && period !== undefined) {
      written.push('#EXT-X-KEY:METHOD=NONE')
      period = undefined
    }
    written.push(line)
  }
  return written.join('\n')
}

/** Which key opens a segment. */
export function periodOf(number: number, segmentsPerKey: number): number {
  return Math.floor(number / segmentsPerKey)
}

const sequence = '#EXT-X-MEDIA-SEQUENCE:'
const information = '#EXTINF:'
// Their bytes would be found in the clear, or at other places once they are encrypted.
const unfitTags = ['#EXT-X-KEY', '#EXT-X-BYTERANGE', '#EXT-X-PART', '#EXT-X-PRELOAD-HINT', '#EXT-X-I-FRAMES-ONLY', '#EXT-X-SESSION-KEY']

function nextSegment(segments: Playlist['segments'], at: number): Segment | undefined {
  for (const [line, segment] of segments) if (line > at) return segment
  return undefined
}

function attribute(uri: string): string {
  if (/["\r\n]/.test(uri)) throw bad('the URI of a key has a quote or a line break')
  return uri
}

function countIn(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw bad(`"${text}" is no media sequence`)
  return Number(text)
}

/** Billionths, rounded up: a length of more digits than that is not given away. */
function lengthIn(text: string): bigint {
  const [, whole, fraction = ''] = /^(\d{1,9})(?:\.(\d+))?(?:,|$)/.exec(text) ?? []
  if (whole === undefined) throw bad(`"${text}" is no length of a segment`)
  const length = BigInt(`${whole}${fraction.slice(0, 9).padEnd(9, '0')}`)
  return /[1-9]/.test(fraction.slice(9)) ? length + 1n : length
}

function bad(why: string): Error {
  return transportErrors('stream/bad-playlist', { why })
}
