import {
  type Asset,
  assets,
  type Extension,
  fitsPrice,
  formatPrice,
  isX402Error,
  type Network,
  type PaymentFlow,
  type PaymentRequired,
  type PaymentRequirements,
  type Price,
  parsePrice,
  paymentRequiredHeader,
  priceByRate,
  type ResourceInfo,
  type ServerScheme,
} from '@flow402x/core'
import { requiredToV1 } from '@flow402x/core/v1'
import { extensionsOf, type Said, waysToSay } from '../extensions/extensions.ts'
import { serverErrors } from './errors.ts'
import { bindingOf, type IncomingRequest } from './request.ts'
import type { Engine, ReadyServer, Served } from './server.ts'

/**
 * What a route asks. `price` and `payTo` may depend on the request: what was asked of one is then taken of that one for as long as the
 * 402 said, also when more is asked meanwhile.
 */
export type PaidOptions = {
  /** `"$0.01"` or `"0.01 USDC"`. */
  readonly price: string | ((request: IncomingRequest) => string | Promise<string>)
  /** Overrides the scheme's payee; where several chain families are offered, a function that also sees the network. */
  readonly payTo?: string | ((request: IncomingRequest, network: Network) => string | Promise<string>)
  readonly description?: string
  readonly mimeType?: string
  /** How catalogues name what is sold: a name, up to five tags of printable ASCII (32 letters each) and an icon. */
  readonly serviceName?: string
  readonly tags?: readonly string[]
  readonly iconUrl?: string
  /** What this route says beside the server's own extensions. */
  readonly extensions?: readonly Extension[]
  /** `authorization` (default): verify, work, settle. `upfront`: settle, then work and stream. */
  readonly flow?: PaymentFlow
  /** How long a payment may be used, in seconds; 300 by default. */
  readonly maxTimeoutSeconds?: number
  /** The most a handler may take, in milliseconds; never longer than the payment is valid. */
  readonly handlerTimeout?: number
}

/** One way to pay for this request, with the scheme that reads it and the facilitator that settles it. */
export type Offer = {
  readonly requirements: PaymentRequirements
  readonly price: string
  readonly served: Served
  /** Until when these terms were quoted (Unix seconds), where they are asked no more. */
  readonly quotedUntil?: number
}

/** The offers of one request; `changing` where another request, or the same one later, may be asked otherwise. */
export type Quote = { readonly offers: readonly Offer[]; readonly changing?: boolean }

/** The encoded forms of one 402, and what its extensions say in it. */
export type Challenge = { readonly header: string; readonly body: Record<string, unknown>; readonly said: Said }

/** The seconds a payment needs at least: to verify, to run and to settle. */
const leastTimeout = 15

const headerBudget = 8192

/** What can be checked of a route before its first request: fixed prices, flow and timeout. */
export function checkPaidOptions(options: PaidOptions, engine: Engine): void {
  const { price: text, flow = 'authorization', maxTimeoutSeconds: seconds = 300 } = options
  if (seconds < leastTimeout) throw serverErrors('config/short-timeout', { seconds, least: leastTimeout })
  for (const { scheme, flows, proof } of engine.schemes)
    if (!flows.includes(flow) && proof === undefined) throw serverErrors('config/unsupported-flow', { scheme, flow })
  if (typeof text !== 'string') return
  const price = checkedPrice(text, engine.minimum)
  const payTo = typeof options.payTo === 'string' ? options.payTo : undefined
  const offers = engine.schemes.flatMap((scheme) => {
    // What it comes to is known when it is asked.
    if (isRated(scheme, { price, rate: engine.rate })) return []
    const requirements = scheme.requirements({ price, kind: undefined, payTo, maxTimeoutSeconds: seconds, flow })
    return [{ requirements, price: scheme.describe(requirements) }]
  })
  const url = `${engine.origin ?? 'http://localhost'}/`
  const extensions = extensionsOf(engine, options, { offers: [] })
  const { said } = challenge({ offers }, { resource: resourceOf(options, url), error: '', ways: waysToSay(extensions) })
  for (const [index, { key, declare }] of extensions.entries()) {
    if (extensions.findIndex((one) => one.key === key) !== index) throw serverErrors('config/duplicate-extension', { key })
    if (JSON.stringify(said[key]) !== JSON.stringify(declare())) engine.emit({ type: 'warning', message: trimmed(key, options) })
  }
}

function trimmed(key: string, { description = 'a route' }: PaidOptions): string {
  return `What ${key} says of ${description} is too long for a 402 and is left out of it but for the least: readers find the rest where that points.`
}

/** What a route sells, at the URL it was asked at. */
export function resourceOf({ description, mimeType, serviceName, tags, iconUrl }: PaidOptions, url: string): ResourceInfo {
  const facts = { description, mimeType, serviceName, tags: tags && [...tags], iconUrl }
  return { url, ...Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined)) }
}

/** Makes the quote of each request; routes whose price and payee are fixed are quoted once for each revision of the schemes. */
export function quoter(options: PaidOptions, engine: Engine): (ready: ReadyServer, request: IncomingRequest) => Promise<Quote> {
  let fixed: { ready: ReadyServer; revisions: readonly unknown[]; quote: Quote } | undefined
  const isFixed = typeof options.price === 'string' && typeof options.payTo !== 'function'
  return async (ready, request) => {
    if (fixed?.ready === ready && isCurrent(ready, fixed.revisions)) return fixed.quote
    // Read before the offers are made: what changes meanwhile makes them anew.
    const revisions = ready.revisions.map((revision) => revision())
    const price = checkedPrice(typeof options.price === 'string' ? options.price : await options.price(request), engine.minimum)
    const { rate } = engine
    const made = await Promise.all(ready.served.map((served) => rated(engine, () => offerOf(served, { options, price, request, rate }))))
    const offers = made.filter((offer) => offer !== undefined)
    if (offers.length === 0) throw serverErrors('server/not-ready', {})
    const changing = !isFixed || ready.served.some(({ scheme }) => isRated(scheme, { price, rate }))
    if (!changing) fixed = { ready, revisions, quote: { offers } }
    return { offers, changing }
  }
}

/**
 * The quote as one request is asked it: an offer that is paid by transfer bears a reference for this request alone, and one whose price
 * changes a quote. Nothing where the body that they are bound to is too large.
 */
export async function quoteOf(quote: Quote, request: IncomingRequest, { maxBodyBytes, clock, quotes }: Engine): Promise<Quote | undefined> {
  const { changing = false } = quote
  if (!changing && quote.offers.every(({ served }) => served.scheme.proof === undefined)) return quote
  const body = await request.body(maxBodyBytes)
  if (body === undefined) return undefined
  const { request: binding } = await bindingOf(request, body)
  const now = Math.floor(clock() / 1000)
  const offers = quote.offers.map(async (offer) => {
    const { proof } = offer.served.scheme
    if (proof !== undefined) return { ...offer, requirements: await proof.offer(offer.requirements, { binding, now }) }
    return changing ? await quotes.sign(offer, { request: binding, now }) : offer
  })
  return { offers: await Promise.all(offers), changing }
}

/** The offer that the plain challenge is about: the first of which its seller says how. */
export function plainOffer({ offers }: Quote): Offer | undefined {
  return offers.find(({ served }) => served.scheme.proof?.plain !== undefined)
}

/** The fields of the plain challenge (DESIGN §8.3), where it is offered. */
export function plainChallenge(quote: Quote): Readonly<Record<string, unknown>> {
  const offer = plainOffer(quote)
  return offer?.served.scheme.proof?.plain?.(offer.requirements) ?? {}
}

function isCurrent({ revisions }: ReadyServer, known: readonly unknown[]): boolean {
  return revisions.every((revision, index) => revision() === known[index])
}

/** The 402 of a quote, as v2 header and as the one JSON body that v1 clients and people read (DESIGN §8.4). */
export function challenge(
  quote: { readonly offers: readonly Pick<Offer, 'requirements' | 'price'>[] },
  options: { readonly resource: ResourceInfo; readonly error: string; readonly ways: readonly Said[] },
): Challenge {
  const { resource, error, ways } = options
  const [said = {}, ...shorter] = ways
  const accepts = quote.offers.map(({ requirements }) => requirements)
  const required: PaymentRequired = { x402Version: 2, error, resource, accepts, extensions: { ...said } }
  const header = paymentRequiredHeader.encode(required)
  if (header.length > headerBudget) {
    if (shorter.length > 0) return challenge(quote, { ...options, ways: shorter })
    // A long query is the client's own and is named without; what is too long then is the seller's.
    const [url = '', query] = resource.url.split('?', 2)
    if (query !== undefined) return challenge(quote, { ...options, resource: { ...resource, url } })
    throw serverErrors('config/offer-too-large', { length: header.length, limit: headerBudget })
  }
  const prices = quote.offers.map(({ price }) => price)
  const v1 = requiredToV1(required, prices)
  return { header, said, body: v1 ?? { ...required, accepts: accepts.map((offer, index) => ({ ...offer, price: prices[index] })) } }
}

async function offerOf(
  served: Served,
  { options, price, request, rate }: { options: PaidOptions; price: Price; request: IncomingRequest; rate: ExchangeRate | undefined },
): Promise<Offer> {
  const { maxTimeoutSeconds = 300, flow = 'authorization' } = options
  const payTo = typeof options.payTo === 'function' ? await options.payTo(request, served.scheme.network) : options.payTo
  const own = await priceFor(served.scheme, { price, rate })
  const requirements = served.scheme.requirements({ price: own, kind: served.kind, payTo, maxTimeoutSeconds, flow })
  return { requirements, price: served.scheme.describe(requirements), served }
}

/** What one of an asset costs in a currency, such as `"3120.55"` for ETH in USD. */
export type ExchangeRate = (asset: Asset, currency: string) => string | Promise<string>

type Rating = { readonly price: Price; readonly rate: ExchangeRate | undefined }

/** Whether a price comes to an amount of a scheme's asset by a rate alone. */
function isRated({ asset }: ServerScheme, { price, rate }: Rating): boolean {
  return rate !== undefined && asset !== undefined && !fitsPrice(price, asset)
}

async function priceFor(scheme: ServerScheme, { price, rate }: Rating): Promise<Price> {
  const { asset } = scheme
  if (rate === undefined || asset === undefined || !isRated(scheme, { price, rate })) return price
  try {
    const told = await rate(asset, price.symbol)
    const own = priceByRate(price, { asset, rate: told })
    if (own !== undefined) return own
    throw serverErrors('server/no-rate', { asset: asset.symbol, why: `rate gave "${told}", and not a plain decimal above zero` })
  } catch (cause) {
    if (isX402Error(cause)) throw cause
    throw serverErrors('server/no-rate', { asset: asset.symbol, why: 'rate threw', cause })
  }
}

/** An offer, or nothing where nobody says what its asset is worth: others are offered all the same. */
async function rated(engine: Engine, offer: () => Promise<Offer>): Promise<Offer | undefined> {
  try {
    return await offer()
  } catch (error) {
    if (!isX402Error(error, 'server/no-rate')) throw error
    engine.emit({ type: 'error', error })
    return undefined
  }
}

function checkedPrice(text: string, minimum: Price): Price {
  const price = parsePrice(text)
  const [asked, least] = [price.amount, minimum.amount]
  // The least price is one of money; a coin is worth what it is worth.
  const isCoin = assets.some(({ symbol, currency }) => symbol === price.symbol && currency === undefined)
  const below = !isCoin && asked.units * 10n ** BigInt(least.scale) < least.units * 10n ** BigInt(asked.scale)
  if (below) throw serverErrors('config/below-minimum', { price: text, minimum: formatPrice(minimum) })
  return price
}
