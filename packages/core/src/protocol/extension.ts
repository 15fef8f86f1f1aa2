import * as z from 'zod/mini'
import { contains, memberOf, type PaymentPayload, type PaymentRequired, type PaymentRequirements, type ResourceInfo } from './payment.ts'
import type { Prepared } from './scheme.ts'

/** What an extension puts into a 402: its facts and the JSON Schema of them (x402 v2, extensions). */
export type ExtensionDeclaration = { readonly info: Readonly<Record<string, unknown>>; readonly schema?: Readonly<Record<string, unknown>> }

/** One 402 as an extension sees it; `now` in Unix seconds. */
export type Asked = { readonly resource: ResourceInfo; readonly accepts: readonly PaymentRequirements[]; readonly now: number }

/** One payment that moved, as an extension of its route sees it; `at` is when that was seen (Unix seconds). */
export type Sold = {
  readonly url: string
  readonly payer: string
  readonly network: string
  /** Empty where nothing was sent to a chain. */
  readonly transaction: string
  readonly at: number
}

/** Something a server adds to its 402s under one key; `dynamic` names the fields of `info` a client need not echo unchanged. */
export interface Extension {
  readonly key: string
  readonly dynamic?: readonly string[]
  declare(): ExtensionDeclaration
  /** The same in as few bytes as it goes: said in the place of `declare` where a 402 would be too large for its readers (H27). */
  brief?(): ExtensionDeclaration
  /** What is said in one 402 in the place of `declare`, but not where that would make it too large; the fields it adds are `dynamic`. */
  ask?(asked: Asked): Promise<ExtensionDeclaration>
  /** What the receipt of a payment says under the key, or nothing. What it throws costs the payer nothing but that. */
  receipt?(sold: Sold): Promise<Readonly<Record<string, unknown>> | undefined>
}

const echoed = z.looseObject({ info: z.looseObject({}) })

/**
 * Whether the extensions a payment echoes are those that were declared: what was advertised must stand in the echo; no
 * echo at all is valid and unknown keys are ignored (wire.md §5.3).
 */
export function echoesExtensions(extensions: readonly Extension[], payment: PaymentPayload): boolean {
  return extensions.every((extension) => {
    const echo = memberOf(payment.extensions, extension.key)
    if (echo == null) return true
    const parsed = z.safeParse(echoed, echo)
    if (!parsed.success) return false
    const said = [extension.declare(), ...(extension.brief === undefined ? [] : [extension.brief()])]
    return said.some(({ info }) =>
      Object.entries(info)
        .filter(([name]) => !extension.dynamic?.includes(name))
        .every(([name, value]) => contains(memberOf(parsed.data.info, name), value, false)),
    )
  })
}

const identifierKey = 'payment-identifier'
const identifier = z.string().check(z.regex(/^[a-zA-Z0-9_-]{16,128}$/))
const identifierEcho = z.looseObject({ info: z.looseObject({ id: z.optional(identifier) }) })
const identifierOffer = z.looseObject({ info: z.looseObject({ required: z.optional(z.boolean()) }) })

/** The `payment-identifier` extension of a server (wire.md §16.3): the payer's secret by which a lost answer is fetched again. */
export function paymentIdentifier(options: { readonly required?: boolean } = {}): Extension {
  return { key: identifierKey, declare: () => ({ info: { required: options.required ?? false } }) }
}

/** The payment id of a payload: nothing where there is none, `malformed` where there is one that breaks the rule of 16–128 letters. */
export function readPaymentId(payment: PaymentPayload): { readonly id?: string } | 'malformed' {
  const echo = payment.extensions?.[identifierKey]
  if (echo == null) return {}
  const parsed = z.safeParse(identifierEcho, echo)
  if (!parsed.success) return 'malformed'
  const { id } = parsed.data.info
  return id === undefined ? {} : { id }
}

/**
 * The extensions a payment echoes for this 402, with `id` where the server takes payment ids, and with what the payer's scheme has
 * `added` to those that are offered. What is too long to stand beside a payment is not echoed (H27), nor what is only for its reader.
 */
export function echoExtensions(
  { extensions }: PaymentRequired,
  { id, added = {} }: { readonly id?: string | undefined; readonly added?: Prepared['extensions'] | undefined },
): Record<string, unknown> | undefined {
  if (extensions == null) return undefined
  const takesIds = id !== undefined && z.safeParse(identifierOffer, extensions[identifierKey]).success
  const said = takesIds ? { ...added, [identifierKey]: { id } } : added
  const echoes = Object.entries(said).flatMap(([key, more]) => {
    const offer = z.safeParse(echoed, memberOf(extensions, key))
    return offer.success ? [[key, { ...offer.data, info: { ...offer.data.info, ...more } }] as const] : []
  })
  const kept: Record<string, unknown> = Object.fromEntries(echoes)
  let left = mostEchoed - JSON.stringify(kept).length
  for (const [key, offer] of Object.entries(extensions)) {
    if (Object.hasOwn(kept, key)) continue
    const echo = key === signedOffersKey ? withoutOffers(offer) : offer
    const { length } = JSON.stringify(echo) ?? ''
    if (length > left) continue
    left -= length
    kept[key] = echo
  }
  return kept
}

// A payment header holds 8 kB, of which its terms and its payload need some three (H27).
const mostEchoed = 3072
const signedOffersKey = 'offer-receipt'

/** Offers are signed anew in each 402: their server does not look for them in the echo (wire.md §5.3). */
function withoutOffers(offer: unknown): unknown {
  const parsed = z.safeParse(echoed, offer)
  if (!parsed.success) return offer
  const { offers: _, ...info } = parsed.data.info
  return { info }
}

/** The payment without its id, which is a secret between payer and server (M4): for facilitators, upstreams and logs. */
export function withoutPaymentId(payment: PaymentPayload): PaymentPayload {
  if (payment.extensions?.[identifierKey] == null) return payment
  const { [identifierKey]: _, ...extensions } = payment.extensions
  return { ...payment, extensions }
}
