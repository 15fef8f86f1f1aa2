import {
  acceptsOffer,
  assetId,
  type Extension,
  type Facilitator,
  fromAtomic,
  type PaymentPayload,
  type PaymentRequired,
  type PaymentRequirements,
  parseRate,
  paymentRequiredHeader,
  present,
  type Rate,
  type ResourceInfo,
  type ServerScheme,
  toAtomicRate,
} from '@flow402x/core'
import {
  costOf,
  declareStream,
  greater,
  networkHeader,
  oneUnit,
  paymentAddressHeader,
  paymentRateHeader,
  paymentStreamHeader,
  paymentTokenHeader,
  type Rail,
  readUnits,
  type StreamParams,
  type StreamTerms,
  streamKey,
  type Units,
} from '@flow402x/core/stream'
import { engineErrors } from './errors.ts'

/** What a route sells by the unit. Numbers of units are written as people do: `5`, `0.5`. */
export type StreamRate = {
  /** `"0.01 USD/second"`, `"$0.0000001/token"`. */
  readonly rate: string
  /** Time by the wall, for what is made while it flows; or by the content itself, for recordings and everything else that is counted. */
  readonly clock?: 'wall' | 'media'
  /** What one payment of any x402 client buys: 5 units unless told, and 1,000 where units are not time. */
  readonly buy?: number
  /** How often clients of ours sign, and for how much ahead: every unit, for 2 and at most 30; a fifth of `buy` and so on where units are not time. */
  readonly tick?: number
  readonly window?: number
  readonly windowMax?: number
  /** Where ticks are posted, on the same origin: `/live/tick`. */
  readonly tickUrl: string
  /** Where a WebSocket takes them. */
  readonly ws?: string
  /** Whether what was paid and not used is the payer's again: true unless told. */
  readonly refundable?: boolean
  readonly payTo?: string
  /** What it is, for payers and for catalogues: `terms` of `httpResource` of `@flow402x/bazaar/seller` say all of it. */
  readonly description?: string
  readonly mimeType?: string
  readonly serviceName?: string
  readonly tags?: readonly string[]
  readonly iconUrl?: string
  readonly extensions?: readonly Extension[]
}

/** One way to pay for a route. */
export type StreamOffer = {
  readonly scheme: ServerScheme
  readonly rail: Rail
  readonly requirements: PaymentRequirements
  /** In atomic units of this offer's asset. */
  readonly terms: StreamTerms
}

/** A route's offers, and what every answer of it says of them. */
export type Offers = {
  readonly all: readonly StreamOffer[]
  readonly headers: Readonly<Record<string, string>>
  challenge(
    url: string,
    refusal: { readonly error: string; readonly offer?: StreamOffer; readonly extra?: Readonly<Record<string, unknown>> },
  ): string
  /** The offer that a payment means. */
  match(payment: PaymentPayload): StreamOffer | undefined
}

const maxTimeoutSeconds = 60
// A deposit that lasts for this many seconds is advised (streaming.md §5.5).
const advisedSeconds = 600n

/** By what a route's time goes. Errors: `config/bad-rate`. */
export function clockOf({ rate, clock }: StreamRate): 'wall' | 'media' {
  return clock ?? (parseRate(rate).unit === 'second' ? 'wall' : 'media')
}

/** The terms of a rate in an asset's atomic units. Errors: `config/bad-rate`, `config/bad-stream`. */
export function termsOf(
  options: StreamRate,
  { decimals, refundable }: { readonly decimals: number; readonly refundable: boolean },
): StreamTerms {
  const rate = parseRate(options.rate)
  const isTime = rate.unit === 'second'
  const clock = clockOf(options)
  if (clock === 'wall' && !isTime) throw engineErrors('config/bad-stream', { why: `a wall clock counts seconds, and no ${rate.unit}` })
  const scale = isTime ? 1 : (options.buy ?? 1000) / 5
  const units = (count: number | undefined, usual: number): Units => {
    const read = readUnits(String(count ?? usual * scale))
    if (read === undefined || read === 0n) throw engineErrors('config/bad-stream', { why: `${count} is no number of units above zero` })
    return read
  }
  return {
    unit: rate.unit,
    clock,
    rate: toAtomicRate(rate, decimals),
    buy: units(options.buy, 5),
    tick: units(options.tick, 1),
    window: units(options.window, 2),
    windowMax: units(options.windowMax, 30),
    tickUrl: options.tickUrl,
    ...(options.ws === undefined ? {} : { ws: options.ws }),
    refundable: refundable && (options.refundable ?? true),
  }
}

/**
 * The offers of a route, as its schemes and their facilitator make them. Errors: those of the schemes and of the facilitator,
 * `config/stream-unsupported`, `stream/bad-offer`.
 */
export async function offersOf(
  options: StreamRate,
  { schemes, facilitator }: { readonly schemes: readonly RailScheme[]; readonly facilitator: Facilitator },
): Promise<Offers> {
  const [{ kinds }] = await Promise.all([facilitator.supported(), ...schemes.map(({ scheme }) => scheme.start?.())])
  const rate = parseRate(options.rate)
  const all = schemes.map(({ scheme, rail }): StreamOffer => {
    const kind = kinds.find((one) => one.x402Version === 2 && one.scheme === scheme.scheme && one.network === scheme.network)
    if (kind === undefined && scheme.settlesItself !== true)
      throw engineErrors('config/stream-unsupported', { scheme: scheme.scheme, network: scheme.network })
    const decimals = decimalsOf(scheme)
    const terms = termsOf(options, { decimals, refundable: rail.refundable })
    const price = { amount: fromAtomic(costOf(terms.rate, terms.buy), decimals), symbol: rate.price.symbol }
    const made = scheme.requirements({ price, kind, payTo: options.payTo, maxTimeoutSeconds, flow: 'authorization' })
    return { scheme, rail, terms, requirements: advised(made, terms) }
  })
  const [first] = all
  if (first === undefined) throw engineErrors('config/no-rail', { scheme: '' })
  return {
    all,
    headers: headersOf(all, rate),
    match: (payment) => all.find(({ requirements, scheme }) => acceptsOffer(requirements, payment.accepted, scheme.ignoredExtra)),
    challenge(url, { error, offer, extra }) {
      const accepts = all.map((one) =>
        one === offer && extra !== undefined ? { ...one.requirements, extra: { ...one.requirements.extra, ...extra } } : one.requirements,
      )
      const { extensions = [] } = options
      const resource = resourceOf(options, url)
      // Said briefly: payers send all of it back with what they sign.
      const said = Object.fromEntries(extensions.map((one) => [one.key, one.brief?.() ?? one.declare()]))
      const required: PaymentRequired = {
        x402Version: 2,
        error,
        resource,
        accepts,
        extensions: { ...said, [streamKey]: declareStream(first.terms) },
      }
      return paymentRequiredHeader.encode(required)
    },
  }
}

/** What a route's offers and pages say of what is sold. */
export function resourceOf({ description, mimeType, serviceName, tags, iconUrl }: StreamRate, url: string): ResourceInfo {
  return { url, ...present({ description, mimeType, serviceName, tags: tags && [...tags], iconUrl }) }
}

/** The decimals of what a scheme is paid in. Errors: `config/no-rail`. */
export function decimalsOf({ scheme, asset }: ServerScheme): number {
  if (asset === undefined) throw engineErrors('config/no-rail', { scheme })
  return asset.decimals
}

/** A scheme that can carry streams. */
export type RailScheme = { readonly scheme: ServerScheme; readonly rail: Rail }

/** What `Payment-Stream` says of terms. */
export function paramsOf({ clock, buy, tick, window, windowMax, tickUrl, ws, refundable }: StreamTerms): StreamParams {
  const rest = { tick, window, 'max-window': windowMax, 'tick-url': tickUrl, ...(ws === undefined ? {} : { ws }) }
  return { v: '1', clock, buy, ...rest, refundable }
}

function headersOf(all: readonly StreamOffer[], rate: Rate): Readonly<Record<string, string>> {
  const [first] = all
  return {
    [paymentAddressHeader.name]: paymentAddressHeader.encode(all.map(({ requirements }) => requirements.payTo)),
    [paymentTokenHeader.name]: paymentTokenHeader.encode(
      all.map(({ requirements: { network, asset } }) => assetId({ network, address: asset }) ?? asset),
    ),
    [networkHeader.name]: networkHeader.encode(all.map(({ requirements }) => requirements.network)),
    [paymentRateHeader.name]: paymentRateHeader.encode(rate),
    ...(first === undefined ? {} : { [paymentStreamHeader.name]: paymentStreamHeader.encode(paramsOf(first.terms)) }),
  }
}

function advised(requirements: PaymentRequirements, { rate, unit }: StreamTerms): PaymentRequirements {
  const minDeposit = requirements.extra?.minDeposit
  if (unit !== 'second' || typeof minDeposit !== 'string') return requirements
  const wanted = greater(BigInt(minDeposit), costOf(rate, advisedSeconds * oneUnit))
  return { ...requirements, extra: { ...requirements.extra, minDeposit: `${wanted}` } }
}
