import { isX402Error, pause } from '@flow402x/core'
import { type BuyerOptions, createBuyer, type ProgrammeReceipt } from './buyer.ts'
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

type Answer = { readonly url: string; readonly data?: string | ArrayBuffer | object; readonly code?: number; readonly text?: string }
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
export function hlsLoader({ init, ...options }: HlsLoaderOptions): HlsLoader {
  const buyer = createBuyer(options)
  // hls.js makes its loaders with `new`.
  return class<Context extends HlsContext> implements HlsLoading<Context> {
    static close = (): Promise<ProgrammeReceipt> => buyer.close()
    context: Context | null = null
    stats = newStats()
    #response: Response | null = null
    #callbacks: HlsCallbacks<Context> | undefined
    readonly #over = new AbortController()

    load(context: Context, { loadPolicy }: HlsPatience, callbacks: HlsCallbacks<Context>): void {
      this.context = context
      this.#callbacks = callbacks
      this.stats.loading.start = performance.now()
      void this.#load(context, loadPolicy)
    }

    abort(): void {
      const { context, stats } = this
      if (stats.loading.end === 0) stats.aborted = true
      this.#over.abort()
      const callbacks = this.#callbacks
      this.#callbacks = undefined
      if (context !== null) callbacks?.onAbort?.(stats, context, this.#response)
    }

    destroy(): void {
      this.#callbacks = undefined
      this.abort()
      this.context = null
    }

    getCacheAge(): number | null {
      const age = this.getResponseHeader('age')
      return age === null ? null : Number(age)
    }

    getResponseHeader(name: string): string | null {
      return this.#response?.headers.get(name) ?? null
    }

    async #load(context: Context, policy: HlsPatience['loadPolicy']): Promise<void> {
      const { stats } = this
      for (;;) {
        const came = await this.#try(context, policy.maxLoadTimeMs)
        if (this.#over.signal.aborted) return
        if ('data' in came) return await this.#succeed(context, came)
        const retry = came.isLate ? policy.timeoutRetry : policy.errorRetry
        if (retry === null || stats.retry >= retry.maxNumRetry || !(came.isLate || came.isPassing)) return this.#fail(context, came)
        await pause(delayOf(retry, stats.retry), this.#over.signal).catch(() => {})
        stats.retry += 1
      }
    }

    async #try(context: Context, most: number): Promise<Part | Failed> {
      const late = new AbortController()
      const timer = Number.isFinite(most) ? setTimeout(() => late.abort(), most) : undefined
      try {
        const headers = new Headers({ ...context.headers, ...rangeOf(context) })
        const signal = AbortSignal.any([late.signal, this.#over.signal])
        const part = await buyer.get({ url: new URL(context.url, globalThis.location?.href).href, init: { ...init, headers, signal } })
        this.#response = part.response
        if (part.response.ok) return part
        const { status, statusText } = part.response
        return { code: status, text: statusText, isPassing: status >= 500, isLate: false }
      } catch (error) {
        const text = error instanceof Error ? error.message : ''
        // A part that is not paid is not had by asking again.
        const isMoney = isX402Error(error)
        return { code: isMoney ? 402 : 0, text, isPassing: !isMoney, isLate: late.signal.aborted }
      } finally {
        clearTimeout(timer)
      }
    }

    async #succeed(context: Context, { response, data, at }: Part): Promise<void> {
      const { stats } = this
      const answer = await read(data, context.responseType)
      stats.loaded = data.byteLength
      stats.total = data.byteLength
      stats.loading.end = performance.now()
      // What was paid before is no part of how fast it came.
      stats.loading.first = at
      if (typeof answer !== 'object' || answer instanceof ArrayBuffer) this.#callbacks?.onProgress?.(stats, context, answer, response)
      this.#callbacks?.onSuccess({ url: response.url, data: answer, code: response.status }, stats, context, response)
    }

    #fail(context: Context, { code, text, isLate }: Failed): void {
      if (isLate) this.#callbacks?.onTimeout(this.stats, context, this.#response)
      else this.#callbacks?.onError({ code, text }, context, this.#response, this.stats)
    }
  }
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

async function read(data: ArrayBuffer, type: string): Promise<string | ArrayBuffer | object> {
  if (type === 'arraybuffer') return data
  const body = new Response(data)
  // hls.js judges what it asked for as JSON.
  return type === 'json' ? await body.json() : await body.text()
}

function delayOf({ backoff, retryDelayMs, maxRetryDelayMs }: HlsRetry, retries: number): number {
  return Math.min((backoff === 'linear' ? 1 : 2 ** retries) * retryDelayMs, maxRetryDelayMs)
}
