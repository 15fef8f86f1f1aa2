import type { X402Error } from '@flow402x/core'
import { toProblem } from '@flow402x/core'

/** What the engine needs of a request, whatever the framework. */
export type StreamRequest = {
  readonly method: string
  /** Absolute, as the client asked for it. */
  readonly url: string
  header(name: string): string | undefined
  /** The whole body as text, or nothing past `limit` bytes. */
  body(limit: number): Promise<string | undefined>
}

/** A whole answer: bindings write it without the web platform's `Response` where that costs more. */
export type StreamAnswer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body?: string }

const exposed = [
  'PAYMENT-REQUIRED',
  'PAYMENT-RESPONSE',
  'Payment-Address',
  'Payment-Rate',
  'Payment-Token',
  'Network',
  'Payment-Stream',
  'Payment-Remaining',
  'Payment-Pass',
  'Flow402x-Lane',
  'Retry-After',
].join(', ')
const allowed =
  'PAYMENT-SIGNATURE, Content-Type, Access-Control-Expose-Headers, Payment-Resume, Flow402x-Lane, Payment-Pass, Range, Authorization'

/** Headers that no answer here goes without: it is one payer's, and browsers may read it (streaming.md §11). */
export function commonHeaders(cors: string | false): Readonly<Record<string, string>> {
  return {
    'Cache-Control': 'private, no-store, no-transform',
    'X-Accel-Buffering': 'no',
    Vary: 'PAYMENT-SIGNATURE',
    'Access-Control-Expose-Headers': exposed,
    ...(cors === false ? {} : { 'Access-Control-Allow-Origin': cors }),
  }
}

/** The answer to a browser's preflight: it passes unpaid, and is asked once in two hours. */
export function preflight(request: StreamRequest, cors: string | false): StreamAnswer | undefined {
  const method = request.method === 'OPTIONS' ? request.header('access-control-request-method') : undefined
  if (method === undefined) return undefined
  const asked = request.header('access-control-request-headers')
  return {
    status: 204,
    headers: {
      ...(cors === false ? {} : { 'Access-Control-Allow-Origin': cors }),
      'Access-Control-Allow-Methods': method,
      'Access-Control-Allow-Headers': asked === undefined ? allowed : `${allowed}, ${asked}`,
      'Access-Control-Max-Age': '7200',
      Vary: 'Access-Control-Request-Method, Access-Control-Request-Headers',
    },
  }
}

/**
 * The path that was asked for, letter by letter, as routers of Node match it: one that is resolved first would have what is bought at
 * `/cheap` open what `/dear/../cheap` serves (H3).
 */
export function pathOf({ url }: Pick<StreamRequest, 'url'>): string {
  return /^[a-z]+:\/\/[^/?#]+(\/[^?#]*)/i.exec(url)?.[1] ?? '/'
}

/** JSON with amounts as decimal strings. */
function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? `${one}` : one))
}

/** An error as RFC 9457, with what else it says to its client. */
export function problem(
  error: X402Error,
  more: { readonly cors: string | false; readonly said?: object; readonly retryAfter?: number },
): StreamAnswer {
  return {
    status: error.status,
    headers: {
      ...commonHeaders(more.cors),
      'Content-Type': 'application/problem+json',
      ...(more.retryAfter === undefined ? {} : { 'Retry-After': `${more.retryAfter}` }),
    },
    body: jsonText({ ...toProblem(error), ...more.said }),
  }
}
