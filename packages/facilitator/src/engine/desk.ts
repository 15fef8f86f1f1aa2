import { randomUUID } from 'node:crypto'
import {
  type Call,
  type ChainWriter,
  type FacilitatorScheme,
  isX402Error,
  type JournalStore,
  type Outcome,
  type PaymentKey,
  type Settlement,
  type SettleOptions,
  type Sighting,
  type Submission,
  type Verdict,
} from '@flow402x/core'
import type { Rider } from '../lanes/batch.ts'
import { createLanes, type Lanes, type LanesOptions } from '../lanes/lanes.ts'
import type { Teller } from '../watch/telling.ts'
import type { OnEvent } from './events.ts'
import { createGauge, type Gauge } from './gauge.ts'
import { createReadiness, type Readiness } from './readiness.ts'
import { createReservations, type Reservations } from './reservations.ts'
import { type Answer, type Asker, createSettlements, isDead, type Settlements } from './settlements.ts'
import { sighted } from './sighting.ts'
import { drawOf, type Judged, judge, relay } from './verify.ts'

/** One scheme on one network, with everything its payments need. Schemes of one chain share its lanes. */
export type Desk = DeskOptions & {
  readonly scheme: FacilitatorScheme
  readonly ready: Readiness
  readonly lanes: Lanes
  readonly gauge: Gauge
  readonly settlements: Settlements
  readonly reservations: Reservations
}

/** Times in milliseconds. */
export type DeskOptions = Pick<LanesOptions, 'owner' | 'most' | 'leaseFor' | 'shared' | 'replaceAfter' | 'finality'> & {
  readonly confirmTimeout: number
  /** How many payments of one payer in one asset may be under way. */
  readonly perPayer: number
  readonly clock: () => number
  readonly onEvent: OnEvent
  readonly journal: JournalStore
  readonly teller: Teller
}

/** The verdict on a bad payment. */
export type Refusal = Verdict & { readonly valid: false }

/** The desks of a facilitator, in the order of its schemes. */
export function openDesks(schemes: readonly FacilitatorScheme[], options: DeskOptions): Desk[] {
  const { clock, onEvent, journal } = options
  const settlements = createSettlements(options)
  const reservations = createReservations({ journal, most: options.perPayer })
  const chains = new Map<ChainWriter, Pick<Desk, 'lanes' | 'gauge'>>()
  const lanesOptions: LanesOptions = {
    ...options,
    tell: options.teller.ofSlot,
    carried: settlements.carried,
    waits: settlements.waits,
    ended(id, outcome) {
      onEvent({ type: 'outcome', payment: id, outcome })
      settlements.ended(id, outcome)
    },
    unsent: async (rider, { reason, error }) => {
      // What may have been written down meanwhile is no longer for us to call unsent.
      if (!(await settlements.forget(rider.id))) return
      const key = { id: rider.id, payer: rider.payer, deadAfter: rider.settlement.deadAfter }
      const retry = isX402Error(error) ? error.retry : 'same'
      const outcome = { ...refusal({ valid: false, reason }, rider.settlement.submission, key), retry }
      onEvent({ type: 'outcome', payment: rider.id, outcome })
      settlements.ended(rider.id, outcome)
    },
    async recall(id) {
      const settlement = await journal.find(id)
      const scheme = settlement && schemes.find((one) => serves(one, settlement.submission))
      if (settlement === undefined || scheme === undefined) return undefined
      const rider = riderOf(settlement, { scheme, calls: [], cancelled: () => false })
      return {
        ...rider,
        // Few of those that are recalled are sent again.
        get calls() {
          return callsOf(scheme, { submission: settlement.submission, onEvent })
        },
      }
    },
  }
  return schemes.map((scheme) => {
    const { writer } = scheme
    const chain = chains.get(writer) ?? {
      lanes: createLanes(writer, lanesOptions),
      gauge: createGauge(writer, { onEvent, tellDry: options.teller.dry }),
    }
    chains.set(writer, chain)
    return { ...options, ...chain, scheme, settlements, reservations, ready: createReadiness(scheme, { clock, onEvent }) }
  })
}

/** The calls of a payment; none where its scheme finds none, and then nothing can be signed for it. */
function callsOf(scheme: FacilitatorScheme, { submission, onEvent }: { submission: Submission; onEvent: OnEvent }): readonly Call[] {
  try {
    return scheme.plan(submission)
  } catch (error) {
    onEvent({ type: 'notSent', network: scheme.network, signer: '', error })
    return []
  }
}

function serves({ scheme, network }: FacilitatorScheme, { requirements }: Submission): boolean {
  return scheme === requirements.scheme && network === requirements.network
}

function riderOf(settlement: Settlement, rest: Pick<Rider, 'scheme' | 'calls' | 'cancelled'>): Rider {
  const payer = rest.scheme.key(settlement.submission.payment)?.payer ?? settlement.id
  return { ...rest, id: settlement.id, payer, settlement, again: false }
}

/** Verifies without trusting the caller, and settles once however often it is asked. Errors: those of `verify`, before anything is sent. */
export async function settle(desk: Desk, submission: Submission, { signal, claimId }: SettleOptions): Promise<Outcome> {
  const { scheme, settlements, confirmTimeout, lanes } = desk
  const since = performance.now()
  // Nobody waits for a settlement that its asker gave up, or that stood in line for as long as a whole one may take.
  const cancelled = () => signal?.aborted === true || performance.now() > since + confirmTimeout
  const known = scheme.key(submission.payment)
  const asker = { claimId, submission, draw: known && drawOf(desk, known, submission), again: lanes.poke }
  const standing = async (): Promise<Outcome | undefined> => {
    const answer = known && (await settlements.meet(known, asker))
    return answer && outcomeOf(desk, { key: known, submission, answer })
  }
  const before = await standing()
  if (before !== undefined) return before
  const { verdict, leave, ...why } = await receive(desk, submission, { signal })
  if (!verdict.valid) {
    // Another may have come first meanwhile, and its transaction may be why this one does not verify any more.
    const now = await standing()
    if (now !== undefined) return now
    const seen = verdict.over && (await sighted(submission, { ...desk, signal }))
    return seen ?? { ...refusal(verdict, submission, known), ...(why.short === true ? { retry: 'same' } : {}) }
  }
  try {
    const relayed = await relay(desk, submission, { signal })
    if (relayed?.valid === false) return refusal(relayed, submission, known)
    const key = known ?? verdict.key ?? anonymous(submission, desk)
    return await enter(desk, submission, { key, asker, cancelled, leave })
  } finally {
    leave()
  }
}

/** The verdict on a payment that comes to be settled; its lanes expect it until it is left. */
async function receive(desk: Desk, submission: Submission, { signal }: Pick<SettleOptions, 'signal'>): Promise<Judged> {
  const arrived = desk.lanes.expect()
  try {
    const { leave, ...judged } = await judge(desk, submission, { signal, keep: true })
    if (!judged.verdict.valid) arrived()
    return {
      ...judged,
      leave() {
        leave()
        arrived()
      },
    }
  } catch (error) {
    arrived()
    throw error
  }
}

type Entering = { readonly key: PaymentKey; readonly asker: Asker; readonly cancelled: () => boolean; readonly leave: () => void }

async function enter(desk: Desk, submission: Submission, { key, asker, cancelled, leave }: Entering): Promise<Outcome> {
  const { scheme, settlements, lanes } = desk
  if (scheme.byPayer === true) {
    const seen = await settlements.run(key, asker, (settlement) => {
      leave()
      void witness(desk, settlement)
    })
    return outcomeOf(desk, { key, submission, answer: seen })
  }
  const planned = plan(desk, submission)
  if ('outcome' in planned) return planned.outcome
  const answer = await settlements.run(key, asker, (settlement) => {
    const { id } = settlement
    // From now on the journal counts it.
    leave()
    // What an earlier asker began is settled as he handed it in (M2).
    const now = settlement.submission === submission ? planned : plan(desk, settlement.submission)
    if ('calls' in now) lanes.add(riderOf(settlement, { scheme, calls: now.calls, cancelled }))
    else void settlements.forget(id).finally(() => settlements.ended(id, now.outcome))
  })
  return outcomeOf(desk, { key, submission, answer })
}

/** Ends the settlement of a transfer that its payer made, as the chain shows it; one that is not deep enough is looked at again when it is asked for. */
async function witness({ scheme, settlements, onEvent }: Desk, { id, submission }: Settlement): Promise<void> {
  const { network } = scheme
  let seen: Sighting = { status: 'pending', network }
  try {
    seen = (await scheme.look?.(submission)) ?? seen
  } catch (error) {
    onEvent({ type: 'readFailed', network, error })
  }
  const { logIndex: _, denied: __, ...outcome } = seen
  try {
    await settlements.conclude(id, outcome.status === 'pending' ? undefined : outcome)
  } catch (error) {
    onEvent({ type: 'journalFailed', network, error })
    return settlements.ended(id, { status: 'pending', network })
  }
  settlements.ended(id, outcome)
}

type Planned = { readonly calls: readonly Call[] } | { readonly outcome: Outcome }

/** The calls of a payment, for which there must be a lane. */
function plan({ scheme, lanes, onEvent }: Desk, submission: Submission): Planned {
  try {
    const calls = scheme.plan(submission)
    if (calls.length === 0) return { outcome: nothingMoved(submission, scheme.key(submission.payment)) }
    lanes.admit(calls)
    return { calls }
  } catch (error) {
    onEvent({ type: 'notSent', network: scheme.network, signer: '', error })
    const retry = isX402Error(error) ? error.retry : 'same'
    const refused = refusal({ valid: false, reason: 'settlement_not_sent' }, submission, scheme.key(submission.payment))
    return { outcome: { ...refused, retry } }
  }
}

/** Of a ceiling of which nothing was used nothing is moved, and that is a success (wire.md §10). */
function nothingMoved({ requirements: { network, amount } }: Submission, key: PaymentKey | undefined): Outcome {
  return { status: 'settled', transaction: '', network, amount, ...(key === undefined ? {} : { payer: key.payer }) }
}

/** What became of a claim, at once and from the journal; one that nobody has seen is buried until `deadAfter` (M5). */
export async function status(desks: readonly Desk[], claimId: string, deadAfter: number): Promise<Outcome | undefined> {
  const found = await desks[0]?.settlements.status(claimId, deadAfter)
  if (found === undefined) return undefined
  const { submission, outcome, ...settlement } = found.settlement
  const { transaction } = found
  const { network } = submission.requirements
  const desk = desks.find(({ scheme }) => serves(scheme, submission))
  // A scheme that was taken out of the configuration has nobody left who could look.
  if (desk === undefined) return outcome ?? { status: 'pending', network, ...(transaction === undefined ? {} : { transaction }) }
  if (outcome === undefined) desk.lanes.poke()
  const key = desk.scheme.key(submission.payment) ?? { payer: '', ...settlement }
  return outcomeOf(desk, { key, submission, answer: outcome === undefined ? { transaction } : { outcome } })
}

/** A payment that nobody can ask for again. */
function anonymous({ requirements }: Submission, { clock }: Desk): PaymentKey {
  return { id: `once ${randomUUID()}`, payer: '', deadAfter: Math.floor(clock() / 1000) + requirements.maxTimeoutSeconds }
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

type Asked = { readonly key: PaymentKey; readonly submission: Submission; readonly answer: Answer }

async function outcomeOf(desk: Desk, { key, submission, answer }: Asked): Promise<Outcome> {
  if ('refused' in answer) return answer.refused
  const { scheme, clock, onEvent } = desk
  if ('outcome' in answer) {
    const { outcome } = answer
    // Its own transaction did nothing; what another did, or that none can any more, shows only once that is final.
    const open = outcome.status === 'notSettled' && outcome.retry === 'never'
    return (open && (await sighted(submission, desk))) || outcome
  }
  const { network } = scheme
  const { transaction } = answer
  const sent = transaction === undefined ? {} : { transaction }
  if (transaction !== undefined && isDead(key, clock())) {
    const seen = await sighted(submission, desk)
    if (seen?.status === 'notSettled' && seen.retry === 'resign') return { ...seen, ...sent }
    // Not on chain while its signature lived: mined now it would only revert.
    if (scheme.look === undefined && (await isUnknown(desk, transaction)))
      return { ...refusal({ valid: false, reason: 'settlement_expired' }, submission, key), ...sent }
  }
  const pending: Outcome = { status: 'pending', network, ...sent, ...(key.payer === '' ? {} : { payer: key.payer }) }
  onEvent({ type: 'outcome', payment: key.id, outcome: pending })
  return pending
}

async function isUnknown({ scheme: { writer }, onEvent }: Desk, transaction: string): Promise<boolean> {
  try {
    return (await writer.status({ transaction })).state === 'unknown'
  } catch (error) {
    onEvent({ type: 'readFailed', network: writer.network, error })
    return false
  }
}
