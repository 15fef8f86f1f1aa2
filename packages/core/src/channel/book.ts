import type { ChannelStore } from '../store/store.ts'
import type { Changed, Channel, ChannelSide } from './channel.ts'

/** The books of one side, as one process works on them. */
export interface ChannelBook {
  /**
   * Changes a channel, or nothing where there is none: `step` gets the row as it stands and gives the row to be, at once or again
   * where another process was faster; it must do nothing else. Steps that come while a row is written are written together.
   */
  change<Result>(id: string, step: (channel: Channel) => Changed<Result>): Promise<Result | undefined>
  find(id: string): Promise<Channel | undefined>
  /** Writes a channel down where there is none, and gives the one that stands. */
  open(channel: Omit<Channel, 'side' | 'epoch'>): Promise<Channel>
}

type Waiting = { step(channel: Channel): Channel; answer(): void; fail(error: unknown): void; absent(): void }

const mostKnown = 4096

/** Books over a store: one write for all changes of a channel that come together, and none that rests on an old row. */
export function channelBook(store: ChannelStore, { side }: { readonly side: ChannelSide }): ChannelBook {
  const known = new Map<string, Channel>()
  const queues = new Map<string, Waiting[]>()

  const remember = (channel: Channel): void => {
    const [oldest] = known.keys()
    if (known.size >= mostKnown && oldest !== undefined) known.delete(oldest)
    known.set(channel.id, channel)
  }

  async function drain(id: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const group = queue.splice(0)
      try {
        await writeTogether(id, group)
      } catch (error) {
        for (const { fail } of group) fail(error)
      }
    }
    queues.delete(id)
  }

  async function writeTogether(id: string, group: readonly Waiting[]): Promise<void> {
    // What is remembered may be old: it serves a change, which the store refuses then, but no refusal.
    let [row, isFresh] = [known.get(id), false]
    for (;;) {
      if (row === undefined) [row, isFresh] = [await store.find({ side, id }), true]
      if (row === undefined) {
        for (const { absent } of group) absent()
        return
      }
      const next = group.reduce((channel, { step }) => step(channel), row)
      const written: Channel | undefined = next === row ? (isFresh ? row : undefined) : await store.update(row, next)
      if (written !== undefined) {
        remember(written)
        for (const { answer } of group) answer()
        return
      }
      row = undefined
    }
  }

  return {
    change: (id, step) =>
      new Promise((resolve, fail) => {
        let answer = (): void => resolve(undefined)
        const waiting: Waiting = {
          step(channel) {
            try {
              const { channel: next, result } = step(channel)
              answer = () => resolve(result)
              return next
            } catch (error) {
              answer = () => fail(error)
              return channel
            }
          },
          answer: () => answer(),
          fail,
          absent: () => resolve(undefined),
        }
        const queue = queues.get(id)
        if (queue !== undefined) {
          queue.push(waiting)
          return
        }
        const started = [waiting]
        queues.set(id, started)
        void drain(id, started)
      }),
    find: (id) => store.find({ side, id }),
    async open(channel) {
      const standing = await store.open({ ...channel, side, epoch: 1 })
      remember(standing)
      return standing
    },
  }
}
