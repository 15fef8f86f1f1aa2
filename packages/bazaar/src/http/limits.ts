/** How often one caller may ask: `most` at once, and one more every `every` milliseconds. */
export type Limit = { readonly most: number; readonly every: number }

const mostCallers = 100_000

/** Counts callers; gives the milliseconds that one must wait, 0 where he need not. */
export function createLimiter({ most, every }: Limit, clock: () => number): (caller: string) => number {
  // When each caller's allowance is full again: a caller who is not here has all of it.
  const full = new Map<string, number>()
  return (caller) => {
    const now = clock()
    const next = Math.max(full.get(caller) ?? 0, now) + every
    if (next - now > most * every) return next - now - most * every
    full.delete(caller)
    full.set(caller, next)
    if (full.size > mostCallers) for (const [one, until] of full) if (until <= now || full.size > mostCallers) full.delete(one)
    return 0
  }
}
