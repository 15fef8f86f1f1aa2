import type { JournalStore, Outcome } from '@flow402x/core'
import type { Desk } from '../engine/desk.ts'
import type { OnEvent } from '../engine/events.ts'

/** What this process has done since it was made, and what it has in hand. */
export type Counts = {
  /** Payments that ended, by their outcome; `pending` counts how often that was the answer. */
  readonly outcomes: Readonly<Record<Outcome['status'], number>>
  /** Payments that wait for a signer or ride in a transaction that is not mined (H51). */
  readonly inFlight: readonly { readonly network: string; readonly signer: string; readonly payments: number }[]
}

/** How a facilitator stands. `down`: it serves nobody. `degraded`: part of it does not work, or needs its operator. */
export type Health = {
  readonly status: 'ok' | 'degraded' | 'down'
  readonly networks: readonly { readonly network: string; readonly scheme: string; readonly ready: boolean }[]
  /** Signers with less than their chain wants them to have (H33). */
  readonly dry: readonly { readonly network: string; readonly signer: string }[]
  /** Payments in transactions that are not mined, over all processes of the store; nothing when the journal did not answer. */
  readonly pending?: number
  /** Those of them that have been under way for more than `overdueAfter`: the number to raise an alarm on (H43). */
  readonly overdue?: number
  readonly counts: Counts
}

/** What is watched. `overdueAfter` in milliseconds, `clock` in Unix milliseconds. */
export type WatchOptions = {
  readonly desks: readonly Desk[]
  readonly journal: JournalStore
  readonly clock: () => number
  readonly overdueAfter: number
}

/** Counts outcomes as they pass by. */
export function countOutcomes(onEvent: OnEvent): { readonly onEvent: OnEvent; readonly outcomes: Counts['outcomes'] } {
  const outcomes = { settled: 0, pending: 0, notSettled: 0 }
  return {
    outcomes,
    onEvent(event) {
      if (event.type === 'outcome') outcomes[event.outcome.status] += 1
      onEvent(event)
    },
  }
}

/** What the signers of some desks have in hand in this process. */
export function inFlight(desks: readonly Desk[]): Counts['inFlight'] {
  return chainsOf(desks).flatMap(({ scheme: { network, writer }, lanes }) =>
    writer.signers.map((signer) => ({ network, signer, payments: lanes.load(signer) })),
  )
}

/** Asks how everything stands; it never rejects. */
export async function healthOf({ desks, journal, clock, overdueAfter }: WatchOptions, counts: Counts): Promise<Health> {
  // Whoever waits for health before he sends anybody here must not wait for ever.
  for (const { ready } of desks) void ready.wait().catch(() => {})
  const networks = desks.map(({ scheme: { network, scheme }, ready }) => ({ network, scheme, ready: ready.done }))
  const chains = chainsOf(desks)
  const dry = chains.flatMap(({ scheme: { network }, gauge }) => gauge.dry.map((signer) => ({ network, signer })))
  const waiting = await pendingIn({ desks: chains, journal, clock, overdueAfter }).catch(() => undefined)
  const served = waiting !== undefined && desks.some(({ ready, gauge }) => ready.done && gauge.filled)
  const well = networks.every(({ ready }) => ready) && dry.length === 0 && waiting?.overdue === 0
  return { status: !served ? 'down' : well ? 'ok' : 'degraded', networks, dry, ...waiting, counts }
}

async function pendingIn({ desks, journal, clock, overdueAfter }: WatchOptions): Promise<{ pending: number; overdue: number }> {
  // It was taken in moments before its lease, which nobody renews once it rides in a slot.
  const isOld = async (payment: string): Promise<boolean> => {
    const settlement = await journal.find(payment)
    return settlement !== undefined && settlement.leaseUntil + overdueAfter < clock()
  }
  const total = { pending: 0, overdue: 0 }
  for (const { scheme, lanes } of desks) {
    for (const signer of lanes.names) {
      const slots = await journal.slots({ network: scheme.network, signer })
      // They come in the order in which they were signed: behind one that is young there is none that is old.
      let old = true
      for (const { payments } of slots.filter(({ state }) => state === 'open' || state === 'foreign')) {
        total.pending += payments.length
        old &&= payments[0] === undefined || (await isOld(payments[0]))
        if (old) total.overdue += payments.length
      }
    }
  }
  return total
}

/** One desk of each chain. */
function chainsOf(desks: readonly Desk[]): readonly Desk[] {
  return desks.filter(({ lanes }, index) => desks.findIndex((other) => other.lanes === lanes) === index)
}
