import { type PaymentPayload, type PaymentRequirements, sameAddress } from '@flow402x/core'
import { createReferences, expiryOf, type References, type ReferenceTerms } from '@flow402x/core/transfer'
import type { Offer, Quote } from '../engine/offers.ts'
import { bindingOf, type IncomingRequest } from '../engine/request.ts'
import type { Engine } from '../engine/server.ts'

/** Signs prices that change, so that each is asked for as long as it was quoted, and of nobody else and for nothing else. */
export type Quotes = {
  /** An offer with its quote: a text that only this seller makes, for this request and these terms. */
  sign(offer: Offer, options: { readonly request: string; readonly now: number }): Promise<Offer>
  /** Until when terms were quoted for this request (Unix seconds); nothing for terms that were not. */
  until(terms: PaymentRequirements, options: { readonly request: string }): Promise<number | undefined>
}

/**
 * Quotes by the seller's secret, of at least 32 letters: the first of several signs and all are known. Without one each process has its
 * own, made when it is first needed. Errors: `config/weak-secret`.
 */
export function createQuotes(secret: string | readonly string[] | undefined): Quotes {
  let made = secret === undefined ? undefined : createReferences({ secret })
  const references = (): References => {
    made ??= createReferences({ secret: `${crypto.randomUUID()}${crypto.randomUUID()}` })
    return made
  }
  return {
    async sign(offer, { request, now }) {
      const { requirements } = offer
      const quote = await references().make(termsOf(requirements, request), { expiry: now + Math.floor(requirements.maxTimeoutSeconds) })
      return { ...offer, requirements: { ...requirements, extra: { ...requirements.extra, quote } } }
    },
    async until(terms, { request }) {
      const quote = terms.extra?.quote
      if (typeof quote !== 'string' || !(await references().knows(quote, termsOf(terms, request)))) return undefined
      return expiryOf(quote)
    },
  }
}

type Visit = { readonly request: IncomingRequest; readonly payment: PaymentPayload; readonly engine: Engine }

/** What a payment is held to: what it was quoted for this request, where that is not what is asked now. */
export async function honoured(quote: Quote, visit: Visit): Promise<Quote> {
  const { accepted } = visit.payment
  const isMeant = ({ requirements: { scheme, network, asset } }: Offer): boolean =>
    scheme === accepted.scheme && network === accepted.network && sameAddress(asset, accepted.asset)
  const meant = quote.offers.find(isMeant)
  if (quote.changing !== true || meant === undefined || meant.served.scheme.proof !== undefined) return quote
  const { amount, payTo, extra } = accepted
  const { requirements } = meant
  const isAsked = requirements.amount === amount && sameAddress(requirements.payTo, payTo)
  const quotedUntil = await quotedFor(visit)
  if (quotedUntil === undefined && (isAsked || !(await isKnown(meant, visit)))) return quote
  const signed = extra?.quote === undefined ? {} : { quote: extra.quote }
  const terms = { ...requirements, amount, payTo, extra: { ...requirements.extra, ...signed } }
  const held: Offer = { ...meant, ...(isAsked || quotedUntil === undefined ? {} : { quotedUntil }), requirements: terms }
  return { ...quote, offers: quote.offers.map((offer) => (offer === meant ? held : offer)) }
}

async function quotedFor({ request, payment: { accepted }, engine }: Visit): Promise<number | undefined> {
  const body = accepted.extra?.quote === undefined ? undefined : await request.body(engine.maxBodyBytes)
  return body === undefined ? undefined : await engine.quotes.until(accepted, await bindingOf(request, body))
}

/** Whether a payment has bought something at these terms already: what it was quoted by may have ended since, and its money has not. */
async function isKnown({ served: { scheme } }: Offer, { payment, engine }: Visit): Promise<boolean> {
  const key = scheme.key(payment)
  const claim = key === undefined ? undefined : await engine.claims.find(key.id)
  if (claim === undefined || claim.state === 'open') return false
  const { amount, payTo } = claim.submission.requirements
  return amount === payment.accepted.amount && sameAddress(payTo, payment.accepted.payTo)
}

/** Why a payment of terms that are asked no more is refused. */
export const staleQuote = 'The price has changed, and the time for which this one was quoted is over. Nothing was charged.'

// Transfers have references by the same rules: neither passes for the other.
function termsOf({ scheme, network, asset, payTo, amount }: PaymentRequirements, request: string): ReferenceTerms {
  return { binding: `quote ${scheme} ${request}`, network, asset, payTo, amount }
}
