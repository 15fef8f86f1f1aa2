import type { Claim } from '@flow402x/core'
import type { Engine } from './server.ts'

/** A claim that this process works on: its lease is renewed for as long as the process lives (hazards §2). */
export type Tenure = {
  /** Ends the renewing, and gives the claim as it then stands. It never rejects. */
  end(): Promise<Claim>
}

/** Holds a claim until `end`. Where somebody else has changed it meanwhile it is not taken back (M6). */
export function holdClaim({ claims, clock, lease, emit }: Engine, claim: Claim): Tenure {
  let held = claim
  let renewing: Promise<void> | undefined
  const timer = setInterval(() => {
    renewing ??= renew().finally(() => {
      renewing = undefined
    })
  }, lease / 3)
  // Who waits for an answer keeps the process alive, not the renewing. Runtimes without Node's timers have nothing to keep alive.
  if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  return {
    async end() {
      clearInterval(timer)
      await renewing
      return held
    },
  }

  async function renew(): Promise<void> {
    try {
      const renewed = await claims.update(held, { leaseUntil: clock() + lease })
      if (renewed === undefined) clearInterval(timer)
      else held = renewed
    } catch (error) {
      emit({ type: 'error', error })
    }
  }
}
