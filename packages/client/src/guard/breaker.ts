import { clientErrors } from '../engine/errors.ts'

/** When an origin that takes payments and gives nothing is left alone. */
export type BreakerOptions = {
  /** After so many payments in a row that bought nothing; 5 unless told. */
  readonly failures?: number | undefined
  /** For so many milliseconds, after which one payment is tried; 60000 unless told. */
  readonly forMs?: number | undefined
}

/** Keeps a client from paying on and on where its payments buy nothing (A30); of origins, in the memory of one client. */
export type Breaker = {
  /** Errors: `client/origin-suspended`. */
  assertClosed(url: string): void
  bought(url: string): void
  failed(url: string): void
}

type Record = { readonly failures: number; readonly openUntil: number }

const mostOrigins = 1024

/** Makes a breaker; `now` is in Unix milliseconds. */
export function createBreaker({ failures: most = 5, forMs = 60_000 }: BreakerOptions, now: () => number): Breaker {
  const origins = new Map<string, Record>()
  return {
    assertClosed(url) {
      const { origin } = new URL(url)
      const record = origins.get(origin)
      if (record === undefined || now() >= record.openUntil) return
      throw clientErrors('client/origin-suspended', { origin, failures: record.failures, until: new Date(record.openUntil).toISOString() })
    },
    bought: (url) => void origins.delete(new URL(url).origin),
    failed(url) {
      const { origin } = new URL(url)
      const failures = (origins.get(origin)?.failures ?? 0) + 1
      origins.delete(origin)
      origins.set(origin, { failures, openUntil: failures < most ? 0 : now() + forMs })
      const [oldest] = origins.keys()
      if (origins.size > mostOrigins && oldest !== undefined) origins.delete(oldest)
    },
  }
}
