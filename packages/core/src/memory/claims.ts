import type { Claim, ClaimRequest, ClaimStore, UndeliveredOptions } from '../store/claims.ts'
import type { OutboxStore } from '../store/outbox.ts'
import { memoryOutbox } from './outbox.ts'
import { sweepSeldom } from './retention.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Claims in the memory of one process; ended ones are kept `retention` milliseconds after their payment is dead. */
export function memoryClaims(retention: number, outbox: OutboxStore = memoryOutbox(retention)): ClaimStore {
  const claims = new Map<string, Claim>()
  const named = new Map<string, string>()
  // What has not ended by purchase, and what has in the order it did: neither look-up walks through all claims.
  const purchases = new Map<string, Set<string>>()
  const ended = new Set<string>()
  // What a payer's money is spoken for by, and everything that was settled, in that order.
  const purses = new Map<string, Set<string>>()
  let settled: { readonly id: string; readonly at: number }[] = []

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
    const purse = purseOf(claim)
    const live = purses.get(purse) ?? new Set()
    if (claim.state === 'claimed' || claim.state === 'settling') live.add(claim.id)
    else live.delete(claim.id)
    if (live.size > 0) purses.set(purse, live)
    else purses.delete(purse)
    if (claim.settledAt !== undefined && claims.get(claim.id)?.settledAt === undefined) settled.push({ id: claim.id, at: claim.settledAt })
    claims.set(claim.id, claim)
    return claim
  }
  const isOverdrawn = ({ key, submission, funds }: ClaimRequest): boolean => {
    if (funds === undefined) return false
    const purse = purseOf({ payer: key.payer, submission })
    const others = new Set(purses.get(purse))
    for (let last = settled.length - 1; (settled[last]?.at ?? 0) > funds.since; last -= 1) others.add(settled[last]?.id ?? '')
    others.delete(key.id)
    let spoken = BigInt(submission.requirements.amount)
    for (const claim of [...others].map((id) => claims.get(id))) {
      if (claim !== undefined && purseOf(claim) === purse) spoken += BigInt(claim.submission.requirements.amount)
    }
    return spoken > funds.held
  }
  const sweep = (now: number, limit: number): number => {
    let [seen, forgotten] = [0, 0]
    for (const id of ended) {
      const claim = claims.get(id)
      seen += 1
      if (seen > limit) break
      if (claim === undefined || isVouched(claim) || claim.deadAfter * 1000 + retention >= now) continue
      claims.delete(id)
      ended.delete(id)
      if (claim.secret !== undefined) named.delete(nameOf(claim.payer, claim.secret))
      forgotten += 1
    }
    if (forgotten > 0) settled = settled.filter(({ id }) => claims.has(id))
    return forgotten
  }
  const seldom = sweepSeldom(sweep)

  return {
    outbox,
    async claim(asked, { maxAttempts }) {
      const { key, now, funds, ...request } = asked
      seldom(now)
      const found = claims.get(key.id)
      const free = found?.state === 'open' && found.binding === request.binding && found.attempts < maxAttempts
      if (found !== undefined && !free) return { granted: false, claim: found }
      const secret = found?.secret ?? request.secret
      if (secret !== undefined) {
        const name = nameOf(key.payer, secret)
        const other = claims.get(named.get(name) ?? key.id)
        if (other !== undefined && other.id !== key.id) return { granted: false, claim: other }
      }
      const { epoch, attempts } = found ?? { epoch: 0, attempts: 0 }
      if (isOverdrawn(asked))
        return { granted: false, overdrawn: true, claim: found ?? { ...key, ...request, state: 'open', epoch, attempts } }
      if (secret !== undefined) named.set(nameOf(key.payer, secret), key.id)
      const known = secret === undefined ? {} : { secret }
      const worked = found?.response === undefined ? {} : { submission: found.submission }
      return {
        granted: true,
        claim: put({ ...key, ...found, ...request, ...known, ...worked, state: 'claimed', epoch: epoch + 1, attempts: attempts + 1 }),
      }
    },
    async find(id) {
      return claims.get(id)
    },
    async undelivered(payer, binding, options) {
      const unended = [...(purchases.get(nameOf(payer, binding)) ?? [])].flatMap((id) => claims.get(id) ?? [])
      const left = unended.filter((claim) => isUndelivered(claim, options))
      return left.find(({ state }) => state !== 'open') ?? left[0]
    },
    async update(claim, change, { tell = [] } = {}) {
      const found = claims.get(claim.id)
      if (found === undefined || found.epoch !== claim.epoch || found.state !== claim.state) return undefined
      void outbox.put(tell)
      return put({ ...found, ...change, epoch: found.epoch + 1 })
    },
    async *unfinished({ now }) {
      yield* [...claims.values()].filter((claim) => !hasEnded(claim) && claim.leaseUntil <= now)
    },
    async *settlements({ since }) {
      for (const { id, at } of [...settled]) {
        const claim = at < since ? undefined : claims.get(id)
        if (claim !== undefined) yield claim
      }
    },
    async *vouched() {
      yield* [...claims.values()].filter(isVouched)
    },
    async purge(now) {
      return sweep(now, Number.POSITIVE_INFINITY)
    },
  }
}

function hasEnded({ state }: Claim): boolean {
  return state === 'delivered' || state === 'failed'
}

/** Whether a claim is what `ClaimStore.undelivered` looks for. */
export function isUndelivered(claim: Claim, { maxAttempts, now, holder }: UndeliveredOptions): boolean {
  const { state, attempts, response, deadAfter, leaseUntil } = claim
  if (leaseUntil > now && claim.holder === holder) return false
  if (state === 'settling') return true
  return attempts < maxAttempts && (state === 'settled' || (state === 'open' && response !== undefined && deadAfter * 1000 > now))
}

function isVouched({ vouchedBy = '' }: Claim): boolean {
  return vouchedBy !== ''
}

function purseOf({ payer, submission: { requirements } }: Pick<Claim, 'payer' | 'submission'>): string {
  return JSON.stringify([payer, requirements.network, requirements.asset])
}

function nameOf(payer: string, text: string): string {
  return JSON.stringify([payer, text])
}
