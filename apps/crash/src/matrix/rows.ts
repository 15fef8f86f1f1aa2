import type { Trap } from '../processes/trap.ts'
import type { Habit } from '../world/buyer.ts'
import type { Result } from './crash.ts'

/** One step of a purchase at which a process dies, and what comes of it: the tests run every row, and the docs show it. */
export type Row = {
  readonly process: 'seller' | 'facilitator'
  /** The last thing that happened. */
  readonly step: string
  readonly trap: Trap
  /** Only of what the facilitator's own signer signs: other transactions may go before. */
  readonly ours?: true
  readonly found: Result['found']
  readonly ends: Readonly<Record<Habit, Omit<Result, 'found'>>>
}

type Ends = Row['ends']

const bought = { got: 'goods', runs: 1, transfers: 1, claims: 'delivered' }

/** Nothing was claimed: it is as if nobody had asked. `heard` is what a buyer had when the process died. */
const untouched = (heard: string): Ends => ({
  resumes: bought,
  repeats: bought,
  returns: { ...bought, claims: 'none, delivered' },
  leaves: { got: heard, runs: 0, transfers: 0, claims: 'none' },
})

/** Claimed, and settled by nobody: the handler, which ran this often, does not run again for this payment (K1, K2). */
const unsettled = (runs: number): Ends => {
  const refused = { got: '402 handler_failed', runs, transfers: 0, claims: 'failed' }
  return {
    resumes: refused,
    repeats: refused,
    returns: { got: 'goods', runs: runs + 1, transfers: 1, claims: 'failed, delivered' },
    leaves: { ...refused, got: 'nothing' },
  }
}

/** Asked for and provably never sent: it waits for its payer, to settle again and have what its handler made (M5, M9). */
const neverSent = (heard: string): Ends => ({
  resumes: bought,
  repeats: bought,
  returns: { ...bought, claims: 'delivered, none' },
  leaves: { got: heard, runs: 1, transfers: 0, claims: 'open' },
})

/** The settlement was asked for: it is finished, once, and its payer can have the goods (K3, K4, K5, K6). */
const paid = (heard: string): Ends => ({
  resumes: bought,
  repeats: { ...bought, got: '402 duplicate_settlement', claims: 'settled' },
  returns: { ...bought, claims: 'delivered, none' },
  leaves: { ...bought, got: heard, claims: 'settled' },
})

/** All of it has left, and its buyer asks for nothing more. */
const left = (claims: string): Ends => {
  const end = { ...bought, claims }
  return { resumes: end, repeats: end, returns: end, leaves: end }
}

const nothing = 'nothing'
const pending = '503 settlement_pending'
const update = (state: string): Trap => ({ at: 'claims.update', when: 'after', where: { state } })
const before = (at: string): Trap => ({ at, when: 'before' })
const after = (at: string): Trap => ({ at, when: 'after' })

const seller: readonly Omit<Row, 'process'>[] = [
  { step: 'verification asked for', trap: { at: 'facilitator.verify', when: 'during' }, found: 'nothing', ends: untouched(nothing) },
  { step: 'payment verified', trap: after('facilitator.verify'), found: 'nothing', ends: untouched(nothing) },
  { step: 'claim written', trap: after('claims.claim'), found: 'claimed', ends: unsettled(0) },
  { step: 'handler about to start', trap: before('handler.work'), found: 'claimed', ends: unsettled(0) },
  { step: 'handler done, nothing stored', trap: after('handler.work'), found: 'claimed', ends: unsettled(1) },
  { step: '“settling” and the response written', trap: update('settling'), found: 'settling', ends: neverSent(nothing) },
  { step: 'settlement answered, not written', trap: after('facilitator.settle'), found: 'settling', ends: paid(nothing) },
  { step: '“settled” written, nothing sent', trap: update('settled'), found: 'settled', ends: paid(nothing) },
  { step: 'half of the response sent', trap: after('response.write'), found: 'settled', ends: paid('a part of the goods') },
  { step: 'the whole response sent', trap: after('response.end'), found: 'settled', ends: left('settled') },
  { step: '“delivered” written', trap: update('delivered'), found: 'delivered', ends: left('delivered') },
]

const facilitator: readonly Omit<Row, 'process'>[] = [
  { step: 'asked to verify', trap: before('facilitator.verify'), found: 'nothing', ends: untouched('503') },
  { step: 'settlement taken in', trap: after('journal.begin'), found: 'queued', ends: neverSent(pending) },
  { step: 'transaction signed, not written', trap: after('chain.sign'), found: 'queued', ends: neverSent(pending) },
  { step: 'transaction written, not sent', trap: after('journal.prepare'), found: 'signed', ends: paid(pending) },
  { step: 'transaction sent', trap: after('chain.send'), ours: true, found: 'signed', ends: paid(pending) },
  { step: 'seen mined, not judged', trap: before('scheme.outcome'), found: 'signed', ends: paid(pending) },
  { step: 'outcome written, not answered', trap: after('journal.resolve'), found: 'settled', ends: paid(pending) },
]

/** A step that only payers meet who have not approved Permit2: their own approval is sent, and nothing of the facilitator's. */
export const approvalRow: Row = {
  process: 'facilitator',
  step: 'approval handed on, settlement not taken in',
  trap: after('chain.send'),
  found: 'nothing',
  ends: neverSent(pending),
}

/** Every step of a purchase, in its order. */
export const rows: readonly Row[] = [
  ...seller.map((row) => ({ process: 'seller' as const, ...row })),
  ...facilitator.map((row) => ({ process: 'facilitator' as const, ...row })),
]
