import { pause } from '@flow402x/core'
import { bytesPerUnit, oneUnit, paymentStreamHeader, readUnits, type Units } from '@flow402x/core/stream'
import type { Lane } from '../lane/lane.ts'
import { transportErrors } from './errors.ts'

/** How many units (10⁻⁹ of one) bytes are. Both are counted from where delivery began, so that nothing is lost or won by cutting. */
export interface ByteMeter {
  unitsOf(bytes: bigint): Units
  /** The most bytes that are no more units than these. */
  bytesFor(units: Units): bigint
  /** Of which recording they are, where they are seconds of one: its payer is told, and counts alike. */
  readonly recording?: Recording
}

/** A recording: so many bytes that last so many billionths of a second. */
export type Recording = { readonly size: bigint; readonly length: bigint }

/**
 * How bytes are counted in a unit: as bytes, or as the seconds of a recording.
 *
 * Errors: `stream/no-meter` for a unit that no bytes are counted in, and for seconds of what has no length.
 */
export function byteMeter(unit: string, recording?: Recording): ByteMeter {
  const bytes = bytesPerUnit(unit)
  if (bytes !== undefined) return ratio(oneUnit, bytes)
  if (unit === 'second' && recording !== undefined && recording.length > 0n && recording.size > 0n)
    return { ...ratio(recording.length, recording.size), recording }
  throw transportErrors('stream/no-meter', { unit })
}

/** `Payment-Stream` with what a payer counts his bytes by, where they are seconds of a recording. */
export function withRecording(said: string, { recording }: ByteMeter): string {
  if (recording === undefined) return said
  const { size, length } = recording
  return paymentStreamHeader.encode({ ...paymentStreamHeader.decode(said), bytes: size * oneUnit, length })
}

/** For lanes whose time passes by itself: bytes cost nothing, and flow while there is credit. */
export const wallMeter: ByteMeter = { unitsOf: () => 0n, bytesFor: () => BigInt(Number.MAX_SAFE_INTEGER) }

/** A clock that never goes back, in milliseconds, and how to wait by it. */
export type Clockwork = { readonly now: () => number; readonly sleep: (ms: number, signal: AbortSignal) => Promise<void> }

/** The time of this machine. */
export const realTime: Clockwork = { now: () => performance.now(), sleep: (ms, signal) => pause(ms, signal).catch(() => {}) }

/** A number of units as people write it, or the usual one. */
export function readUnitsOr(count: number | undefined, usual: number): Units {
  return readUnits(String(count ?? usual)) ?? BigInt(usual) * oneUnit
}

/** What bytes flow through on a lane: each is paid before it is released. */
export interface Tap {
  /** The most bytes that are released at once. */
  readonly most: number
  /** Pays for a piece more; waits for credit and, where it is paced, for its time. `false`: the lane is over, and it stays here. */
  open(piece: Uint8Array): Promise<boolean>
  /** The pieces that were paid have left. */
  left(): void
}

/**
 * How a tap is made. With `pace` content never runs further ahead of time than `window` (10⁻⁹ s): the kernel may swallow what nobody watches.
 * `from` is how many bytes went before.
 */
export type TapOptions = {
  readonly lane: Lane
  readonly meter: ByteMeter
  readonly window: Units
  readonly pace?: Clockwork | undefined
  readonly from?: number
}

// What a socket takes at once; and no more of a window than a quarter, so that no piece waits for credit that never comes.
const largest = 65_536
const partsOfWindow = 4n

/** A tap over a lane. */
export function createTap({ lane, meter, window, pace, from = 0 }: TapOptions): Tap {
  const fits = meter.bytesFor(window / partsOfWindow)
  const most = fits < 1n ? 1 : fits > BigInt(largest) ? largest : Number(fits)
  let sent = BigInt(from)
  let [left, at] = [window, pace?.now() ?? 0]
  const inTime = async (units: Units, { now, sleep }: Clockwork): Promise<void> => {
    const filled = (): Units => {
      const since = now() - at
      at += since
      const more = left + BigInt(Math.floor(since * 1e6))
      return more > window ? window : more
    }
    for (left = filled(); left < units && left < window && !lane.signal.aborted; left = filled())
      await sleep(Number((units < window ? units : window) - left) / 1e6 + 1, lane.signal)
    left -= units
  }
  return {
    most,
    async open(piece) {
      const bytes = BigInt(piece.length)
      const units = meter.unitsOf(sent + bytes) - meter.unitsOf(sent)
      if (pace !== undefined) await inTime(units, pace)
      const isFree = lane.clock === 'wall' && isPing(piece)
      if (lane.signal.aborted || !(await (isFree ? lane.ready(0n) : lane.debit(units)))) return false
      sent += bytes
      return true
    },
    left: () => lane.left(),
  }
}

// An empty comment of SSE or an empty line, however its lines end: it keeps a connection alive, and no payer takes it for something that came.
const longestPing = 5
const pingBytes: readonly number[] = [...':\r\n'].map((letter) => letter.charCodeAt(0))

function isPing(piece: Uint8Array): boolean {
  return piece.length <= longestPing && piece.every((byte) => pingBytes.includes(byte))
}

/** Bytes in pieces of at most so many. */
export function* pieces(bytes: Uint8Array, most: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += most) yield bytes.subarray(at, at + most)
}

function ratio(units: bigint, bytes: bigint): ByteMeter {
  return {
    unitsOf: (count) => (count * units + bytes - 1n) / bytes,
    bytesFor: (count) => (count <= 0n ? 0n : (count * bytes) / units),
  }
}
