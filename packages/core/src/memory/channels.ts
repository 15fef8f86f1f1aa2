import { type Channel, rowWith } from '../channel/channel.ts'
import type { ChannelStore } from '../store/store.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Channels in the memory of one process. */
export function memoryChannels(): ChannelStore {
  // By id on each side: a key put together of both would be hashed anew each time.
  const sides = { payer: new Map<string, Channel>(), receiver: new Map<string, Channel>() }
  return {
    async find({ side, id }) {
      return sides[side].get(id)
    },
    async open(channel) {
      const found = sides[channel.side].get(channel.id)
      if (found === undefined) sides[channel.side].set(channel.id, channel)
      return found ?? channel
    },
    async update({ side, id, epoch }, next) {
      if (sides[side].get(id)?.epoch !== epoch) return undefined
      const written = rowWith(next, { side, id, epoch: epoch + 1 })
      sides[side].set(id, written)
      return written
    },
    async *list({ side, owed = false }) {
      const all = [...sides[side].values()].filter((channel) => !owed || channel.owedSince !== undefined)
      yield* all
    },
  }
}
