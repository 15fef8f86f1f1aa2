import type { Facilitator, ServerScheme, Store, X402Error } from '@flow402x/core'
import { isX402Error } from '@flow402x/core'
import type { Page } from '@flow402x/core/page'
import { type LaneTerms, laneHeader, type Rail, type Secret } from '@flow402x/core/stream'
import type { Lane } from '../lane/lane.ts'
import type { Patience } from '../lane/live.ts'
import type { Ticked } from '../transports/socket.ts'
import { type Admission, admit } from './entry.ts'
import { engineErrors } from './errors.ts'
import { createInstance, type Instance, type StreamEvent } from './instance.ts'
import { decimalsOf, type Offers, offersOf, type RailScheme, type StreamRate, termsOf } from './offers.ts'
import { commonHeaders, preflight, problem, type StreamAnswer, type StreamRequest } from './request.ts'
import { createSids, type Random, type Sids } from './sids.ts'
import { attach } from './take-over.ts'
import { createTicks, type FrameTick, type Ticks } from './ticks.ts'

/** What a seller of streams is made of. */
export type StreamsOptions = {
  /** The ways to be paid, in the order they are offered: those that have a rail, such as `batchSettlementServer`. */
  readonly schemes: readonly ServerScheme[]
  /** Brings deposits in; ticks never ask it. */
  readonly facilitator: Facilitator
  /** Where lanes are kept, beside the channels of the schemes: instances that share it go on where another stopped. */
  readonly store: Pick<Store, 'lanes'>
  /** Makes the names of lanes, at least 32 letters; instances that serve the same routes share it. One of this process's own unless told. */
  readonly secret?: Secret
  /** `Access-Control-Allow-Origin`: `*` unless told, `false` for none. */
  readonly cors?: string | false
  /** What people see who open a stream in a browser: `paymentPage()` of `@flow402x/web`. They get the offer as a text unless told. */
  readonly page?: Page
  readonly onEvent?: (event: StreamEvent) => void
  /** Milliseconds a lane may stay without credit (10,000), paused (600,000) or without a connection (60,000). */
  readonly patience?: Partial<Patience>
  /** Milliseconds for which an instance owns its lanes without a sign of life: 10,000 unless told. */
  readonly lease?: number
  /** Milliseconds between checkpoints of what was delivered: 1,000 unless told. What a crash may cost the seller. */
  readonly checkpointEvery?: number
  /** Ticks of one lane in a second: 5 unless told. */
  readonly ticksPerSecond?: number
  /** Unix milliseconds, for leases; and a clock that never goes back, for everything that costs money. */
  readonly clock?: () => number
  readonly monotonic?: () => number
  readonly random?: Random
}

/** One priced stream: what is asked for it, who may have it, and where its ticks go. */
export interface StreamRoute {
  /** Lets a request in, or answers it itself. Never rejects. */
  admit(request: StreamRequest): Promise<Admission>
  /** Answers what is posted to `tickUrl` (streaming.md §6). Never rejects. */
  tick(request: StreamRequest): Promise<StreamAnswer>
  /** A tick that came in a frame of a WebSocket. */
  tickFrame(tick: FrameTick): Promise<Ticked>
  /** The lane whose bearer a request is, by `Flow402x-Lane`: nothing where it shows none, or a code that is not ours. Never rejects. */
  bearer(request: StreamRequest): Promise<string | undefined>
  /** A lane of this route for a transport that names it, from whichever instance has it: nothing where it is not to be had. Never rejects. */
  attach(sid: string): Promise<Lane | undefined>
  /** What every answer over one of its lanes says. */
  readonly headers: Readonly<Record<string, string>>
  readonly options: StreamRate
}

/** What sells streams: made by `createStreams`, used by routes. */
export interface Streams {
  /** A priced stream. Errors, at once: `config/bad-rate`, `config/bad-stream`. */
  route(options: StreamRate): StreamRoute
  /** Ends what others left. It is done by itself as long as this instance delivers anything. */
  sweep(): Promise<void>
  /** Ends all lanes: what they did not use is their payers' again. */
  close(): Promise<void>
}

/** The engine as its parts see it. */
export type Engine = {
  readonly schemes: readonly RailScheme[]
  readonly facilitator: Facilitator
  readonly lanes: Store['lanes']
  readonly instance: Instance
  readonly sids: Sids
  readonly cors: string | false
  readonly page: Page | undefined
  readonly emit: (event: StreamEvent) => void
  readonly clock: () => number
  readonly monotonic: () => number
  readonly lease: number
  readonly ticksPerSecond: number
  readonly ticks: Ticks
  railOf(row: Pick<LaneTerms, 'scheme' | 'network'>): Rail | undefined
}

/** A route, with the offers that its facilitator makes possible. */
export type Route = { readonly engine: Engine; readonly options: StreamRate; readonly offers: Offers }

/**
 * Sells streams: time, bytes, tokens and views that are delivered as long as they are paid (FS/1).
 *
 * Errors: `config/no-rail`, `config/weak-secret`.
 */
export function createStreams(options: StreamsOptions): Streams {
  const { cors = '*', clock = Date.now, monotonic = () => performance.now(), lease = 10_000, onEvent } = options
  const { random = (bytes) => crypto.getRandomValues(bytes) } = options
  const schemes = options.schemes.map((scheme): RailScheme => {
    if (scheme.rail === undefined) throw engineErrors('config/no-rail', { scheme: scheme.scheme })
    return { scheme, rail: scheme.rail }
  })
  if (schemes.length === 0) throw engineErrors('config/no-rail', { scheme: '' })
  const emit = (event: StreamEvent): void => {
    try {
      onEvent?.(event)
    } catch {
      // Who watches breaks nothing.
    }
  }
  const railOf: Engine['railOf'] = (row) =>
    schemes.find(({ scheme }) => scheme.scheme === row.scheme && scheme.network === row.network)?.rail
  const { lanes } = options.store
  const instance = createInstance({
    lanes,
    patience: { gated: 10_000, paused: 600_000, detached: 60_000, ...options.patience },
    lease,
    checkpointEvery: options.checkpointEvery ?? 1000,
    emit,
    clock,
    monotonic,
    railOf,
  })
  const sids = createSids(
    options.secret ?? [...random(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    random,
  )
  const { facilitator, page } = options
  const base = { schemes, facilitator, lanes, instance, sids, cors, page, emit, clock, monotonic, lease, railOf }
  const engine: Engine = { ...base, ticksPerSecond: options.ticksPerSecond ?? 5, ticks: createTicks(base) }
  return {
    route: (asked) => routeOf(engine, asked),
    sweep: () => instance.sweep(),
    close: () => instance.close(),
  }
}

function routeOf(engine: Engine, options: StreamRate): StreamRoute {
  // What is wrong with a price is said before anybody asks for it.
  for (const { scheme, rail } of engine.schemes) termsOf(options, { decimals: decimalsOf(scheme), refundable: rail.refundable })
  const ready = readiness(async () => ({ engine, options, offers: await offersOf(options, engine) }), engine.monotonic)
  const answered = async (request: StreamRequest, work: (route: Route) => Promise<StreamAnswer>): Promise<StreamAnswer> => {
    try {
      const route = ready()
      return preflight(request, engine.cors) ?? (await work(route instanceof Promise ? await route : route))
    } catch (error) {
      return failure(engine, error)
    }
  }
  return {
    options,
    async admit(request) {
      try {
        const asked = preflight(request, engine.cors)
        return asked === undefined ? await admit(await ready(), request) : { kind: 'answer', answer: asked }
      } catch (error) {
        return { kind: 'answer', answer: failure(engine, error) }
      }
    },
    tick: (request) => answered(request, (route) => engine.ticks.answer(route, request)),
    async tickFrame(tick) {
      try {
        const route = ready()
        return await engine.ticks.frame(route instanceof Promise ? await route : route, tick)
      } catch (error) {
        engine.emit({ type: 'error', error })
        return 'store'
      }
    },
    async bearer(request) {
      const header = request.header(laneHeader.name.toLowerCase())
      // What names no lane is as good as no name.
      return header === undefined ? undefined : engine.sids.readBearer(header).catch(() => undefined)
    },
    async attach(sid) {
      try {
        return await attach(await ready(), sid)
      } catch (error) {
        engine.emit({ type: 'error', error })
        return undefined
      }
    },
    headers: commonHeaders(engine.cors),
  }
}

/** What went wrong on our side is 503, and the payer keeps his voucher. */
function failure(engine: Engine, error: unknown): StreamAnswer {
  const known: X402Error | undefined = isX402Error(error) && error.status < 500 ? error : undefined
  if (known === undefined) engine.emit({ type: 'error', error })
  const { cors } = engine
  return known === undefined ? problem(engineErrors('stream/not-ready', {}), { cors, retryAfter: 1 }) : problem(known, { cors })
}

/** Asks once and remembers; a failure is remembered for a second. */
function readiness<Value>(make: () => Promise<Value>, now: () => number): () => Value | Promise<Value> {
  let last: { made: Value | Promise<Value>; failedAt?: number } | undefined
  return () => {
    if (last !== undefined && (last.failedAt === undefined || now() - last.failedAt < 1000)) return last.made
    const making = make()
    const attempt: NonNullable<typeof last> = { made: making }
    making.then(
      (made) => {
        attempt.made = made
      },
      () => {
        attempt.failedAt = now()
      },
    )
    last = attempt
    return making
  }
}

/** The headers of an answer that carries a lane. */
export function paidHeaders({ engine, offers }: Route, more: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  // Not spread: an object that begins so and gets more has a layout of its own, which is not collected before long.
  return Object.assign({}, commonHeaders(engine.cors), offers.headers, more)
}
