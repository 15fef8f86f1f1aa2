import * as z from 'zod/mini'
import { sameAddress } from './asset.ts'

/** A JSON object whose members this project does not interpret; `null` where a peer writes it for "absent". */
export const openObject = z.nullish(z.looseObject({}))

const text = z.nullish(z.string())

/** What is sold: an absolute URL and how to show it (x402 v2 §5.1). */
export const resourceInfo = z.looseObject({
  url: z.string().check(z.minLength(1)),
  description: text,
  mimeType: text,
  serviceName: z.nullish(z.string().check(z.regex(/^[\x20-\x7e]{1,32}$/))),
  tags: z.nullish(z.array(z.string().check(z.regex(/^[\x20-\x7e]{1,32}$/))).check(z.maxLength(5))),
  iconUrl: z.nullish(z.string().check(z.maxLength(2048))),
})

/** What is sold: an absolute URL and how to show it (x402 v2 §5.1). */
export type ResourceInfo = z.infer<typeof resourceInfo>

/** One way to pay, offered in `accepts` and echoed whole as `accepted`; `amount` is in atomic units (x402 v2 §5.1). */
export const paymentRequirements = z.looseObject({
  scheme: z.string().check(z.minLength(1), z.maxLength(64)),
  network: z.string().check(z.minLength(3), z.maxLength(80), z.regex(/:/)),
  amount: z.string().check(z.regex(/^\d{1,78}$/)),
  asset: z.string().check(z.minLength(1), z.maxLength(128)),
  payTo: z.string().check(z.minLength(1), z.maxLength(128)),
  maxTimeoutSeconds: z.number().check(z.nonnegative()),
  extra: openObject,
})

/** One way to pay, offered in `accepts` and echoed whole as `accepted`; `amount` is in atomic units (x402 v2 §5.1). */
export type PaymentRequirements = z.infer<typeof paymentRequirements>

/** The content of `PAYMENT-REQUIRED`: what is sold and the ways to pay for it, in the seller's order (x402 v2 §5.1). */
export const paymentRequired = z.looseObject({
  x402Version: z.literal(2),
  error: text,
  resource: resourceInfo,
  accepts: z.array(paymentRequirements).check(z.minLength(1)),
  extensions: openObject,
})

/** The content of `PAYMENT-REQUIRED`: what is sold and the ways to pay for it, in the seller's order (x402 v2 §5.1). */
export type PaymentRequired = z.infer<typeof paymentRequired>

/** The content of `PAYMENT-SIGNATURE`: the chosen requirements and the scheme's signed payload (x402 v2 §5.2). */
export const paymentPayload = z.looseObject({
  x402Version: z.literal(2, 'invalid_x402_version'),
  resource: z.nullish(resourceInfo),
  accepted: paymentRequirements,
  payload: z.looseObject({}),
  extensions: openObject,
})

/** The content of `PAYMENT-SIGNATURE`: the chosen requirements and the scheme's signed payload (x402 v2 §5.2). */
export type PaymentPayload = z.infer<typeof paymentPayload>

/**
 * Whether `accepted` is the offer: every field equal but `extra`, of which the offer's part must stand in it
 * unchanged, but for `ignored` keys. Additional keys of the client are allowed (wire.md §5.2).
 */
export function acceptsOffer(offer: PaymentRequirements, accepted: PaymentRequirements, ignored: readonly string[] = []): boolean {
  for (const key in offer) if (key !== 'extra' && !agrees(key, offer, accepted)) return false
  for (const key in accepted) if (key !== 'extra' && !Object.hasOwn(offer, key) && !agrees(key, offer, accepted)) return false
  for (const key in offer.extra) {
    if (!ignored.includes(key) && !contains(memberOf(accepted.extra, key), offer.extra[key], false)) return false
  }
  return true
}

function agrees(key: string, offer: PaymentRequirements, accepted: PaymentRequirements): boolean {
  const [asked, given] = [memberOf(offer, key), memberOf(accepted, key)]
  if (contains(given, asked, true)) return true
  const isAddress = key === 'asset' || key === 'payTo'
  return isAddress && typeof asked === 'string' && typeof given === 'string' && sameAddress(asked, given)
}

/** Whether `value` holds all of `part`: objects recursively (both ways where `exact`), everything else by equality. */
export function contains(value: unknown, part: unknown, exact: boolean): boolean {
  if ((value ?? undefined) === (part ?? undefined)) return true
  if (Array.isArray(value) && Array.isArray(part)) {
    return value.length === part.length && part.every((item, index) => contains(value[index], item, true))
  }
  if (!isRecord(value) || !isRecord(part)) return false
  const keys = exact ? [...Object.keys(part), ...Object.keys(value)] : Object.keys(part)
  return keys.every((key) => contains(memberOf(value, key), memberOf(part, key), exact))
}

/** A member an object has itself: `constructor` of an empty object is nothing. */
export function memberOf(value: Readonly<Record<string, unknown>> | null | undefined, key: string): unknown {
  return value != null && Object.hasOwn(value, key) ? value[key] : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The URL that a request to a server asks for; nothing where `origin` holds more than `Host` may. A path or
 * a query in there would be read as what is asked for, and its router would serve something else (H3).
 */
export function askedUrl({ origin, target }: { origin: string; target: string }): string | undefined {
  // By hand: resolving `//x/y` against the origin would take `x` for the host.
  const url = target.startsWith('/') ? `${origin}${target}` : target
  return /^https?:\/\/[^\s/?#@\\]+$/i.test(origin) ? url : undefined
}

/**
 * One request as a text that payer and seller both make of it (M2): method, URL with origin and query, and the SHA-256 of the body's
 * bytes in lower-case hex (of none where there is no body).
 */
export function requestBinding({ method, url, bodyHash }: { method: string; url: string; bodyHash: string }): string {
  const { origin, pathname, search } = new URL(url)
  return `${method.toUpperCase()} ${origin}${pathname}${search} ${bodyHash}`
}
