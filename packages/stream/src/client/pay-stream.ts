import { parsePrice, priceInAsset } from '@flow402x/core'
import {
  type ControlEvent,
  costOf,
  lesser,
  type OpenedStream,
  readUnits,
  type StreamTerms,
  type StreamWallet,
  type Units,
} from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import type { SseChunk } from './lines.ts'
import { createReader } from './reader.ts'

/** What a stream is read and paid with. */
export type PayStreamOptions = {
  /** `streamWallet(client)` of `@flow402x/client`. */
  readonly wallet: StreamWallet
  readonly url: string | URL
  /** What the request is made with: method, headers, a prompt as its body. */
  readonly init?: RequestInit
  /** For how many units at most, as a decimal: seconds, tokens, megabytes. The stream ends there. */
  readonly units?: string
  /** The most that it may cost: `"$0.60"`. The stream ends there; the client's own budget holds all the same. */
  readonly budget?: string
  /** How many units are paid ahead; what the seller offers unless given, and never more than its largest window. */
  readonly window?: string
  /**
   * The fewest bytes that a second brings; what comes slower is paid as slowly. Of a recording, unless given, 64, less than the barest speech,
   * or so many that all of it comes in a day, where its answer says how large it is; of what is live none: give what yours cannot be below.
   * Who gives none, and no `count`, pays a seller who trickles from the beginning for the time he listens, up to `units` and `budget`.
   */
  readonly leastBytes?: number
  /** How much faster than it plays a recording is paid, and so read; 1 unless given. */
  readonly speed?: number
  /** What this side counted of it by itself, in its unit: the seconds that a player holds, tokens. No more is paid, but a window. */
  readonly count?: () => number
  readonly signal?: AbortSignal
  readonly onEvent?: (event: StreamEvent) => void
  /** How often a stream that broke off is brought back before that is an error; 5 unless given. */
  readonly reopens?: number
  /** A clock that never goes back, in milliseconds. */
  readonly now?: () => number
  readonly sleep?: (ms: number) => Promise<void>
}

/** What a reader is told: credit runs low, the gate is shut or open, the stream broke off and came back, its receipt. Amounts are atomic. */
export type StreamEvent =
  | Pick<ControlEvent, 't' | 'consumed' | 'charged' | 'need' | 'ttl' | 'reason'>
  | { readonly t: 'resumed'; readonly from: string }

/**
 * What a stream came to: `units` that were received, by this side's own count where units can be counted from outside; what the server
 * says that they cost, and what was signed for in all (atomic). `chunks` and `bytes` are those of the application.
 */
export type StreamReceipt = {
  readonly units: string
  readonly consumed: bigint
  readonly signed: bigint
  readonly chunks: number
  readonly bytes: bigint
  readonly reason: string
}

/** A chunk: an event of SSE, a line of ndjson as its text, or bytes of anything else. */
export type StreamChunk = SseChunk | string | Uint8Array

/** A stream that is paid for while it is read, once. Reading less pays less: breaking off the loop closes it. */
export interface PaidStream extends AsyncIterable<StreamChunk> {
  /** The answer that opened it; its body is what the loop reads. */
  readonly response: Response
  /** How it is paid: by sliding vouchers, by windows, or not at all. */
  readonly grade: 'A' | 'B' | 'free'
  readonly terms: StreamTerms | undefined
  /** Where it stands: what came so far and what that costs, by this side's own count, and what was signed for it (atomic). */
  standing(): Pick<StreamReceipt, 'bytes' | 'consumed' | 'signed'>
  /** Stops the clock of a live stream, and the money. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Lets it cost so much in all, in the place of `budget`. Errors: `stream/bad-option` for one that is over or asks no money. */
  allow(budget: string): void
  /** Ends it from outside of the loop. */
  close(): Promise<StreamReceipt>
  /** What it came to, once it is over. */
  readonly receipt: Promise<StreamReceipt>
}

/**
 * Opens a route and pays for it while it is read: chunk by chunk, never more than was received and one window (FS/1). A route that asks
 * nothing is read for nothing.
 *
 * Errors: `stream/…`, `client/…` and those of the scheme, before the first chunk or out of the loop.
 *
 * @example
 * ```ts
 * const stream = await payStream({ wallet: streamWallet(client), url, units: '1', budget: '$1' })
 * for await (const chunk of stream) show(chunk)
 * const { units, consumed } = await stream.receipt
 * ```
 */
export async function payStream(options: PayStreamOptions): Promise<PaidStream> {
  const { wallet, url, init = {}, signal } = options
  const over = new AbortController()
  const both = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal])
  const { window, plan } = planOf(options)
  const opened = await wallet.open(url, { ...init, signal: both }, { window })
  const { response, lane } = opened
  if (!response.ok) {
    await response.body?.cancel()
    await lane?.close(0n)
    throw readerErrors('stream/not-open', { url: opened.url, status: response.status, why: 'it answered without one' })
  }
  return createReader({ ...opened, plan: plan(opened) }, { ...options, over })
}

/** What of a stream is read and paid for: `window` ahead, and in all no more than `units` and `most` (atomic). */
export type Plan = {
  readonly terms: StreamTerms
  readonly window: Units
  readonly units: Units | undefined
  readonly most: bigint | undefined
}

/** Reads the limits of options: what is paid ahead on terms, and the plan for what was opened. Errors: `stream/bad-option`. */
export function planOf(options: Pick<PayStreamOptions, 'window' | 'units' | 'budget' | 'leastBytes' | 'speed'>): {
  window(terms: StreamTerms): Units
  plan(opened: OpenedStream): Plan | undefined
} {
  const { leastBytes = 0, speed = 1 } = options
  if (!(leastBytes >= 0)) throw readerErrors('stream/bad-option', { option: 'leastBytes', why: `${leastBytes} is no number of bytes` })
  if (!(speed > 0)) throw readerErrors('stream/bad-option', { option: 'speed', why: `${speed} is no speed` })
  const limits = { window: readOption('window', options.window), units: readOption('units', options.units) }
  return {
    window: (terms) => windowOf(terms, limits),
    plan(opened) {
      const { terms } = opened
      return terms && { terms, window: windowOf(terms, limits), units: limits.units, most: mostOf(opened, options, limits.units) }
    },
  }
}

function readOption(option: string, text: string | undefined): Units | undefined {
  const units = text === undefined ? undefined : readUnits(text)
  if (text !== undefined && (units === undefined || units === 0n))
    throw readerErrors('stream/bad-option', { option, why: `"${text}" is no number of units` })
  return units
}

function windowOf({ window, windowMax }: StreamTerms, limits: { window: Units | undefined; units: Units | undefined }): Units {
  const { units = windowMax } = limits
  return [limits.window ?? window, windowMax].reduce(lesser, units)
}

/** The most (atomic) that limits let a stream cost; nothing where there are none. */
export function mostOf(
  { terms, asset }: OpenedStream,
  { budget }: Pick<PayStreamOptions, 'budget'>,
  units: Units | undefined,
): bigint | undefined {
  const byUnits = terms && units !== undefined ? costOf(terms.rate, units) : undefined
  const byBudget = budget !== undefined && asset !== undefined ? priceInAsset(parsePrice(budget), asset) : undefined
  if (byUnits === undefined || byBudget === undefined) return byUnits ?? byBudget
  return lesser(byUnits, byBudget)
}
