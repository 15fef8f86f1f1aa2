import type { Claim, ClaimStore, NewMessage, Telling } from '@flow402x/core'
import { serverErrors } from '../engine/errors.ts'
import { paidFor } from './books.ts'

/** What a seller can be told through an outbox (H43). */
export type ServerTopic =
  /** The money of a claim moved. */
  | 'claim.settled'
  /** Nobody knows yet whether it moved, and its payment's time is over. */
  | 'claim.pending'
  /** It moved, and its payer has not fetched what it bought (H32). */
  | 'claim.undelivered'
  /** It moved and nothing will be delivered for it: its handler failed as often as it may, or a stranger's transaction moved it. */
  | 'claim.refundDue'

/** Words claims as messages. */
export type Teller = {
  /** What is to be told of a claim whose money moved, in the commit that says so; `granted` where it is this shop's to deliver. */
  paid(claim: Claim, options: { readonly granted: boolean }): Telling
  /** Tells what is seen of a claim that stands: once, however often it is seen. */
  say(topic: ServerTopic, claim: Claim): Promise<void>
}

/** Tells `topics` through the claims' own outbox; `clock` in Unix milliseconds. Errors: `config/no-outbox` where they have none. */
export function createTeller(
  { outbox }: ClaimStore,
  { topics, clock }: { readonly topics: readonly ServerTopic[]; readonly clock: () => number },
): Teller {
  if (topics.length > 0 && outbox === undefined) throw serverErrors('config/no-outbox', {})
  const said = new Set<string>()
  const about = (topic: ServerTopic, claim: Claim): readonly NewMessage[] =>
    topics.includes(topic)
      ? [{ id: `${topic} ${claim.claimId}`, topic, body: JSON.stringify({ id: claim.id, ...paidFor(claim) }), createdAt: clock() }]
      : []

  return {
    paid: (claim, { granted }) => ({ tell: [...about('claim.settled', claim), ...(granted ? [] : about('claim.refundDue', claim))] }),
    async say(topic, claim) {
      const messages = about(topic, claim).filter(({ id }) => !said.has(id))
      if (messages.length === 0) return
      await outbox?.put(messages)
      for (const { id } of messages) said.add(id)
    },
  }
}
