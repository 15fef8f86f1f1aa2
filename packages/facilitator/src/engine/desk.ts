import type { CallOptions, ChainWriter, FacilitatorScheme, Outcome, PaymentKey, SettleOptions, Submission, Verdict } from '@flow402x/core'
import { facilitatorErrors } from './errors.ts'
import type { OnEvent } from './events.ts'
import { createLanes, type Lanes } from './lanes.ts'
import { createReadiness, type Readiness } from './readiness.ts'
import { type Receipts, watchReceipts } from './receipts.ts'
import { createSettlements, isDead, type Settlements } from './settlements.ts'

/** One scheme on one network, with everything its payments need. Schemes of one chain share its lanes and its watcher. */
export type Desk = DeskOptions & {
  readonly scheme: FacilitatorScheme
  readonly ready: Readiness
  readonly lanes: Lanes
  readonly receipts: Receipts
  readonly settlements: Settlements
}

/** Times in milliseconds. */
export type DeskOptions = { readonly confirmTimeout: number; readonly clock: () => number; readonly onEvent: OnEvent }

/** The verdict on a bad payment. */
export type Refusal = Verdict & { readonly valid: false }

/** The desks of a facilitator, in the order of its schemes. */
export function openDesks(schemes: readonly FacilitatorScheme[], options: DeskOptions): Desk[] {
  const { confirmTimeout: timeout, clock, onEvent } = options
  const settlements = createSettlements({ clock })
  const chains = new Map<ChainWriter, Pick<Desk, 'lanes' | 'receipts'>>()
  return schemes.map((scheme) => {
    const { writer } = scheme
    const chain = chains.get(writer) ?? { lanes: createLanes(writer, { onEvent }), receipts: watchReceipts(writer, { timeout, onEvent }) }
    chains.set(writer, chain)
    return { ...options, ...chain, scheme, settlements, ready: createReadiness(scheme, { clock, onEvent }) }
  })
}

/** Read-only (D7). Errors: `facilitator/cannot-verify` when the scheme could not look, which says nothing of the payment. */
export async function verify({ scheme, onEvent }: Desk, submission: Submission, { signal }: CallOptions): Promise<Verdict> {
  try {
    return await scheme.verify(submission, { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    const { network } = scheme
    onEvent({ type: 'verifyFailed', scheme: scheme.scheme, network, error: cause })
    throw facilitatorErrors('facilitator/cannot-verify', { scheme: scheme.scheme, network, cause })
  }
}

/** Verifies without trusting the caller, and settles once however often it is asked. Errors: those of `verify`, before anything is sent. */
export async function settle(desk: Desk, submission: Submission, { signal, claimId }: SettleOptions): Promise<Outcome> {
  const { scheme, settlements, confirmTimeout } = desk
  const since = performance.now()
  const key = scheme.key(submission.payment)
  const asker = { claimId, submission }
  const met = key && settlements.meet(key, asker)
  if (met !== undefined) return met
  const verdict = await verify(desk, submission, { signal })
  // Another may have come first meanwhile, and its transaction may be why this one does not verify any more.
  const metNow = key && settlements.meet(key, asker)
  if (metNow !== undefined) return metNow
  if (!verdict.valid) return refusal(verdict, submission, key)
  const job: Job = {
    submission,
    key,
    // Nobody waits for a settlement that its asker gave up, or that stood in line for as long as a whole one may take.
    cancelled: () => signal?.aborted === true || performance.now() > since + confirmTimeout,
  }
  if (key === undefined) return execute(desk, job, () => {})
  return settlements.run(key, asker, {
    run: (keep) => execute(desk, job, keep),
    resume: (transaction) => confirm(desk, job, transaction),
  })
}

/** A verdict as an outcome. A refused signature lives on until its own expiry (M3), so nobody is told to sign again. */
export function refusal(verdict: Refusal, { requirements }: Submission, key?: PaymentKey): Outcome & { readonly status: 'notSettled' } {
  const { reason, message } = verdict
  const payer = verdict.payer ?? key?.payer
  return {
    status: 'notSettled',
    network: requirements.network,
    reason,
    ...(message === undefined ? {} : { message }),
    ...(payer === undefined ? {} : { payer }),
    retry: 'never',
    ...(key === undefined ? {} : { deadAfter: key.deadAfter }),
  }
}

type Job = { readonly submission: Submission; readonly key: PaymentKey | undefined; readonly cancelled: () => boolean }

/** Sends and waits. It never rejects: before anything is sent every failure is `notSettled`, afterwards none is without proof. */
async function execute(desk: Desk, job: Job, keep: (transaction: string) => void): Promise<Outcome> {
  const { submission, key, cancelled } = job
  return desk.lanes.use(async (lane) => {
    const delivery = await lane.send({
      plan: () => desk.scheme.plan(submission),
      cancelled,
      keep: ({ transaction }) => keep(transaction),
    })
    if (delivery.sent !== 'no') return confirm(desk, job, delivery.signed.transaction)
    const reason = delivery.cancelled ? 'settlement_cancelled' : 'settlement_not_sent'
    const outcome = { ...refusal({ valid: false, reason }, submission, key), retry: delivery.retry }
    return announced(desk, job, outcome)
  })
}

async function confirm(desk: Desk, job: Job, transaction: string): Promise<Outcome> {
  const { scheme, receipts, onEvent, clock } = desk
  const { submission, key } = job
  const { network } = scheme
  const since = clock()
  const pending = { status: 'pending', network, transaction, ...(key === undefined ? {} : { payer: key.payer }) } as const
  const status = await receipts.wait(transaction)
  if (status?.state === 'unknown' && key !== undefined && isDead(key, since)) {
    // Not on chain while its signature lived: mined now it would only revert.
    return announced(desk, job, { ...refusal({ valid: false, reason: 'settlement_expired' }, submission, key), transaction })
  }
  if (status?.state !== 'mined') return announced(desk, job, pending)
  try {
    return announced(desk, job, scheme.outcome(submission, { transaction, status }))
  } catch (error) {
    onEvent({ type: 'outcomeFailed', network, transaction, error })
    return pending
  }
}

function announced({ onEvent }: Desk, { key }: Job, outcome: Outcome): Outcome {
  onEvent({ type: 'outcome', ...(key === undefined ? {} : { payment: key.id }), outcome })
  return outcome
}
