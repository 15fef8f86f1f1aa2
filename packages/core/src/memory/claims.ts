import type { Claim, ClaimStore } from '../protocol/store.ts'
import { sweepSeldom } from './retention.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Claims in the memory of one process; ended ones are kept `retention` milliseconds after their payment is dead. */
export function memoryClaims(retention: number): ClaimStore {
  const claims = new Map<string, Claim>()
  const named = new Map<string, string>()
  // What has not ended by purchase, and what has in the order it did: neither look-up walks through all claims.
  const purchases = new Map<string, Set<string>>()
  const ended = new Set<string>()

  const put = (claim: Claim) => {
    const purchase = nameOf(claim.payer, claim.binding)
    const ids = purchases.get(purchase) ?? new Set()
    if (hasEnded(claim)) {
      ids.delete(claim.id)
      ended.add(claim.id)
    } else {
      ids.add(claim.id)
      ended.delete(claim.id)
    }
    if (ids.size > 0) purchases.set(purchase, ids)
    else purchases.delete(purchase)
    claims.set(claim.id, claim)
    return claim
  }
  const sweep = (now: number, limit: number): number => {
    let [seen, forgotten] = [0, 0]
    for (const id of ended) {
      const claim = claims.get(id)
      seen += 1
      if (seen > limit) break
      if (claim === undefined || claim.deadAfter * 1000 + retention >= now) continue
      claims.delete(id)
      ended.delete(id)
      if (claim.secret !== undefined) named.delete(nameOf(claim.payer, claim.secret))
      forgotten += 1
    }
    return forgotten
  }
  const seldom = sweepSeldom(sweep)

  return {
    async claim({ key, now, ...request }, { maxAttempts }) {
      seldom(now)
      const found = claims.get(key.id)
      const free = found?.state === 'open' && found.binding === request.binding && found.attempts < maxAttempts
      if (found !== undefined && !free) return { granted: false, claim: found }
      const secret = found?.secret ?? request.secret
      if (secret !== undefined) {
        const name = nameOf(key.payer, secret)
        const other = claims.get(named.get(name) ?? key.id)
        if (other !== undefined && other.id !== key.id) return { granted: false, claim: other }
        named.set(name, key.id)
      }
      const { epoch, attempts } = found ?? { epoch: 0, attempts: 0 }
      const known = secret === undefined ? {} : { secret }
      return {
        granted: true,
        claim: put({ ...key, ...found, ...request, ...known, state: 'claimed', epoch: epoch + 1, attempts: attempts + 1 }),
      }
    },
    async find(id) {
      return claims.get(id)
    },
    async undelivered(payer, binding, { maxAttempts, now }) {
      const unended = [...(purchases.get(nameOf(payer, binding)) ?? [])].map((id) => claims.get(id))
      return unended.find((claim) => {
        const paid = claim?.state === 'settling' || (claim?.state === 'settled' && claim.attempts < maxAttempts)
        return paid && claim.leaseUntil <= now
      })
    },
    async update(claim, change) {
      const found = claims.get(claim.id)
      if (found === undefined || found.epoch !== claim.epoch || found.state !== claim.state) return undefined
      return put({ ...found, ...change, epoch: found.epoch + 1 })
    },
    async *unfinished({ now }) {
      yield* [...claims.values()].filter((claim) => !hasEnded(claim) && claim.leaseUntil <= now)
    },
    async purge(now) {
      return sweep(now, Number.POSITIVE_INFINITY)
    },
  }
}

function hasEnded({ state }: Claim): boolean {
  return state === 'delivered' || state === 'failed'
}

function nameOf(payer: string, text: string): string {
  return JSON.stringify([payer, text])
}
