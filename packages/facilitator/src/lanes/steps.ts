import { type ChainWriter, isX402Error, type JournalStore, type Outcome, type SignedTransaction, type Slot } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'
import type { Teller } from '../watch/telling.ts'
import type { Payers, Rider } from './batch.ts'
import { createFinality, type Finality } from './finality.ts'
import { createJudge, type Judge, type Judgement } from './judge.ts'
import type { Hold } from './lease.ts'
import { createSight, type Found, type Sight } from './sight.ts'

/** What slots are finished with. Times in milliseconds; `clock` in Unix milliseconds. */
export type SlotsOptions = {
  readonly writer: ChainWriter
  readonly signer: string
  readonly journal: JournalStore
  /** What is told of a slot's change, in the commit of that change. */
  readonly tell: Teller['ofSlot']
  readonly hold: Hold
  readonly payers: Payers
  readonly clock: () => number
  readonly onEvent: OnEvent
  /** After so long without a block a transaction is replaced by one that offers more. */
  readonly replaceAfter: number
  /** So often at most it is asked what is final (M17); with 0 what is mined is taken for final at once. */
  readonly finality: number
  /** The payment of a slot, also one that another process put there; nothing when no scheme here knows it. */
  readonly rider: (id: string) => Promise<Rider | undefined>
  /** A payment got this transaction: its first, or one in the place of another. */
  readonly carried: (id: string, transaction: string) => void
  readonly ended: (id: string, outcome: Outcome) => void
  /** Another process has a payment now, and need not be remembered here. */
  readonly passed: (id: string) => void
  /** Nothing is left that must be seen soon. */
  readonly idle: () => void
  /** The chain proved that this payment's transaction did nothing for it, and that it is still to be had. */
  readonly unpaid: (rider: Rider) => void
}

/** A slot that is not mined, as this process works on it. */
export type Open = {
  slot: Slot
  /** Whether a node took its newest transaction, and whether one took any. */
  delivered: boolean
  arrived: boolean
  /** Whether a node's last word was that it does not take it. */
  refused: boolean
  /** Whether a node has been handed it and has not answered. */
  sending: boolean
  sends: number
  sentAt: number
  signedAt: number
}

/** So long a node is given for its answer before the same bytes are sent again beside it, in milliseconds: a call may hang for longer. */
export const unanswered = 1000

/** What is done with one slot after the other, in whatever order. */
export type Steps = {
  readonly sight: Sight
  readonly judge: Judge
  readonly mined: Finality
  opened(slot: Slot): Open
  /** Hands its newest transaction to the chain; it never rejects. */
  send(one: Open): Promise<void>
  /** Writes down what a mined transaction did for each payment in it, and says whether that is done. */
  finish(one: Open, found: Found): Promise<boolean>
  /** Ends a slot that is never coming back, and says whether that is written down. */
  end(slot: Slot, judged: Judgement | undefined): Promise<boolean>
  /** Another process has had these slots, and may have them still. */
  pass(open: readonly Open[]): void
  resolve(slot: Slot, state: Slot['state'], judged?: Judgement): Promise<boolean>
}

/** The steps of one signer's slots; `reopened` gets those whose transaction was mined and is not any more. */
export function createSteps(options: SlotsOptions, reopened: (slot: Slot) => void): Steps {
  const { writer, signer, journal, hold, clock, onEvent, finality } = options
  const { network } = writer
  const delivered = new Set<string>()
  const sight = createSight(options)
  const judge = createJudge(options)
  const mined = createFinality({ sight, finality, judge: judge.mined, closed: end, reopen })
  return {
    sight,
    judge,
    mined,
    opened(slot) {
      const { transaction } = lastOf(slot)
      for (const id of slot.payments) options.carried(id, transaction)
      const now = performance.now()
      const arrived = slot.attempts.some((signed) => delivered.has(signed.transaction))
      return { slot, delivered: delivered.has(transaction), arrived, refused: false, sending: false, sends: 0, sentAt: now, signedAt: now }
    },
    async send(one) {
      const signed = lastOf(one.slot)
      const { transaction, nonce } = signed
      one.sends += 1
      one.sentAt = performance.now()
      one.sending = true
      try {
        await writer.send(signed)
        one.refused = false
        if (one.delivered) return
        one.delivered = true
        one.arrived = true
        delivered.add(transaction)
        onEvent({ type: 'sent', network, signer, nonce, transaction })
      } catch (error) {
        one.refused = isX402Error(error) && error.moneyMoved === 'no'
        onEvent({ type: 'sendFailed', network, signer, nonce, transaction, attempt: one.sends, error })
      } finally {
        one.sending = false
      }
    },
    async finish({ slot }, found) {
      const judged = await judge.mined(slot, found)
      if (judged === undefined) return false
      forget(slot)
      if (finality === 0) return end(slot, judged)
      if (!(await resolve(slot, 'mined', judged))) return false
      mined.add({ slot, found, unpaid: judged.unpaid })
      tell(slot, judged)
      return true
    },
    end,
    pass(open) {
      for (const id of open.flatMap(({ slot }) => slot.payments)) options.passed(id)
      mined.clear()
    },
    resolve,
  }

  async function end(slot: Slot, judged: Judgement | undefined): Promise<boolean> {
    if (judged === undefined || !(await resolve(slot, 'final', judged))) return false
    forget(slot)
    tell(slot, judged)
    // A payment leaves a slot only when that is final (M17).
    for (const rider of judged.unpaid) options.unpaid(rider)
    return true
  }

  async function resolve(slot: Slot, state: Slot['state'], judged?: Judgement): Promise<boolean> {
    const { lease } = hold
    const { outcomes = new Map() } = judged ?? {}
    const result = { state, outcomes, now: clock(), tell: options.tell(slot, state, judged) }
    const done = lease !== undefined && (await journal.resolve(lease, slot, result))
    if (!done) hold.lose()
    return done
  }

  async function reopen(slot: Slot): Promise<boolean> {
    if (!(await resolve(slot, 'open'))) return false
    onEvent({ type: 'reorganised', network, signer, nonce: slot.nonce, transaction: lastOf(slot).transaction })
    reopened(slot)
    return true
  }

  function tell({ nonce }: Slot, { outcomes, undone }: Judgement): void {
    if (undone.length > 0) onEvent({ type: 'undone', network, signer, nonce, payments: undone })
    for (const [id, outcome] of outcomes) if (outcome.status !== 'pending') options.ended(id, outcome)
  }

  function forget({ attempts }: Slot): void {
    for (const { transaction } of attempts) delivered.delete(transaction)
  }
}

/** The newest transaction of a slot. */
export function lastOf({ attempts }: Slot): SignedTransaction {
  // A slot is written down with its first attempt and never loses one.
  return attempts.at(-1) as SignedTransaction
}
