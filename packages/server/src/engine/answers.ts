import {
  type MoneyMoved,
  type Outcome,
  outcomeToWire,
  paymentResponseHeader,
  type ResourceInfo,
  type StoredResponse,
  settlementOverridesHeader,
  toProblem,
  type X402Error,
} from '@flow402x/core'
import { receiptToV1, xPaymentResponseHeader } from '@flow402x/core/v1'
import { extensionsOf, type Said, waysToSay } from '../extensions/extensions.ts'
import { challenge, type PaidOptions, plainChallenge, type Quote } from './offers.ts'
import { ownBytes } from './request.ts'
import type { Engine } from './server.ts'

/** The dialect a payer speaks, and so the header its receipt goes into; `plain` is the challenge of DESIGN §8.3, which knows 200 and 400. */
export type Dialect = 'v1' | 'v2' | 'plain'

/** The headers of a response, wherever they are kept. */
export type LeavingHeaders = Pick<Headers, 'get' | 'has' | 'set' | 'append' | 'delete'>

/** Headers of a response that is about to leave; the engine sets and appends its own. */
export type Dress = (headers: LeavingHeaders) => void

const exposed = 'PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Retry-After'
const plainHeaders = 'X-Payment-Signature, X-Payment-Reference'
const allowed = `PAYMENT-SIGNATURE, X-PAYMENT, ${plainHeaders}, SIGN-IN-WITH-X, Access-Control-Expose-Headers, Content-Type, Authorization`

/** The header that carries what came of a payment. */
export function receiptHeader(outcome: Outcome, dialect: Dialect): [name: string, value: string] {
  const receipt = outcomeToWire(outcome)
  if (dialect !== 'v1') return [paymentResponseHeader.name, paymentResponseHeader.encode(receipt)]
  return [xPaymentResponseHeader.name, xPaymentResponseHeader.encode(receiptToV1(receipt))]
}

/** What a paid response needs beside its receipt: never shared by caches, readable by browsers (wire.md §1.1, A14). */
export function dressPaid(engine: Engine, receipt: readonly [string, string]): Dress {
  return (headers) => {
    headers.delete(settlementOverridesHeader)
    headers.set(...receipt)
    const cache = headers.get('cache-control') ?? ''
    if (!/\b(private|no-store)\b/i.test(cache)) headers.set('Cache-Control', cache === '' ? 'private' : `${cache}, private`)
    headers.append('Vary', `PAYMENT-SIGNATURE, X-PAYMENT, ${plainHeaders}`)
    dressForBrowsers(engine, headers)
  }
}

/** What an answer that must not be cached needs; `receipt` where a payment was tried. */
export function dressRefusal(engine: Engine, receipt?: readonly [string, string]): Dress {
  return (headers) => {
    headers.delete(settlementOverridesHeader)
    if (receipt !== undefined) headers.set(...receipt)
    headers.set('Cache-Control', 'no-store')
    dressForBrowsers(engine, headers)
  }
}

/** What one 402 (or 412) says. */
type Challenged = {
  readonly quote: Quote
  readonly options: PaidOptions
  readonly resource: ResourceInfo
  /** What extensions say in this 402 alone. */
  readonly asked?: Said | undefined
  readonly error: string
  readonly detail?: string | undefined
  readonly status?: 402 | 412
}

/** An answer that is only text: whoever writes it without the web platform's `Response` saves the making of one. */
export type PlainAnswer = { readonly status: number; readonly text: string; readonly headers: Readonly<Record<string, string>> }

/** A 402 (or 412): the offers in the v2 header and in the one body that v1 clients read, with RFC 9457's members. */
export function challengeAnswer(engine: Engine, challenged: Challenged): ChallengeAnswer {
  const { status = 402 } = challenged
  const { text, headers } = encodedChallenge(engine, challenged)
  return plainAnswer({ status, text, headers })
}

/** An answer that is text: a `Response` only for whom it is one. */
export function plainAnswer(plain: PlainAnswer): ChallengeAnswer {
  return Object.assign<Pick<ChallengeAnswer, 'response'>, Omit<ChallengeAnswer, 'response'>>(Object.create(madeOfPlain), {
    kind: 'answer',
    plain,
  })
}

/** An answer in the handler's place that is text. */
export type ChallengeAnswer = { readonly kind: 'answer'; readonly plain: PlainAnswer; readonly response: Response }

// One for all answers: a getter of each one's own would keep all that its request brought until the next full collection of garbage.
const madeOfPlain: ThisType<ChallengeAnswer> = {
  get response() {
    const { text, status, headers } = this.plain
    return new Response(text, { status, headers })
  },
}

type Encoded = { readonly text: string; readonly headers: Record<string, string> }

// A quote belongs to one route of one server, and one that is asked again is the same object: what it was encoded to is kept
// for some URLs at a time, so that a query of the client's own choice cannot fill the memory.
const encodings = new WeakMap<Quote, Map<string, Encoded>>()
const mostEncodings = 64
const longestUrl = 2048

function encodedChallenge(engine: Engine, challenged: Challenged): Encoded {
  const { quote, resource, error, detail, asked, status = 402 } = challenged
  if (detail !== undefined || asked !== undefined || resource.url.length > longestUrl) return encodeChallenge(engine, challenged)
  const kept = encodings.get(quote) ?? new Map<string, Encoded>()
  const id = `${status} ${resource.url}\n${error}`
  const known = kept.get(id)
  if (known !== undefined) return known
  const encoded = encodeChallenge(engine, challenged)
  const [oldest] = kept.keys()
  if (kept.size >= mostEncodings && oldest !== undefined) kept.delete(oldest)
  encodings.set(quote, kept.set(id, encoded))
  return encoded
}

function encodeChallenge(engine: Engine, { quote, options, resource, asked, error, detail, status = 402 }: Challenged): Encoded {
  const { header, body } = challenge(quote, { resource, error, ways: waysToSay(extensionsOf(engine, options, quote), asked) })
  const problem = { type: 'urn:flow402x:payment-required', title: 'Payment Required', status, detail: detail ?? askingPrice(quote, error) }
  const headers = new Headers({ 'Content-Type': 'application/json', 'PAYMENT-REQUIRED': header })
  if (engine.xPaymentRequired) headers.set('X-Payment-Required', header)
  dressRefusal(engine)(headers)
  return { text: asciiJson({ ...problem, ...body, ...plainChallenge(quote) }), headers: Object.fromEntries(headers) }
}

/** What else a problem says. */
export type ProblemOptions = {
  readonly reason?: string
  readonly outcome?: Outcome
  readonly dialect?: Dialect
  readonly retryAfter?: number
}

/** In the plain dialect what is not paid, or not yet, is a bad request: its reason says which. */
function statusFor(dialect: Dialect, status: number): number {
  return dialect === 'plain' && (status === 402 || status === 503) ? 400 : status
}

/** An error of ours as RFC 9457, with the reason where official clients look for it; `outcome` where a payment was tried. */
export function problemResponse(engine: Engine, error: X402Error, options: ProblemOptions = {}): Response {
  const { reason, outcome, dialect = 'v2', retryAfter } = options
  const status = statusFor(dialect, error.status)
  const response = json(status, { ...toProblem(error), status, ...(reason === undefined ? {} : { error: reason }) })
  if (retryAfter !== undefined) response.headers.set('Retry-After', String(retryAfter))
  dressRefusal(engine, outcome === undefined ? undefined : receiptHeader(outcome, dialect))(response.headers)
  return response
}

/** A payment that is not settled now; `moneyMoved` says whether it was settled before, for another request. */
export type NotSettled = {
  readonly outcome: Outcome & { readonly status: 'notSettled' }
  readonly dialect: Dialect
  readonly moneyMoved?: MoneyMoved
}

/** A settlement that did not happen: 402 with the receipt that says so and no new offer (wire.md §1.2). */
export function notSettledResponse(engine: Engine, { outcome, dialect, moneyMoved = 'no' }: NotSettled): Response {
  const { reason, message, retry, deadAfter } = outcome
  const detail = message ?? `The payment was not settled: ${reason}.`
  const facts = { phase: 'settle', moneyMoved, retry, ...(deadAfter === undefined ? {} : { deadAfter }) }
  const status = statusFor(dialect, 402)
  const response = json(status, {
    ...(dialect === 'v1' ? { x402Version: 1, accepts: [] } : {}),
    type: `urn:flow402x:error:payment/${reason}`,
    title: 'Payment Not Settled',
    status,
    detail,
    error: reason,
    ...facts,
  })
  dressRefusal(engine, receiptHeader(outcome, dialect))(response.headers)
  return response
}

/** A stored response as it left, or should have left, the first time. */
export function storedResponse(stored: StoredResponse): Response {
  const headers = new Headers()
  for (const [name, value] of stored.headers) headers.append(name, value)
  const bodiless = stored.status === 204 || stored.status === 205 || stored.status === 304
  return new Response(bodiless ? null : ownBytes(stored.body), { status: stored.status, headers })
}

/** The answer to a browser's preflight: which headers a paying request may carry. No handler runs for it. */
export function preflightResponse(engine: Engine, asked: { readonly method: string; readonly headers?: string | undefined }): Response {
  const response = new Response(null, { status: 204 })
  response.headers.set('Access-Control-Allow-Methods', asked.method)
  response.headers.set('Access-Control-Allow-Headers', asked.headers === undefined ? allowed : `${allowed}, ${asked.headers}`)
  response.headers.set('Access-Control-Max-Age', '600')
  response.headers.append('Vary', 'Access-Control-Request-Method, Access-Control-Request-Headers')
  dressForBrowsers(engine, response.headers)
  return response
}

function dressForBrowsers(engine: Engine, headers: LeavingHeaders): void {
  headers.append('Access-Control-Expose-Headers', exposed)
  if (engine.cors !== false && !headers.has('access-control-allow-origin')) headers.set('Access-Control-Allow-Origin', engine.cors)
}

function askingPrice(quote: Quote, error: string): string {
  const prices = quote.offers.map(({ requirements, price }) => `${price} by ${requirements.scheme} on ${requirements.network}`)
  return `${error}. This resource costs ${prices.join(' or ')}. Nothing was charged.`
}

function json(status: number, body: unknown): Response {
  return new Response(asciiJson(body), { status, headers: { 'Content-Type': 'application/json' } })
}

// In ASCII: version 1 clients encode what they were offered with `btoa` (wire.md §3.2).
function asciiJson(body: unknown): string {
  return JSON.stringify(body).replaceAll(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
