import * as z from 'zod/mini'
import { present } from '../calls/present.ts'
import { findAsset } from '../protocol/asset.ts'
import { firstIssue } from '../protocol/headers.ts'
import { formatDecimal, fromAtomic } from '../protocol/money.ts'
import { memberOf, type PaymentRequired, type PaymentRequirements } from '../protocol/payment.ts'
import type { ListingClaims } from './catalogue.ts'
import { category, type ListedFacts, type ListingPrice, type ListingReason, type ListingStream } from './listing.ts'

/** The key of the bazaar extension in a 402 (wire.md §16.1). */
export const bazaarKey = 'bazaar'

/** The key of the extension of a stream's 402 (FS/1 §5.4). */
const streamKey = 'flow402x-stream'

const optionalText = z.nullish(z.string())

/** What a 402's bazaar extension says of how its resource is called (wire.md §16.1). `category` and `example` are this project's. */
export const bazaarDeclaration = z.looseObject({
  info: z.looseObject({
    input: z.looseObject({
      type: z.enum(['http', 'mcp']),
      method: optionalText,
      toolName: optionalText,
      tool: optionalText,
    }),
    output: z.nullish(z.looseObject({})),
  }),
  schema: z.nullish(z.looseObject({})),
  routeTemplate: optionalText,
  category: z.nullish(category),
  /** Where there is a template: a URL on the same origin that answers. */
  example: optionalText,
  discoverable: z.nullish(z.boolean()),
})

/** What a 402's bazaar extension says of how its resource is called. */
export type BazaarDeclaration = z.infer<typeof bazaarDeclaration>

const streamDeclaration = z.looseObject({
  info: z.looseObject({
    unit: z.string().check(z.regex(/^[A-Za-z][A-Za-z0-9-]{0,31}$/)),
    rate: z.string().check(z.regex(/^\d{1,40}\/[1-9]\d{0,39}$/)),
    window: z.nullish(z.number()),
    ws: optionalText,
    transports: z.nullish(z.array(z.string().check(z.regex(/^[a-z0-9-]{1,16}$/))).check(z.maxLength(8))),
  }),
})

/** What a 402 comes to in a bazaar: what is listed of it, or why nothing is. */
export type Judgement =
  | { readonly facts: ListedFacts; readonly example?: string | undefined }
  | { readonly reason: ListingReason; readonly message: string }

/** Where a 402 was got, and what was claimed of it beforehand. */
export type JudgeOptions = { readonly url: string; readonly method: string; readonly claims?: ListingClaims | undefined }

// Beyond it a declaration is no description any more.
const mostExtension = 32_768

/**
 * What a bazaar lists of a 402, or why it does not: the one judge of sellers, before they ask, and of bazaars (H39). Offers, method and
 * payee are the 402's own; claims fill what it leaves unsaid. Text is cut and freed of everything that is not text.
 */
export function judgeListing(required: PaymentRequired, { url, method, claims = {} }: JudgeOptions): Judgement {
  const said = memberOf(required.extensions, bazaarKey)
  const declaration = said == null ? undefined : z.safeParse(bazaarDeclaration, said)
  if (declaration?.success === false) return refusal('bad_discovery', firstIssue(declaration.error))
  const declared = declaration?.data
  if (declared?.discoverable === false) return refusal('hidden', 'its bazaar extension says discoverable: false')
  const why = declared === undefined ? undefined : whyUnfit(declared)
  if (why !== undefined) return refusal('bad_discovery', why)
  const { resource, accepts } = required
  const where = new URL(url)
  const template = declared?.routeTemplate == null ? undefined : readTemplate(declared.routeTemplate)
  const named = `${where.origin}${template ?? where.pathname}`
  const { type, toolName, tool } = declared?.info.input ?? { type: 'http' as const }
  const toolText = type === 'mcp' ? plainText(toolName ?? tool, 128) : undefined
  if (type === 'mcp' && toolText === undefined) return refusal('bad_discovery', 'an MCP resource needs a toolName')
  const verb = type === 'mcp' ? 'MCP' : method.toUpperCase()
  const stream = streamIn(required)
  return {
    facts: {
      key: type === 'mcp' ? `MCP ${named}#${toolText}` : `${verb} ${named}`,
      resource: named,
      type,
      x402Version: 2,
      accepts,
      method: verb,
      prices: accepts.map((offer) => priceOf(offer, stream?.price)),
      ...present({
        toolName: toolText,
        name: plainText(resource.serviceName, 64) ?? plainText(claims.name, 64),
        serviceName: plainText(resource.serviceName, 32),
        description: plainText(resource.description, 500) ?? plainText(claims.description, 500),
        mimeType: plainText(resource.mimeType, 100),
        iconUrl: iconOf(resource.iconUrl),
        category: declared?.category ?? claims.category,
        tags: tagsOf(resource.tags ?? claims.tags),
        rateLimit: plainText(claims.rateLimit, 32),
        uptime: plainText(claims.uptime, 16),
        stream: stream?.facts,
        example: template === undefined ? undefined : url,
        extensions: required.extensions == null ? undefined : listedExtensions(required.extensions),
      }),
    },
    example: exampleOf(declared, where),
  }
}

/** The key of the listing that a URL would have without a template. */
export function listingKey(method: string, url: string): string {
  const { origin, pathname } = new URL(url)
  return `${method.toUpperCase()} ${origin}${pathname}`
}

// Controls, and what turns, joins or hides text; everything of it can make a line look like something else.
const unprintable = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]+/gu

/** Text of a stranger as data: one line without anything invisible, of at most `most` characters; nothing where nothing is left. */
export function plainText(text: string | null | undefined, most: number): string | undefined {
  // What is cut away cannot be read out, however long it is.
  const line = (text ?? '')
    .slice(0, 8 * most)
    .normalize('NFC')
    .replace(unprintable, ' ')
    .replace(/\s+/gu, ' ')
    .trim()
  return line === '' ? undefined : [...line].slice(0, most).join('').trim()
}

function refusal(reason: ListingReason, message: string): Judgement {
  return { reason, message }
}

function whyUnfit({ schema, routeTemplate, ...rest }: BazaarDeclaration): string | undefined {
  if (JSON.stringify({ schema, ...rest }).length > mostExtension) return `it has more than ${mostExtension} characters`
  if (routeTemplate != null && readTemplate(routeTemplate) === undefined) return 'its routeTemplate is no path of names and parameters'
  const outside = externalReference(schema, 0)
  return outside === undefined ? undefined : `its schema refers to ${outside}: only references within it are read`
}

/** The first reference of a schema to something outside of it; who followed it would fetch what a stranger names. */
function externalReference(value: unknown, depth: number): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > 32) return 'more than 32 levels'
  for (const [key, part] of Object.entries(value)) {
    const refers = ['$ref', '$dynamicRef', '$id', '$schema'].includes(key) && typeof part === 'string'
    const own =
      key === '$schema' ? part === 'https://json-schema.org/draft/2020-12/schema' : typeof part === 'string' && part.startsWith('#')
    const found = refers && !own ? `"${String(part).slice(0, 100)}"` : externalReference(part, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

const templateText = /^\/[a-zA-Z0-9_/:.\-~%]*$/

/** A template in the one form: `[id]` and `{id}` are `:id` (wire.md §16.1). Nothing for what could be read as another path. */
function readTemplate(text: string): string | undefined {
  let star = 0
  const template = text.replaceAll(/[[{]([a-zA-Z0-9_]+)[\]}]/g, ':$1').replaceAll('*', () => {
    star += 1
    return `:var${star}`
  })
  let read = template
  for (let pass = 0; pass < 5 && read.includes('%'); pass += 1) {
    try {
      read = decodeURIComponent(read)
    } catch {
      return undefined
    }
  }
  const hidden = [template, read].some((one) => one.length > 512 || one.includes('..') || one.includes('://') || !templateText.test(one))
  return hidden ? undefined : template
}

function exampleOf(declared: BazaarDeclaration | undefined, { origin }: URL): string | undefined {
  const { example } = declared ?? {}
  if (example == null || !URL.canParse(example, origin)) return undefined
  const url = new URL(example, origin)
  return url.origin === origin ? url.href : undefined
}

function tagsOf(tags: readonly string[] | null | undefined): string[] | undefined {
  const plain = (tags ?? []).flatMap((tag) => plainText(tag, 32) ?? [])
  const [...once] = new Map(plain.map((tag) => [tag.toLowerCase(), tag])).values()
  return once.length === 0 ? undefined : once.slice(0, 5)
}

// No user, no number that could be an address, nothing of this machine (wire.md §16.1).
const iconHost = /^(?=.*[a-z])(?!localhost$)(?!.*\.local(host)?$)(?!0x)[a-z0-9-]+(\.[a-z0-9-]+)+$/

function iconOf(url: string | null | undefined): string | undefined {
  if (url == null || url.length > 2048 || !URL.canParse(url)) return undefined
  const { protocol, hostname, username, password, href } = new URL(url)
  const fits = ['https:', 'http:'].includes(protocol) && username === '' && password === '' && iconHost.test(hostname)
  return fits && !/^[0-9.]+$/.test(hostname) ? href : undefined
}

/** The extensions as they are shown; what belongs to one answer alone, such as signed offers, is left out. */
function listedExtensions(extensions: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(extensions).map(([key, value]) => [key, key === bazaarKey || key === streamKey ? value : {}])
  return Object.fromEntries(kept.slice(0, 16))
}

type StreamPrice = Pick<ListingPrice, 'amount' | 'unit'> & { readonly currency: string }

function streamIn({ extensions, accepts }: PaymentRequired): { readonly facts: ListingStream; readonly price?: StreamPrice } | undefined {
  const { info } = z.safeParse(streamDeclaration, memberOf(extensions, streamKey)).data ?? {}
  if (info === undefined) return undefined
  const { unit, window, ws, transports } = info
  const [units = '0', per = '1'] = info.rate.split('/')
  // The rate is told in the units of the first offer's asset (FS/1 §5.4).
  const [first] = accepts
  const asset = first === undefined ? undefined : findAsset(first.network, first.asset)
  // Eighteen digits more than the asset has: below that no two rates are told apart.
  const amount = asset && formatDecimal(fromAtomic((BigInt(units) * 10n ** 18n) / BigInt(per), asset.decimals + 18))
  const currency = asset?.currency ?? asset?.symbol
  const rate = amount === undefined || currency === undefined ? info.rate : `${amount} ${currency}`
  const found = [...new Set([...(transports ?? []), ...(ws == null ? [] : ['ws'])])]
  return {
    facts: { rate: `${rate}/${unit}`, unit, ...present({ window, transports: found.length === 0 ? undefined : found }) },
    ...(amount === undefined || currency === undefined ? {} : { price: { amount, unit, currency } }),
  }
}

function priceOf({ network, asset, scheme, amount }: PaymentRequirements, stream: StreamPrice | undefined): ListingPrice {
  const known = findAsset(network, asset)
  const named = known && { symbol: known.symbol, currency: known.currency ?? known.symbol }
  if (stream !== undefined && named?.currency === stream.currency) {
    return { network, asset, scheme, ...named, amount: stream.amount, unit: stream.unit }
  }
  const ceiling = scheme === 'upto' ? { upTo: true } : {}
  const asked = known && { ...named, amount: formatDecimal(fromAtomic(BigInt(amount), known.decimals)) }
  return { network, asset, scheme, ...asked, unit: 'request', ...ceiling }
}
