import { bytesPerUnit, costOf, lesser, oneUnit, paymentStreamHeader, type StreamTerms, type Units, unitsFor } from '@flow402x/core/stream'
import { createBacking } from './backing.ts'
import type { PayStreamOptions, Plan } from './pay-stream.ts'

/** So many bytes of a recording last so long (10⁻⁹ s). */
export type Recording = { readonly bytes: bigint; readonly length: Units }

// Less than the barest speech: who says so would be paid a second for next to nothing.
const fewestBytes = 64

// Nothing that is sold by its seconds goes on for longer: what says how large it is has so said how fast it comes at least.
const longestSeconds = 86_400n
const sizeText = /^\d{1,16}$/
const rangeText = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/

/** Which part of the whole an answer says that it is, in bytes. */
export function partIn({ headers }: Response): { readonly from: bigint; readonly size: bigint } | undefined {
  const [, from, , size] = rangeText.exec(headers.get('Content-Range') ?? '') ?? []
  return from === undefined || size === undefined ? undefined : { from: BigInt(from), size: BigInt(size) }
}

/** What an answer says that the whole is, in bytes. */
export function sizeIn(answer: Response): bigint | undefined {
  const length = answer.headers.get('Content-Length') ?? ''
  return partIn(answer)?.size ?? (sizeText.test(length) ? BigInt(length) : undefined)
}

/** What asks for a file from its byte `at` on, of the version that was begun with. */
export function restHeaders({ headers }: Response, at: bigint): Readonly<Record<string, string>> {
  const tag = headers.get('ETag')
  return { Range: `bytes=${at}-`, ...(tag !== null && { 'If-Range': tag }) }
}

/** Whether an answer goes on with a file at its byte `at`, which is as large as it was. */
export function isRest(answer: Response, { at, size }: { readonly at: bigint; readonly size: bigint | undefined }): boolean {
  const part = partIn(answer)
  return answer.status === 206 && part?.from === at && (size === undefined || part.size === size)
}

/** What an answer says of the recording that it is of: how long its bytes last, where that can be believed. */
export function recordingIn(
  { headers }: Response,
  { leastBytes = fewestBytes }: Pick<MeterOptions, 'leastBytes'> = {},
): Recording | undefined {
  const text = headers.get(paymentStreamHeader.name)
  const { bytes, length } = text === null ? {} : paymentStreamHeader.decode(text)
  if (bytes === undefined || length === undefined || length === 0n || bytes < BigInt(Math.ceil(leastBytes)) * length) return undefined
  return { bytes: bytes / oneUnit, length }
}

/**
 * Counts what a payer has received of a stream, in its unit: bytes; the seconds of a recording, by the bytes of it that came; or time while
 * bytes come. What nobody can count from outside, such as tokens, is what its server says, and never more than was signed.
 */
export interface Meter {
  /** So many bytes of the application came, or a sign of life (0). */
  received(bytes: number): void
  /** The server says that so much (atomic) was used of the lane. */
  said(consumed: bigint): void
  /** Whether the gate is open, by the server's word: a shut one costs nothing. */
  flows(isOpen: boolean): void
  /** The server says that its clock stood still until now, and perhaps what (atomic) was used by then: no more is counted either. */
  stood(consumed?: bigint): void
  /** What was received, as far as `signed` (atomic) pays for it. */
  units(signed: bigint): Units
  /** The part of that which is to be paid by now: what comes sooner than it can be used is paid when it can. */
  due(signed: bigint): Units
  /** Whether there is more than what is due. */
  isEarly(): boolean
  /**
   * What can have been received at most, which is what a last voucher may be for: no two clocks agree to a tick, and what nobody can count
   * may be all that `signed` (atomic) pays for.
   */
  most(signed: bigint): Units
  /** Whether anything came since this was last asked. */
  hasMoved(): boolean
}

/** `now` is monotonic, in milliseconds. */
export type MeterOptions = {
  readonly now: () => number
  /** What comes, where it is one whose length is known. */
  readonly recording?: Recording | undefined
  /** What comes in all, in bytes, where that is known. */
  readonly size?: bigint | undefined
  /** The fewest bytes that a second brings: 64 of a recording unless told, or so many that `size` comes in a day; and none of what is live. */
  readonly leastBytes?: number | undefined
  /** How much faster than it plays a recording is paid, and by how much it may be ahead; as fast as it comes unless told. */
  readonly play?: { readonly speed: number; readonly ahead: Units } | undefined
  /** What this side counted by itself, in units. */
  readonly count?: (() => number) | undefined
}

/** A meter of these terms. */
export function createMeter(
  { unit, clock, rate, tick }: StreamTerms,
  { now, recording, size, leastBytes, play, count }: MeterOptions,
): Meter {
  const perUnit = bytesPerUnit(unit)
  const isRecording = unit === 'second' && clock === 'media'
  const byBytes = perUnit !== undefined ? { bytes: perUnit, length: oneUnit } : isRecording ? recording : undefined
  const isTime = unit === 'second' && byBytes === undefined
  const least = leastBytes ?? (isRecording ? Math.max(fewestBytes, Number((size ?? 0n) / longestSeconds)) : 0)
  const backing = isTime && least > 0 ? createBacking(least) : undefined
  let [bytes, said, moved] = [0n, 0n, false]
  let [flowed, last, isOpen, alive] = [0, now(), true, now()]
  const [began, linger] = [last, Number(tick) / 1e6]

  /** Time counts while something comes, and one tick longer. */
  function pass(): void {
    const until = Math.min(now(), alive + linger)
    if (!isOpen || until <= last) return
    flowed += backing === undefined ? until - last : backing.take(until - last)
    last = until
  }

  /** Nothing counts between what was alive before and now. */
  function standing(): void {
    pass()
    last = now()
  }

  function counted(): Units {
    if (isTime) {
      pass()
      const ahead = isRecording ? Number(unitsFor(rate, said)) / 1e6 - flowed : 0
      // A recording of which nobody said how long it is may come faster than time, where its server says so and its bytes stand for it.
      if (ahead > 0) flowed += backing?.take(ahead) ?? 0
      return unitsOf(flowed / 1000)
    }
    return byBytes === undefined ? unitsFor(rate, said) : (bytes * byBytes.length) / byBytes.bytes
  }

  function usable(): Units {
    const units = counted()
    const played = isRecording && play !== undefined ? unitsOf(((now() - began) / 1000) * play.speed) + play.ahead : units
    return [played, count === undefined ? units : unitsOf(count())].reduce(lesser, units)
  }

  const within = (units: Units, signed: bigint): Units => (costOf(rate, units) > signed ? unitsFor(rate, signed) : units)

  return {
    received(length) {
      const at = now()
      // Within another tick it was under way, and time was not idle until now: else a network that is late would cost its server time.
      if (clock === 'wall' && at > alive + 2 * linger) standing()
      alive = at
      backing?.received(length)
      pass()
      bytes += BigInt(length)
      moved = true
    },
    said(consumed) {
      if (consumed > said) said = consumed
    },
    flows(flowing) {
      pass()
      if (isRecording || !isOpen) last = now()
      isOpen = flowing
    },
    stood(consumed) {
      standing()
      if (isTime && !isRecording && consumed !== undefined) flowed = Math.min(flowed, Number(unitsFor(rate, consumed)) / 1e6)
    },
    units: (signed) => within(counted(), signed),
    due: (signed) => within(usable(), signed),
    isEarly: () => usable() < counted(),
    most(signed) {
      const paid = unitsFor(rate, signed)
      if (!isTime || clock === 'media') return byBytes === undefined ? paid : lesser(counted(), paid)
      return lesser(counted() + tick, paid)
    },
    hasMoved() {
      const has = moved
      moved = false
      return has
    },
  }
}

/** What a payer has counted of a stream: units, and what those cost (atomic). */
type Counts = {
  /** Nothing where the stream asks no money. */
  readonly meter: Meter | undefined
  /** What came. */
  received(): Units
  /** What of it is to be paid by now. */
  due(): Units
  /** What that costs. */
  counted(): bigint
  /** What it can cost at most. */
  most(): bigint
}

/** What of a stream is counted, and by which of its payer's options. */
type Counted = Pick<PayStreamOptions, 'leastBytes' | 'speed' | 'count'> & {
  readonly terms: StreamTerms | undefined
  readonly plan: Plan | undefined
  /** The answer whose body is read; none for what comes by a socket. */
  readonly answer?: Response
  readonly now: () => number
  /** What was signed for it by now (atomic): no more is ever counted. */
  readonly signed: () => bigint
}

/** How long nothing may happen before a gate is taken for shut, and before it is looked whether what came early is due; in milliseconds. */
export const moment = 1000

/** Counts for whoever reads a stream, by whatever it comes. */
export function countsOf({ terms, plan, speed = 1, answer, signed, ...options }: Counted): Counts {
  const said = answer && { recording: recordingIn(answer, options), size: sizeIn(answer) }
  const meter = terms && createMeter(terms, { ...options, ...said, play: plan && { speed, ahead: plan.window } })
  const cost = (units: Units = 0n): bigint => (terms === undefined ? 0n : costOf(terms.rate, units))
  const due = (): Units => meter?.due(signed()) ?? 0n
  return {
    meter,
    received: () => meter?.units(signed()) ?? 0n,
    due,
    counted: () => cost(due()),
    most: () => cost(meter?.most(signed())),
  }
}

/** A number of units as others count them. */
function unitsOf(count: number): Units {
  return count > 0 && Number.isFinite(count) ? BigInt(Math.floor(count * 1e9)) : 0n
}
