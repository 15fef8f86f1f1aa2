import { randomUUID } from 'node:crypto'
import {
  type CallOptions,
  type ChainWriter,
  claimStatusExtension,
  type Facilitator,
  type FacilitatorScheme,
  type JournalStore,
  networkFamily,
  type Submission,
  type SupportedResponse,
  sameAddress,
} from '@flow402x/core'
import { memoryJournal } from '@flow402x/core/memory'
import { type Counts, countOutcomes, type Health, healthOf, inFlight } from '../watch/health.ts'
import { createTeller, type FacilitatorTopic } from '../watch/telling.ts'
import { type Desk, openDesks, type Refusal, refusal, settle, status } from './desk.ts'
import { facilitatorErrors } from './errors.ts'
import { type OnEvent, quietly } from './events.ts'
import { createRecovery } from './recovery.ts'
import { marginSeconds } from './settlements.ts'
import { verify } from './verify.ts'

/** What a facilitator is made of. */
export type FacilitatorOptions = {
  /** What it verifies and settles: one entry per scheme and network. */
  readonly schemes: readonly FacilitatorScheme[]
  /**
   * Where it keeps its books: nothing is sent before it is written down there, and after a restart what was under way is
   * finished. Facilitators that share a store take turns with a signer, and settle a payment once among them. Without one the
   * books are kept in memory, and end with the process.
   */
  readonly store?: { readonly journal: JournalStore }
  /** Payments that wait together settle in one transaction: at most this many, 32 unless told. `false` gives each its own. */
  readonly batch?: { readonly most?: number } | false
  /**
   * What is taken on at once: so many calls in all, 4096 unless told, and so many payments of one payer in one asset over all
   * facilitators of the store, 256 unless told. Whoever comes then is told to come again later.
   */
  readonly queue?: { readonly most?: number; readonly perPayer?: number }
  /**
   * What its operator is told through the outbox of its store, in the commit of what happened; `deliverWebhooks` of
   * `@flow402x/store` sends it on. Nothing unless told.
   */
  readonly tell?: readonly FacilitatorTopic[]
  /** Called with everything an operator may want to see; what it throws is ignored. */
  readonly onEvent?: OnEvent
  /** Milliseconds a settlement waits for its transaction to be mined before it answers `pending`; 60,000 unless told. */
  readonly confirmTimeout?: number
  /** Milliseconds after which a transaction that no block took is signed again on the same nonce, offering more; 30,000 unless told. */
  readonly replaceAfter?: number
  /**
   * Milliseconds after which it is asked again whether what was mined is final by the chain's own measure; 15,000 unless told. With 0
   * what is mined is final at once: for chains of one's own.
   */
  readonly finality?: number
  /** Milliseconds for which a process that shares a store holds a signer unless it says more: so long others wait after its sudden death. 10,000 unless told. */
  readonly lease?: number
  /** Milliseconds after which a payment that is still pending counts as overdue in `health`; 300,000 unless told. */
  readonly overdueAfter?: number
  /** Unix time in milliseconds. */
  readonly clock?: () => number
}

/** A facilitator that holds its own keys. */
export type LocalFacilitator = Facilitator & {
  /** Finishes what an earlier run left, and checks every chain and asset before anything is served; calling it twice checks once. Throws what the first failing scheme throws. */
  start(options?: CallOptions): Promise<void>
  /** What this process has done and has in hand. */
  counts(): Counts
  /** How it stands, read now; it never rejects. */
  health(): Promise<Health>
  /** Takes no more work and waits until every settlement under way has an end; when `signal` aborts, those that wait for the chain answer `pending` at once. */
  close(options?: CallOptions): Promise<void>
}

/**
 * Verifies and settles with keys of its own. The value is the same behind HTTP: `facilitatorEndpoint` and `httpFacilitator`.
 *
 * A settlement is verified again, whoever asks, then takes the next nonce of the least loaded signer, and ends settled,
 * pending or not settled. `settle` with the same `claimId` settles once and answers the same again (D1).
 * Errors: at creation `config/no-facilitator-scheme`, `config/duplicate-facilitator-scheme`, `config/no-signer`,
 * `config/shared-signer`, `config/no-outbox`; later `facilitator/not-ready`, `facilitator/closed`, `facilitator/busy`, `facilitator/out-of-gas`, `facilitator/cannot-verify`.
 */
export function createFacilitator(options: FacilitatorOptions): LocalFacilitator {
  const { schemes, confirmTimeout = 60_000, clock = Date.now, batch = {}, replaceAfter = 30_000, finality = 15_000 } = options
  const { queue = {} } = options
  assertSchemes(schemes)
  const { onEvent, outcomes } = countOutcomes(quietly(options.onEvent))
  const journal = options.store?.journal ?? memoryJournal(marginSeconds * 1000)
  const topics = options.tell ?? []
  // Nobody could read what an outbox of its own were told.
  if (topics.length > 0 && options.store === undefined) throw facilitatorErrors('config/no-outbox', {})
  const desks = openDesks(schemes, {
    confirmTimeout,
    clock,
    onEvent,
    journal,
    teller: createTeller({ journal, topics, clock, onEvent }),
    replaceAfter,
    finality,
    perPayer: queue.perPayer ?? 256,
    owner: randomUUID(),
    shared: options.store !== undefined,
    leaseFor: options.lease ?? 10_000,
    most: batch === false ? 1 : (batch.most ?? 32),
  })
  const recovery = createRecovery({ desks, journal, clock, onEvent })
  const underWay = new Set<Promise<unknown>>()
  let closed = false

  const counts = (): Counts => ({ outcomes: { ...outcomes }, inFlight: inFlight(desks) })

  return {
    counts,
    health() {
      for (const { gauge } of desks) void gauge.start()
      return healthOf({ desks, journal, clock, overdueAfter: options.overdueAfter ?? 300_000 }, counts())
    },
    async supported({ signal } = {}) {
      signal?.throwIfAborted()
      await Promise.all(desks.map(({ gauge }) => gauge.start()))
      return supportedBy(desks.filter(({ gauge }) => gauge.filled).map(({ scheme }) => scheme))
    },
    verify: (submission, { signal } = {}) =>
      serve(submission, signal, { at: (desk) => verify(desk, submission, { signal }), refused: (verdict) => verdict }),
    settle: (submission, call = {}) =>
      serve(submission, call.signal, { at: (desk) => settle(desk, submission, call), refused: (verdict) => refusal(verdict, submission) }),
    async status(claimId, { signal, deadAfter = clock() / 1000 + longestLife } = {}) {
      signal?.throwIfAborted()
      if (closed) throw facilitatorErrors('facilitator/closed', {})
      void recovery.start()
      return tracked(status(desks, claimId, deadAfter))
    },
    async start({ signal } = {}) {
      await Promise.all([recovery.start(), ...desks.map(({ gauge }) => gauge.start()), ...desks.map(({ ready }) => ready.start(signal))])
    },
    async close({ signal } = {}) {
      closed = true
      const stop = (): void => {
        for (const { settlements } of desks) settlements.stop()
      }
      signal?.addEventListener('abort', stop, { once: true })
      if (signal?.aborted) stop()
      while (underWay.size > 0) await Promise.allSettled(underWay)
      signal?.removeEventListener('abort', stop)
      stop()
      recovery.stop()
      for (const { gauge } of desks) gauge.stop()
      await Promise.all([...new Set(desks.map(({ lanes }) => lanes))].map((lanes) => lanes.close()))
    },
  }

  async function serve<Result>(submission: Submission, signal: AbortSignal | undefined, way: Way<Result>): Promise<Result> {
    signal?.throwIfAborted()
    if (closed) throw facilitatorErrors('facilitator/closed', {})
    if (underWay.size >= (queue.most ?? 4096))
      throw facilitatorErrors('facilitator/busy', { why: 'The facilitator has all the work it takes' })
    const desk = disagreementIn(submission) ?? deskFor(desks, submission)
    if ('reason' in desk) return way.refused(desk)
    void recovery.start()
    const ready = desk.ready.wait().then(() => desk.gauge.start())
    return tracked(
      ready.then(() => {
        if (!desk.gauge.filled) throw facilitatorErrors('facilitator/out-of-gas', { network: desk.scheme.network })
        return way.at(desk)
      }),
    )
  }

  async function tracked<Result>(call: Promise<Result>): Promise<Result> {
    underWay.add(call)
    try {
      return await call
    } finally {
      underWay.delete(call)
    }
  }
}

// Seconds for which an unknown claim stays buried whose payment's end its asker does not say.
const longestLife = 30 * 86_400

type Way<Result> = { readonly at: (desk: Desk) => Promise<Result>; readonly refused: (verdict: Refusal) => Result }

function assertSchemes(schemes: readonly FacilitatorScheme[]): void {
  if (schemes.length === 0) throw facilitatorErrors('config/no-facilitator-scheme', {})
  const seen = new Set<string>()
  const owners = new Map<string, ChainWriter>()
  for (const { scheme, network, writer } of schemes) {
    if (seen.has(`${scheme} ${network}`)) throw facilitatorErrors('config/duplicate-facilitator-scheme', { scheme, network })
    if (writer.signers.length === 0) throw facilitatorErrors('config/no-signer', { scheme, network })
    seen.add(`${scheme} ${network}`)
    for (const signer of writer.signers) {
      const owner = owners.get(`${network} ${signer}`) ?? writer
      if (owner !== writer) throw facilitatorErrors('config/shared-signer', { signer, network })
      owners.set(`${network} ${signer}`, writer)
    }
  }
}

/** The same bytes at every call, after a restart and in every replica with this configuration (H59, wire.md §22.1), but for what has run dry (H33). */
function supportedBy(schemes: readonly FacilitatorScheme[]): SupportedResponse {
  const signers: Record<string, string[]> = {}
  for (const { network, writer } of schemes) {
    const family = `${networkFamily(network)}:*`
    signers[family] = [...new Set([...(signers[family] ?? []), ...writer.signers])]
  }
  const extensions = [...new Set([claimStatusExtension, ...schemes.flatMap((scheme) => scheme.extensions ?? [])])]
  return { kinds: schemes.map((scheme) => scheme.supported()), extensions, signers }
}

/**
 * What the payer accepted must be what the seller asks. Only `amount` may be lower than accepted, for schemes that charge what
 * was used (wire.md §5.4); what was *signed* is the scheme's to compare.
 */
function disagreementIn({ payment: { accepted }, requirements }: Submission): Refusal | undefined {
  const refuse = (reason: string, field: string): Refusal => ({
    valid: false,
    reason,
    message: `The payment accepted another ${field} than the requirements ask.`,
  })
  if (accepted.scheme !== requirements.scheme) return refuse('unsupported_scheme', 'scheme')
  if (accepted.network !== requirements.network) return refuse('invalid_network', 'network')
  if (!sameAddress(accepted.asset, requirements.asset)) return refuse('invalid_payment_requirements', 'asset')
  if (!sameAddress(accepted.payTo, requirements.payTo)) return refuse('invalid_payment_requirements', 'payee')
  if (BigInt(requirements.amount) > BigInt(accepted.amount)) return refuse('invalid_payment_requirements', 'amount')
  return undefined
}

function deskFor(desks: readonly Desk[], { requirements: { scheme, network } }: Submission): Desk | Refusal {
  const named = desks.filter((desk) => desk.scheme.scheme === scheme)
  if (named.length === 0)
    return { valid: false, reason: 'unsupported_scheme', message: `This facilitator does not serve the scheme "${scheme}".` }
  const desk = named.find((one) => one.scheme.network === network)
  return desk ?? { valid: false, reason: 'invalid_network', message: `This facilitator does not serve "${scheme}" on ${network}.` }
}
