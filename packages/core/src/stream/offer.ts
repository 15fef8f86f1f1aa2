import * as z from 'zod/mini'
import { type Asset, assetId, fitsPrice, sameAddress } from '../protocol/asset.ts'
import { isX402Error } from '../protocol/errors.ts'
import type { ExtensionDeclaration } from '../protocol/extension.ts'
import type { HeaderCodec } from '../protocol/headers.ts'
import { parseNetwork } from '../protocol/network.ts'
import { memberOf, type PaymentPayload, type PaymentRequired, type PaymentRequirements } from '../protocol/payment.ts'
import { type AtomicRate, toAtomicRate } from '../protocol/rate.ts'
import { costOf, readAtomicRate, readUnits, sameRate, type Units, unitsFor, writeAtomicRate, writeUnits } from './cost.ts'
import { streamErrors } from './errors.ts'
import {
  type Clock,
  clock,
  networkHeader,
  ownPath,
  paymentAddressHeader,
  paymentRateHeader,
  paymentStreamHeader,
  paymentTokenHeader,
} from './headers.ts'

/** The extension by which a 402 offers a stream, and in whose echo a payer says how he pays for it. */
export const streamKey = 'flow402x-stream'

// Numbers of units are JSON numbers: what their shortest writing says, exactly.
const count = z.number().check(
  z.positive(),
  z.refine((value) => readUnits(String(value)) !== undefined, 'it has more than 9 decimals'),
)

/** What stands under `flow402x-stream` of a 402 (streaming.md §5.4). `rate` is `num/den` in atomic units per unit. */
export const streamInfo = z.looseObject({
  v: z.literal('1'),
  unit: z.string().check(z.regex(/^[A-Za-z][-A-Za-z0-9]{0,31}$/)),
  clock,
  rate: z.string().check(z.refine((text) => readAtomicRate(text) !== undefined, 'it is no fraction num/den')),
  buy: count,
  tick: count,
  window: count,
  windowMax: count,
  tickUrl: ownPath,
  ws: z.optional(ownPath),
  refundable: z.optional(z.boolean()),
})

const offered = z.looseObject({ info: streamInfo })
const graded = z.looseObject({ info: z.looseObject({ grade: z.literal('B') }) })

/** The terms of a stream. `buy`, `tick`, `window` and `windowMax` are W_A, τ, W and W_max of streaming.md §2, in units. */
export type StreamTerms = {
  readonly unit: string
  readonly clock: Clock
  readonly rate: AtomicRate
  readonly buy: Units
  readonly tick: Units
  readonly window: Units
  readonly windowMax: Units
  readonly tickUrl: string
  readonly ws?: string | undefined
  readonly refundable: boolean
}

/** What a client takes from its 402: each entry with the units that its amount buys. */
export type StreamOffer = {
  readonly terms: StreamTerms
  readonly entries: readonly StreamEntry[]
}

/** A way to pay for a stream: what its amount buys, and what a unit costs in its asset. */
export type StreamEntry = { readonly requirements: PaymentRequirements; readonly units: Units; readonly rate: AtomicRate }

/** Which headers came with a 402, and what a payer knows of assets: decimals come from nowhere else (streaming.md §5.5). */
export type OfferContext = {
  readonly headers: { get(name: string): string | null }
  readonly assetOf: (requirements: PaymentRequirements) => Asset | undefined
}

const mostInfo = 250

/**
 * What a 402 declares of a stream: payers copy it into their payments, so that it has to be small.
 *
 * Errors: `stream/bad-offer`.
 */
export function declareStream(terms: StreamTerms): ExtensionDeclaration {
  const { unit, clock, rate, tickUrl, ws, refundable } = terms
  const [buy, tick, window, windowMax] = [terms.buy, terms.tick, terms.window, terms.windowMax].map((units) => Number(writeUnits(units)))
  const numbers = { buy, tick, window, windowMax }
  const info = {
    v: '1',
    unit,
    clock,
    rate: writeAtomicRate(rate),
    ...numbers,
    tickUrl,
    ...(ws && { ws }),
    ...(refundable ? {} : { refundable }),
  }
  const declared = z.safeParse(streamInfo, info).data
  if (declared === undefined || !isSame(termsOf(declared), terms)) {
    throw streamErrors('stream/bad-offer', { why: 'its unit, its rate, its paths or its numbers do not fit FS/1 §5.4' })
  }
  const { length } = JSON.stringify({ info })
  if (length > mostInfo)
    throw streamErrors('stream/bad-offer', { why: `it takes ${length} bytes of at most ${mostInfo}: shorten its paths` })
  return { info }
}

/** The terms of a stream in the extensions of a 402 or of a payment's echo; nothing where there is none that this version reads. */
export function readStreamTerms(extensions: PaymentRequired['extensions']): StreamTerms | undefined {
  const parsed = z.safeParse(offered, memberOf(extensions, streamKey))
  return parsed.success ? termsOf(parsed.data.info) : undefined
}

/** Whether a payer opens with sliding vouchers (grade B): he says so in the echo; every other payment buys a window (grade A). */
export function isSliding({ extensions }: PaymentPayload): boolean {
  return z.safeParse(graded, memberOf(extensions, streamKey)).success
}

/**
 * What a 402 offers of a stream, checked against itself and its headers (streaming.md §5.5); nothing where it offers none. `accepts` is what
 * counts, and a header that says otherwise makes the offer one that nobody should pay.
 *
 * Errors: `stream/offer-inconsistent`.
 */
export function readStreamOffer(required: PaymentRequired, context: OfferContext): StreamOffer | undefined {
  const terms = readStreamTerms(required.extensions)
  if (terms === undefined) return undefined
  const main = required.accepts.find(isChannel) ?? required.accepts[0]
  const decimals = main && context.assetOf(main)?.decimals
  checkHeaders(required.accepts, { terms, main, context })
  const entries = required.accepts.flatMap((requirements) => {
    const asset = context.assetOf(requirements)
    // Nobody pays in what he does not know, and how much of it a unit costs is then nobody's to say.
    if (asset === undefined || decimals === undefined) return []
    const rate = scaled(terms.rate, asset.decimals - decimals)
    return [{ requirements, rate, units: unitsBought(requirements, { rate, buy: terms.buy }) }]
  })
  return { terms, entries }
}

type Reading = { readonly terms: StreamTerms; readonly main: PaymentRequirements | undefined; readonly context: OfferContext }

function checkHeaders(accepts: readonly PaymentRequirements[], { terms, main, context }: Reading): void {
  const { headers, assetOf } = context
  const lists = [
    [paymentAddressHeader, (said: string, { payTo }: PaymentRequirements) => sameAddress(said, payTo)],
    [networkHeader, (said: string, { network }: PaymentRequirements) => said === network || isNetwork(said, network)],
    [paymentTokenHeader, (said: string, one: PaymentRequirements) => isToken(said, one, assetOf(one))],
  ] as const
  for (const [header, isOf] of lists) {
    const said = headerOf(headers, header)
    // One word may stand for all entries, as people write it.
    const agrees = (one: PaymentRequirements, at: number) => isOf(said?.[said.length === 1 ? 0 : at] ?? '', one)
    const isWhole = said?.length === 1 || said?.length === accepts.length
    if (said !== undefined && !(isWhole && accepts.every(agrees))) throw contradicts(header.name)
  }
  const rate = headerOf(headers, paymentRateHeader)
  const asset = main && assetOf(main)
  const isRate =
    rate === undefined || asset === undefined || !fitsPrice(rate.price, asset) || sameRate(toAtomicRate(rate, asset.decimals), terms.rate)
  if (!isRate || (rate !== undefined && rate.unit !== terms.unit)) throw contradicts(paymentRateHeader.name)
  const params = headerOf(headers, paymentStreamHeader)
  const known = { ...terms, v: '1', 'max-window': terms.windowMax, 'tick-url': terms.tickUrl }
  for (const [key, said] of Object.entries(params ?? {})) {
    if (said !== undefined && said !== memberOf(known, key)) throw contradicts(`${key} of ${paymentStreamHeader.name}`)
  }
}

function headerOf<Value>(headers: OfferContext['headers'], { name, decode }: HeaderCodec<Value>): Value | undefined {
  const text = headers.get(name)
  try {
    return text === null ? undefined : decode(text)
  } catch (error) {
    if (isX402Error(error)) throw streamErrors('stream/offer-inconsistent', { why: error.message, cause: error })
    throw error
  }
}

/** The units that the amount of an entry buys, by its own rate. */
function unitsBought(requirements: PaymentRequirements, { rate, buy }: { readonly rate: AtomicRate; readonly buy: Units }): Units {
  const amount = BigInt(requirements.amount)
  const window = costOf(rate, buy)
  const isFair = amount >= window - 1n && (!isChannel(requirements) || amount <= window + 1n)
  if (isFair && amount > 0n) return isChannel(requirements) ? buy : unitsFor(rate, amount)
  const why = `${amount} is asked in ${requirements.scheme}, and ${writeUnits(buy)} units cost ${window}`
  throw streamErrors('stream/offer-inconsistent', { why })
}

function isChannel({ scheme }: PaymentRequirements): boolean {
  return scheme === 'batch-settlement'
}

function isNetwork(said: string, network: string): boolean {
  try {
    return parseNetwork(said) === network
  } catch {
    return false
  }
}

function isToken(said: string, { network, asset }: PaymentRequirements, known: Asset | undefined): boolean {
  if (!said.includes('/')) return known === undefined || said.toUpperCase() === known.symbol.toUpperCase()
  return sameAddress(said.slice(said.lastIndexOf(':') + 1), asset) || said === assetId({ network, address: asset })
}

function scaled({ numerator, denominator }: AtomicRate, digits: number): AtomicRate {
  if (digits < 0) return { numerator, denominator: denominator * 10n ** BigInt(-digits) }
  return { numerator: numerator * 10n ** BigInt(digits), denominator }
}

function termsOf({ unit, clock, rate, tickUrl, ws, refundable = true, ...info }: z.infer<typeof streamInfo>): StreamTerms {
  const units = (count: number): Units => readUnits(String(count)) ?? 0n
  return {
    unit,
    clock,
    // The schema has read it.
    rate: readAtomicRate(rate) ?? { numerator: 0n, denominator: 1n },
    buy: units(info.buy),
    tick: units(info.tick),
    window: units(info.window),
    windowMax: units(info.windowMax),
    tickUrl,
    ...(ws === undefined ? {} : { ws }),
    refundable,
  }
}

function isSame(a: StreamTerms, b: StreamTerms): boolean {
  const { buy, tick, window, windowMax } = b
  return a.buy === buy && a.tick === tick && a.window === window && a.windowMax === windowMax
}

function contradicts(header: string) {
  return streamErrors('stream/offer-inconsistent', { why: `${header} is not what PAYMENT-REQUIRED says` })
}
