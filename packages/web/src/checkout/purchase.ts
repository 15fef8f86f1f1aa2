import { type ClientEvent, createClient, heldFunds, type LeftOut, receiptOf } from '@flow402x/client'
import {
  assetId,
  type ClientScheme,
  findAsset,
  formatAmount,
  formatDecimal,
  fromAtomic,
  isX402Error,
  type LedgerEntry,
  type LedgerStore,
  type PaymentRequirements,
  type SettleResponse,
  sameAddress,
} from '@flow402x/core'
import { memoryBudgets, memoryPayees } from '@flow402x/core/memory'
import { checkoutErrors } from './errors.ts'
import type { Payer } from './payer.ts'

/** What the visitor was shown: exactly this is signed, or nothing. */
export type ShownOffer = Pick<PaymentRequirements, 'scheme' | 'network' | 'asset' | 'amount' | 'payTo'>

/**
 * How a purchase stands. `fresh`: nothing is signed. `elsewhere`: another page is at it. `signed`: a payment may be spent, or was, and
 * nobody knows what came of it. `dead`: it can be spent no more. `bought`: it was spent.
 */
export type Standing =
  | { readonly state: 'fresh' | 'elsewhere' }
  | { readonly state: 'signed' | 'dead' | 'bought'; readonly entry: LedgerEntry }

/** What the seller answered to a payment. `refusal`: why he took no money, where he took none. */
export type Answer = {
  readonly response: Response
  readonly receipt: SettleResponse | undefined
  readonly refusal: Extract<ClientEvent, { readonly type: 'unsettled' }> | undefined
}

/** What a purchase is made from. */
export type PurchaseOptions = {
  readonly url: string
  readonly ledger: LedgerStore
  /** Held by one page at a time while it pays, as the Web Locks of its origin are. */
  readonly locks: LockManager | undefined
  readonly onEvent: (event: ClientEvent) => void
  /** Unix milliseconds. */
  readonly now?: () => number
}

/** One thing that is bought at one address, over reloads and in all pages of the browser: it is signed for once. */
export interface Purchase {
  standing(): Promise<Standing>
  /** Signs what was shown, once, and sends it until it is answered. Errors: `checkout/…`, `wallet/…`, those of `fetch` of a client. */
  pay(payer: Payer, offer: ShownOffer): Promise<Answer>
  /** Sends what is signed again, and signs nothing. Errors: `checkout/nothing-signed`, `checkout/elsewhere`, those of `fetch` of a client. */
  again(): Promise<Answer>
  /** The next purchase of the same, where this one is over. */
  anew(): Promise<void>
}

// Clocks differ, and what is spent in a payment's last second is seen later.
const surelyDead = 60_000

/** The purchase that is going on at an address, or the next one. */
export function openPurchase({ url, ledger, locks, onEvent, now = Date.now }: PurchaseOptions): Purchase {
  let round: Promise<number> | undefined
  const nameOf = (count: number) => `${url}#${count}`
  const id = async () => {
    round ??= latest((count) => ledger.find(nameOf(count)))
    return nameOf(await round)
  }

  async function standing(): Promise<Standing> {
    const entry = await ledger.find(await id())
    if (entry === undefined || entry.state === 'released') return { state: 'fresh' }
    if (entry.signed === undefined) return { state: (await isHeld(locks, entry.id)) ? 'elsewhere' : 'fresh' }
    if (entry.state === 'paid') return { state: 'bought', entry }
    return { state: entry.deadAfter * 1000 + surelyDead < now() ? 'dead' : 'signed', entry }
  }

  async function send(callId: string, paying: Paying): Promise<Answer> {
    let refusal: Answer['refusal']
    const told = (event: ClientEvent): void => {
      if (event.type === 'unsettled') refusal = event
      onEvent(event)
    }
    const { fetch } = createClient({
      ...paying,
      store: { budgets: memoryBudgets(), payees: memoryPayees(), ledger },
      onEvent: told,
      retry,
      now,
    })
    const response = await fetch(url, { callId })
    return { response, receipt: receiptOf(response), refusal }
  }

  return {
    standing,
    async pay(payer, offer) {
      const callId = await id()
      return await alone(locks, callId, async () => {
        const entry = await ledger.find(callId)
        // Whoever was at it is gone, and what he asked his wallet for went with him.
        if (entry?.state === 'signing' && entry.signed === undefined) await ledger.update(entry, { state: 'released' })
        const { paying, why } = payingWith(payer, offer)
        return await send(callId, paying).catch((error: unknown) => {
          throw why(error)
        })
      })
    },
    async again() {
      const callId = await id()
      return await alone(locks, callId, async () => {
        const entry = await ledger.find(callId)
        if (entry?.signed === undefined || entry.state === 'released') throw checkoutErrors('checkout/nothing-signed', {})
        return await send(callId, { schemes: [signsNothing] })
      })
    },
    async anew() {
      const { state } = await standing()
      if (state === 'bought' || state === 'dead') round = (round ?? Promise.resolve(0)).then((count) => count + 1)
    },
  }
}

const retry = { attempts: 20, totalMs: 90_000, maxDelayMs: 5000 }

type Paying = Pick<Parameters<typeof createClient>[0], 'schemes' | 'budget' | 'funds'>

/** A wallet that pays one offer and no other, and what its refusals mean. */
function payingWith({ name, scheme, balances }: Payer, offer: ShownOffer) {
  let [asked, left]: [readonly ShownOffer[], readonly LeftOut[]] = [[], []]
  const held = heldFunds(balances)
  const paying: Paying = {
    schemes: [scheme],
    budget: budgetOf(offer),
    async funds({ candidates, leftOut }, options) {
      asked = [...candidates.map(({ terms }) => terms.requirements), ...leftOut]
      const choice = await held({ candidates: candidates.filter(({ terms }) => isSame(terms.requirements, offer)), leftOut }, options)
      left = choice.leftOut
      return choice
    },
  }
  const why = (error: unknown): unknown => {
    if (!isX402Error(error, 'client/no-payable-offer')) return error
    const poor = left.find((one) => isSame(one, offer))
    if (poor !== undefined) return checkoutErrors('checkout/no-funds', { wallet: name, why: poor.why })
    const now = asked.find((one) => one.network === offer.network && sameAddress(one.asset, offer.asset)) ?? asked[0]
    return checkoutErrors('checkout/changed', { now: now === undefined ? 'something else' : amountOf(now), was: amountOf(offer) })
  }
  return { paying, why }
}

const shown = ['scheme', 'network', 'asset', 'amount', 'payTo'] as const

function isSame(one: ShownOffer, other: ShownOffer): boolean {
  return shown.every((part) => one[part] === other[part])
}

/** What may be spent at all: what the visitor was shown, once. */
function budgetOf({ network, asset: address, amount }: ShownOffer) {
  const asset = findAsset(network, address)
  if (asset === undefined) return {}
  const most = formatDecimal(fromAtomic(BigInt(amount), asset.decimals))
  const dollars = asset.currency === 'USD' ? { perPayment: `$${most}`, total: `$${most}` } : {}
  return { ...dollars, caps: { [assetId(asset)]: { perPayment: most, total: most } } }
}

/** What an offer asks, as people read it. */
export function amountOf({ network, asset: address, amount }: Pick<ShownOffer, 'network' | 'asset' | 'amount'>): string {
  const asset = findAsset(network, address)
  return asset === undefined ? `${amount} of ${address}` : formatAmount(BigInt(amount), asset)
}

// What is sent again is signed already.
const signsNothing: ClientScheme = {
  scheme: 'exact',
  networks: [],
  supports: () => false,
  async prepare() {
    throw checkoutErrors('checkout/nothing-signed', {})
  },
}

/** The number of the last that there is. */
async function latest(find: (count: number) => Promise<LedgerEntry | undefined>): Promise<number> {
  let count = 0
  while ((await find(count + 1)) !== undefined) count += 1
  return count
}

/** Does it while no other page of this origin does. Errors: `checkout/elsewhere`. */
async function alone<Result>(locks: LockManager | undefined, name: string, work: () => Promise<Result>): Promise<Result> {
  if (locks === undefined) return await work()
  return await locks.request(name, { ifAvailable: true }, async (held) => {
    if (held === null) throw checkoutErrors('checkout/elsewhere', {})
    return await work()
  })
}

async function isHeld(locks: LockManager | undefined, name: string): Promise<boolean> {
  const { held = [] } = (await locks?.query()) ?? {}
  return held.some((lock) => lock.name === name)
}
