import * as z from 'zod/mini'
import { unlessAborted } from './abort.ts'
import { coalesce } from './coalesce.ts'
import { httpCall, isTimeout } from './http-call.ts'

/** One JSON-RPC connection to a node. */
export interface Rpc {
  /** The host it talks to: all that is ever told of its URL, whose path may hold a key. */
  readonly host: string
  /**
   * Calls a method once and checks its result.
   *
   * Errors: the adapter's own where nothing usable came back, and where the node answered with an error; the signal's reason.
   */
  ask<Result extends z.ZodMiniType>(
    request: RpcRequest<Result>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<z.infer<Result>>
}

/** A method with its parameters and the schema of its result; `shared` lets it go in one HTTP request with others of that kind. */
export type RpcRequest<Result> = {
  readonly method: string
  readonly params: readonly unknown[]
  readonly result: Result
  readonly shared?: boolean
}

/** What an adapter makes of an RPC that fails. */
export type RpcErrors = {
  /** Its URL is none; it must not be shown, for it may hold a key. */
  badUrl(): Error
  /** Nothing usable came back. */
  unusable(what: { readonly host: string; readonly method: string; readonly why: string; readonly cause?: unknown }): Error
  /** The node answered with an error. */
  refused(what: { readonly host: string; readonly method: string; readonly message: string; readonly data: unknown }): Error
}

/** How a node is reached: by Node's own client where there is one, unless by another `fetch`. */
export type HttpRpcOptions = { readonly url: string; readonly fetch: typeof globalThis.fetch | undefined; readonly timeoutMs: number }

const envelopeSchema = z.looseObject({
  id: z.optional(z.unknown()),
  result: z.optional(z.unknown()),
  error: z.nullish(z.looseObject({ code: z.optional(z.number()), message: z.string(), data: z.optional(z.unknown()) })),
})

type Question = { readonly method: string; readonly params: readonly unknown[] }

/** What a question was answered with, or why there is no answer. */
type Reply = { readonly answer: unknown } | { readonly why: string; readonly cause?: unknown }

// Under load a question waits these milliseconds for another's request to end: less than any node takes to answer.
const patience = 5

/** JSON-RPC over HTTP: a request for each question, or one for all that come together and may share it. Errors: `badUrl`. */
export function httpRpc({ url, fetch, timeoutMs, errors }: HttpRpcOptions & { readonly errors: RpcErrors }): Rpc {
  const { host } = parseRpcUrl(url, errors)
  let lastId = 0
  let takesBatches = true
  const alone = (question: Question, signal?: AbortSignal): Promise<Reply> => post(numbered(question), signal)
  const shared = coalesce(together, { most: 32, atOnce: 4, patience })

  return {
    host,
    async ask({ method, params, result, shared: mayShare = false }, { signal } = {}) {
      signal?.throwIfAborted()
      const question = { method, params }
      const reply = await (mayShare ? unlessAborted(shared(question), signal) : alone(question, signal))
      const unusable = (why: string, cause?: unknown) => errors.unusable({ host, method, why, cause })
      if ('why' in reply) throw unusable(reply.why, reply.cause)
      const envelope = z.safeParse(envelopeSchema, reply.answer)
      if (!envelope.success) throw unusable('its answer is no JSON-RPC')
      const { error } = envelope.data
      if (error != null) throw errors.refused({ host, method, message: error.message, data: error.data })
      // An answer without a result, as overloaded gateways give it, must never be read as the chain's "there is none".
      if (envelope.data.result === undefined) throw unusable('its answer has neither result nor error')
      const read = z.safeParse(result, envelope.data.result)
      if (!read.success) throw unusable('its answer has another shape than expected')
      return read.data
    },
  }

  function numbered({ method, params }: Question) {
    lastId += 1
    return { jsonrpc: '2.0', id: lastId, method, params }
  }

  async function together(questions: readonly Question[]): Promise<readonly Reply[]> {
    const [only, ...more] = questions
    if (only !== undefined && more.length === 0) return [await alone(only)]
    if (!takesBatches) return Promise.all(questions.map((question) => alone(question)))
    const requests = questions.map(numbered)
    const reply = await post(requests)
    if ('why' in reply) return questions.map(() => reply)
    if (Array.isArray(reply.answer)) {
      const byId = new Map(reply.answer.map((one: unknown) => [idOf(one), one]))
      return requests.map(({ id }) => (byId.has(id) ? { answer: byId.get(id) } : { why: 'its answer leaves this question out' }))
    }
    // Some nodes take no batches: they are asked one by one, now and from now on.
    takesBatches = false
    return Promise.all(questions.map((question) => alone(question)))
  }

  async function post(request: object, signal?: AbortSignal): Promise<Reply> {
    const headers = { 'content-type': 'application/json' }
    try {
      // Nodes answer refusals with a JSON-RPC error under a status of 4xx too: the body alone counts.
      const { json } = await httpCall(url, {
        method: 'POST',
        headers,
        body: JSON.stringify(request),
        timeoutMs,
        signal,
        fetch,
        follow: true,
      })
      return { answer: json }
    } catch (cause) {
      signal?.throwIfAborted()
      return { why: isTimeout(cause) ? `nothing came within ${timeoutMs} ms` : 'the connection failed', cause }
    }
  }
}

/** The URL of an RPC. Errors: `badUrl`. */
export function parseRpcUrl(url: string, { badUrl }: Pick<RpcErrors, 'badUrl'>): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) throw badUrl()
  return parsed
}

function idOf(answer: unknown): unknown {
  return typeof answer === 'object' && answer !== null && 'id' in answer ? answer.id : undefined
}
