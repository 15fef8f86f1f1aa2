import {
  type ChannelEvent,
  type ChannelRunner,
  type ClaimStore,
  claimStatusExtension,
  type Extension,
  type Facilitator,
  type LogStore,
  type Price,
  parsePrice,
  paymentIdentifier,
  type RunnerRound,
  type ServerScheme,
  type Store,
  type SupportedKind,
} from '@flow402x/core'
import type { Page } from '@flow402x/core/page'
import { booksOf, type PaidUndelivered, type Sale } from '../proof/books.ts'
import type { SoleClaimant } from '../proof/grant.ts'
import { chainFacilitator, isByChain } from '../proof/own.ts'
import { type PayerRecord, payerRecord, type UnpaidWork } from '../proof/payer.ts'
import { isLie } from '../proof/proof.ts'
import { createQuotes, type Quotes } from '../proof/quotes.ts'
import { createTeller, type ServerTopic, type Teller } from '../proof/telling.ts'
import { createTrust, type Trust } from '../proof/trust.ts'
import { serverErrors } from './errors.ts'
import type { ExchangeRate } from './offers.ts'
import { type Reconciled, reconcile, reconcileRounds } from './reconcile.ts'

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
  /** The chain denied what a facilitator said of this claim: nothing goes through it until `forgive`. */
  | { readonly type: 'distrusted'; readonly facilitator: string; readonly claimId: string; readonly payer: string }
  /** Something of the configuration that a seller should know, at each start. */
  | { readonly type: 'warning'; readonly message: string }
  | ChannelEvent

/** What a server is made of. */
export type ServerOptions = {
  /**
   * Who verifies and settles; with several, the first that supports a scheme on a network serves it. Only schemes that the chain itself
   * answers for need none, such as `transfer-proof` with an rpcUrl.
   */
  readonly facilitator?: Facilitator | readonly Facilitator[]
  /** Where claims are kept, what on chain has paid, and what was taken on trust. */
  readonly store: Pick<Store, 'claims' | 'logs' | 'budgets'>
  /** The ways to be paid, in the order they are offered. */
  readonly schemes: readonly ServerScheme[]
  /**
   * What one of an asset costs, such as `"3120.55"` for ETH in USD, for prices in a currency that the asset is not worth one of. Without it
   * such a price is an error at start. It is asked for each 402; where it fails the asset is not offered.
   */
  readonly rate?: ExchangeRate
  /**
   * Signs prices that change, at least 32 letters; the first of several signs and all are known. Instances that serve the same routes
   * share it. One of this process's own unless told, so that its quotes end with it.
   */
  readonly secret?: string | readonly string[]
  /** The public origin, such as `https://api.example.com`; without it each request's own is believed. */
  readonly origin?: string
  /** The least price a route may ask; `$0.001` by default. */
  readonly minimumPrice?: string
  /** The most bytes of a request body that are bound to a payment; 4 MiB by default. Larger bodies are answered 413. */
  readonly maxBodyBytes?: number
  /** `Access-Control-Allow-Origin` where the application sets none; `*` by default, `false` for none. */
  readonly cors?: string | false
  /** What every route says beside its offers, such as `offerReceipt` of `@flow402x/core/receipt`. */
  readonly extensions?: readonly Extension[]
  /** What people see who open a charged route in a browser: `paymentPage()` of `@flow402x/web`. They get the offer as JSON unless told. */
  readonly page?: Page
  /** Whether payments must carry a payment identifier. */
  readonly requirePaymentId?: boolean
  /** `xPaymentRequired` repeats the challenge in `X-Payment-Required` for clients that look there. */
  readonly compat?: { readonly xPaymentRequired?: boolean }
  readonly onEvent?: (event: ServerEvent) => void
  /**
   * What the seller is told through the outbox of the store, in the commit of what happened; `deliverWebhooks` of `@flow402x/store`
   * sends it on. Nothing unless told.
   */
  readonly tell?: readonly ServerTopic[]
  /**
   * What facilitators behind HTTP are believed, in all and for each asset, without a look at the chain: "$100" unless told, or
   * `'unbounded'`. Beyond it a scheme with an RPC looks before anything is delivered, and one without serves nobody. Whoever can look
   * looks up the rest later as well.
   */
  readonly trust?: string
  /** Milliseconds after which a facilitator that lied is used again; never unless told. `forgive` does it at once. */
  readonly forgiveAfter?: number
  /** Whether this store alone grants what its payees are paid: then a payment that a stranger's transaction moved is delivered too. */
  readonly soleClaimant?: SoleClaimant
  /** How much work may be left unpaid by one payer, before all of his payments settle first: 3 in an hour unless told. */
  readonly unpaidWork?: UnpaidWork
  /** Milliseconds between rounds that finish what was left, from `start` to `close`; 30 s by default. */
  readonly reconcileEvery?: number
  /**
   * Whether this server claims what channels owe, from `start` to `close`: true unless told. Of all that share a store one does it at a
   * time, so that it takes only one that stays up.
   */
  readonly claimChannels?: boolean
  /** Milliseconds for which a process holds a claim unless it says more: so long others wait after its sudden death. 15,000 unless told. */
  readonly lease?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/** A scheme with the facilitator that serves it. */
export type Served = {
  readonly scheme: ServerScheme
  readonly facilitator: Facilitator
  readonly kind: SupportedKind
  /** Those of the scheme that the facilitator serves. */
  readonly extensions: readonly Extension[]
  /** Whether the facilitator says what became of a claim. */
  readonly tells: boolean
  /** Whether the chain itself is asked, and nobody in its place. */
  readonly byChain?: true
  /** What it is believed in all, in atomic units of the scheme's asset; without it no bound. */
  readonly limit: bigint | undefined
}

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
  /** Claims what channels owe now, however little, and pays it out; nothing where another process is at it. */
  collect(options?: { readonly signal?: AbortSignal }): Promise<readonly RunnerRound[]>
  /** Every payment that moved from `since` (Unix ms) on, in any order, as long as the store keeps ended claims (H42). */
  books(options?: { readonly since?: number }): AsyncIterable<Sale>
  /** What was paid and not delivered: to be fetched by its payer yet, or to be refunded (H32). */
  undelivered(): AsyncIterable<Sale>
  /** Uses a facilitator again that lied, and forgets its lies. */
  forgive(url: string): Promise<void>
  /** Ends what `start` began; requests are served as before. */
  close(): void
  /** The engine's side of the server. */
  readonly engine: Engine
}

/** The server as the engine sees it. */
export type Engine = {
  readonly schemes: readonly ServerScheme[]
  readonly claims: ClaimStore
  readonly logs: LogStore
  readonly trust: Trust
  readonly payers: PayerRecord
  readonly soleClaimant: SoleClaimant
  readonly origin: string | undefined
  readonly minimum: Price
  readonly rate: ExchangeRate | undefined
  readonly quotes: Quotes
  readonly maxBodyBytes: number
  readonly cors: string | false
  readonly requirePaymentId: boolean
  readonly extensions: readonly Extension[]
  readonly page: Page | undefined
  readonly xPaymentRequired: boolean
  readonly teller: Teller
  readonly emit: (event: ServerEvent) => void
  readonly clock: () => number
  readonly lease: number
  /** Names this server in the claims that its requests hold. */
  readonly holder: string
  ready(): Promise<ReadyServer>
}

/**
 * Makes a server from a facilitator, a store and the ways to be paid; everything is checked and frozen here.
 *
 * Errors: `config/no-facilitator`, `config/no-scheme`, `config/duplicate-scheme`, `config/bad-origin`, `config/bad-price`, `config/no-outbox`.
 */
export function createServer(options: ServerOptions): Server {
  const { schemes, clock = Date.now, onEvent } = options
  const facilitators = [options.facilitator ?? []].flat()
  checkSchemes(schemes)
  if (facilitators.length === 0 && !schemes.every(isByChain)) throw serverErrors('config/no-facilitator', {})
  const { claims, logs, budgets } = options.store
  const { trust = '$100' } = options
  const ready = readiness({ schemes, facilitators, trust: trust === 'unbounded' ? undefined : parsePrice(trust) }, clock)
  const emit = (event: ServerEvent) => observe(onEvent, event)
  let holder: string | undefined
  const engine: Engine = {
    schemes,
    claims,
    logs,
    trust: createTrust({ budgets, emit, clock, forgiveAfter: options.forgiveAfter }),
    payers: payerRecord({ budgets, clock, limits: options.unpaidWork ?? {} }),
    soleClaimant: options.soleClaimant ?? false,
    origin: options.origin === undefined ? undefined : checkedOrigin(options.origin),
    minimum: parsePrice(options.minimumPrice ?? '$0.001'),
    rate: options.rate,
    quotes: createQuotes(options.secret),
    maxBodyBytes: options.maxBodyBytes ?? 4 * 1024 * 1024,
    cors: options.cors ?? '*',
    requirePaymentId: options.requirePaymentId ?? false,
    extensions: [paymentIdentifier({ required: options.requirePaymentId ?? false }), ...(options.extensions ?? [])],
    page: options.page,
    xPaymentRequired: options.compat?.xPaymentRequired ?? false,
    teller: createTeller(claims, { topics: options.tell ?? [], clock }),
    emit,
    clock,
    lease: options.lease ?? 15_000,
    // Made when it is first asked for: some runtimes make no random values before a request has come.
    get holder() {
      holder ??= crypto.randomUUID()
      return holder
    },
    ready,
  }
  let rounds: { stop(): void } | undefined
  let runners: readonly ChannelRunner[] | undefined
  const runnersOf = async (): Promise<readonly ChannelRunner[]> => {
    const { served } = await ready()
    runners ??= served.flatMap(({ scheme, facilitator }) => scheme.vouchers?.runner({ facilitator, onEvent: emit }) ?? [])
    return runners
  }
  return Object.freeze<Server>({
    engine: Object.freeze(engine),
    async start({ signal } = {}) {
      await ready({ again: true, signal })
      for (const message of schemes.flatMap(({ warnings = [] }) => warnings)) emit({ type: 'warning', message })
      rounds ??= reconcileRounds(engine, options.reconcileEvery ?? 30_000)
      if (options.claimChannels ?? true) for (const runner of await runnersOf()) runner.start()
    },
    reconcile: (given) => reconcile(engine, given),
    async collect({ signal } = {}) {
      return Promise.all((await runnersOf()).map((runner) => runner.round({ all: true, signal })))
    },
    books: (given) => booksOf(engine, given),
    async *undelivered() {
      for await (const sale of booksOf(engine)) if (sale.outcome !== 'delivered') yield sale
    },
    async forgive(url) {
      for await (const claim of claims.vouched()) {
        if (claim.vouchedBy === url && isLie(claim)) await claims.update(claim, { vouchedBy: '' })
      }
      engine.trust.forgive(url)
    },
    close() {
      rounds?.stop()
      rounds = undefined
      for (const runner of runners ?? []) runner.close().catch((error: unknown) => emit({ type: 'error', error }))
      runners = undefined
    },
  })
}

type ReadyOptions = { readonly again?: boolean; readonly signal?: AbortSignal | undefined }

/** Asks once and remembers; a failure is remembered for a second, so that a dead facilitator is not asked per request. */
function readiness(parts: Parts, clock: () => number) {
  let last: { promise: Promise<ReadyServer>; failedAt?: number } | undefined
  return ({ again = false, signal }: ReadyOptions = {}): Promise<ReadyServer> => {
    const failedAt = last?.failedAt
    if (last !== undefined && (failedAt === undefined || (!again && clock() - failedAt < 1000))) return last.promise
    const attempt: { promise: Promise<ReadyServer>; failedAt?: number } = { promise: serve(parts, signal) }
    attempt.promise.catch(() => {
      attempt.failedAt = clock()
    })
    last = attempt
    return attempt.promise
  }
}

type Parts = { readonly schemes: readonly ServerScheme[]; readonly facilitators: readonly Facilitator[]; readonly trust: Price | undefined }

async function serve({ schemes, facilitators, trust }: Parts, signal: AbortSignal | undefined): Promise<ReadyServer> {
  const answers = await Promise.allSettled(facilitators.map(async (facilitator) => facilitator.supported({ signal })))
  // One that cannot be paid is never offered (D4).
  await Promise.all(schemes.map((scheme) => scheme.start?.({ signal })))
  const served = schemes.map((scheme): Served => {
    const own = chainFacilitator(scheme)
    if (own !== undefined) return own
    for (const [index, facilitator] of facilitators.entries()) {
      const answer = answers[index]
      if (answer?.status !== 'fulfilled') continue
      const { kinds, extensions } = answer.value
      const kind = kinds.find((one) => one.x402Version === 2 && one.scheme === scheme.scheme && one.network === scheme.network)
      if (kind === undefined) continue
      const tells = facilitator.status !== undefined && extensions?.includes(claimStatusExtension) === true
      if (!tells && scheme.look === undefined && scheme.vouchers === undefined)
        throw serverErrors('config/no-proof', { scheme: scheme.scheme, network: scheme.network })
      const limit = trust && BigInt(scheme.requirements({ price: trust, kind, maxTimeoutSeconds: 300, flow: 'authorization' }).amount)
      const helped = (scheme.extensions ?? []).filter(({ key }) => extensions?.includes(key))
      return { scheme, facilitator, kind, extensions: helped, tells, limit }
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
  for (const { scheme, network, asset } of schemes) {
    const paidIn = asset?.address.toLowerCase() ?? 'any asset'
    const id = `${scheme} ${network} ${paidIn}`
    if (seen.has(id)) throw serverErrors('config/duplicate-scheme', { scheme, network, asset: asset?.symbol ?? paidIn })
    seen.add(id)
  }
}

function checkedOrigin(origin: string): string {
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  if (url === undefined || url.origin !== origin.replace(/\/$/, '') || !/^https?:$/.test(url.protocol)) {
    throw serverErrors('config/bad-origin', { origin })
  }
  return url.origin
}
