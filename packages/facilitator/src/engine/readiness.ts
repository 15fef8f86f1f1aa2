import type { FacilitatorScheme } from '@flow402x/core'
import { facilitatorErrors } from './errors.ts'
import type { OnEvent } from './events.ts'

/** Whether one scheme may be served yet. */
export type Readiness = {
  readonly done: boolean
  /** Starts the scheme, or joins a start that is under way or done. Throws what the scheme throws. */
  start(signal: AbortSignal | undefined): Promise<void>
  /** Resolves when the scheme is started; a failed start is tried again, at most once a second. Errors: `facilitator/not-ready`. */
  wait(): Promise<void>
}

const retryAfter = 1000

/** Starts a scheme once; after a failure its chain is left alone for a second, so that a dead one is not asked per payment. `clock` in Unix milliseconds. */
export function createReadiness(
  scheme: FacilitatorScheme,
  { clock, onEvent }: { readonly clock: () => number; readonly onEvent: OnEvent },
): Readiness {
  const name = { scheme: scheme.scheme, network: scheme.network }
  let started: Promise<void> | undefined
  let done = false
  let failed: { readonly at: number; readonly cause: unknown } | undefined

  return {
    get done() {
      return done
    },
    start: (signal) => {
      started ??= run(signal)
      return started
    },
    async wait() {
      if (started === undefined && failed !== undefined && clock() < failed.at + retryAfter) throw notReady(failed.cause)
      try {
        started ??= run(undefined)
        await started
      } catch (cause) {
        throw notReady(cause)
      }
    },
  }

  async function run(signal: AbortSignal | undefined): Promise<void> {
    try {
      await scheme.start({ signal })
      done = true
      onEvent({ type: 'started', ...name })
    } catch (error) {
      started = undefined
      failed = { at: clock(), cause: error }
      onEvent({ type: 'startFailed', ...name, error })
      throw error
    }
  }

  function notReady(cause: unknown): Error {
    return facilitatorErrors('facilitator/not-ready', { ...name, cause })
  }
}
