import type { JournalStore, NewMessage, Outcome, Slot, SlotKey } from '@flow402x/core'
import { facilitatorErrors } from '../engine/errors.ts'
import type { OnEvent } from '../engine/events.ts'
import type { Judgement } from '../lanes/judge.ts'

/** What an operator can be told through an outbox (H43). */
export type FacilitatorTopic =
  /** Ends of payments: their money moved, or this facilitator's transaction did not move it. */
  | 'settlement.settled'
  | 'settlement.notSettled'
  /** One that was told settled is not any more; its next end is told as well. */
  | 'settlement.undone'
  /** Somebody else used a signer's key: its lane stands still. */
  | 'signer.foreign'
  /** A signer has less than its chain wants it to have; told once an hour for as long as that is so. */
  | 'signer.runningDry'

/** Words what happened as messages. */
export type Teller = {
  /** What is to be told of a slot's change, in the commit of that change. */
  ofSlot(slot: Slot, state: Slot['state'], judged: Judgement | undefined): readonly NewMessage[]
  /** Tells that a signer runs dry; it never rejects. */
  dry(signer: { readonly network: string; readonly signer: string; readonly held: bigint; readonly least: bigint }): Promise<void>
}

/** What is told, and where it is written; `clock` in Unix milliseconds. */
export type TellerOptions = {
  readonly journal: JournalStore
  readonly topics: readonly FacilitatorTopic[]
  readonly clock: () => number
  readonly onEvent: OnEvent
}

const hour = 3_600_000

/** Tells `topics` through the journal's own outbox. Errors: `config/no-outbox` where it has none. */
export function createTeller({ journal: { outbox }, topics, clock, onEvent }: TellerOptions): Teller {
  if (topics.length > 0 && outbox === undefined) throw facilitatorErrors('config/no-outbox', {})
  const about = (topic: FacilitatorTopic, name: string, data: object): readonly NewMessage[] =>
    topics.includes(topic) ? [{ id: `${topic} ${name}`, topic, body: JSON.stringify(data), createdAt: clock() }] : []

  return {
    ofSlot(slot, state, judged) {
      // What was mined again in another block is told again.
      const seen = `${slot.signer}/${slot.nonce}${judged?.block === undefined ? '' : ` ${judged.block}`}`
      const ends = [...(judged?.outcomes ?? [])].flatMap(([payment, outcome]) => {
        const topic = topicOf(outcome)
        return topic === undefined ? [] : about(topic, `${payment} ${seen}`, { payment, outcome })
      })
      const undone = (judged?.undone ?? []).flatMap((payment) =>
        about('settlement.undone', `${payment} ${seen}`, { payment, ...named(slot) }),
      )
      const taken = state === 'foreign' && slot.state !== 'foreign'
      const foreign = taken ? about('signer.foreign', `${slot.network} ${seen}`, { ...named(slot), payments: slot.payments }) : []
      return [...undone, ...ends, ...foreign]
    },
    async dry({ network, signer, held, least }) {
      const within = Math.floor(clock() / hour)
      const balance = { network, signer, held: String(held), least: String(least) }
      const messages = about('signer.runningDry', `${network} ${signer} ${within}`, balance)
      try {
        if (messages.length > 0) await outbox?.put(messages)
      } catch (error) {
        onEvent({ type: 'journalFailed', network, error })
      }
    },
  }
}

function topicOf({ status }: Outcome): FacilitatorTopic | undefined {
  return status === 'pending' ? undefined : `settlement.${status}`
}

function named({ network, signer, nonce }: SlotKey) {
  return { network, signer, nonce: String(nonce) }
}
