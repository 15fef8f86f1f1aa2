import type { ChannelStore } from '../store/store.ts'
import type { Changed, Channel, ChannelSide } from './channel.ts'

/** The books of one side, as one process works on them. */
export interface ChannelBook {
  /**
   * Changes a channel, or nothing where there is none: `step` gets the row as it stands and gives the row to be, at once or again
   * where another process was faster; it must do nothing else. Steps that come while a row is written are written together.
   */
  change<Result>(id: string, step: (channel: Channel) => Changed<Result>): Promise<Result | undefined>
  /** A change that nobody waits for: written with the next one of its channel, or by `flush`. It must not throw. */
  later(id: string, step: Step): void
  /** Writes down what was said by `later`. */
  flush(): Promise<void>
  find(id: string): Promise<Channel | undefined>
  /** Writes a channel down where there is none, and gives the one that stands. */
  open(channel: Omit<Channel, 'side' | 'epoch'>): Promise<Channel>
}

type Step = (channel: Channel) => Channel

/** Steps that are written together; `written` says when, and whether there is such a channel. */
type Group = { readonly steps: Step[]; readonly written: Promise<boolean> }

/**
 * What this process knows of a channel. It stays while steps come and go: in maps of their own they would stay alive until the next full
 * collection of garbage, long after they have left those.
 */
type Entry = { row: Channel | undefined; later: readonly Step[]; next: Group | undefined; writing: Promise<boolean> | undefined }

const mostKnown = 4096

/** Books over a store: one write for all changes of a channel that come together, and none that rests on an old row. */
export function channelBook(store: ChannelStore, { side }: { readonly side: ChannelSide }): ChannelBook {
  const entries = new Map<string, Entry>()

  const entryOf = (id: string): Entry => {
    const known = entries.get(id)
    if (known !== undefined) return known
    if (entries.size >= mostKnown) forgetOne(entries)
    const entry: Entry = { row: undefined, later: [], next: undefined, writing: undefined }
    entries.set(id, entry)
    return entry
  }

  async function writeNext(id: string, entry: Entry): Promise<boolean> {
    // Whoever waited for the group before this one was told how that went.
    await entry.writing?.catch(() => {})
    const steps = entry.next?.steps ?? []
    entry.next = undefined
    const writing = writeTogether(id, entry, steps)
    entry.writing = writing
    try {
      return await writing
    } finally {
      if (entry.writing === writing) entry.writing = undefined
    }
  }

  async function writeTogether(id: string, entry: Entry, steps: readonly Step[]): Promise<boolean> {
    const { later } = entry
    // What is remembered may be old: it serves a change, which the store refuses then, but no refusal.
    let [row, isFresh] = [entry.row, false]
    for (;;) {
      if (row === undefined) [row, isFresh] = [await store.find({ side, id }), true]
      if (row === undefined) return false
      let next = row
      for (const step of later) next = step(next)
      for (const step of steps) next = step(next)
      const written: Channel | undefined = next === row ? (isFresh ? row : undefined) : await store.update(row, next)
      if (written !== undefined) {
        entry.row = written
        entry.later = entry.later.slice(later.length)
        return true
      }
      row = undefined
    }
  }

  const change: ChannelBook['change'] = async <Result>(id: string, step: (channel: Channel) => Changed<Result>) => {
    const entry = entryOf(id)
    let outcome: { readonly result: Result } | { readonly error: unknown } | undefined
    const told = (channel: Channel): Channel => {
      try {
        const { channel: next, result } = step(channel)
        outcome = { result }
        return next
      } catch (error) {
        outcome = { error }
        return channel
      }
    }
    if (entry.next === undefined) entry.next = { steps: [told], written: writeNext(id, entry) }
    else entry.next.steps.push(told)
    const isThere = await entry.next.written
    if (!isThere || outcome === undefined) return undefined
    if ('error' in outcome) throw outcome.error
    return outcome.result
  }

  return {
    change,
    later(id, step) {
      const entry = entryOf(id)
      entry.later = [...entry.later, step]
    },
    async flush() {
      const waiting = [...entries].filter(([, { later }]) => later.length > 0)
      await Promise.all(waiting.map(([id]) => change(id, (channel) => ({ channel, result: undefined }))))
    },
    find: (id) => store.find({ side, id }),
    async open(channel) {
      const standing = await store.open({ ...channel, side, epoch: 1 })
      entryOf(standing.id).row = standing
      return standing
    },
  }
}

/** Forgets the channel that is known longest of those with nothing under way. */
function forgetOne(entries: Map<string, Entry>): void {
  for (const [id, { later, next, writing }] of entries) {
    if (later.length > 0 || next !== undefined || writing !== undefined) continue
    entries.delete(id)
    return
  }
}
