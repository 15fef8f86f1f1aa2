/** How much time the bytes of a recording can stand for, where nobody says how long they last. Milliseconds. */
export interface Backing {
  /** So many bytes came. */
  received(bytes: number): void
  /** Of so much time that went by, what they stand for; it is used up by that. */
  take(time: number): number
}

// A passage in which next to nothing comes may be as long as this, and after so long it is known what usually does.
const longest = 30_000
const learnt = 30_000
// The parts of a recording differ by this much at most.
const spread = 8

/**
 * Of `leastBytes` that a second has at least. Once it has run for half a minute a second has to bring an eighth of what a second brought at
 * best on average from the beginning: who begins well and then trickles is paid as slowly as he delivers.
 */
export function createBacking(leastBytes: number): Backing {
  let [left, bytes, taken, best] = [0, 0, 0, 0]
  return {
    received(count) {
      bytes += count
      const perTime = Math.max(leastBytes / 1000, best / spread)
      left = Math.min(longest, left + count / perTime)
    },
    take(time) {
      const given = Math.min(time, left)
      left -= given
      taken += given
      if (taken >= learnt) best = Math.max(best, bytes / taken)
      return given
    },
  }
}
