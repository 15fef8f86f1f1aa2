import type { ChainWriter, Outcome, Slot, Verdict } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'
import type { Payers, Rider } from './batch.ts'
import type { Found } from './sight.ts'

/** What became of the payments of a slot. */
export type Judgement = {
  /** What is new to be told; a pending one takes back what was told before. */
  readonly outcomes: ReadonlyMap<string, Outcome>
  /** Still to be had. */
  readonly unpaid: readonly Rider[]
  /** Those that were told settled and are not. */
  readonly undone: readonly string[]
  /** Where its transaction was mined. */
  readonly block?: bigint
}

/** Tells what became of payments; nothing when that cannot be told yet. It never rejects because of a scheme. */
export type Judge = {
  /** From the events of the slot's mined transaction. */
  mined(slot: Slot, found: Found): Promise<Judgement | undefined>
  /** From their own state, when none of the slot's transactions can be mined any more. */
  free(slot: Slot): Promise<Judgement | undefined>
  /** When the chain proved that the slot's transaction, which was all that could pay them, will never be mined (M21). */
  expired(slot: Slot): Promise<Judgement | undefined>
}

/** What a judge asks. */
export type JudgeOptions = {
  readonly writer: ChainWriter
  readonly payers: Payers
  readonly onEvent: OnEvent
  readonly rider: (id: string) => Promise<Rider | undefined>
}

/** Judges payments by what their schemes say of them. */
export function createJudge({ writer, payers, onEvent, rider }: JudgeOptions): Judge {
  const { network } = writer
  return {
    async mined({ payments }, found) {
      const judged = await each(payments, async (one) => {
        if (found.status.empty === true) return own(one)
        const outcome = await outcomeFor(one, found)
        if (outcome === undefined || outcome.status === 'pending') return undefined
        payers.note(one.payer, outcome)
        if (outcome.status === 'settled' || payments.length === 1 || one.again) return outcome
        // The receipt of the whole does not say why one call in it failed: its state does (M16).
        const verdict = await verdictOn(one)
        return verdict?.valid === false ? { ...outcome, reason: verdict.reason } : 'unpaid'
      })
      return judged && { ...judged, block: found.status.block }
    },
    free: ({ payments }) => each(payments, own),
    expired: ({ payments, attempts }) =>
      each(payments, async (one) => {
        const transaction = attempts.at(-1)?.transaction
        return ended(one, { reason: 'settlement_expired', retry: 'resign', ...(transaction === undefined ? {} : { transaction }) })
      }),
  }

  async function each(
    payments: readonly string[],
    judge: (one: Rider) => Promise<Outcome | 'unpaid' | undefined>,
  ): Promise<Judgement | undefined> {
    const outcomes = new Map<string, Outcome>()
    const unpaid: Rider[] = []
    const undone: string[] = []
    for (const id of payments) {
      const one = await rider(id)
      const came = one && (await judge(one))
      if (one === undefined || came === undefined) return undefined
      const before = one.settlement.outcome
      if (came === 'unpaid') unpaid.push(one)
      if (came !== 'unpaid' && !sameEnd(before, came)) outcomes.set(id, came)
      if (came === 'unpaid' && before !== undefined) outcomes.set(id, { status: 'pending', network, payer: one.payer })
      if (before?.status === 'settled' && (came === 'unpaid' || came.status !== 'settled')) undone.push(id)
    }
    return { outcomes, unpaid, undone }
  }

  async function own(one: Rider): Promise<Outcome | 'unpaid' | undefined> {
    const verdict = await verdictOn(one)
    if (verdict === undefined || verdict.valid) return verdict && 'unpaid'
    return ended(one, { reason: verdict.reason, retry: 'never' })
  }

  function ended({ payer, settlement }: Rider, why: Pick<Outcome & { status: 'notSettled' }, 'reason' | 'retry' | 'transaction'>): Outcome {
    return { status: 'notSettled', network, payer, deadAfter: settlement.deadAfter, ...why }
  }

  async function outcomeFor({ scheme, settlement: { submission } }: Rider, { transaction, status }: Found): Promise<Outcome | undefined> {
    try {
      const outcome = scheme.outcome(submission, { transaction, status })
      return outcome.status === 'settled' ? ((await scheme.complete?.(submission, outcome)) ?? outcome) : outcome
    } catch (error) {
      onEvent({ type: 'outcomeFailed', network, transaction, error })
      return undefined
    }
  }

  async function verdictOn({ scheme, settlement }: Rider): Promise<Verdict | undefined> {
    try {
      return await scheme.verify(settlement.submission, { settle: true })
    } catch (error) {
      onEvent({ type: 'verifyFailed', scheme: scheme.scheme, network, error })
      return undefined
    }
  }
}

function sameEnd(before: Outcome | undefined, now: Outcome): boolean {
  return before?.status === now.status && before.transaction === now.transaction
}
