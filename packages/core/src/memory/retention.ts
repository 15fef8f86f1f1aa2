/** How long what has ended is kept. */
export type RetentionOptions = {
  /**
   * Milliseconds after `deadAfter` for which an ended claim is kept and its response can be fetched again; one day where nothing
   * is said. It covers the skew of clocks too (hazards D5).
   */
  readonly retention?: number
}

/** One day. */
export const defaultRetention = 86_400_000

const everyClaims = 256
const mostAtOnce = 1024

/**
 * Forgets ended claims along the way, without a timer: before every 256th claim at most 1,024 of them, so that more leave than
 * come.
 */
export function sweepSeldom<Result>(sweep: (now: number, limit: number) => Result): (now: number) => Result | undefined {
  let left = everyClaims
  return (now) => {
    left -= 1
    if (left > 0) return undefined
    left = everyClaims
    return sweep(now, mostAtOnce)
  }
}
