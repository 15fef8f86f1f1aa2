import type { Message, OutboxStore } from '../store/outbox.ts'
import { sweepSeldom } from './retention.ts'

// No operation awaits before it is done, so each is atomic in its process, and so is a change that puts its messages along the way.

type Kept = { readonly message: Message; readonly doneAt?: number }

/** Messages in the memory of one process; those that were told are remembered for `retention` milliseconds. */
export function memoryOutbox(retention: number): OutboxStore {
  const kept = new Map<string, Kept>()
  const due = (): Message[] => [...kept.values()].flatMap(({ message, doneAt }) => (doneAt === undefined ? [message] : []))
  const sweep = (now: number, limit: number): number => {
    const old = [...kept.values()].filter(({ doneAt }) => doneAt !== undefined && doneAt + retention < now).slice(0, limit)
    for (const { message } of old) kept.delete(message.id)
    return old.length
  }
  const seldom = sweepSeldom(sweep)

  return {
    async put(messages) {
      for (const { id, topic, body, createdAt } of messages) {
        seldom(createdAt)
        if (!kept.has(id)) kept.set(id, { message: { id, topic, body, createdAt, attempts: 0, nextAttemptAt: createdAt } })
      }
    },
    async take({ now, until, most }) {
      const taken = due().filter(({ nextAttemptAt }) => nextAttemptAt <= now)
      return taken
        .sort((a, b) => a.nextAttemptAt - b.nextAttemptAt)
        .slice(0, most)
        .map((message) => {
          const next = { ...message, attempts: message.attempts + 1, nextAttemptAt: until }
          kept.set(next.id, { message: next })
          return next
        })
    },
    async done({ id }, now) {
      const found = kept.get(id)
      if (found !== undefined && found.doneAt === undefined) kept.set(id, { ...found, doneAt: now })
    },
    async later({ id, attempts }, at) {
      const found = kept.get(id)
      if (found === undefined || found.doneAt !== undefined || found.message.attempts !== attempts) return false
      kept.set(id, { message: { ...found.message, nextAttemptAt: at } })
      return true
    },
    async waiting() {
      const times = due().map(({ createdAt }) => createdAt)
      return times.length === 0 ? { count: 0 } : { count: times.length, since: times.reduce((a, b) => Math.min(a, b)) }
    },
    async purge(now) {
      return sweep(now, Number.POSITIVE_INFINITY)
    },
  }
}
