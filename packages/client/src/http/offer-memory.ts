import type { ClientScheme } from '@flow402x/core'
import { schemeFor } from '../engine/choose.ts'
import type { Message } from './message.ts'
import type { Offer } from './offer.ts'
import type { Exchange } from './redirect.ts'

/** A 402 with an offer. */
export type Asked = Exchange & { readonly offer: Offer }

/**
 * What routes asked lately, so that a request can be paid without being asked for it again. An offer is believed once it came twice
 * without a difference: one that names a price of the moment, a reference or a recent block never does.
 */
export type OfferMemory = {
  /** What this request would be asked, as the route said it last; nothing where that is not known, or too long ago. */
  recall(message: Message, now: number): Asked | undefined
  note(asked: Asked, met: { readonly now: number; readonly schemes: readonly ClientScheme[] }): void
  /** The route did not take what it asked for. */
  forget(message: Message): void
}

type Noted = { readonly offer: Offer; readonly text: string; readonly at: number; readonly aheadMs: number; readonly believed: boolean }

const mostRoutes = 256

/**
 * For `createClient({ offers })`: for `forMs` milliseconds after a route has asked the same twice it is paid that without being asked
 * again, so that a call is one round trip. Where it asks something else by then, that call fails with its amount reserved, and the next one
 * asks first. It is kept in memory, for the 256 routes met last.
 */
export function rememberOffers({ forMs }: { readonly forMs: number }): OfferMemory {
  const noted = new Map<string, Noted>()
  return {
    recall(message, now) {
      const known = noted.get(routeOf(message))
      if (known === undefined || !known.believed || now >= known.at + forMs) return undefined
      const date = Number.isNaN(known.aheadMs) ? {} : { Date: new Date(now + known.aheadMs).toUTCString() }
      return { message, offer: known.offer, response: new Response(null, { status: 402, headers: date }) }
    },
    note({ message, response, offer }, { now, schemes }) {
      // A transfer that nobody takes cannot be had back, and who was sent here from elsewhere asks there.
      const transfers = offer.required?.accepts.some((offered) => schemeFor(schemes, offered)?.send !== undefined) ?? true
      if (transfers || response.redirected) return
      const [route, text] = [routeOf(message), JSON.stringify(offer)]
      const believed = noted.get(route)?.text === text
      noted.delete(route)
      noted.set(route, { offer, text, at: now, aheadMs: Date.parse(response.headers.get('Date') ?? '') - now, believed })
      const [oldest] = noted.keys()
      if (noted.size > mostRoutes && oldest !== undefined) noted.delete(oldest)
    },
    forget: (message) => void noted.delete(routeOf(message)),
  }
}

/** A request as far as its price may depend on it and nothing is secret about it: another payer may be asked something else. */
function routeOf({ method, url, headers }: Message): string {
  return [method, url, headers.get('authorization'), headers.get('cookie')].join('\n')
}
