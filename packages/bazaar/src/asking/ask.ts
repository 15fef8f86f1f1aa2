import { firstIssue, unlessAborted } from '@flow402x/core'
import * as z from 'zod/mini'
import { bazaarClientErrors } from './errors.ts'

/** How a bazaar is reached. */
export type AskOptions = {
  /** Where it is, such as `https://bazaar.example`: one of ours, or any facilitator that answers `/discovery/resources`. */
  readonly url: string
  readonly fetch?: typeof globalThis.fetch
  /** Sent with every request, such as a facilitator's credentials. */
  readonly headers?: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>)
  /** Milliseconds for which an answer is believed; 30,000 unless told, 0 for never. */
  readonly cacheFor?: number
  /** Milliseconds that an answer may take; 20,000 unless told. */
  readonly timeout?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** One question: a path and a query, or a body that changes something. */
export type Question<Answer> = {
  readonly path: string
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly schema: z.ZodMiniType<Answer>
  readonly signal?: AbortSignal | undefined
}

/** Asks one bazaar. Errors: `bazaar/…`; the signal's reason. */
export type Ask = <Answer>(question: Question<Answer>) => Promise<Answer>

const mostKept = 256
const mostBytes = 8 * 1024 * 1024

/** Asks a bazaar, and remembers for a while what it answered to questions that change nothing. Errors: `config/bad-bazaar-url`. */
export function asker(options: AskOptions): Ask {
  const { cacheFor = 30_000, clock = Date.now } = options
  const isUrl = URL.canParse(options.url) && /^https?:$/.test(new URL(options.url).protocol)
  if (!isUrl) throw bazaarClientErrors('config/bad-bazaar-url', { url: options.url })
  const base = options.url.replace(/\/+$/, '')
  const kept = new Map<string, { readonly until: number; readonly answer: Promise<unknown> }>()

  return async ({ path, query = {}, body, schema, signal }) => {
    signal?.throwIfAborted()
    const url = `${base}${path}${queryText(query)}`
    const read = (answer: unknown) => {
      const parsed = z.safeParse(schema, answer)
      if (parsed.success) return parsed.data
      throw bazaarClientErrors('bazaar/bad-answer', { url, why: firstIssue(parsed.error) })
    }
    if (body !== undefined) {
      // What was changed is seen by who asks next.
      kept.clear()
      return read(await send(options, { url, body, signal }))
    }
    const now = clock()
    const known = kept.get(url)
    // A question that several wait for is not given up because one of them no longer does.
    if (known !== undefined && now < known.until) return read(await unlessAborted(known.answer, signal))
    const answer = send(options, { url, signal: cacheFor > 0 ? undefined : signal })
    if (cacheFor > 0) {
      const [oldest] = kept.keys()
      if (kept.size >= mostKept && oldest !== undefined) kept.delete(oldest)
      kept.set(url, { until: now + cacheFor, answer })
      answer.catch(() => kept.delete(url))
    }
    return read(await unlessAborted(answer, signal))
  }
}

function queryText(query: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== null)
  const text = new URLSearchParams(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : String(value)]),
  ).toString()
  return text === '' ? '' : `?${text}`
}

type Sending = { readonly url: string; readonly body?: unknown; readonly signal: AbortSignal | undefined }

async function send(
  { fetch = globalThis.fetch, headers = {}, timeout = 20_000 }: AskOptions,
  { url, body, signal }: Sending,
): Promise<unknown> {
  const own = typeof headers === 'function' ? await headers() : headers
  const signals = [AbortSignal.timeout(timeout), ...(signal === undefined ? [] : [signal])]
  const more = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
  const sent = {
    ...more,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...own },
  }
  let response: Response
  let text: string
  try {
    response = await fetch(url, { ...sent, signal: AbortSignal.any(signals) })
    text = await readText(response)
  } catch (cause) {
    signal?.throwIfAborted()
    throw bazaarClientErrors('bazaar/unreachable', { url, cause })
  }
  const value = parseJson(text)
  // A refusal that is an answer of the interface says why in its own words.
  if (!response.ok && !isAnswer(value)) throw bazaarClientErrors('bazaar/refused', { url, status: response.status, why: reasonIn(value) })
  return value
}

const answers = z.union([z.looseObject({ accepted: z.boolean() }), z.looseObject({ state: z.string(), reason: z.string() })])

function isAnswer(value: unknown): boolean {
  return z.safeParse(answers, value).success
}

const problem = z.looseObject({ detail: z.nullish(z.string()), error: z.nullish(z.string()), title: z.nullish(z.string()) })

function reasonIn(value: unknown): string {
  const { detail, error, title } = z.safeParse(problem, value).data ?? {}
  return (detail ?? error ?? title ?? 'it does not say why').slice(0, 500)
}

async function readText(response: Response): Promise<string> {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let length = 0; reader !== undefined; ) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.byteLength
    if (length > mostBytes) {
      await reader.cancel()
      return ''
    }
    text += decoder.decode(value, { stream: true })
  }
  return text + decoder.decode()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
