import { type Claim, type ClaimStore, defineErrors, type Store } from '@flow402x/core'

/** `force` lets the store run in production all the same: what it holds dies with the process. */
export type MemoryStoreOptions = { readonly force?: boolean }

/**
 * A store in the memory of one process, for tests and first steps.
 *
 * Errors: `config/memory-store` when `NODE_ENV` is `production`: a restart would forget which payments were served.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  if (options.force !== true && globalThis.process?.env?.['NODE_ENV'] === 'production') throw storeErrors('config/memory-store', {})
  return { claims: memoryClaims() }
}

function memoryClaims(): ClaimStore {
  const claims = new Map<string, Claim>()
  const put = (claim: Claim) => {
    claims.set(claim.id, claim)
    return claim
  }
  return {
    async claim({ key, now: _, ...request }, { maxAttempts }) {
      const found = claims.get(key.id)
      if (found === undefined) return { granted: true, claim: put({ ...key, ...request, state: 'claimed', epoch: 1, attempts: 1 }) }
      const free = found.state === 'open' && found.binding === request.binding && found.attempts < maxAttempts
      if (!free) return { granted: false, claim: found }
      return { granted: true, claim: put({ ...found, ...request, state: 'claimed', epoch: found.epoch + 1, attempts: found.attempts + 1 }) }
    },
    async find(id) {
      return claims.get(id)
    },
    async undelivered(payer, binding, { maxAttempts }) {
      for (const claim of claims.values()) {
        const unfinished = claim.state === 'settling' || (claim.state === 'settled' && claim.attempts < maxAttempts)
        if (unfinished && claim.payer === payer && claim.binding === binding) return claim
      }
      return undefined
    },
    async update(claim, change) {
      const found = claims.get(claim.id)
      if (found === undefined || found.epoch !== claim.epoch || found.state !== claim.state) return undefined
      return put({ ...found, ...change, epoch: found.epoch + 1 })
    },
  }
}

const storeErrors = defineErrors({
  'config/memory-store': {
    status: 500,
    phase: 'quote',
    moneyMoved: 'no',
    retry: 'never',
    message: (_: Record<never, never>) =>
      'The memory store forgets every claim when the process ends and is refused in production. Use a durable store, or pass { force: true } if losing claims is acceptable.',
  },
})
