import {
  type CallOptions,
  type ChainWriter,
  type Facilitator,
  type FacilitatorScheme,
  networkFamily,
  type Outcome,
  type PaymentKey,
  type SettleOptions,
  type Submission,
  type SupportedResponse,
  sameAddress,
  type Verdict,
} from '@flow402x/core'
import { facilitatorErrors } from './errors.ts'
import { type OnEvent, quietly } from './events.ts'
import { createLanes, type Lanes } from './lanes.ts'
import { type Receipts, watchReceipts } from './receipts.ts'
import { createSettlements, type Settlements } from './settlements.ts'

/** What a facilitator is made of. */
export type FacilitatorOptions = {
  /** What it verifies and settles: one entry per scheme and network. */
  readonly schemes: readonly FacilitatorScheme[]
  /** Called with everything an operator may want to see; what it throws is ignored. */
  readonly onEvent?: OnEvent
  /** Milliseconds a settlement waits for its transaction to be mined before it answers `pending`; 60,000 unless told. */
  readonly confirmTimeout?: number
  /** Unix time in milliseconds. */
  readonly clock?: () => number
}

/** A facilitator that holds its own keys. */
export type LocalFacilitator = Facilitator & {
  /** Checks every chain and asset before anything is served; calling it twice checks once. Throws what the first failing scheme throws. */
  start(options?: CallOptions): Promise<void>
  /** Takes no more work and waits until every settlement under way has an end; when `signal` aborts, those that wait for the chain answer `pending` at once. */
  close(options?: CallOptions): Promise<void>
}

/**
 * Verifies and settles with keys of its own. The value is the same behind HTTP: `facilitatorEndpoint` and `httpFacilitator`.
 *
 * A settlement is verified again, whoever asks, then takes the next nonce of the least loaded signer, and ends settled,
 * pending or not settled. `settle` with the same `claimId` settles once and answers the same again (D1).
 * Errors: at creation `config/no-facilitator-scheme`, `config/duplicate-facilitator-scheme`, `config/no-signer`,
 * `config/shared-signer`; later
 * `facilitator/not-ready`, `facilitator/closed`, `facilitator/cannot-verify`.
 */
export function createFacilitator(options: FacilitatorOptions): LocalFacilitator {
  const { schemes, confirmTimeout: timeout = 60_000, clock = Date.now } = options
  const onEvent = quietly(options.onEvent)
  assertSchemes(schemes)
  const settlements = createSettlements({ clock })
  const chains = new Map<ChainWriter, Chain>()
  for (const { writer } of schemes) {
    if (!chains.has(writer))
      chains.set(writer, { lanes: createLanes(writer, { onEvent }), receipts: watchReceipts(writer, { timeout, onEvent }) })
  }
  const desks = schemes.map((scheme): Desk => {
    // Every writer of `schemes` was put there above.
    const chain = chains.get(scheme.writer) as Chain
    return { scheme, ...chain, ready: createReadiness(scheme, { clock, onEvent }) }
  })
  const answer = supportedBy(schemes)
  const underWay = new Set<Promise<unknown>>()
  let closed = false

  return {
    async supported({ signal } = {}) {
      signal?.throwIfAborted()
      return structuredClone(answer)
    },
    async verify(submission, { signal } = {}) {
      const desk = await deskFor(submission, signal)
      return 'reason' in desk ? desk : tracked(verify(desk, { submission, signal, onEvent }))
    },
    async settle(submission, { signal, claimId } = {}) {
      const desk = await deskFor(submission, signal)
      if ('reason' in desk) return refusal(desk, submission)
      const cancelled = cancellation(signal, timeout)
      return tracked(settle(desk, { submission, signal, cancelled, claimId, settlements, onEvent }))
    },
    async start({ signal } = {}) {
      await Promise.all(desks.map(({ ready }) => ready.start(signal)))
    },
    async close({ signal } = {}) {
      closed = true
      const stop = (): void => {
        for (const { receipts } of chains.values()) receipts.stop()
      }
      signal?.addEventListener('abort', stop, { once: true })
      if (signal?.aborted) stop()
      while (underWay.size > 0) await Promise.allSettled(underWay)
      signal?.removeEventListener('abort', stop)
      stop()
    },
  }

  async function tracked<Result>(call: Promise<Result>): Promise<Result> {
    underWay.add(call)
    try {
      return await call
    } finally {
      underWay.delete(call)
    }
  }

  async function deskFor(submission: Submission, signal: AbortSignal | undefined): Promise<Desk | Refusal> {
    signal?.throwIfAborted()
    if (closed) throw facilitatorErrors('facilitator/closed', {})
    const disagreement = disagreementIn(submission)
    if (disagreement !== undefined) return disagreement
    const { scheme, network } = submission.requirements
    const named = desks.filter((desk) => desk.scheme.scheme === scheme)
    if (named.length === 0)
      return { valid: false, reason: 'unsupported_scheme', message: `This facilitator does not serve the scheme "${scheme}".` }
    const desk = named.find((one) => one.scheme.network === network)
    if (desk === undefined)
      return { valid: false, reason: 'invalid_network', message: `This facilitator does not serve "${scheme}" on ${network}.` }
    await desk.ready.wait()
    return desk
  }
}

type Chain = { readonly lanes: Lanes; readonly receipts: Receipts }
type Desk = Chain & { readonly scheme: FacilitatorScheme; readonly ready: Readiness }
type Refusal = Verdict & { readonly valid: false }
type Asked = { readonly submission: Submission; readonly signal: AbortSignal | undefined; readonly onEvent: OnEvent }
type Settling = Asked & Pick<SettleOptions, 'claimId'> & { readonly settlements: Settlements; readonly cancelled: () => boolean }

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

/** The same bytes at every call, after a restart and in every replica with this configuration (H59, trap 1). */
function supportedBy(schemes: readonly FacilitatorScheme[]): SupportedResponse {
  const signers: Record<string, string[]> = {}
  for (const { network, writer } of schemes) {
    const family = `${networkFamily(network)}:*`
    signers[family] = [...new Set([...(signers[family] ?? []), ...writer.signers])]
  }
  return { kinds: schemes.map((scheme) => scheme.supported()), extensions: [], signers }
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

async function verify({ scheme }: Desk, { submission, signal, onEvent }: Asked): Promise<Verdict> {
  try {
    return await scheme.verify(submission, { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    const { network } = scheme
    onEvent({ type: 'verifyFailed', scheme: scheme.scheme, network, error: cause })
    throw facilitatorErrors('facilitator/cannot-verify', { scheme: scheme.scheme, network, cause })
  }
}

async function settle(desk: Desk, asked: Settling): Promise<Outcome> {
  const { submission, claimId, settlements, onEvent } = asked
  const key = desk.scheme.key(submission.payment)
  const asker = { claimId, submission }
  const met = key && settlements.meet(key, asker)
  if (met !== undefined) return met
  const verdict = await verify(desk, asked)
  // Another may have come first meanwhile, and its transaction may be why this one does not verify any more.
  const metNow = key && settlements.meet(key, asker)
  if (metNow !== undefined) return metNow
  if (!verdict.valid) return refusal(verdict, submission, key)
  const work = {
    run: (keep: (transaction: string) => void) => reported(execute(desk, asked, { key, keep }), { key, onEvent }),
    resume: (transaction: string) => reported(confirm(desk, asked, { key, transaction }), { key, onEvent }),
  }
  return key === undefined ? work.run(() => {}) : settlements.run(key, asker, work)
}

/** Sends and waits. It never rejects: before anything is sent every failure is `notSettled`, afterwards none is without proof. */
async function execute(
  desk: Desk,
  asked: Settling,
  { key, keep }: { key: PaymentKey | undefined; keep: (transaction: string) => void },
): Promise<Outcome> {
  const { submission, cancelled } = asked
  return desk.lanes.use(async (lane) => {
    const delivery = await lane.send({
      plan: () => desk.scheme.plan(submission),
      cancelled,
      keep: ({ transaction }) => keep(transaction),
    })
    if (delivery.sent !== 'no') return confirm(desk, asked, { key, transaction: delivery.signed.transaction })
    const reason = delivery.cancelled ? 'settlement_cancelled' : 'settlement_not_sent'
    return { ...refusal({ valid: false, reason }, submission, key), retry: 'same' }
  })
}

async function confirm(
  { scheme, receipts }: Desk,
  { submission, onEvent }: Settling,
  { key, transaction }: { readonly key: PaymentKey | undefined; readonly transaction: string },
): Promise<Outcome> {
  const { network } = scheme
  const pending = { status: 'pending', network, transaction, ...(key === undefined ? {} : { payer: key.payer }) } as const
  const mined = await receipts.wait(transaction)
  if (mined === undefined) return pending
  try {
    return scheme.outcome(submission, { transaction, status: mined })
  } catch (error) {
    onEvent({ type: 'outcomeFailed', network, transaction, error })
    return pending
  }
}

/** Nobody waits for a settlement that its asker gave up, or that stood in the lane for as long as a whole settlement may take. */
function cancellation(signal: AbortSignal | undefined, timeout: number): () => boolean {
  const since = performance.now()
  return () => signal?.aborted === true || performance.now() > since + timeout
}

async function reported(settling: Promise<Outcome>, { key, onEvent }: { key: PaymentKey | undefined; onEvent: OnEvent }): Promise<Outcome> {
  const outcome = await settling
  onEvent({ type: 'outcome', ...(key === undefined ? {} : { payment: key.id }), outcome })
  return outcome
}

/** A verdict as an outcome. A refused signature lives on until its own expiry (M3), so nobody is told to sign again. */
function refusal(
  { reason, message, payer = undefined }: Refusal,
  { requirements }: Submission,
  key?: PaymentKey,
): Outcome & { status: 'notSettled' } {
  const knownPayer = payer ?? key?.payer
  return {
    status: 'notSettled',
    network: requirements.network,
    reason,
    ...(message === undefined ? {} : { message }),
    ...(knownPayer === undefined ? {} : { payer: knownPayer }),
    retry: 'never',
    ...(key === undefined ? {} : { deadAfter: key.deadAfter }),
  }
}

type Readiness = {
  /** Starts the scheme, or joins a start that is under way or done. Throws what the scheme throws. */
  start(signal: AbortSignal | undefined): Promise<void>
  /** Resolves when the scheme is started; a failed start is tried again, at most once a second. Errors: `facilitator/not-ready`. */
  wait(): Promise<void>
}

const retryAfter = 1000

function createReadiness(
  scheme: FacilitatorScheme,
  { clock, onEvent }: { readonly clock: () => number; readonly onEvent: OnEvent },
): Readiness {
  const name = { scheme: scheme.scheme, network: scheme.network }
  let started: Promise<void> | undefined
  let failed: { readonly at: number; readonly cause: unknown } | undefined

  return {
    start: (signal) => {
      started ??= run(signal)
      return started
    },
    async wait() {
      if (started === undefined && failed !== undefined && clock() < failed.at + retryAfter) throw notReady(failed.cause)
      try {
        started ??= run(undefined)
        await started
      } catch (cause) {
        throw notReady(cause)
      }
    },
  }

  async function run(signal: AbortSignal | undefined): Promise<void> {
    try {
      await scheme.start({ signal })
      onEvent({ type: 'started', ...name })
    } catch (error) {
      started = undefined
      failed = { at: clock(), cause: error }
      onEvent({ type: 'startFailed', ...name, error })
      throw error
    }
  }

  function notReady(cause: unknown): Error {
    return facilitatorErrors('facilitator/not-ready', { ...name, cause })
  }
}
