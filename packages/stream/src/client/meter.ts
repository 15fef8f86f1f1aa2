import {
  bytesPerUnit,
  costOf,
  greater,
  lesser,
  oneUnit,
  paymentStreamHeader,
  type StreamTerms,
  type Units,
  unitsFor,
} from '@flow402x/core/stream'

/** So many bytes of a recording last so long (10⁻⁹ s). */
export type Recording = { readonly bytes: bigint; readonly length: Units }

// Less than the barest speech: who says so would be paid a second for next to nothing.
const leastBytes = 64n

/** What an answer says of the recording that it is of: how long its bytes last, where that can be believed. */
export function recordingIn({ headers }: Response): Recording | undefined {
  const text = headers.get(paymentStreamHeader.name)
  const { bytes, length } = text === null ? {} : paymentStreamHeader.decode(text)
  if (bytes === undefined || length === undefined || length === 0n || bytes < leastBytes * length) return undefined
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
  /** What was received, as far as `signed` (atomic) pays for it. */
  units(signed: bigint): Units
  /**
   * What can have been received at most, which is what a last voucher may be for: no two clocks agree to a tick, and what nobody can count
   * may be all that `signed` (atomic) pays for.
   */
  most(signed: bigint): Units
  /** Whether anything came since this was last asked. */
  hasMoved(): boolean
}

/** `now` is monotonic, in milliseconds. `recording`: what comes, where it is one whose length is known. */
export type MeterOptions = { readonly now: () => number; readonly recording?: Recording | undefined }

/** A meter of these terms. */
export function createMeter({ unit, clock, rate, tick }: StreamTerms, { now, recording }: MeterOptions): Meter {
  const perUnit = bytesPerUnit(unit)
  const byBytes =
    perUnit !== undefined ? { bytes: perUnit, length: oneUnit } : unit === 'second' && clock === 'media' ? recording : undefined
  const isTime = unit === 'second' && byBytes === undefined
  let [bytes, said, moved] = [0n, 0n, false]
  let [flowed, last, isOpen, alive] = [0, now(), true, now()]

  /** Time counts while something comes, and one tick longer. */
  function pass(): void {
    const at = now()
    const until = Math.min(at, alive + Number(tick) / 1e6)
    if (isOpen && until > last) flowed += until - last
    last = at
  }

  function counted(): Units {
    if (isTime) {
      pass()
      const passed = BigInt(Math.floor(flowed * 1e6))
      // Of which nobody said how long it is, a recording comes no faster than it plays, but where its server says so.
      return clock === 'wall' ? passed : greater(passed, unitsFor(rate, said))
    }
    return byBytes === undefined ? unitsFor(rate, said) : (bytes * byBytes.length) / byBytes.bytes
  }

  return {
    received(count) {
      // What came shows that time was not idle until now.
      alive = now()
      pass()
      bytes += BigInt(count)
      moved = true
    },
    said(consumed) {
      if (consumed > said) said = consumed
    },
    flows(flowing) {
      pass()
      isOpen = flowing
    },
    units(signed) {
      const units = counted()
      return costOf(rate, units) > signed ? unitsFor(rate, signed) : units
    },
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
