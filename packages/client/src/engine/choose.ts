import {
  type Asset,
  assetId,
  type ClientScheme,
  formatAmount,
  type PaymentRequired,
  type PaymentRequirements,
  type ResourceInfo,
} from '@flow402x/core'
import { clientErrors, type LeftOut } from './errors.ts'
import type { Limits } from './limits.ts'

/** What a payment is for and what it costs, frozen: exactly this is signed. */
export type Terms = {
  /** The URL that asked, after redirects; the payment goes to its origin and nowhere else. */
  readonly url: string
  readonly method: string
  /** The x402 version it was asked in. */
  readonly version: 1 | 2
  /** As people read it: `0.01 USDC`. */
  readonly price: string
  /** Atomic units of `asset`. */
  readonly amount: bigint
  readonly asset: Asset
  /** How long the signature will be valid: what was asked, at most what the client allows. */
  readonly maxTimeoutSeconds: number
  /** The offer as it came; a payment echoes it unchanged. */
  readonly requirements: PaymentRequirements
  readonly resource: ResourceInfo
}

/** Terms and the scheme that can pay them. */
export type Candidate = { readonly terms: Terms; readonly scheme: ClientScheme }

/** What of an offer can be paid, in the order it is liked, and what cannot and why. */
export type Choice = { readonly candidates: readonly Candidate[]; readonly leftOut: readonly LeftOut[] }

type ChooseOptions = {
  readonly url: string
  readonly method: string
  readonly version: 1 | 2
  readonly schemes: readonly ClientScheme[]
  readonly limits: Limits
  readonly maxTimeoutSeconds: number
  readonly prefer: readonly string[] | ((terms: readonly Terms[]) => Terms) | undefined
}

/**
 * Sorts the ways to pay of a 402 into those this client takes and those it does not: scheme, network, known asset, cap.
 *
 * Errors: `client/bad-preference`.
 */
export function choose(required: PaymentRequired, options: ChooseOptions): Choice {
  const candidates: Candidate[] = []
  const leftOut: LeftOut[] = []
  for (const offered of required.accepts) {
    const found = consider(offered, required.resource, options)
    if (typeof found !== 'string') candidates.push(found)
    else {
      const { scheme, network, asset, amount, payTo } = offered
      leftOut.push({ scheme, network, asset, amount, payTo, why: found })
    }
  }
  return { candidates: order(candidates, options), leftOut }
}

/** Whether two requirements ask the same money for the same payee. */
export function sameTerms(a: PaymentRequirements, b: PaymentRequirements): boolean {
  return (['scheme', 'network', 'amount', 'asset', 'payTo'] as const).every((name) => a[name] === b[name])
}

function consider(offered: PaymentRequirements, resource: ResourceInfo, options: ChooseOptions): Candidate | string {
  const { scheme: name, network } = offered
  const named = options.schemes.filter((scheme) => scheme.scheme === name)
  if (named.length === 0) return 'no such scheme is set up'
  const near = named.filter((scheme) => scheme.networks.some((pattern) => covers(pattern, network)))
  if (near.length === 0) return 'no scheme is set up for this network'
  const asset = options.limits.asset(network, offered.asset)
  if (asset === undefined) return 'the asset is not known'
  const amount = BigInt(offered.amount)
  if (amount === 0n) return 'it asks for nothing'
  if (offered.maxTimeoutSeconds < 1) return 'it leaves no time to pay'
  const over = options.limits.tooMuch(asset, amount)
  if (over !== undefined) return over
  const { url, method, version } = options
  const maxTimeoutSeconds = Math.floor(Math.min(offered.maxTimeoutSeconds, options.maxTimeoutSeconds))
  const terms = freezeTerms(offered, { url, method, version, maxTimeoutSeconds, asset, resource })
  const scheme = schemeFor(near, terms.requirements)
  return scheme === undefined ? 'the scheme cannot pay it in this form' : { terms, scheme }
}

/** The terms of an offer, which nobody changes any more. */
export function freezeTerms(offered: PaymentRequirements, more: Omit<Terms, 'price' | 'amount' | 'requirements'>): Terms {
  const amount = BigInt(offered.amount)
  return deepFreeze({ ...structuredClone(more), price: formatAmount(amount, more.asset), amount, requirements: structuredClone(offered) })
}

/** The scheme that pays an offer, if there is one. */
export function schemeFor(schemes: readonly ClientScheme[], offered: PaymentRequirements): ClientScheme | undefined {
  const { scheme: name, network } = offered
  return schemes.find(
    (scheme) => scheme.scheme === name && scheme.networks.some((pattern) => covers(pattern, network)) && scheme.supports(offered),
  )
}

/** Candidates in the order they are liked. Errors: `client/bad-preference`. */
export function order(candidates: readonly Candidate[], { prefer, url }: Pick<ChooseOptions, 'prefer' | 'url'>): readonly Candidate[] {
  if (prefer === undefined || candidates.length === 0) return candidates
  if (typeof prefer !== 'function') {
    const rank = ({ terms }: Candidate) => {
      const names = [terms.requirements.network, assetId(terms.asset)]
      // EVM addresses have many spellings, ids of assets one.
      const at = prefer.findIndex((liked) => names.includes(liked.startsWith('eip155:') ? liked.toLowerCase() : liked))
      return at < 0 ? prefer.length : at
    }
    return [...candidates].sort((a, b) => rank(a) - rank(b))
  }
  const liked = prefer(candidates.map(({ terms }) => terms))
  const first = candidates.find(({ terms }) => terms === liked)
  if (first === undefined) throw clientErrors('client/bad-preference', { url })
  return [first, ...candidates.filter((candidate) => candidate !== first)]
}

function covers(pattern: string, network: string): boolean {
  return pattern === network || (pattern.endsWith(':*') && network.startsWith(pattern.slice(0, -1)))
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) deepFreeze(part)
  }
  return value
}
