import { parsePrice } from '@flow402x/core'
import { bazaarKey, judgeListing, listingKey } from '@flow402x/core/bazaar'
import { sellerErrors } from './errors.ts'
import { openApiOf } from './open-api.ts'
import type { Resource } from './resource.ts'

/** What a seller says of himself beside his resources. */
export type ListingsOptions = {
  readonly resources: readonly Resource[]
  readonly title: string
  readonly description?: string
  /** `1.0.0` unless told. */
  readonly version?: string
  /** The wallets that are paid: what a bazaar holds against the 402s for its verified mark. */
  readonly payTo: readonly string[]
  /** Keys that sign offers and receipts beside those wallets. */
  readonly receiptKeys?: readonly string[]
}

/** What stands at `/.well-known/x402`, in the form that bazaars read: who can write there owns the origin (H41). */
export type WellKnownFile = {
  readonly version: 1
  readonly x402Version: 2
  readonly title: string
  readonly resources: readonly ({ readonly resource: string; readonly type: 'http' | 'mcp' } & Readonly<Record<string, unknown>>)[]
  readonly payTo: readonly string[]
  /** Keys that sign offers and receipts beside the wallets in `payTo`. */
  readonly receiptKeys?: readonly string[]
  readonly openapi: string
}

/** What an origin sells, as documents; `origin` is the public one, such as `https://api.example.com`. */
export type Listings = {
  /** For `/.well-known/x402`: every resource with what it costs, its schemas and its examples, and who may speak for the seller. */
  wellKnown(origin: string): WellKnownFile
  /** For `/openapi.json`: OpenAPI 3.1 of the HTTP resources, each with `x-payment-info`. */
  openApi(origin: string): Readonly<Record<string, unknown>>
}

/**
 * The documents of what an origin sells. Each resource is judged here as a bazaar will judge it (H39).
 *
 * Errors: `config/bad-listing`, `config/duplicate-listing`, `config/bad-price`.
 */
export function createListings({ resources, payTo, receiptKeys = [], ...about }: ListingsOptions): Listings {
  const names = new Set<string>()
  for (const resource of resources) {
    const name = nameOf(resource)
    if (names.has(name)) throw sellerErrors('config/duplicate-listing', { resource: name })
    names.add(name)
    judge(resource, name)
  }
  return {
    wellKnown: (origin) => ({
      version: 1,
      x402Version: 2,
      title: about.title,
      resources: resources.filter(({ facts }) => facts.discoverable !== false).map((resource) => entryOf(resource, origin)),
      payTo: [...payTo],
      ...(receiptKeys.length === 0 ? {} : { receiptKeys: [...receiptKeys] }),
      openapi: `${origin}/openapi.json`,
    }),
    openApi: (origin) => openApiOf({ resources, origin, ...about }),
  }
}

function nameOf({ method, path, tool }: Resource): string {
  return tool === undefined ? listingKey(method ?? 'GET', `https://seller.invalid${path}`) : `MCP ${path}#${tool}`
}

function judge({ terms, facts, path, examplePath, method = 'POST' }: Resource, resource: string): void {
  if (facts.price !== undefined) parsePrice(facts.price)
  const [extension] = terms.extensions
  const { description, serviceName, tags, iconUrl } = facts
  const url = `https://seller.invalid${examplePath ?? path}`
  const judged = judgeListing(
    {
      x402Version: 2,
      resource: { url, description, serviceName, tags: tags && [...tags], iconUrl },
      accepts: [],
      extensions: { [bazaarKey]: extension?.declare() },
    },
    { url, method },
  )
  const isFit = 'facts' in judged || judged.reason === 'hidden'
  if (!isFit) throw sellerErrors('config/bad-listing', { resource, reason: judged.reason, why: judged.message })
}

function entryOf({ terms, facts, path, method, tool, examplePath }: Resource, origin: string): WellKnownFile['resources'][number] {
  const { extensions, ...said } = terms
  return {
    resource: `${origin}${path}`,
    type: tool === undefined ? 'http' : 'mcp',
    ...(method === undefined ? {} : { method }),
    ...(tool === undefined ? {} : { toolName: tool }),
    ...(examplePath === undefined ? {} : { example: `${origin}${examplePath}` }),
    ...said,
    ...(facts.category === undefined ? {} : { category: facts.category }),
    ...(facts.stream === undefined ? {} : { stream: facts.stream }),
    extensions: Object.fromEntries(extensions.map(({ key, declare }) => [key, declare()])),
  }
}
