import {
  type ClaimStore,
  type Extension,
  type Facilitator,
  type Price,
  parsePrice,
  paymentIdentifier,
  type ServerScheme,
  type SupportedKind,
} from '@flow402x/core'
import { serverErrors } from './errors.ts'
import { type PaidUndelivered, type Reconciled, reconcile, reconcileRounds } from './reconcile.ts'

/** What happened to a payment; nothing in it is secret. */
export type ServerEvent =
  | { readonly type: 'challenged'; readonly url: string }
  | { readonly type: 'refused'; readonly url: string; readonly reason: string }
  | { readonly type: 'claimed' | 'delivered'; readonly url: string; readonly payer: string; readonly claimId: string }
  | { readonly type: 'settled'; readonly payer: string; readonly claimId: string; readonly transaction: string; readonly amount: string }
  | { readonly type: 'pending'; readonly payer: string; readonly claimId: string; readonly transaction?: string }
  | { readonly type: 'notSettled'; readonly payer: string; readonly claimId: string; readonly reason: string }
  | { readonly type: 'handlerFailed'; readonly url: string; readonly payer: string; readonly claimId: string; readonly error?: unknown }
  | ({ readonly type: 'undelivered' } & PaidUndelivered)
  | { readonly type: 'error'; readonly error: unknown }

/** What a server is made of. */
export type ServerOptions = {
  /** Who verifies and settles; with several, the first that supports a scheme on a network serves it. */
  readonly facilitator: Facilitator | readonly Facilitator[]
  /** Where claims are kept. */
  readonly store: { readonly claims: ClaimStore }
  /** The ways to be paid, in the order they are offered. */
  readonly schemes: readonly ServerScheme[]
  /** The public origin, such as `https://api.example.com`; without it each request's own is believed. */
  readonly origin?: string
  /** The least price a route may ask; `$0.001` by default. */
  readonly minimumPrice?: string
  /** The most bytes of a request body that are bound to a payment; 4 MiB by default. Larger bodies are answered 413. */
  readonly maxBodyBytes?: number
  /** `Access-Control-Allow-Origin` where the application sets none; `*` by default, `false` for none. */
  readonly cors?: string | false
  /** Whether payments must carry a payment identifier. */
  readonly requirePaymentId?: boolean
  /** `xPaymentRequired` repeats the challenge in `X-Payment-Required` for clients that look there. */
  readonly compat?: { readonly xPaymentRequired?: boolean }
  readonly onEvent?: (event: ServerEvent) => void
  /** Milliseconds between rounds that finish what was left, from `start` to `close`; 30 s by default. */
  readonly reconcileEvery?: number
  /** Milliseconds for which a process holds a claim unless it says more: so long others wait after its sudden death. 15,000 unless told. */
  readonly lease?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** A scheme with the facilitator that serves it. */
export type Served = { readonly scheme: ServerScheme; readonly facilitator: Facilitator; readonly kind: SupportedKind }

/** A server whose facilitators have answered and whose schemes have started. */
export type ReadyServer = {
  readonly served: readonly Served[]
  /** What the offers depend on beside the route: they are made anew when one of these answers otherwise. */
  readonly revisions: readonly (() => unknown)[]
}

/** What routes are charged with. Made by `createServer`, used by `paid`. */
export type Server = {
  /**
   * Asks the facilitators what they support and starts the schemes. Errors: `config/unsupported-scheme`, and the facilitator's and
   * the schemes' own. Requests do the same, and answer 503 until it succeeds.
   */
  start(options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Finishes what a crash or a silent facilitator left, and lists what was paid for and not delivered. `start` repeats it by itself. */
  reconcile(options?: { readonly signal?: AbortSignal }): Promise<Reconciled>
  /** Ends the rounds that `start` began; requests are served as before. */
  close(): void
  /** The engine's side of the server. */
  readonly engine: Engine
}

/** The server as the engine sees it. */
export type Engine = {
  readonly schemes: readonly ServerScheme[]
  readonly claims: ClaimStore
  readonly origin: string | undefined
  readonly minimum: Price
  readonly maxBodyBytes: number
  readonly cors: string | false
  readonly requirePaymentId: boolean
  readonly extensions: readonly Extension[]
  readonly xPaymentRequired: boolean
  readonly emit: (event: ServerEvent) => void
  readonly clock: () => number
  readonly lease: number
  ready(): Promise<ReadyServer>
}

/**
 * Makes a server from a facilitator, a store and the ways to be paid; everything is checked and frozen here.
 *
 * Errors: `config/no-facilitator`, `config/no-scheme`, `config/duplicate-scheme`, `config/bad-origin`, `config/bad-price`.
 */
export function createServer(options: ServerOptions): Server {
  const { schemes, clock = Date.now, onEvent } = options
  const facilitators = [options.facilitator ?? []].flat()
  if (facilitators.length === 0) throw serverErrors('config/no-facilitator', {})
  checkSchemes(schemes)
  const ready = readiness(schemes, facilitators, clock)
  const engine: Engine = {
    schemes,
    claims: options.store.claims,
    origin: options.origin === undefined ? undefined : checkedOrigin(options.origin),
    minimum: parsePrice(options.minimumPrice ?? '$0.001'),
    maxBodyBytes: options.maxBodyBytes ?? 4 * 1024 * 1024,
    cors: options.cors ?? '*',
    requirePaymentId: options.requirePaymentId ?? false,
    extensions: [paymentIdentifier({ required: options.requirePaymentId ?? false })],
    xPaymentRequired: options.compat?.xPaymentRequired ?? false,
    emit: (event) => observe(onEvent, event),
    clock,
    lease: options.lease ?? 15_000,
    ready,
  }
  let rounds: { stop(): void } | undefined
  return Object.freeze<Server>({
    engine: Object.freeze(engine),
    async start({ signal } = {}) {
      await ready({ again: true, signal })
      rounds ??= reconcileRounds(engine, options.reconcileEvery ?? 30_000)
    },
    reconcile: (given) => reconcile(engine, given),
    close() {
      rounds?.stop()
      rounds = undefined
    },
  })
}

type ReadyOptions = { readonly again?: boolean; readonly signal?: AbortSignal | undefined }

/** Asks once and remembers; a failure is remembered for a second, so that a dead facilitator is not asked per request. */
function readiness(schemes: readonly ServerScheme[], facilitators: readonly Facilitator[], clock: () => number) {
  let last: { promise: Promise<ReadyServer>; failedAt?: number } | undefined
  return ({ again = false, signal }: ReadyOptions = {}): Promise<ReadyServer> => {
    const failedAt = last?.failedAt
    if (last !== undefined && (failedAt === undefined || (!again && clock() - failedAt < 1000))) return last.promise
    const attempt: { promise: Promise<ReadyServer>; failedAt?: number } = { promise: serve(schemes, { facilitators, signal }) }
    attempt.promise.catch(() => {
      attempt.failedAt = clock()
    })
    last = attempt
    return attempt.promise
  }
}

async function serve(
  schemes: readonly ServerScheme[],
  { facilitators, signal }: { readonly facilitators: readonly Facilitator[]; readonly signal: AbortSignal | undefined },
): Promise<ReadyServer> {
  const answers = await Promise.allSettled(facilitators.map(async (facilitator) => facilitator.supported({ signal })))
  // One that cannot be paid is never offered (D4).
  await Promise.all(schemes.map((scheme) => scheme.start?.({ signal })))
  const served = schemes.map((scheme): Served => {
    for (const [index, facilitator] of facilitators.entries()) {
      const answer = answers[index]
      if (answer?.status !== 'fulfilled') continue
      const kind = answer.value.kinds.find((one) => one.x402Version === 2 && one.scheme === scheme.scheme && one.network === scheme.network)
      if (kind !== undefined) return { scheme, facilitator, kind }
    }
    const silent = answers.find((answer) => answer.status === 'rejected')
    if (silent !== undefined) throw silent.reason
    throw serverErrors('config/unsupported-scheme', { scheme: scheme.scheme, network: scheme.network })
  })
  return { served, revisions: schemes.flatMap((scheme) => (scheme.revision === undefined ? [] : [() => scheme.revision?.()])) }
}

function observe(onEvent: ServerOptions['onEvent'], event: ServerEvent): void {
  try {
    onEvent?.(event)
  } catch {
    // An observer that fails must not change what happens to money.
  }
}

function checkSchemes(schemes: readonly ServerScheme[]): void {
  if (schemes.length === 0) throw serverErrors('config/no-scheme', {})
  const seen = new Set<string>()
  for (const { scheme, network } of schemes) {
    if (seen.has(`${scheme} ${network}`)) throw serverErrors('config/duplicate-scheme', { scheme, network })
    seen.add(`${scheme} ${network}`)
  }
}

function checkedOrigin(origin: string): string {
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  if (url === undefined || url.origin !== origin.replace(/\/$/, '') || !/^https?:$/.test(url.protocol)) {
    throw serverErrors('config/bad-origin', { origin })
  }
  return url.origin
}
