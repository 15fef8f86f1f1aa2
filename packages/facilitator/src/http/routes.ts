import {
  claimIdHeader,
  type Facilitator,
  facilitatorRequest,
  facilitatorRoutes,
  firstIssue,
  isX402Error,
  outcomeToWire,
  type Submission,
  toProblem,
  verdictToWire,
  type X402Error,
} from '@flow402x/core'
import { receiptToV1, submissionFromV1, supportedInV1 } from '@flow402x/core/v1'
import * as z from 'zod/mini'
import { facilitatorErrors } from '../engine/errors.ts'
import { type OnEvent, quietly } from '../engine/events.ts'
import type { LocalFacilitator } from '../engine/facilitator.ts'
import { readJson } from './body-reader.ts'

/** A route of the facilitator's HTTP interface. */
export type Route = keyof typeof facilitatorRoutes | 'health'

/** A facilitator to be served; `GET /health` is there for one that knows how it stands. */
export type Servable = Facilitator & Partial<Pick<LocalFacilitator, 'health'>>

/** Decides whether a caller is served; it is given the request without its body. */
export type Authorize = (request: Request, route: Route) => boolean | Promise<boolean>

/** How a facilitator is served. */
export type EndpointOptions = {
  /** API keys, JWTs: what gives `false` is answered with 401. Without it everyone is served. */
  readonly authorize?: Authorize
  /** Called with what went wrong inside; callers are told that much and no more. */
  readonly onEvent?: OnEvent
}

// A hundred claims of channels are 60 kB, and more where contracts signed.
const bodyLimit = 262_144

/** One request, as Node or the Web has it. */
export type Call = {
  readonly method: string
  readonly path: string
  readonly signal: AbortSignal
  header(name: string): string | undefined
  /** The whole body, or nothing past `limit` bytes. */
  bytes(limit: number): Promise<Uint8Array | undefined>
  /** The request without its body. */
  bare(): Request
}

/** What it is answered with. */
export type Reply = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }

/** Answers what a facilitator is asked over HTTP, by its routes. It never rejects. */
export function facilitatorHandler(facilitator: Servable, { authorize, onEvent }: EndpointOptions = {}): (call: Call) => Promise<Reply> {
  const tell = quietly(onEvent)
  return async (call) => {
    const route = routes.find((name) => call.path.endsWith(ways[name].path))
    if (route === undefined) return problem(notFound(call))
    let body: unknown
    try {
      await admit(call, { route, authorize })
      if (call.method === 'POST') body = await readJson(call, { limit: bodyLimit })
      return await answers[route](facilitator, { call, body })
    } catch (error) {
      const known = isX402Error(error) ? error : facilitatorErrors('facilitator/internal', { cause: error })
      if (known.status >= 500 && !call.signal.aborted) tell({ type: 'requestFailed', route, error })
      const headers = known.status === 405 ? { allow: ways[route].method } : {}
      return problem(known, { members: failures[route](known, body), headers })
    }
  }
}

type Asked = { readonly call: Call; readonly body: unknown }

const routes = ['supported', 'verify', 'settle', 'status', 'health'] as const

const ways: Readonly<Record<Route, { readonly method: string; readonly path: string }>> = {
  ...facilitatorRoutes,
  health: { method: 'GET', path: '/health' },
}

const answers: Record<Route, (facilitator: Servable, asked: Asked) => Promise<Reply>> = {
  async supported(facilitator, { call }) {
    const supported = await facilitator.supported({ signal: call.signal })
    return respond({ ...supported, kinds: [...supported.kinds, ...supportedInV1(supported.kinds)] })
  },
  async verify(facilitator, { call, body }) {
    const { submission } = submissionIn(body)
    return respond(verdictToWire(await facilitator.verify(submission, { signal: call.signal })))
  },
  async settle(facilitator, { call, body }) {
    const { submission, v1 } = submissionIn(body)
    const receipt = outcomeToWire(await facilitator.settle(submission, { signal: call.signal, claimId: claimIdOf(call) }))
    return respond(v1 ? receiptToV1(receipt) : receipt)
  },
  async status(facilitator, { call, body }) {
    if (facilitator.status === undefined) throw notFound(call)
    const parsed = z.safeParse(facilitatorRoutes.status.request, body)
    if (!parsed.success) throw facilitatorErrors('request/malformed', { why: firstIssue(parsed.error) })
    const { claimId, deadAfter } = parsed.data
    const outcome = await facilitator.status(claimId, { signal: call.signal, deadAfter: deadAfter ?? undefined })
    return respond({ settlement: outcome === undefined ? null : outcomeToWire(outcome) })
  },
  async health(facilitator, { call }) {
    if (facilitator.health === undefined) throw notFound(call)
    const health = await facilitator.health()
    return respond(health, { status: health.status === 'down' ? 503 : 200 })
  },
}

// The members by which an official client tells a failed verification or settlement from a broken facilitator.
const failures: Record<Route, (error: X402Error, body: unknown) => object> = {
  supported: () => ({}),
  health: () => ({}),
  status: () => ({}),
  verify: (error) => ({ isValid: false, invalidReason: reasonOf(error) ?? 'unexpected_verify_error', invalidMessage: error.message }),
  settle(error, body) {
    const unsent = error.moneyMoved === 'no' ? 'settlement_not_sent' : 'unexpected_settle_error'
    const network = z.safeParse(networkIn, body).data?.paymentRequirements.network ?? ''
    return { success: false, errorReason: reasonOf(error) ?? unsent, errorMessage: error.message, transaction: '', network }
  },
}

const networkIn = z.looseObject({ paymentRequirements: z.looseObject({ network: z.string() }) })

const reasons: Readonly<Record<string, string>> = {
  'request/malformed': 'invalid_payload',
  'request/too-large': 'invalid_payload',
  'request/bad-version': 'invalid_x402_version',
}

function notFound({ path }: Call): X402Error {
  return facilitatorErrors('request/not-found', { path })
}

function reasonOf(error: X402Error): string | undefined {
  return reasons[error.code]
}

async function admit(
  { method, bare }: Call,
  { route, authorize }: { readonly route: Route; readonly authorize: Authorize | undefined },
): Promise<void> {
  const allowed = ways[route].method
  if (method !== allowed) throw facilitatorErrors('request/bad-method', { method, allowed })
  if (authorize === undefined) return
  if (!(await authorize(bare(), route))) throw facilitatorErrors('request/unauthorized', {})
}

const versioned = z.looseObject({ x402Version: z.number() })

function submissionIn(body: unknown): { readonly submission: Submission; readonly v1: boolean } {
  const version = z.safeParse(versioned, body).data?.x402Version
  if (version === undefined) throw facilitatorErrors('request/malformed', { why: 'it has no x402Version' })
  if (version !== 1 && version !== 2) throw facilitatorErrors('request/bad-version', { version })
  if (version === 1) {
    const submission = submissionFromV1(body)
    if (submission === undefined) throw facilitatorErrors('request/malformed', { why: 'it is no x402 v1 payment on a network of v1' })
    return { submission, v1: true }
  }
  const parsed = z.safeParse(facilitatorRequest, body)
  if (!parsed.success) throw facilitatorErrors('request/malformed', { why: firstIssue(parsed.error) })
  const { paymentPayload: payment, paymentRequirements: requirements } = parsed.data
  return { submission: { payment, requirements }, v1: false }
}

function claimIdOf({ header }: Call): string | undefined {
  const claimId = header(claimIdHeader)
  if (claimId !== undefined && !/^[\x21-\x7e]{1,255}$/.test(claimId)) {
    throw facilitatorErrors('request/malformed', { why: `${claimIdHeader} must have 1 to 255 visible ASCII characters` })
  }
  return claimId
}

function respond(body: object, init: { readonly status?: number; readonly headers?: Record<string, string> } = {}): Reply {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', ...init.headers }
  return { status: init.status ?? 200, headers, body: JSON.stringify(body) }
}

const statusHeaders: Readonly<Record<number, Record<string, string>>> = {
  401: { 'www-authenticate': 'Bearer' },
  503: { 'retry-after': '2' },
}

function problem(error: X402Error, added: { readonly members?: object; readonly headers?: Record<string, string> } = {}): Reply {
  const headers = { 'content-type': 'application/problem+json', ...statusHeaders[error.status], ...added.headers }
  return respond({ ...toProblem(error), ...added.members }, { status: error.status, headers })
}
