import { isX402Error, pause } from '@flow402x/core'

/** How often and how long a request is tried again. */
export type RetryOptions = {
  /** How often it is tried at most; 4 unless told. */
  readonly attempts?: number
  /** The first pause in milliseconds, doubled each time with jitter; 250 unless told. */
  readonly firstDelayMs?: number
  /** The longest pause in milliseconds, also where a server asks for more; 8,000 unless told. */
  readonly maxDelayMs?: number
}

type Trying = RetryOptions & { readonly signal?: AbortSignal | undefined; readonly onRetry?: (why: string, waitMs: number) => void }

// What says "later", and of which another try is no other purchase.
const passing = new Set([408, 425, 429, 502, 503, 504])

/**
 * Tries a request again after failures that pass, with exponential backoff. Every try must be the same call to the client (one `callId`),
 * which sends the payment it has and signs no other: so it is never paid twice.
 */
export async function retrying(
  attempt: () => Promise<Response>,
  { attempts = 4, firstDelayMs = 250, maxDelayMs = 8000, signal, onRetry }: Trying = {},
): Promise<Response> {
  for (let tried = 1; ; tried += 1) {
    const last = tried >= attempts
    let why: string
    let asked = 0
    try {
      const response = await attempt()
      if (last || !passing.has(response.status)) return response
      why = `it answered ${response.status}`
      asked = Number(response.headers.get('Retry-After') ?? 0) * 1000
      await response.body?.cancel()
    } catch (error) {
      signal?.throwIfAborted()
      if (last || !isPassing(error)) throw error
      why = error instanceof Error ? error.message : String(error)
    }
    const backoff = firstDelayMs * 2 ** (tried - 1) * (0.5 + Math.random() / 2)
    const waitMs = Math.min(maxDelayMs, Math.max(backoff, Number.isFinite(asked) ? asked : 0))
    onRetry?.(why, waitMs)
    await pause(waitMs, signal)
  }
}

function isPassing(error: unknown): boolean {
  // What `fetch` throws where nobody answers; everything of ours says itself whether the same may be sent again.
  return isX402Error(error) ? error.retry === 'same' : error instanceof TypeError
}
