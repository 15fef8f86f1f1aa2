import type { JournalStore, Outcome, Settlement, SignerLease, Slot, SlotKey } from '@flow402x/core'

/** The books of one process that keeps none on disk: they end with it, and so does its knowledge of what it sent. */
export function memoryJournal(): JournalStore {
  const settlements = new Map<string, Settlement>()
  const slots = new Map<string, Slot>()
  const leases = new Map<string, SignerLease>()
  const holds = (lease: SignerLease): boolean => leases.get(laneName(lease))?.epoch === lease.epoch
  const queued = (settlement: Settlement | undefined): settlement is Settlement =>
    settlement !== undefined && settlement.slot === undefined && settlement.outcome === undefined
  const change = (settlement: Settlement, { slot, outcome }: { readonly slot?: SlotKey; readonly outcome?: Outcome }): void => {
    const { slot: _, ...rest } = settlement
    const ridden = slot === undefined ? {} : { slot }
    const ended = outcome === undefined ? {} : { outcome }
    settlements.set(settlement.id, { ...rest, ...ridden, ...ended, epoch: settlement.epoch + 1 })
  }

  return {
    async begin(settlement, now) {
      const before = settlements.get(settlement.id)
      if (before !== undefined && !(queued(before) && before.leaseUntil <= now)) return { begun: false, settlement: before }
      const begun: Settlement = { ...settlement, epoch: (before?.epoch ?? 0) + 1 }
      settlements.set(settlement.id, begun)
      return { begun: true, settlement: begun }
    },
    async find(id) {
      return settlements.get(id)
    },
    async conclude({ id, epoch }, outcome) {
      const settlement = settlements.get(id)
      if (!queued(settlement) || settlement.epoch !== epoch) return false
      if (outcome === undefined) settlements.delete(id)
      else change(settlement, { outcome })
      return true
    },
    async lease({ network, signer, owner, now, until }) {
      const name = laneName({ network, signer })
      const before = leases.get(name)
      const alive = before !== undefined && before.until > now
      if (alive && before.owner !== owner) return undefined
      const lease = { network, signer, owner, until, epoch: before?.owner === owner ? before.epoch : (before?.epoch ?? 0) + 1 }
      leases.set(name, lease)
      return lease
    },
    async release(lease) {
      const before = leases.get(laneName(lease))
      if (before?.epoch === lease.epoch) leases.set(laneName(lease), { ...before, owner: '', epoch: before.epoch + 1, until: 0 })
    },
    async prepare(lease, attempt, { payments, now }) {
      if (!holds(lease)) return false
      const { network } = lease
      const { signer, nonce } = attempt
      const slot = slots.get(slotName({ network, signer, nonce }))
      if (slot !== undefined) {
        if (slot.state !== 'open' || payments.some((id) => !slot.payments.includes(id))) return false
        slots.set(slotName(slot), { ...slot, attempts: [...slot.attempts, attempt] })
        return true
      }
      const riders = payments.map((id) => settlements.get(id)).filter(queued)
      if (riders.length < payments.length) return false
      slots.set(slotName({ network, signer, nonce }), {
        network,
        signer,
        nonce,
        attempts: [attempt],
        payments: [...payments],
        state: 'open',
        since: now,
      })
      for (const rider of riders) change(rider, { slot: { network, signer, nonce } })
      return true
    },
    async slots({ network, signer }) {
      const name = laneName({ network, signer })
      return [...slots.values()].filter((slot) => laneName(slot) === name && slot.state !== 'final').toSorted(byNonce)
    },
    async resolve(lease, key, { state, outcomes }) {
      const slot = slots.get(slotName(key))
      if (!holds(lease) || slot === undefined) return false
      // Nothing outside this process will ever ask for the bytes of a slot that is done.
      if (state === 'final') slots.delete(slotName(key))
      else slots.set(slotName(key), { ...slot, state })
      for (const id of slot.payments) {
        const settlement = settlements.get(id)
        const outcome = outcomes.get(id)
        if (settlement?.slot === undefined) continue
        if (outcome !== undefined) change(settlement, { slot: settlement.slot, outcome })
        else if (settlement.outcome === undefined && state === 'final') change(settlement, {})
      }
      return true
    },
    async *abandoned(now) {
      for (const settlement of settlements.values()) if (queued(settlement) && settlement.leaseUntil <= now) yield settlement
    },
    async purge(now) {
      const dead = [...settlements.values()].filter(
        ({ outcome, slot, deadAfter }) =>
          outcome !== undefined && now / 1000 > deadAfter + marginSeconds && (slot === undefined || !slots.has(slotName(slot))),
      )
      for (const { id } of dead) settlements.delete(id)
      return dead.length
    },
  }
}

// Clocks of payer, seller and chain may differ by minutes.
const marginSeconds = 600

function laneName({ network, signer }: { readonly network: string; readonly signer: string }): string {
  return `${network} ${signer}`
}

function slotName({ network, signer, nonce }: SlotKey): string {
  return `${network} ${signer} ${nonce}`
}

function byNonce(a: Slot, b: Slot): number {
  return a.nonce < b.nonce ? -1 : 1
}
