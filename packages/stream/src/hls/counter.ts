import { oneUnit, type Units } from '@flow402x/core/stream'
import type { Lane } from '../lane/lane.ts'
import { transportErrors } from '../transports/errors.ts'
import type { HlsKeys } from './keys.ts'
import { type Playlist, periodOf, type Segment } from './playlist.ts'

/** Sells the parts of a programme over lanes: each part once to each lane. */
export interface HlsCounter {
  /**
   * Pays for a segment (streaming.md §11 c1), by its number: `true` where the lane has paid for it now or did before. `false`: answer 402. Nothing
   * where there is no such segment.
   */
  segment(lane: Lane, number: number): boolean | undefined
  /** Pays for the key of a period (c3) and gives it: 16 bytes, and headers by which nobody keeps it. `'unpaid'`: answer 402. */
  key(lane: Lane, period: number): Promise<Response | 'unpaid' | undefined>
}

/** What is sold. */
export type HlsCounterOptions = {
  /** The programme as it stands: of a live one a function, that gives the newest playlist. */
  readonly playlist: Playlist | (() => Playlist)
  /** The keys of an encrypted programme. */
  readonly keys?: HlsKeys
}

// A player may ask for the same part twice; what is forgotten is paid once more at most.
const mostRemembered = 65_536

/** A counter that sells a programme. */
export function createHlsCounter({ playlist, keys }: HlsCounterOptions): HlsCounter {
  const sold = new Set<string>()
  const current = (): readonly Segment[] => [...(typeof playlist === 'function' ? playlist() : playlist).segments.values()]
  const pay = (lane: Lane, part: string, segments: readonly Segment[]): boolean => {
    const name = `${lane.sid} ${part}`
    if (sold.has(name)) return true
    const units = unitsOf(segments, lane.unit)
    if (lane.take(units, units) !== units) return false
    const [oldest] = sold
    if (sold.size >= mostRemembered && oldest !== undefined) sold.delete(oldest)
    sold.add(name)
    return true
  }
  return {
    segment(lane, number) {
      const segments = current().filter((one) => one.number === number)
      return segments.length === 0 ? undefined : pay(lane, `segment ${number}`, segments)
    },
    async key(lane, period) {
      if (keys === undefined) throw transportErrors('stream/no-keys', {})
      const segments = current().filter(({ number }) => periodOf(number, keys.segmentsPerKey) === period)
      if (segments.length === 0) return undefined
      if (!pay(lane, `key ${period}`, segments)) return 'unpaid'
      const headers = { 'Content-Type': 'application/octet-stream', 'Cache-Control': 'private, no-store, no-transform' }
      return new Response(Uint8Array.from(await keys.key(period)), { headers })
    },
  }
}

/** How segments are counted: by their time, or one by one. */
function unitsOf(segments: readonly Segment[], unit: string): Units {
  if (unit === 'second') return segments.reduce((sum, { length }) => sum + length, 0n)
  if (unit === 'segment') return BigInt(segments.length) * oneUnit
  throw transportErrors('stream/no-meter', { unit })
}
