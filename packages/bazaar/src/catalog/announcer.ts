import { pause } from '@flow402x/core'
import {
  bazaarDeclaration,
  bazaarKey,
  type CatalogueStore,
  judgeListing,
  type ListingNotice,
  listingKey,
  type SettledPayment,
} from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import type { BazaarEvent } from './bazaar.ts'
import type { Listings } from './listings.ts'
import type { Payers } from './payers.ts'

/** With what settled payments are heard of. */
export type AnnouncerOptions = {
  readonly catalogue: CatalogueStore
  readonly listings: Listings
  readonly payers: Payers
  /** The networks whose chains are looked at. */
  readonly networks: readonly string[]
  readonly clock: () => number
  readonly onEvent: (event: BazaarEvent) => void
  readonly closed: AbortSignal
  readonly tracked: <Result>(work: Promise<Result>) => Promise<Result>
}

// A chain shows a payment, and a look lists its resource, in a moment or in half a minute.
const paymentTries = [0, 2000, 5000, 15_000, 30_000]

/** Hears of settled payments: what they name is looked at within the next round, and what they paid counts once their chain shows it. */
export function createAnnouncer(options: AnnouncerOptions): (payment: SettledPayment) => Promise<ListingNotice> {
  const { catalogue, listings, payers, networks, clock, onEvent, closed, tracked } = options
  return announce

  async function announce({ submission, outcome }: SettledPayment): Promise<ListingNotice> {
    const { payment } = submission
    const { resource, extensions, accepted } = payment
    if (resource == null || !URL.canParse(resource.url)) return { status: 'rejected', reason: 'bad_url' }
    const method = methodIn(extensions?.[bazaarKey]) ?? 'GET'
    const required = { x402Version: 2 as const, resource, accepts: [accepted], extensions }
    const judged = judgeListing(required, { url: resource.url, method })
    const key = 'facts' in judged ? judged.facts.key : listingKey(method, resource.url)
    // What payers write is no proof of anything: the resource is looked at before it is listed.
    const entry = await listings.admit({ ...listings.blank({ url: resource.url, method }), key, claims: {} })
    if (entry === undefined) return { status: 'rejected', reason: 'too_many' }
    const { transaction, network, payer } = outcome
    if (payer !== undefined) void tracked(countPayment(key, { transaction, network, payer }))
    if (entry.state === 'listed') {
      const isPayee = entry.listing?.accepts.some(({ payTo }) => payTo === accepted.payTo) ?? false
      return isPayee ? { status: 'success', reason: 'live' } : { status: 'rejected', reason: 'pay_to_mismatch' }
    }
    if (entry.state !== 'pending') await catalogue.update(entry, { ...entry, nextProbeAt: clock() })
    return { status: 'processing', reason: 'probe_pending' }
  }

  /** A payment counts once its chain shows it and its resource is listed: both may take a moment. */
  async function countPayment(key: string, payment: { transaction: string; network: string; payer: string }): Promise<void> {
    if (!networks.includes(payment.network)) return
    try {
      for (const wait of paymentTries) {
        await pause(wait, closed)
        const listing = (await catalogue.find(key))?.listing
        const seen = listing === undefined ? 'unseen' : await payers.witnessPayment(listing, { ...payment, signal: closed })
        if (seen === 'unseen') continue
        if (seen !== 'other') await listings.weigh(key)
        return
      }
    } catch (error) {
      if (!closed.aborted) onEvent({ type: 'failed', what: 'payment', error })
    }
  }
}

function methodIn(declared: unknown): string | undefined {
  const { method } = z.safeParse(bazaarDeclaration, declared).data?.info.input ?? {}
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].find((one) => one === method?.toUpperCase())
}
