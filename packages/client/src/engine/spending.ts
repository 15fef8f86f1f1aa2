import type { BudgetStore } from '@flow402x/core'
import type { Terms } from './choose.ts'
import { clientErrors } from './errors.ts'
import type { Limit, Limits } from './limits.ts'

/** One limit of a budget and what is used of it, as people read it: `reserved` may still be spent, `committed` is. */
export type Spent = { readonly limit: string; readonly reserved: string; readonly committed: string; readonly left: string }

/** What is used of a budget: in dollars, today where there is a daily limit, and by CAIP-19 id in assets with a cap of their own. */
export type Spending = { readonly total: Spent; readonly today?: Spent; readonly caps: Readonly<Record<string, Spent>> }

/** The money of one client: what was reserved, spent and kept while the outcome is unknown. */
export type Purse = {
  /** Sets the amount of these terms aside. Errors: `client/over-budget`. */
  reserve(reservation: string, terms: Terms): Promise<void>
  /** The money moved. */
  commit(reservation: string): Promise<void>
  /** It cannot move. */
  release(reservation: string): Promise<void>
  spent(): Promise<Spending>
}

/** Makes the purse of a client over a budget store. */
export function createPurse({ limits, store }: { readonly limits: Limits; readonly store: BudgetStore }): Purse {
  async function commit(reservation: string): Promise<void> {
    await Promise.all(partsOf(reservation).map((part) => store.commit(part)))
  }

  async function release(reservation: string): Promise<void> {
    await Promise.all(partsOf(reservation).map((part) => store.release(part)))
  }

  async function view({ scope, limit, show }: Limit): Promise<Spent> {
    const { reserved, committed } = await store.use(scope)
    const left = limit - reserved - committed
    return { limit: show(limit), reserved: show(reserved), committed: show(committed), left: show(left > 0n ? left : 0n) }
  }

  return {
    commit,
    release,
    async reserve(reservation, terms) {
      for (const [index, part] of limits.parts(terms).entries()) {
        const asked = part.limits.map(({ scope, limit }) => ({ scope, limit }))
        const answer = await store.reserve({ id: `${reservation}.${index}`, amount: part.amount, limits: asked })
        if (answer.granted) continue
        await release(reservation)
        const show = part.limits.find(({ scope }) => scope === answer.scope)?.show ?? String
        throw clientErrors('client/over-budget', { url: terms.url, price: terms.price, scope: answer.scope, left: show(answer.left) })
      }
    },
    async spent() {
      const day = limits.today()
      const caps = await Promise.all([...limits.caps].map(async ([id, cap]) => [id, await view(cap)] as const))
      return { total: await view(limits.total), ...(day === undefined ? {} : { today: await view(day) }), caps: Object.fromEntries(caps) }
    },
  }
}

/** A payment is at most two reservations, one in dollars and one in its asset: their units differ. */
function partsOf(reservation: string): string[] {
  return [`${reservation}.0`, `${reservation}.1`]
}
