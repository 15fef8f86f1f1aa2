import type { ChainWriter, Outcome, Slot, Verdict } from '@flow402x/core'
import type { OnEvent } from '../engine/events.ts'
import type { Payers, Rider } from './batch.ts'
import type { Found } from './sight.ts'

/** What became of the payments of a slot: ended, or still to be had. */
export type Judgement = { readonly outcomes: ReadonlyMap<string, Outcome>; readonly unpaid: readonly Rider[] }

/** Tells what became of payments; nothing when that cannot be told yet. It never rejects because of a scheme. */
export type Judge = {
  /** From the events of the slot's mined transaction. */
  mined(slot: Slot, found: Found): Promise<Judgement | undefined>
  /** From their own state, when none of the slot's transactions can be mined any more. */
  free(slot: Slot): Promise<Judgement | undefined>
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
      const outcomes = new Map<string, Outcome>()
      const unpaid: Rider[] = []
      for (const id of payments) {
        const one = await rider(id)
        const outcome = one && outcomeFor(one, found)
        if (one === undefined || outcome === undefined || outcome.status === 'pending') return undefined
        payers.note(one.payer, outcome)
        // The receipt of the whole does not say why one call in it failed: its state does (M16).
        const alone = payments.length === 1 || one.again
        if (outcome.status === 'notSettled' && !alone && (await verdictOn(one))?.valid !== false) unpaid.push(one)
        else outcomes.set(id, outcome)
      }
      return { outcomes, unpaid }
    },
    async free({ payments }) {
      const outcomes = new Map<string, Outcome>()
      const unpaid: Rider[] = []
      for (const id of payments) {
        const one = await rider(id)
        const verdict = one && (await verdictOn(one))
        if (one === undefined || verdict === undefined) return undefined
        if (verdict.valid) unpaid.push(one)
        else {
          const { deadAfter } = one.settlement
          outcomes.set(id, { status: 'notSettled', network, reason: verdict.reason, payer: one.payer, retry: 'never', deadAfter })
        }
      }
      return { outcomes, unpaid }
    },
  }

  function outcomeFor({ scheme, settlement }: Rider, { transaction, status }: Found): Outcome | undefined {
    try {
      return scheme.outcome(settlement.submission, { transaction, status })
    } catch (error) {
      onEvent({ type: 'outcomeFailed', network, transaction, error })
      return undefined
    }
  }

  async function verdictOn({ scheme, settlement }: Rider): Promise<Verdict | undefined> {
    try {
      return await scheme.verify(settlement.submission)
    } catch (error) {
      onEvent({ type: 'verifyFailed', scheme: scheme.scheme, network, error })
      return undefined
    }
  }
}
