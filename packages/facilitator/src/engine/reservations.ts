import type { Draw, JournalStore } from '@flow402x/core'

/** What payers have promised and not paid: what they hold is good for the rest alone (M8, M15). */
export type Reservations = {
  /**
   * Holds a place for a payment until `leave`, if what its payer holds is enough for it beside all that he has promised here, on
   * any facilitator of the store, and if that is not too many payments.
   */
  take(draw: Draw, asked: Asked): Promise<Place>
}

/** `funds`: what the payer holds, where that is known. Without `keep` the place is only looked for. */
export type Asked = { readonly id: string; readonly funds: bigint | undefined; readonly keep: boolean }

/** A place, or why there is none. */
export type Place = { readonly leave: () => void } | 'short' | 'busy'

/** `most` is how many payments of one account may be under way. */
export type ReservationsOptions = { readonly journal: JournalStore; readonly most: number }

/** Counts the journal, and what is on its way into it from here: of payments that come at once each sees those before it. */
export function createReservations({ journal, most }: ReservationsOptions): Reservations {
  const arriving = new Map<string, Map<string, bigint>>()
  return {
    async take({ account, amount }, { id, funds, keep }) {
      const here = arriving.get(account) ?? new Map<string, bigint>()
      const earlier = [...here]
      if (keep) arriving.set(account, here.set(id, amount))
      const leave = (): void => {
        here.delete(id)
        if (here.size === 0 && arriving.get(account) === here) arriving.delete(account)
      }
      try {
        const others = new Map([...earlier, ...(await journal.drawn(account))])
        others.delete(id)
        const promised = [...others.values()].reduce((sum, one) => sum + one, amount)
        if (others.size < most && (funds === undefined || promised <= funds)) return { leave }
        leave()
        return others.size < most ? 'short' : 'busy'
      } catch (error) {
        leave()
        throw error
      }
    },
  }
}
