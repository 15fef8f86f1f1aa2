import type { JournalStore, Settlement, SignerLease, Slot, SlotKey } from '../store/journal.ts'
import type { OutboxStore } from '../store/outbox.ts'
import { memoryOutbox } from './outbox.ts'
import { sweepSeldom } from './retention.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** A facilitator's journal in the memory of one process. */
export function memoryJournal(retention: number, outbox: OutboxStore = memoryOutbox(retention)): JournalStore {
  const settlements = new Map<string, Settlement>()
  // The payment of each claim, or, of a buried one, until when it stays so.
  const claims = new Map<string, { readonly id: string } | { readonly deadAfter: number }>()
  const slots = new Map<string, Slot>()
  const leases = new Map<string, SignerLease>()
  // What stands on each account: asked for with every payment, and a small part of all that is kept.
  const draws = new Map<string, Map<string, bigint>>()

  const count = ({ id, draw }: Settlement, standing: boolean): void => {
    if (draw === undefined) return
    const those = draws.get(draw.account) ?? new Map<string, bigint>()
    if (standing) draws.set(draw.account, those.set(id, draw.amount))
    else if (those.delete(id) && those.size === 0) draws.delete(draw.account)
  }
  const put = (settlement: Settlement): Settlement => {
    const { id, claimId, outcome } = settlement
    settlements.set(id, settlement)
    if (claimId !== undefined) claims.set(claimId, { id })
    count(settlement, outcome === undefined)
    return settlement
  }
  const drop = (settlement: Settlement): void => {
    const { id, claimId } = settlement
    settlements.delete(id)
    if (claimId !== undefined) claims.delete(claimId)
    count(settlement, false)
  }
  const standing = (lease: SignerLease): SignerLease | undefined => {
    const held = leases.get(laneOf(lease))
    return held?.owner === lease.owner && held.epoch === lease.epoch ? held : undefined
  }
  const sweep = (now: number, limit: number): number => {
    const over = ({ outcome, slot, deadAfter }: Settlement): boolean =>
      outcome !== undefined && deadAfter * 1000 + retention < now && (slot === undefined || slots.get(nameOf(slot))?.state === 'final')
    const ended = [...settlements.values()].filter(over).slice(0, limit)
    for (const settlement of ended) drop(settlement)
    for (const [claimId, of] of claims) if ('deadAfter' in of && of.deadAfter * 1000 + retention < now) claims.delete(claimId)
    for (const [name, { state, since, payments }] of slots) {
      if (state === 'final' && since + retention < now && !payments.some((id) => settlements.has(id))) slots.delete(name)
    }
    return ended.length
  }
  const seldom = sweepSeldom(sweep)

  return {
    outbox,
    async begin(settlement, now) {
      seldom(now)
      const found = settlements.get(settlement.id)
      const { owner, leaseUntil, claimId, heardUntil } = settlement
      if (found === undefined) {
        if (claimId !== undefined && claims.has(claimId)) return { begun: false }
        return { begun: true, settlement: put({ ...settlement, epoch: 1 }) }
      }
      if (!isQueued(found) || found.leaseUntil > now) return { begun: false, settlement: found }
      const heard = found.claimId !== undefined || heardUntil === undefined ? {} : { heardUntil }
      return { begun: true, settlement: put({ ...found, owner, leaseUntil, ...heard, epoch: found.epoch + 1 }) }
    },
    async find(id) {
      return settlements.get(id)
    },
    async bury(claimId, deadAfter) {
      const of = claims.get(claimId)
      if (of !== undefined && 'id' in of) return settlements.get(of.id)
      claims.set(claimId, { deadAfter: Math.max(deadAfter, of?.deadAfter ?? 0) })
      return undefined
    },
    async drawn(account) {
      return new Map(draws.get(account))
    },
    async hear({ id, heardUntil }, until) {
      const found = settlements.get(id)
      if (heardUntil === undefined || found?.heardUntil !== heardUntil) return false
      put({ ...found, heardUntil: until })
      return true
    },
    async conclude({ id, epoch }, outcome) {
      const found = settlements.get(id)
      if (found?.epoch !== epoch || !isQueued(found) || outcome?.status === 'pending') return false
      if (outcome === undefined) drop(found)
      else put({ ...found, outcome, epoch: epoch + 1 })
      return true
    },
    async lease({ network, signer, owner, now, until }) {
      const lane = laneOf({ network, signer })
      const found = leases.get(lane)
      if (found !== undefined && found.until > now && found.owner !== owner) return undefined
      const epoch = found?.owner === owner ? found.epoch : (found?.epoch ?? 0) + 1
      const lease = { network, signer, owner, epoch, until }
      leases.set(lane, lease)
      return lease
    },
    async release(lease) {
      const held = standing(lease)
      // The row stays, so that the epoch goes on growing; nobody is its owner.
      if (held !== undefined) leases.set(laneOf(lease), { ...held, owner: '', epoch: held.epoch + 1, until: 0 })
    },
    async prepare(lease, attempt, { payments, now }) {
      if (standing(lease) === undefined || attempt.signer !== lease.signer) return false
      const key = { network: lease.network, signer: lease.signer, nonce: attempt.nonce }
      const found = slots.get(nameOf(key))
      const once = [...new Set(payments)]
      if (found !== undefined) {
        if (found.state !== 'open' || once.some((id) => !found.payments.includes(id))) return false
        if (found.attempts.some(({ transaction }) => transaction === attempt.transaction)) return true
        slots.set(nameOf(key), { ...found, attempts: [...found.attempts, attempt], since: now })
        return true
      }
      const queued = once.flatMap((id) => settlements.get(id) ?? []).filter(isQueued)
      if (queued.length < once.length) return false
      slots.set(nameOf(key), { ...key, attempts: [attempt], payments: once, state: 'open', since: now })
      for (const settlement of queued) put({ ...settlement, slot: key, epoch: settlement.epoch + 1 })
      return true
    },
    async slots(signer) {
      const lane = laneOf(signer)
      const standing = [...slots.values()].filter((slot) => slot.state !== 'final' && laneOf(slot) === lane)
      return standing.sort((a, b) => (a.nonce < b.nonce ? -1 : 1))
    },
    async resolve(lease, key, { state, outcomes, now, tell = [] }) {
      const [held, found] = [standing(lease), slots.get(nameOf(key))]
      if (held === undefined || found === undefined || laneOf(found) !== laneOf(lease)) return false
      if (found.state === 'final') return state === 'final'
      const payments = found.payments.filter((id) => {
        const settlement = settlements.get(id)
        if (settlement === undefined) return false
        const { slot = key, outcome: before, ...rest } = settlement
        const told = outcomes.get(id)
        const outcome = told === undefined ? before : told.status === 'pending' ? undefined : told
        const epoch = rest.epoch + 1
        const leaves = state === 'final' && outcome === undefined
        if (leaves) put({ ...rest, owner: held.owner, leaseUntil: held.until, epoch })
        else if (told !== undefined) put({ ...rest, slot, ...(outcome === undefined ? {} : { outcome }), epoch })
        return !leaves
      })
      slots.set(nameOf(key), { ...found, state, payments, since: state === found.state ? found.since : now })
      void outbox.put(tell)
      return true
    },
    async *abandoned(now) {
      yield* [...settlements.values()].filter((settlement) => isQueued(settlement) && settlement.leaseUntil <= now)
    },
    async purge(now) {
      return sweep(now, Number.POSITIVE_INFINITY)
    },
  }
}

function isQueued({ slot, outcome }: Settlement): boolean {
  return slot === undefined && outcome === undefined
}

function laneOf({ network, signer }: { readonly network: string; readonly signer: string }): string {
  return JSON.stringify([network, signer])
}

function nameOf({ network, signer, nonce }: SlotKey): string {
  return JSON.stringify([network, signer, String(nonce)])
}
