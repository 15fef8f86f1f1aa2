import { isX402Error, pause } from '@flow402x/core'
import { type BuyerOptions, createBuyer, type PartBuyer, type ProgrammeReceipt } from './buyer.ts'
import type { Part } from './part-lane.ts'

/** What hls.js asks for: as much of its `LoaderContext` as is used. */
export type HlsContext = {
  readonly url: string
  readonly responseType: string
  readonly headers?: Record<string, string>
  readonly rangeStart?: number
  readonly rangeEnd?: number
}

/** What hls.js reads of how loading went, as its `LoaderStats`. Times are those of `performance.now()`. */
export type HlsStats = {
  aborted: boolean
  loaded: number
  retry: number
  total: number
  chunkCount: number
  bwEstimate: number
  loading: { start: number; first: number; end: number }
  parsing: { start: number; end: number }
  buffering: { start: number; first: number; end: number }
}

type Answer = { readonly url: string; readonly data?: unknown; readonly code?: number; readonly text?: string }
type Failure = { readonly code: number; readonly text: string }

/** How hls.js tries again, as its `RetryConfig`. */
export type HlsRetry = {
  readonly maxNumRetry: number
  readonly retryDelayMs: number
  readonly maxRetryDelayMs: number
  readonly backoff?: 'exponential' | 'linear'
}

/** How long hls.js waits, as its `LoaderConfiguration`: for each try by itself, and not while it is being paid. */
export type HlsPatience = {
  readonly loadPolicy: {
    readonly maxTimeToFirstByteMs: number
    readonly maxLoadTimeMs: number
    readonly timeoutRetry: HlsRetry | null
    readonly errorRetry: HlsRetry | null
  }
}

/** Whom hls.js has told, as its `LoaderCallbacks`. */
export type HlsCallbacks<Context> = {
  onSuccess(answer: Answer, stats: HlsStats, context: Context, response: Response | null): void
  onError(failure: Failure, context: Context, response: Response | null, stats: HlsStats): void
  onTimeout(stats: HlsStats, context: Context, response: Response | null): void
  onAbort?(stats: HlsStats, context: Context, response: Response | null): void
  onProgress?(stats: HlsStats, context: Context, data: string | ArrayBuffer, response: Response | null): void
}

/** One loading, as hls.js has its `Loader`. */
export interface HlsLoading<Context extends HlsContext> {
  context: Context | null
  stats: HlsStats
  load(context: Context, config: HlsPatience, callbacks: HlsCallbacks<Context>): void
  abort(): void
  destroy(): void
  getCacheAge(): number | null
  getResponseHeader(name: string): string | null
}

/** How a player pays for what it loads. */
export type HlsLoaderOptions = BuyerOptions & {
  /** What requests are made with beside what hls.js says, such as `credentials`. */
  readonly init?: Pick<RequestInit, 'credentials' | 'mode' | 'cache' | 'referrerPolicy'>
}

/** What hls.js makes its loaders with: `new Hls({ loader })`. All of one share their lanes, their passes and their budget. */
export interface HlsLoader {
  new <Context extends HlsContext>(config?: unknown): HlsLoading<Context>
  <Context extends HlsContext>(config?: unknown): HlsLoading<Context>
  /** Ends its lanes, after `hls.destroy()`; what was not used is the channels' again. */
  close(): Promise<ProgrammeReceipt>
}

/**
 * A loader for hls.js that pays: playlists, keys and segments that answer 402 are bought over lanes, each as a whole before it is asked for,
 * and passes are shown until they are over. Of hls.js nothing is needed here.
 *
 * @example
 * ```ts
 * const loader = hlsLoader({ wallet: streamWallet(client), budget: '$1' })
 * const hls = new Hls({ loader, maxBufferLength: 10 })
 * ```
 */
export function hlsLoader({ init = {}, ...options }: HlsLoaderOptions): HlsLoader {
  const buyer = createBuyer(options)
  function loader<Context extends HlsContext>(): HlsLoading<Context> {
    return createLoading(buyer, init)
  }
  // A function that gives an object can be called with `new` as well, and gives the same.
  return Object.assign(loader, { close: buyer.close }) as HlsLoader
}

function createLoading<Context extends HlsContext>(buyer: PartBuyer, init: RequestInit): HlsLoading<Context> {
  const over = new AbortController()
  const stats = newStats()
  let response: Response | null = null
  let told: HlsCallbacks<Context> | undefined

  async function run(context: Context, policy: HlsPatience['loadPolicy']): Promise<void> {
    for (;;) {
      const came = await attempt(context, policy.maxLoadTimeMs)
      if (over.signal.aborted) return
      if ('data' in came) return await succeed(context, came)
      const retry = came.isLate ? policy.timeoutRetry : policy.errorRetry
      if (retry === null || stats.retry >= retry.maxNumRetry || !(came.isLate || came.isPassing)) return fail(context, came)
      await pause(delayOf(retry, stats.retry), over.signal).catch(() => {})
      stats.retry += 1
    }
  }

  async function attempt(context: Context, most: number): Promise<Part | Failed> {
    const late = new AbortController()
    const timer = Number.isFinite(most) ? setTimeout(() => late.abort(), most) : undefined
    try {
      const headers = new Headers({ ...context.headers, ...rangeOf(context) })
      const url = new URL(context.url, globalThis.location?.href).href
      const part = await buyer.get({ url, init: { ...init, headers, signal: AbortSignal.any([late.signal, over.signal]) } })
      response = part.response
      const { ok, status, statusText } = response
      return ok ? part : { code: status, text: statusText, isPassing: status >= 500, isLate: false }
    } catch (error) {
      const text = error instanceof Error ? error.message : ''
      // A part that is not paid is not had by asking again.
      const isMoney = isX402Error(error)
      return { code: isMoney ? 402 : 0, text, isPassing: !isMoney, isLate: late.signal.aborted }
    } finally {
      clearTimeout(timer)
    }
  }

  async function succeed(context: Context, { data, at, response: { url, status } }: Part): Promise<void> {
    const answer = await read(data, context.responseType)
    stats.loaded = data.byteLength
    stats.total = data.byteLength
    // What was paid before is no part of how fast it came.
    stats.loading.first = at
    stats.loading.end = performance.now()
    if (typeof answer === 'string' || answer instanceof ArrayBuffer) told?.onProgress?.(stats, context, answer, response)
    told?.onSuccess({ url, data: answer, code: status }, stats, context, response)
  }

  function fail(context: Context, { code, text, isLate }: Failed): void {
    if (isLate) told?.onTimeout(stats, context, response)
    else told?.onError({ code, text }, context, response, stats)
  }

  const loading: HlsLoading<Context> = {
    context: null,
    stats,
    load(context, { loadPolicy }, callbacks) {
      loading.context = context
      told = callbacks
      stats.loading.start = performance.now()
      void run(context, loadPolicy)
    },
    abort() {
      const callbacks = told
      told = undefined
      if (stats.loading.end === 0) stats.aborted = true
      over.abort()
      if (loading.context !== null) callbacks?.onAbort?.(stats, loading.context, response)
    },
    destroy() {
      told = undefined
      loading.abort()
      loading.context = null
    },
    getCacheAge() {
      const age = loading.getResponseHeader('age')
      return age === null ? null : Number(age)
    },
    getResponseHeader: (name) => response?.headers.get(name) ?? null,
  }
  return loading
}

/** How it went wrong: in a way that may pass by itself, or late. */
type Failed = Failure & { readonly isPassing: boolean; readonly isLate: boolean }

function newStats(): HlsStats {
  return {
    ...{ aborted: false, loaded: 0, retry: 0, total: 0, chunkCount: 0, bwEstimate: 0 },
    loading: { start: 0, first: 0, end: 0 },
    parsing: { start: 0, end: 0 },
    buffering: { start: 0, first: 0, end: 0 },
  }
}

function rangeOf({ rangeStart = 0, rangeEnd = 0 }: HlsContext): Record<string, string> {
  return rangeEnd > 0 ? { Range: `bytes=${rangeStart}-${rangeEnd - 1}` } : {}
}

async function read(data: ArrayBuffer, type: string): Promise<unknown> {
  if (type === 'arraybuffer') return data
  const body = new Response(data)
  // hls.js itself judges what it wanted as JSON.
  return type === 'json' ? await body.json() : await body.text()
}

function delayOf({ backoff, retryDelayMs, maxRetryDelayMs }: HlsRetry, retries: number): number {
  return Math.min((backoff === 'linear' ? 1 : 2 ** retries) * retryDelayMs, maxRetryDelayMs)
}
