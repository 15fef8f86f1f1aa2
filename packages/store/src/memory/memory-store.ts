import type { BudgetStore, BudgetUse, Claim, ClaimStore, LogStore, Reservation, Store } from '@flow402x/core'
import { storeErrors } from '../claims/errors.ts'
import { defaultRetention, type RetentionOptions, sweepSeldom } from '../claims/retention.ts'
import { memoryJournal } from './journal.ts'

/** `force` lets the store run in production all the same: what it holds dies with the process. */
export type MemoryStoreOptions = RetentionOptions & { readonly force?: boolean }

/**
 * A store in the memory of one process, for tests and first steps.
 *
 * Errors: `config/memory-store` when `NODE_ENV` is `production`: a restart would forget which payments were served.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  if (options.force !== true && globalThis.process?.env?.NODE_ENV === 'production') throw storeErrors('config/memory-store', {})
  const { retention = defaultRetention } = options
  return {
    claims: memoryClaims(retention),
    budgets: memoryBudgets(),
    logs: memoryLogs(),
    journal: memoryJournal(retention),
    close: async () => {},
  }
}

// No operation of these stores awaits before it is done, so each is atomic in its process.

function memoryClaims(retention: number): ClaimStore {
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

function memoryBudgets(): BudgetStore {
  const held = new Map<string, Reservation>()
  const uses = new Map<string, BudgetUse>()
  const use = (scope: string): BudgetUse => uses.get(scope) ?? { reserved: 0n, committed: 0n }

  const move = ({ amount, limits }: Reservation, by: { readonly reserved: bigint; readonly committed: bigint }): void => {
    for (const scope of new Set(limits.map((limit) => limit.scope))) {
      const { reserved, committed } = use(scope)
      uses.set(scope, { reserved: reserved + amount * by.reserved, committed: committed + amount * by.committed })
    }
  }
  const end = (id: string, committed: bigint): void => {
    const reservation = held.get(id)
    if (reservation === undefined) return
    held.delete(id)
    move(reservation, { reserved: -1n, committed })
  }

  return {
    async reserve(reservation) {
      if (held.has(reservation.id)) return { granted: true }
      for (const { scope, limit } of reservation.limits) {
        const { reserved, committed } = use(scope)
        const left = limit - reserved - committed
        if (reservation.amount > left) return { granted: false, scope, left: left > 0n ? left : 0n }
      }
      held.set(reservation.id, reservation)
      move(reservation, { reserved: 1n, committed: 0n })
      return { granted: true }
    },
    async commit(id) {
      end(id, 1n)
    },
    async release(id) {
      end(id, 0n)
    },
    async use(scope) {
      return use(scope)
    },
  }
}

function memoryLogs(): LogStore {
  const payers = new Map<string, string>()
  return {
    async consume({ network, transaction, logIndex }, key) {
      const log = JSON.stringify([network, transaction, logIndex])
      const payer = payers.get(log) ?? key
      payers.set(log, payer)
      return payer === key
    },
  }
}

function hasEnded({ state }: Claim): boolean {
  return state === 'delivered' || state === 'failed'
}

function nameOf(payer: string, text: string): string {
  return JSON.stringify([payer, text])
}
