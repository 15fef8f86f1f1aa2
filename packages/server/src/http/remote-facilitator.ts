import {
  claimIdHeader,
  type Facilitator,
  facilitatorRoutes,
  firstIssue,
  type HttpAnswer,
  httpCall,
  isX402Error,
  type Outcome,
  outcomeFromWire,
  pause,
  type SettleResponse,
  type Submission,
  settleResponse,
  verdictFromWire,
} from '@flow402x/core'
import { receiptFromV1 } from '@flow402x/core/v1'
import * as z from 'zod/mini'
import { remoteErrors } from './facilitator-errors.ts'

/** A route of the facilitator's HTTP interface (x402 v2 §7). */
export type FacilitatorRoute = keyof typeof facilitatorRoutes

/** One request to a facilitator, as far as a signature over it may need it. */
export type FacilitatorCall = {
  readonly route: FacilitatorRoute
  readonly method: string
  readonly url: string
  /** The JSON that is sent, to the letter. */
  readonly body: string | undefined
}

/** The headers of one request. */
export type FacilitatorHeaders = Readonly<Record<string, string>>

/** Credentials: fixed headers by route, or a function that makes them for each request (a fresh JWT, a signature). */
export type FacilitatorAuth =
  | { readonly [route in FacilitatorRoute]?: FacilitatorHeaders }
  | ((call: FacilitatorCall) => FacilitatorHeaders | Promise<FacilitatorHeaders>)

/** How a remote facilitator is asked. */
export type HttpFacilitatorOptions = {
  /** Sent to the facilitator's own URL and nowhere else: redirects are not followed. */
  readonly auth?: FacilitatorAuth
  /** Takes the place of Node's own HTTP client, where there is one. */
  readonly fetch?: typeof fetch
  /** Milliseconds for one call, headers and body; 90,000 unless told (wire.md §4). */
  readonly timeout?: number
}

/**
 * A facilitator behind HTTP; who holds it cannot tell it from one in process.
 *
 * After `/settle` was asked, silence, a broken connection and every 5xx that proves nothing are `pending`: never "not paid".
 * Errors: at creation `config/bad-facilitator-url`, `config/bad-facilitator-auth`; later `facilitator/unauthorized` (its 401 and
 * 403, which say nothing of the payment), `facilitator/redirected`, `facilitator/unreachable`, `facilitator/unavailable`,
 * `facilitator/malformed`, `facilitator/malformed-settlement`, `facilitator/no-credentials`.
 */
export function httpFacilitator(url: string, options: HttpFacilitatorOptions = {}): Facilitator {
  checkAuth(options.auth)
  const base = checkedUrl(url)
  const ask = asker(base, options)
  return {
    url: base,
    async supported({ signal } = {}) {
      const answer = await patient(() => ask('supported', { signal }), signal)
      const parsed = z.safeParse(facilitatorRoutes.supported.response, answer.body)
      if (!answer.ok) throw unavailable(answer)
      if (!parsed.success) throw remoteErrors('facilitator/malformed', { url: answer.url, why: firstIssue(parsed.error) })
      // Entries of other versions describe what is sent in that version's words, which this project does not send.
      return { ...parsed.data, kinds: parsed.data.kinds.filter((kind) => kind.x402Version === 2) }
    },
    async verify(submission, { signal } = {}) {
      const answer = await ask('verify', { body: requestBody(submission), signal })
      const parsed = z.safeParse(facilitatorRoutes.verify.response, answer.body)
      // A 5xx that says "invalid" means a facilitator that could not look, and must not be blamed on the payer (H13).
      const judged = answer.ok || (answer.status < 500 && parsed.data?.isValid === false)
      if (!judged) throw unavailable(answer)
      if (!parsed.success) throw remoteErrors('facilitator/malformed', { url: answer.url, why: firstIssue(parsed.error) })
      return verdictFromWire(parsed.data)
    },
    async settle(submission, { signal, claimId } = {}) {
      const { network } = submission.requirements
      const answer = await ask('settle', { body: requestBody(submission), signal, claimId }).catch((error: unknown) => {
        if (isX402Error(error, 'facilitator/unreachable')) return undefined
        throw error
      })
      return answer === undefined ? { status: 'pending', network } : outcomeIn(answer, network)
    },
    async status(claimId, { signal, deadAfter } = {}) {
      const answer = await ask('status', { body: JSON.stringify({ claimId, deadAfter }), signal })
      const parsed = z.safeParse(facilitatorRoutes.status.response, answer.body)
      if (!answer.ok) throw unavailable(answer)
      if (!parsed.success) throw remoteErrors('facilitator/malformed', { url: answer.url, why: firstIssue(parsed.error) })
      const { settlement } = parsed.data
      return settlement === null ? undefined : outcomeFromWire(settlement)
    },
  }
}

type Asked = { readonly body?: string; readonly signal: AbortSignal | undefined; readonly claimId?: string | undefined }
type Answer = Omit<HttpAnswer, 'json'> & { readonly url: string; readonly ok: boolean; readonly body: unknown }
type Ask = (route: FacilitatorRoute, asked: Asked) => Promise<Answer>

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw remoteErrors('config/bad-facilitator-url', { why: `"${url}" is no http(s) URL` })
  if (parsed.username !== '' || parsed.password !== '')
    throw remoteErrors('config/bad-facilitator-url', { why: 'it holds credentials, which belong into auth' })
  if (parsed.search !== '' || parsed.hash !== '')
    throw remoteErrors('config/bad-facilitator-url', { why: 'it has a query or a fragment, and paths are appended to it' })
  return parsed.href.replace(/\/+$/, '')
}

const headerMap = z.optional(z.record(z.string(), z.string()))
const headersByRoute = z.strictObject({ supported: headerMap, verify: headerMap, settle: headerMap, status: headerMap })

function checkAuth(auth: FacilitatorAuth | undefined): void {
  if (auth === undefined || typeof auth === 'function') return
  const parsed = z.safeParse(headersByRoute, auth)
  if (!parsed.success) throw remoteErrors('config/bad-facilitator-auth', { why: firstIssue(parsed.error) })
}

function asker(base: string, { auth, fetch, timeout = 90_000 }: HttpFacilitatorOptions): Ask {
  return async (route, { body, signal, claimId }) => {
    signal?.throwIfAborted()
    const { method, path } = facilitatorRoutes[route]
    const url = `${base}${path}`
    const headers = {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(claimId === undefined ? {} : { [claimIdHeader]: claimId }),
      ...(await credentials(auth, { route, method, url, body })),
    }
    const answer = await httpCall(url, { method, headers, body, timeoutMs: timeout, signal, fetch }).catch((cause: unknown) => {
      // Where money may have moved, giving up is no better known than silence.
      if (route !== 'settle') signal?.throwIfAborted()
      throw remoteErrors('facilitator/unreachable', { url, cause })
    })
    return read(answer, url)
  }
}

function requestBody({ payment: paymentPayload, requirements: paymentRequirements }: Submission): string {
  return JSON.stringify({ x402Version: 2, paymentPayload, paymentRequirements })
}

async function credentials(auth: FacilitatorAuth | undefined, call: FacilitatorCall): Promise<FacilitatorHeaders> {
  if (auth === undefined) return {}
  if (typeof auth !== 'function') return auth[call.route] ?? {}
  try {
    return await auth(call)
  } catch (cause) {
    throw remoteErrors('facilitator/no-credentials', { url: call.url, cause })
  }
}

function read({ status, retryAfter, json: body }: HttpAnswer, url: string): Answer {
  if (status >= 300 && status < 400) throw remoteErrors('facilitator/redirected', { url, status })
  if (status === 401 || status === 403) throw remoteErrors('facilitator/unauthorized', { url, status })
  return { url, status, ok: status >= 200 && status < 300, retryAfter, body }
}

const attempts = 3
const longestPause = 30_000

/** `/supported` is asked up to three times, again only after 429 and not before its Retry-After (wire.md §4). */
async function patient(ask: () => Promise<Answer>, signal: AbortSignal | undefined): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await ask()
    if (answer.status !== 429 || attempt === attempts) return answer
    await pause(Math.min(millisecondsIn(answer.retryAfter) ?? 1000 * 2 ** (attempt - 1), longestPause), signal)
  }
}

function millisecondsIn(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined
  const wait = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now()
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0)
}

const problemFacts = z.looseObject({ moneyMoved: z.optional(z.string()), detail: z.optional(z.string()), error: z.optional(z.string()) })

function unavailable({ url, status, body }: Answer): Error {
  const { detail, error } = z.safeParse(problemFacts, body).data ?? {}
  return remoteErrors('facilitator/unavailable', { url, status, why: (detail ?? error ?? 'it gave no reason').slice(0, 200) })
}

function outcomeIn(answer: Answer, network: string): Outcome {
  const { url, status, ok, body } = answer
  const parsed = z.safeParse(settleResponse, body)
  // A 5xx is its own failure; only its word that nothing moved makes it one that moved nothing.
  if (status === 429 || (status >= 500 && z.safeParse(problemFacts, body).data?.moneyMoved === 'no')) throw unavailable(answer)
  if (ok && !parsed.success) throw remoteErrors('facilitator/malformed-settlement', { url, why: firstIssue(parsed.error) })
  if (!parsed.success) return { status: 'pending', network }
  const receipt = receiptFromV1(parsed.data)
  if (ok && receipt.success && receipt.network !== network) {
    throw remoteErrors('facilitator/malformed-settlement', { url, why: `it settled on ${receipt.network} and was asked for ${network}` })
  }
  return ok || (status < 500 && !receipt.success) ? outcomeFromWire({ ...receipt, network }) : doubtful(receipt, network)
}

function doubtful({ transaction }: SettleResponse, network: string): Outcome {
  return { status: 'pending', network, ...(transaction === '' ? {} : { transaction }) }
}
